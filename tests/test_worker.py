"""Background messages: taken when there is a place, handled, and settled."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import pytest

from achannels import Channel, Message, consumer, route, sync, worker
from achannels.consumers import AsyncConsumer
from achannels.consumers.threads import Threads
from achannels.contracts import ChannelLayer, DeadLetter, Taken
from achannels.dispatch import Dispatcher
from achannels.exceptions import (
    ChannelFull,
    ConfigurationError,
    ConsumeLater,
    LayerUnavailable,
    Reject,
    StopConsumer,
)
from achannels.layers.memory import MemoryLayer
from achannels.routing import Router, Routing
from achannels.state import Loaders
from achannels.testing import Clock
from achannels.types import Content
from achannels.worker import Worker
from tests.doubles import assert_balanced, errors


def make_worker(routing: Routing, layer: ChannelLayer, concurrency: int = 10) -> Worker:
    router = Router(routing)
    dispatcher = Dispatcher(router, Threads(2), Loaders())
    return Worker(dispatcher, layer, router.channels, concurrency)


@asynccontextmanager
async def working(
    routing: Routing, layer: ChannelLayer, concurrency: int = 10
) -> AsyncIterator[Worker]:
    """Run a worker; at the end it finishes what it has in hand, and the books balance."""
    made = make_worker(routing, layer, concurrency)
    running = asyncio.create_task(made.run())
    try:
        yield made
        await until(lambda: not made.busy)
    finally:
        running.cancel()
        await asyncio.wait([running])
        await made.stop(0.0)
        made.dispatcher.threads.close()
        assert_balanced(await layer.statistics())


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not happened():  # noqa: ASYNC110 - a worker tells nobody that it has settled
            await asyncio.sleep(0)


async def settled(layer: MemoryLayer, count: int) -> None:
    """Wait until so many messages were delivered or dropped."""
    await until(lambda: layer.books.delivered + sum(layer.books.dropped.values()) == count)


async def letters(layer: MemoryLayer, channel: str = "work") -> list[DeadLetter]:
    return await layer.dead_letters(channel)


class Gate:
    """A consumer whose calls wait until the test lets them go, one by one."""

    def __init__(self) -> None:
        self.began: asyncio.Queue[Any] = asyncio.Queue()
        self.go = asyncio.Semaphore(0)

    async def __call__(self, message: Message) -> None:
        self.began.put_nowait(message["n"])
        await self.go.acquire()


class Attempts:
    """A consumer that raises what the test says, one error per call, and then returns."""

    def __init__(self, *raises: Exception | None) -> None:
        self.raises = list(raises)
        self.attempts: list[int] = []
        self.called = asyncio.Event()

    async def __call__(self, message: Message) -> None:
        self.attempts.append(message.attempt)
        self.called.set()
        error = self.raises.pop(0) if self.raises else None
        if error is not None:
            raise error


# What it takes.


async def test_it_takes_no_message_without_a_free_place() -> None:
    gate, layer = Gate(), MemoryLayer(capacity=3)
    async with working([route(["other", "work"], gate)], layer, concurrency=2) as made:
        for n, channel in enumerate(["other", "work"]):
            await layer.send(channel, {"n": n})
            assert await gate.began.get() == n
        for n in (2, 3, 4):
            await layer.send("work", {"n": n})
        with pytest.raises(ChannelFull):
            await layer.send("work", {"n": 5})
        for _ in range(10):
            await asyncio.sleep(0)
        assert (made.busy, gate.began.empty()) == (2, True)
        gate.go.release()
        assert await gate.began.get() == 2
        for _ in range(4):
            gate.go.release()
        assert [await gate.began.get() for _ in range(2)] == [3, 4]


async def test_a_channel_that_is_busy_leaves_the_others_their_places() -> None:
    gate, quick, layer = Gate(), Attempts(), MemoryLayer()
    slow = consumer(concurrency=1)(gate)
    async with working([route("slow", slow), route("quick", quick)], layer):
        await layer.send("slow", {"n": 1})
        await layer.send("slow", {"n": 2})
        assert await gate.began.get() == 1
        await layer.send("quick", {})
        await quick.called.wait()
        assert gate.began.empty()
        gate.go.release()  # while it waits for other channels
        assert await gate.began.get() == 2
        gate.go.release()


async def test_the_lowest_concurrency_of_a_channel_counts() -> None:
    gate, layer = Gate(), MemoryLayer()
    routing = [
        route("work", consumer(concurrency=1)(Attempts()), kind="^other$"),
        route("work", gate),
    ]
    async with working(routing, layer):
        await layer.send("work", {"n": 1})
        await layer.send("work", {"n": 2})
        assert await gate.began.get() == 1
        for _ in range(10):
            await asyncio.sleep(0)
        assert gate.began.empty()
        gate.go.release()
        assert await gate.began.get() == 2
        gate.go.release()


async def test_messages_begin_in_the_order_of_the_sends() -> None:
    gate, layer = Gate(), MemoryLayer()
    async with working([route("work", gate)], layer, concurrency=3):
        for n in range(9):
            await layer.send("work", {"n": n})
        for _ in range(9):
            gate.go.release()
        assert [await gate.began.get() for _ in range(9)] == list(range(9))


async def test_a_layer_that_cannot_carry_work_is_refused_at_start() -> None:
    class Simple:
        """A layer without take() and settle()."""

    with pytest.raises(ConfigurationError) as error:
        make_worker([route(["work", "mail"], Attempts())], cast("ChannelLayer", Simple()))
    assert str(error.value) == (
        "Simple cannot carry background messages: it has no take() and settle(). The routing has "
        "consumers on mail, work."
    )


# What the consumer gets.


async def test_a_message_has_its_channel_its_attempt_and_its_answers_channel() -> None:
    layer, seen = MemoryLayer(), []

    async def work(message: Message) -> None:
        seen.append((message.channel, message.attempt, message.channel_layer))
        await message.reply_channel.send({"answer": message["n"]})

    async with working([route("work", work)], layer):
        await layer.send("work", {"n": 1, "reply_channel": "answers"})
        assert await layer.receive("answers") == {"answer": 1}
    assert seen == [(Channel("work", channel_layer=layer), 1, layer)]


@pytest.mark.parametrize("reply", [{}, {"reply_channel": ""}, {"reply_channel": 5}])
async def test_a_message_without_a_reply_channel_has_none(reply: Content) -> None:
    layer, seen = MemoryLayer(), []

    async def work(message: Message) -> None:
        seen.append(hasattr(message, "reply_channel"))

    async with working([route("work", work)], layer):
        await layer.send("work", reply)
        await settled(layer, 1)
    assert seen == [False]


# What becomes of it.


async def test_a_message_that_was_handled_is_delivered() -> None:
    work, layer = Attempts(), MemoryLayer()
    async with working([route("work", work)], layer):
        await layer.send("work", {})
        await settled(layer, 1)
    assert layer.books.delivered == 1
    assert work.attempts == [1]


async def test_an_error_is_logged_and_the_message_not_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    work, layer = Attempts(ValueError("broken")), MemoryLayer()
    async with working([route("work", work)], layer):
        await layer.send("work", {})
        await settled(layer, 1)
    assert (work.attempts, layer.books.delivered) == ([1], 1)
    [record] = errors(caplog.records, "achannels.consumer")
    assert record.getMessage() == "tests.test_worker.Attempts raised on work"
    assert record.__dict__["path"] is None
    assert await letters(layer) == []


async def test_a_durable_message_is_tried_again_after_its_backoff(
    channel_layer: MemoryLayer, channel_clock: Clock
) -> None:
    work = consumer(durable=True, backoff=(1, 10))(Attempts(*[OSError("no") for _ in range(3)]))
    async with working([route("work", work)], channel_layer):
        await channel_layer.send("work", {})
        for attempt, wait in ((1, 1), (2, 10), (3, 10)):
            await until(lambda attempt=attempt: len(work.attempts) == attempt)  # type: ignore[misc]
            await until(lambda: channel_layer._work.pending == 0)
            channel_clock.advance(wait - 0.5)
            for _ in range(5):
                await asyncio.sleep(0)
            assert len(work.attempts) == attempt
            channel_clock.advance(0.5)
        await settled(channel_layer, 1)
    assert work.attempts == [1, 2, 3, 4]
    assert channel_layer.books.delivered == 1


async def test_after_its_retries_a_durable_message_is_a_dead_letter(
    caplog: pytest.LogCaptureFixture,
) -> None:
    work, layer = Attempts(*[ValueError("no image") for _ in range(9)]), MemoryLayer()
    async with working([route("work", consumer(retries=2, backoff=0)(work))], layer):
        await layer.send("work", {"photo": 1}, durable=True)
        await settled(layer, 1)
    assert work.attempts == [1, 2, 3]
    [letter] = await letters(layer)
    assert (letter.content, letter.attempts, letter.reason) == (
        {"photo": 1},
        3,
        "ValueError: no image",
    )
    assert len(errors(caplog.records, "achannels.consumer")) == 3
    [record] = errors(caplog.records, "achannels.worker")
    assert record.getMessage() == (
        "tests.test_worker.Attempts gave up a message on work after attempt 3: ValueError: no image"
    )


@pytest.mark.parametrize(("durable", "kept"), [(True, ["not an image", "rejected"]), (False, [])])
async def test_a_rejected_message_is_not_tried_again(
    durable: bool, kept: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    work, layer = Attempts(Reject("not an image"), Reject()), MemoryLayer()
    async with working([route("work", work)], layer):
        with caplog.at_level(logging.INFO):
            for _ in range(2):
                await layer.send("work", {}, durable=durable)
            await settled(layer, 2)
    assert layer.books.dropped["rejected"] == 2
    assert [each.reason for each in await letters(layer)] == kept
    assert not [each for each in caplog.records if each.levelno > logging.INFO]
    assert "rejected a message on work: not an image" in caplog.text


@pytest.mark.parametrize("durable", [True, False])
async def test_a_consumer_may_ask_for_later(
    durable: bool, channel_layer: MemoryLayer, channel_clock: Clock
) -> None:
    work = consumer(backoff=7)(Attempts(ConsumeLater(delay=5), ConsumeLater()))
    async with working([route("work", work)], channel_layer):
        await channel_layer.send("work", {}, durable=durable)
        for seconds in (5, 7):
            await work.called.wait()
            work.called.clear()
            await until(lambda: channel_layer._work.pending == 0)
            channel_clock.advance(seconds)
        await settled(channel_layer, 1)
    assert work.attempts == [1, 2, 3]
    assert channel_layer.books.delivered == 1


@pytest.mark.parametrize("durable", [True, False])
async def test_a_consumer_may_not_ask_for_later_without_end(durable: bool) -> None:
    work, layer = Attempts(*[ConsumeLater(0) for _ in range(9)]), MemoryLayer()
    async with working([route("work", consumer(retries=2)(work))], layer):
        await layer.send("work", {}, durable=durable)
        await settled(layer, 1)
    assert work.attempts == [1, 2, 3]
    assert layer.books.dropped["rejected"] == 1
    reasons = [each.reason for each in await letters(layer)]
    assert reasons == (["asked to be handled later too often"] if durable else [])


async def test_stop_consumer_ends_the_message_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    work, layer = Attempts(StopConsumer()), MemoryLayer()
    async with working([route("work", work)], layer):
        await layer.send("work", {}, durable=True)
        await settled(layer, 1)
    assert layer.books.delivered == 1
    assert errors(caplog.records, "achannels.consumer") == []


async def test_a_call_that_takes_too_long_has_failed() -> None:
    ended, layer = asyncio.Event(), MemoryLayer()

    @consumer(timeout=0.01, durable=True, retries=0)
    async def hang(message: Message) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with working([route("work", hang)], layer):
        await layer.send("work", {})
        await ended.wait()
        await settled(layer, 1)
    assert [each.reason for each in await letters(layer)] == ["TimeoutError: "]


async def test_a_message_whose_workers_all_died_is_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    work, layer = Attempts(), MemoryLayer()
    await layer.send("work", {}, durable=True)
    for _ in range(2):  # two workers took it, and were never heard of again
        await layer.settle(await layer.take(["work"]), again=0)
    async with working([route("work", consumer(retries=1)(work))], layer):
        await settled(layer, 1)
    assert work.attempts == []
    assert [each.reason for each in await letters(layer)] == [
        "its workers died or stalled each time"
    ]
    [record] = errors(caplog.records, "achannels.worker")
    assert record.getMessage() == (
        "tests.test_worker.Attempts: no worker survives a message on work"
    )


async def test_a_wait_that_others_cancelled_is_an_error_like_any_other() -> None:
    layer = MemoryLayer()

    @consumer(durable=True, retries=0)
    async def work(message: Message) -> None:
        waiting = asyncio.get_running_loop().create_future()
        waiting.cancel()
        await waiting

    async with working([route("work", work)], layer):
        await layer.send("work", {})
        await settled(layer, 1)
    assert [each.reason for each in await letters(layer)] == [
        "RuntimeError: something that the consumer waited for was cancelled"
    ]


async def test_a_message_that_no_route_takes_is_counted_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    layer = MemoryLayer()
    async with working([route("work", Attempts(), kind="^image$")], layer):
        await layer.send("work", {"kind": "sound", "n": 1})
        await settled(layer, 1)
    assert layer.books.dropped["no_route"] == 1
    [record] = errors(caplog.records, "achannels.worker")
    assert record.getMessage() == "no route takes a message on work: ['kind', 'n']"


async def test_a_type_without_a_method_is_counted_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Mail(AsyncConsumer):
        async def news(self, event: Content) -> None: ...

    layer = MemoryLayer()
    async with working([route("mail", Mail)], layer):
        await layer.send("mail", {"type": "olds"})
        await layer.send("mail", {"type": "news"})
        await settled(layer, 2)
    assert (layer.books.dropped["no_handler"], layer.books.delivered) == (1, 1)
    [record] = errors(caplog.records, "achannels.worker")
    assert record.getMessage().endswith("Mail has no method for type 'olds'")


async def test_a_plain_function_is_handled_in_a_thread() -> None:
    layer = MemoryLayer()

    def work(message: sync.Message) -> None:
        message.reply_channel.send({"attempt": message.attempt})
        if message.attempt == 1:
            raise ConsumeLater(0)

    async with working([route("work", work)], layer):
        await layer.send("work", {"reply_channel": "answers"})
        answers = [await layer.receive("answers") for _ in range(2)]
    assert answers == [{"attempt": 1}, {"attempt": 2}]


# Faults of the layer, and the end.


class Away(MemoryLayer):
    """A layer whose server is not there at first, and whose settles fail."""

    def __init__(self, takes: int = 0, settles: int = 0) -> None:
        super().__init__()
        self.takes = takes
        self.settles = settles

    async def take(
        self, channels: Collection[str], *, slots: int = 1, durable: Collection[str] = ()
    ) -> Taken:
        if self.takes:
            self.takes -= 1
            raise LayerUnavailable("no answer from the server", outcome="refused")
        return await super().take(channels)

    async def settle(
        self, taken: Taken, *, again: float | None = None, dead: str | None = None
    ) -> None:
        if self.settles:
            self.settles -= 1
            raise LayerUnavailable("no answer from the server", outcome="unknown")
        await super().settle(taken, again=again, dead=dead)


async def test_it_waits_for_a_layer_that_is_away(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "RETRY", 0.001)
    work, layer = Attempts(), Away(takes=2)
    async with working([route("work", work)], layer):
        await layer.send("work", {})
        await settled(layer, 1)
    records = [each for each in caplog.records if each.name == "achannels.worker"]
    assert [each.getMessage() for each in records] == [
        "the worker waits for its layer: no answer from the server"
    ] * 2
    assert {each.levelno for each in records} == {logging.WARNING}


async def test_a_message_that_could_not_be_settled_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    work, layer = Attempts(), Away(settles=1)
    async with working([route("work", work)], layer):
        await layer.send("work", {})
        await layer.send("work", {})
        await settled(layer, 1)
    [record] = errors(caplog.records, "achannels.worker")
    assert record.getMessage() == "a message on work was not settled"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LayerUnavailable)


@pytest.mark.parametrize("busy", [0, 1, 2])
async def test_it_ends_with_its_layer(busy: int) -> None:
    gate, layer = Gate(), MemoryLayer()
    other = consumer(concurrency=1)(gate)
    made = make_worker([route("work", other), route("other", Attempts())], layer, concurrency=2)
    running = asyncio.create_task(made.run())
    for n in range(min(busy, 1)):
        await layer.send("work", {"n": n})
        await gate.began.get()
    await asyncio.sleep(0)
    await layer.aclose()
    await asyncio.wait_for(running, 5)
    gate.go.release()
    await made.stop(5)
    assert made.busy == 0


async def test_at_the_stop_it_finishes_what_it_has_in_hand() -> None:
    gate, layer = Gate(), MemoryLayer()
    made = make_worker([route("work", gate)], layer)
    running = asyncio.create_task(made.run())
    await layer.send("work", {"n": 1})
    await gate.began.get()
    running.cancel()
    await asyncio.wait([running])
    await layer.send("work", {"n": 2})
    stopping = asyncio.create_task(made.stop(5))
    await asyncio.sleep(0)
    assert not stopping.done()
    gate.go.release()
    await stopping
    books = await layer.statistics()
    assert (books["delivered"], books["pending"]) == (1, 1)


@pytest.mark.parametrize(
    ("durable", "dropped", "pending"), [("send", 0, 1), ("consumer", 0, 1), ("", 1, 0)]
)
async def test_what_does_not_end_in_time_is_cancelled_and_accounted_for(
    durable: str, dropped: int, pending: int, caplog: pytest.LogCaptureFixture
) -> None:
    gate, layer = Gate(), MemoryLayer()
    made = make_worker([route("work", consumer(durable=durable == "consumer")(gate))], layer)
    running = asyncio.create_task(made.run())
    await layer.send("work", {"n": 1}, durable=durable == "send")
    await gate.began.get()
    running.cancel()
    await asyncio.wait([running])
    await made.stop(0.0)
    assert made.busy == 0
    books = await layer.statistics()
    assert_balanced(books)
    assert (books["dropped"]["rejected"], books["pending"]) == (dropped, pending)
    if pending:
        assert (await layer.take(["work"])).attempt == 2
    [record] = errors(caplog.records, "achannels.worker")
    assert record.getMessage() == "tests.test_worker.Gate was cancelled with a message on work"


async def test_a_thread_that_does_not_end_is_left_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    layer, began, go = MemoryLayer(), threading.Event(), threading.Event()

    def hang(message: sync.Message) -> None:
        began.set()
        go.wait(5)

    made = make_worker([route("work", hang)], layer)
    running = asyncio.create_task(made.run())
    await layer.send("work", {})
    await asyncio.to_thread(began.wait, 5)
    running.cancel()
    await asyncio.wait([running])
    await made.stop(0.0)
    assert made.busy == 0
    [record] = errors(caplog.records, "achannels.worker")
    assert record.getMessage().endswith("hang was cancelled with a message on work")
    assert_balanced(await layer.statistics())
    go.set()
    made.dispatcher.threads.close()


async def test_a_consumer_that_will_not_be_cancelled_is_left_behind(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_LAST_WORDS", 0.01)
    layer, began, go = MemoryLayer(), asyncio.Event(), asyncio.Event()

    async def hang(message: Message) -> None:
        began.set()
        while not go.is_set():
            with suppress(asyncio.CancelledError):
                await go.wait()

    made = make_worker([route("work", hang)], layer)
    running = asyncio.create_task(made.run())
    await layer.send("work", {})
    await began.wait()
    running.cancel()
    await asyncio.wait([running])
    await made.stop(0.0)
    [record] = errors(caplog.records, "achannels.worker")
    assert record.getMessage() == "the worker stopped while achannels work was still handled"
    assert made.busy == 1
    go.set()
    await until(lambda: made.busy == 0)
    assert_balanced(await layer.statistics())


@pytest.mark.parametrize("turns", range(6))
async def test_a_message_that_comes_as_the_worker_ends_is_not_lost(turns: int) -> None:
    gate, quick, layer = Gate(), Attempts(), MemoryLayer()
    slow = consumer(concurrency=1)(gate)
    made = make_worker([route("slow", slow), route("quick", quick)], layer)
    running = asyncio.create_task(made.run())
    await layer.send("slow", {"n": 1})
    await gate.began.get()
    for _ in range(5):
        await asyncio.sleep(0)
    await layer.send("quick", {})
    for _ in range(turns):  # after some of them it was taken, and the worker not told yet
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    gate.go.release()
    await made.stop(5)
    books = await layer.statistics()
    assert (books["delivered"], books["pending"]) in {(2, 0), (1, 1)}
    if books["pending"]:
        assert await layer.receive("quick") == {}


async def test_a_layer_that_fails_is_asked_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(MemoryLayer):
        failed = False

        async def take(
            self, channels: Collection[str], *, slots: int = 1, durable: Collection[str] = ()
        ) -> Taken:
            if not self.failed:
                self.failed = True
                raise ValueError("what it read makes no sense")
            return await super().take(channels)

    monkeypatch.setattr("achannels.worker.RETRY", 0.01)
    work, layer = Attempts(), Failing()
    async with working([route("work", work)], layer):
        await layer.send("work", {})
        await settled(layer, 1)
    [record] = errors(caplog.records, "achannels.worker")
    assert record.getMessage() == "the layer failed to hand over a message; it is asked again"
