"""`channels.worker`: the worker for programs of one's own."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from achannels import Message as AsyncMessage
from achannels.exceptions import ConsumeLater, DenyConnection
from achannels.layers.memory import MemoryLayer
from achannels.legacy import signals
from achannels.legacy import worker as module
from achannels.legacy.asgi import ChannelLayerWrapper
from achannels.legacy.channel import Channel
from achannels.legacy.exceptions import WebsocketCloseException
from achannels.legacy.facade import LayerFacade
from achannels.legacy.message import pending_message_store
from achannels.legacy.routing import route
from achannels.legacy.worker import Worker, WorkerGroup


class Bench:
    """Runs a worker in a thread over routes, and gives what comes on channels."""

    def __init__(self, *routes: Any, **options: Any) -> None:
        self.layer = ChannelLayerWrapper(LayerFacade(MemoryLayer()), "default", list(routes))
        self.worker = Worker(self.layer, signal_handlers=False, **options)
        self.marks = 0
        self._thread = threading.Thread(target=self.worker.run)

    def __enter__(self) -> "Bench":
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.worker.termed = True
        self.layer.send("wake", {})
        self._thread.join()

    def send(self, channel: str, **content: Any) -> None:
        self.layer.send(channel, content)

    def received(self, channel: str = "back") -> Any:
        return self.layer.receive([channel], block=True)[1]

    def done(self) -> None:
        """Wait until everything sent before was handled; channels take turns."""
        waiting = True
        while waiting:
            self.marks += 1
            waiting = bool(self.layer.global_statistics()["messages_pending"])
            self.send("mark")
            assert self.received("marked") == {}


def mark(message: Any) -> None:
    Channel("marked", channel_layer=message.channel_layer).send({})


def nothing(message: Any) -> None:
    pass


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    """Make a bench; it ends with the test."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def make(*routes: Any, **options: Any) -> Bench:
            waking = [route("mark", mark), route("wake", nothing)]
            return stack.enter_context(Bench(*routes, *waking, **options))

        yield make


def test_it_handles_messages_and_sends_when_the_consumer_has_returned(
    bench: Callable[..., Bench],
) -> None:
    order: list[str] = []

    def work(message: Any, number: str) -> str:
        message.reply_channel.send({"n": int(number)})
        order.append("returned")
        return "ignored"

    there = bench(route("work", work, what=r"(?P<number>\d+)"))
    there.send("work", what="7", reply_channel="back")
    assert there.received() == {"n": 7}
    assert order == ["returned"]


