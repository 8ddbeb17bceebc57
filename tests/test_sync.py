"""The blocking twins: from threads, on commit, and where no loop runs."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from achannels import sync
from achannels.channel import Channel, ReplyChannel
from achannels.consumers.threads import Threads
from achannels.exceptions import (
    ChannelFull,
    ConfigurationError,
    InvalidContent,
    InvalidName,
    LayerClosed,
    MessageTooLarge,
    WrongContext,
)
from achannels.layers.memory import MemoryLayer
from achannels.testing import Clock
from achannels.testing.layer_suite import Connection
from tests.doubles import RecordingSocket


class Commits:
    """A database whose commit the test decides about."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], None], str | None]] = []

    def __call__(self, call: Callable[[], None], alias: str | None) -> None:
        self.waiting.append((call, alias))

    @property
    def aliases(self) -> list[str | None]:
        return [alias for _, alias in self.waiting]

    def commit(self) -> None:
        for call, _ in self.waiting:
            call()


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> Commits:
    monkeypatch.setattr(sync._Commit, "hook", None)
    monkeypatch.setattr(sync._Commit, "by_default", False)
    made = Commits()
    sync.on_commit_hook(made, by_default=False)
    return made


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads(1)
    yield made
    made.close()


def waiting(layer: MemoryLayer) -> int:
    """Return how many messages wait in a layer that lives on the background loop."""
    return asyncio.run(layer.statistics())["pending"]


# Beside a running loop.


async def test_sends_from_a_thread_arrive_before_the_call_returns(
    channel_layer: MemoryLayer,
) -> None:
    socket = Connection(channel_layer)

    def work() -> None:
        sync.Group("room").add(sync.Channel("named"))
        sync.Group("room").add(socket.channel)
        sync.Group("room").send({"n": 1})
        sync.Channel("named").send({"n": 2})
        sync.Group("room").discard("named")
        sync.Group("room").send({"n": 3})

    await asyncio.to_thread(work)
    assert socket.received == [{"n": 1}, {"n": 3}]
    assert [await channel_layer.receive("named") for _ in range(2)] == [{"n": 1}, {"n": 2}]
    assert channel_layer.loop is asyncio.get_running_loop()


async def test_delay_eta_and_durable_reach_the_layer(
    channel_layer: MemoryLayer, channel_clock: Clock
) -> None:
    def work() -> None:
        sync.Channel("work").send({"n": 1}, delay=60)
        sync.Channel("work").send({"n": 2}, delay=timedelta(minutes=2))
        sync.Channel("work").send({"n": 3}, eta=datetime.now(UTC) - timedelta(hours=1))
        sync.Channel("work").send({"n": 4}, durable=True)

    await asyncio.to_thread(work)
    taken = [await channel_layer.take(["work"]) for _ in range(2)]
    assert [(each.content["n"], each.durable) for each in taken] == [(3, False), (4, True)]
    for seconds, number in ((60, 1), (60, 2)):
        channel_clock.advance(seconds)
        assert await channel_layer.receive("work") == {"n": number}


async def test_dead_letters_are_listed_and_sent_again(channel_layer: MemoryLayer) -> None:
    await channel_layer.send("work", {"n": 1}, durable=True)
    await channel_layer.settle(await channel_layer.take(["work"]), dead="no")

    def work() -> tuple[list[dict[str, Any]], bool, bool]:
        channel = sync.Channel("work")
        letters = channel.dead_letters(limit=5)
        again = [channel.requeue(letters[0].id) for _ in range(2)]
        return [each.content for each in letters], again[0], again[1]

    assert await asyncio.to_thread(work) == ([{"n": 1}], True, False)
    assert await channel_layer.receive("work") == {"n": 1}


async def test_what_the_layer_refuses_is_raised_in_the_thread() -> None:
    layer = MemoryLayer(capacity=1, message_size=20)
    await layer.open()

    def work() -> None:
        channel = sync.Channel("work", channel_layer=layer)
        channel.send({})
        with pytest.raises(ChannelFull):
            channel.send({})
        with pytest.raises(MessageTooLarge, match="the message to 'work'"):
            channel.send({"text": "more than the twenty bytes"})
        with pytest.raises(InvalidContent):
            channel.send({"x": object()})
        with pytest.raises(InvalidName):
            sync.Group("room", channel_layer=layer).add("a b")
        with pytest.raises(InvalidName):
            sync.Group("room", channel_layer=layer).discard("a b")
        with pytest.raises(ConfigurationError):
            channel.send({}, delay=-1)

    await asyncio.to_thread(work)
    assert (await layer.statistics())["accepted"] == 1


async def test_a_reply_goes_to_its_socket(channel_layer: MemoryLayer) -> None:
    socket = RecordingSocket()
    await channel_layer.open()
    message = sync.Message({}, Channel("news"), ReplyChannel(socket, channel_layer))

    def work() -> None:
        message.reply_channel.send({"text": "hi"})
        with pytest.raises(ConfigurationError) as error:
            message.reply_channel.send({"text": "hi"}, delay=1)
        assert str(error.value) == (
            "Reply('node!key').send(): a reply leaves at once; delay, eta and durable are for "
            "named channels."
        )

    await asyncio.to_thread(work)
    assert socket.replies == [{"text": "hi"}]


async def test_an_error_of_the_call_that_is_a_timeout_is_raised(
    channel_layer: MemoryLayer,
) -> None:
    class Late:
        async def read(self) -> bytes:
            raise TimeoutError("the database did not answer")

    await channel_layer.open()
    message = sync.Message({}, Channel("http.request"))
    message.body_source = Late()
    with pytest.raises(TimeoutError, match="the database did not answer"):
        await asyncio.to_thread(message.body)


def test_a_loop_that_stops_while_a_call_waits_for_it_raises() -> None:
    layer = MemoryLayer()
    loop = asyncio.new_event_loop()
    begun = threading.Event()

    class Hanging:
        async def read(self) -> bytes:
            begun.set()
            return await asyncio.Event().wait() and b""

    def serve() -> None:
        loop.run_until_complete(layer.open())
        loop.run_forever()

    server = threading.Thread(target=serve)
    server.start()
    message = sync.Message({}, Channel("http.request", channel_layer=layer))
    message.body_source = Hanging()

    def stop() -> None:
        begun.wait()
        loop.call_soon_threadsafe(loop.stop)

    stopper = threading.Thread(target=stop)
    stopper.start()
    while not loop.is_running():
        pass
    with pytest.raises(LayerClosed) as error:
        message.body()
    assert str(error.value) == (
        "the event loop of the channel layer stopped while a sync call waited for it; whether it "
        "was carried out is not known."
    )
    stopper.join()
    server.join()
    for task in asyncio.all_tasks(loop):
        task.cancel()
        loop.run_until_complete(asyncio.wait([task]))
    loop.close()


# On a loop.


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("Channel('news').send", lambda: sync.Channel("news").send({})),
        ("Channel('news').dead_letters", lambda: sync.Channel("news").dead_letters()),
        ("Channel('news').requeue", lambda: sync.Channel("news").requeue("1")),
        ("Group('news').send", lambda: sync.Group("news").send({})),
        ("Group('news').add", lambda: sync.Group("news").add("named")),
        ("Group('news').discard", lambda: sync.Group("news").discard("named")),
    ],
)
async def test_on_an_event_loop_the_call_raises(text: str, call: Callable[[], object]) -> None:
    with pytest.raises(WrongContext) as error:
        call()
    assert str(error.value) == (
        f"achannels.sync.{text}() would block the event loop. Use `await {text}(...)` from "
        "achannels."
    )


async def test_a_reply_on_an_event_loop_raises(channel_layer: MemoryLayer) -> None:
    socket = RecordingSocket()
    message = sync.Message({}, Channel("news"), ReplyChannel(socket, channel_layer))
    with pytest.raises(WrongContext, match=r"Channel\('node!key'\)\.send\(\) would block"):
        message.reply_channel.send({"text": "hi"})
    assert socket.replies == []


# Without a loop.


def test_a_process_without_a_loop_keeps_one_for_all_calls() -> None:
    layer = MemoryLayer()
    group, channel = sync.Group("room", channel_layer=layer), sync.Channel("a", "x", layer)
    group.add(channel)
    loop = layer.loop
    group.send({"n": 1})
    channel.send({"n": 2})
    other = MemoryLayer()
    sync.Channel("b", channel_layer=other).send({})
    assert loop is not None
    assert loop is layer.loop is other.loop
    background = [each for each in threading.enumerate() if each.name == "achannels-background"]
    assert [each.daemon for each in background] == [True]
    assert waiting(layer) == 2