def test_an_error_is_logged_and_what_was_sent_leaves(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(message: Any) -> None:
        message.reply_channel.send({"n": 1})
        raise ValueError("no")

    there = bench(route("work", fail))
    there.send("work", reply_channel="back")
    assert there.received() == {"n": 1}
    there.done()
    assert "Error processing message with consumer tests.legacy.test_worker." in caplog.text
    assert "ValueError: no" in caplog.text


def test_connections_that_are_done_are_closed_before_sends_leave(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    flush = pending_message_store.send_and_flush

    def flushed() -> None:
        steps.append("sent")
        flush()

    monkeypatch.setattr(module, "close_old_connections", lambda: steps.append("closed"))
    monkeypatch.setattr(pending_message_store, "send_and_flush", flushed)

    def consumer(message: Any) -> None:
        Channel("back", channel_layer=message.channel_layer).send({})
        raise ValueError("broken")

    it = bench(route("work", consumer))
    it.send("work")
    it.received()
    assert steps[:2] == ["closed", "sent"]


def test_a_message_without_a_route_is_logged(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    there = bench(route("work", nothing, path="^/a"))
    there.send("work", path="/b")
    there.done()
    assert "Could not find match for message on work! Check your routing." in caplog.text


def test_the_signals_surround_a_consumer(bench: Callable[..., Bench]) -> None:
    told: list[Any] = []

    def started(sender: Any, environ: Any, **kwargs: Any) -> None:
        told.append(("started", sender, environ))

    def finished(sender: Any, **kwargs: Any) -> None:
        told.append(("finished", sender))

    def work(message: Any) -> None:
        told.append("work")
        raise ValueError

    signals.consumer_started.connect(started)
    signals.consumer_finished.connect(finished)
    try:
        there = bench(route("work", work), route("other", nothing, path="^/never"))
        there.send("work")
        there.done()
        there.send("other", path="/")
        there.done()
    finally:
        signals.consumer_started.disconnect(started)
        signals.consumer_finished.disconnect(finished)
    around: list[Any] = [("started", Worker, {}), ("finished", Worker)]
    at = told.index("work")
    assert told[at - 1 : at + 2] == [around[0], "work", around[1]]
    assert told[: at - 1] + told[at + 2 :] == around * there.marks


def test_a_callback_is_called_before(bench: Callable[..., Bench]) -> None:
    told: list[Any] = []
    there = bench(route("work", nothing), callback=lambda *args: told.append(args))
    there.send("work", n=1)
    there.done()
    channel, message = told[0]
    assert (channel, message["n"]) == ("work", 1)


def test_a_refused_socket_is_closed_after_what_was_sent(bench: Callable[..., Bench]) -> None:
    def deny(message: Any) -> None:
        message.reply_channel.send({"accept": True})
        raise DenyConnection

    there = bench(route("websocket.connect", deny))
    there.send("websocket.connect", reply_channel="back")
    assert [there.received(), there.received()] == [{"accept": True}, {"close": True}]


def test_there_is_nothing_to_deny_elsewhere(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    def deny(message: Any) -> None:
        raise DenyConnection

    there = bench(route("websocket.receive", deny))
    there.send("websocket.receive", reply_channel="back")
    there.done()
    assert "DenyConnection was raised on" in caplog.text


def test_a_socket_exception_answers(bench: Callable[..., Bench]) -> None:
    def close(message: Any) -> None:
        message.reply_channel.send({"text": "bye"})
        raise WebsocketCloseException(4001)

    there = bench(route("websocket.receive", close))
    there.send("websocket.receive", reply_channel="back")
    assert [there.received(), there.received()] == [{"text": "bye"}, {"close": 4001}]


def test_a_socket_exception_that_cannot_is_logged(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    def close(message: Any) -> None:
        raise WebsocketCloseException

    there = bench(route("mail", close))
    there.send("mail", reply_channel="back")
    there.done()
    assert "no channel of a socket" in caplog.text


def test_consume_later_goes_to_the_end_of_the_channel(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[tuple[Any, bool]] = []

    def later(message: Any) -> None:
        runs.append((message.get("__retries__"), getattr(message, "__doomed__", False)))
        message["seen"] = message.get("seen", 0) + 1
        message.reply_channel.send({"n": message["seen"]})
        raise ConsumeLater

    there = bench(route("work", later))
    there.send("work", reply_channel="back")
    assert [there.received()["n"] for _ in range(11)] == list(range(1, 12))
    there.done()
    assert runs == [(None, False), *((n, n == 10) for n in range(1, 11))]
    assert "Exceeded number of retries for message work" in caplog.text


def test_how_often_is_an_option(bench: Callable[..., Bench]) -> None:
    doomed: list[bool] = []

    def later(message: Any) -> None:
        doomed.append(getattr(message, "__doomed__", False))
        raise ConsumeLater

    there = bench(route("work", later), message_retries=2)
    there.send("work")
    while len(doomed) < 3:
        there.done()
    there.done()
    assert doomed == [False, False, True]


def test_an_async_consumer_runs_too(bench: Callable[..., Bench]) -> None:
    async def work(message: AsyncMessage) -> None:
        await message.reply_channel.send({"n": message["n"]})

    there = bench(route("work", work))
    there.send("work", n=5, reply_channel="back")
    assert there.received() == {"n": 5}


def test_only_some_channels() -> None:
    layer = ChannelLayerWrapper(LayerFacade(MemoryLayer()), "default", [])
    names = ["http.request", "websocket.connect", "thumb.small", "Thumb.big"]

    def left(**options: Any) -> list[str]:
        return Worker(layer, signal_handlers=False, **options).apply_channel_filters(names)

    assert left() == names
    assert left(only_channels=["http.*", "thumb.*"]) == ["http.request", "thumb.small"]
    assert left(exclude_channels=["http.*"]) == names[1:]
    assert left(only_channels=["*"], exclude_channels=["*.request"]) == names[1:]
    assert left(only_channels=["none"]) == []


def test_with_no_channels_it_idles(bench: Callable[..., Bench]) -> None:
    there = bench(route("work", nothing), only_channels=["none"])
    assert there.worker.in_job in (True, False)


def test_ready_is_told() -> None:
    told: list[Any] = []

    def ready(sender: Any, **kwargs: Any) -> None:
        told.append(sender)

    layer = ChannelLayerWrapper(LayerFacade(MemoryLayer()), "default", [])
    signals.worker_ready.connect(ready)
    try:
        worker, group = Worker(layer), WorkerGroup(layer, n_threads=3)
        worker.ready()
        group.ready()
    finally:
        signals.worker_ready.disconnect(ready)
    assert told == [worker, group, *group.sub_workers]
    assert [sub.signal_handlers for sub in group.sub_workers] == [False, False]


def test_at_a_signal_it_ends_at_once_or_after_the_message_in_hand() -> None:
    layer = ChannelLayerWrapper(LayerFacade(MemoryLayer()), "default", [])
    worker = Worker(layer)
    worker.in_job = True
    worker.sigterm_handler(15, None)
    assert worker.termed
    worker.in_job = False
    with pytest.raises(SystemExit):
        worker.sigterm_handler(15, None)
    group = WorkerGroup(layer, n_threads=2)
    group.in_job = True
    with pytest.raises(SystemExit):
        group.sigterm_handler(15, None)
    assert [each.termed for each in (group, *group.sub_workers)] == [True, True]


def test_a_group_runs_in_threads() -> None:
    layer = ChannelLayerWrapper(LayerFacade(MemoryLayer()), "default", [])
    both_there = threading.Barrier(2)

    def work(message: Any) -> None:
        both_there.wait(10)
        Channel("done", channel_layer=message.channel_layer).send({}, immediately=True)

    layer.routing = [route("work", work)]
    group = WorkerGroup(layer, n_threads=2, signal_handlers=False)
    thread = threading.Thread(target=group.run)
    thread.start()
    for _ in range(2):
        layer.send("work", {})
    assert [layer.receive(["done"], block=True)[0] for _ in range(2)] == ["done", "done"]
    for each in (group, *group.sub_workers):
        each.termed = True
    close_layer(layer)
    thread.join()
    for other in group.threads:
        other.join()


def close_layer(layer: ChannelLayerWrapper) -> None:
    from achannels.sync import hand_over

    hand_over(layer.channel_layer.layer, layer.channel_layer.layer.aclose)


def test_a_full_channel_is_tried_ten_times(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "REQUEUE_WAIT", 0.0)
    layer = ChannelLayerWrapper(LayerFacade(MemoryLayer(capacity=1)), "default", [])

    def later(message: Any) -> None:
        raise ConsumeLater

    layer.routing = [route("work", later)]
    layer.send("work", {})
    Worker(layer, signal_handlers=False).handle("work", {"n": 1})
    assert "there was no room to handle it later" in caplog.text