def test_a_loop_that_has_ended_is_no_place_to_wait() -> None:
    layer = MemoryLayer()
    asyncio.run(layer.send("work", {"n": 1}))
    sync.Channel("work", channel_layer=layer).send({"n": 2})
    assert waiting(layer) == 2


def test_a_forked_child_has_a_background_loop_of_its_own() -> None:
    code = """
import os
from achannels import sync
sync.Channel("work").send({"n": 1})
pid = os.fork()
if pid:
    assert os.waitpid(pid, 0)[1] == 0
    sync.Channel("work").send({"n": 2})
else:
    try:
        sync.Channel("work").send({"n": 3})
    except BaseException:
        os._exit(1)
    os._exit(0)
"""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=15)
    assert done.returncode == 0, done.stderr


# In a `def` consumer.


async def test_sends_of_a_consumer_wait_until_it_returned(
    channel_layer: MemoryLayer, threads: Threads
) -> None:
    socket = RecordingSocket()
    reply = ReplyChannel(socket, channel_layer)
    content = {"list": [1]}

    def consumer() -> None:
        message = sync.Message({}, Channel("news"), reply)
        message.reply_channel.send({"text": "1"})
        sync.Channel("named").send(content)
        sync.Group("room").send({"n": 3})
        sync.Channel("named").send({"n": 0}, True)
        content["list"].append(2)

    await channel_layer.open()
    await channel_layer.group_add("room", "named")
    sends, error = await threads.run(consumer)
    assert (error, len(sends), socket.replies) == (None, 3, [])
    assert await channel_layer.receive("named") == {"n": 0}
    for send in sends:
        await send()
    assert socket.replies == [{"text": "1"}]
    assert [await channel_layer.receive("named") for _ in range(2)] == [{"list": [1]}, {"n": 3}]


async def test_what_is_wrong_with_a_send_is_raised_at_its_line(
    channel_layer: MemoryLayer, threads: Threads
) -> None:
    def consumer() -> None:
        sync.Channel("named").send({"x": object()})

    await channel_layer.open()
    sends, error = await threads.run(consumer)
    assert sends == []
    assert isinstance(error, InvalidContent)


# On commit.


def test_on_commit_sends_when_the_database_says_so(commits: Commits) -> None:
    layer = MemoryLayer()
    sync.Channel("work", channel_layer=layer).send({"n": 1}, on_commit=True)
    sync.Channel("work", channel_layer=layer).send({"n": 2}, on_commit="replica")
    sync.Group("room", channel_layer=layer).send({}, on_commit=True)
    assert commits.aliases == [None, "replica", None]
    assert waiting(layer) == 0
    commits.commit()
    assert waiting(layer) == 2


def test_on_commit_false_sends_now(commits: Commits) -> None:
    layer = MemoryLayer()
    sync.on_commit_hook(commits, by_default=True)
    sync.Channel("work", channel_layer=layer).send({}, on_commit=False)
    assert (commits.aliases, waiting(layer)) == ([], 1)


def test_the_setting_makes_it_the_default_outside_consumers(commits: Commits) -> None:
    layer = MemoryLayer()
    sync.on_commit_hook(commits, by_default=True)
    sync.Channel("work", channel_layer=layer).send({})
    sync.Channel("work", channel_layer=layer).send({}, immediately=True)
    assert (commits.aliases, waiting(layer)) == ([None], 1)


async def test_in_a_consumer_only_on_commit_itself_waits_for_the_commit(
    channel_layer: MemoryLayer, commits: Commits, threads: Threads
) -> None:
    sync.on_commit_hook(commits, by_default=True)

    def consumer() -> None:
        sync.Channel("named").send({"n": 1})
        sync.Channel("named").send({"n": 2}, on_commit=True)

    await channel_layer.open()
    sends, _ = await threads.run(consumer)
    assert (len(sends), commits.aliases) == (1, [None])


def test_without_a_database_on_commit_is_refused(commits: Commits) -> None:
    sync._Commit.hook = None
    with pytest.raises(ConfigurationError) as error:
        sync.Group("news").send({}, on_commit=True)
    assert str(error.value) == (
        "Group('news').send(on_commit=...) waits for a Django database, and there is none. Put "
        "'achannels' into INSTALLED_APPS, or leave on_commit out."
    )
