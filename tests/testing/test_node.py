"""Node: lifespan and worker in a test, and when nothing is left to do."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from achannels import Channel, Message, consumer, route, sync
from achannels.asgi import Application
from achannels.exceptions import ConsumeLater, Reject
from achannels.layers.memory import MemoryLayer
from achannels.testing import Clock, Node, WebsocketClient
from achannels.types import Receive, Scope, Send


async def fail() -> None:
    raise LookupError("no database")


async def test_idle_waits_until_everything_due_was_handled(channel_layer: MemoryLayer) -> None:
    done = []

    async def work(message: Message) -> None:
        await asyncio.sleep(0.001)
        done.append(message["number"])

    async with Node(Application([route("work", work)])) as node:
        for number in range(50):
            await Channel("work").send({"number": number})
        await node.idle()
        assert sorted(done) == list(range(50))
        assert (await channel_layer.statistics())["pending"] == 0


async def test_idle_follows_messages_that_lead_to_messages() -> None:
    done = []

    async def first(message: Message) -> None:
        await Channel("second").send({})

    def second(message: sync.Message) -> None:
        sync.Channel("third").send({})

    async def third(message: Message) -> None:
        done.append(message)

    app = Application([route("first", first), route("second", second), route("third", third)])
    async with Node(app) as node:
        await Channel("first").send({})
        await node.idle()
        assert len(done) == 1


async def test_idle_waits_for_what_a_socket_is_doing() -> None:
    done, free = [], threading.Event()

    def receive(message: sync.Message) -> None:
        free.wait(5)
        sync.Channel("work").send({"text": message["text"]})

    async def work(message: Message) -> None:
        done.append(message["text"])

    app = Application([route("websocket.receive", receive), route("work", work)])
    async with Node(app) as node, WebsocketClient(app, "/") as ws:
        await ws.send("a")
        asyncio.get_running_loop().call_later(0.02, free.set)
        await node.idle()
        assert done == ["a"]


async def test_a_reminder_comes_when_the_clock_says_so(
    channel_layer: MemoryLayer, channel_clock: Clock
) -> None:
    done = []

    async def remind(message: Message) -> None:
        done.append(message["photo"])

    async with Node(Application([route("reminders", remind)])) as node:
        await Channel("reminders").send({"photo": 1}, delay=3600)
        await node.idle()
        channel_clock.advance(3599)
        await node.idle()
        assert done == []
        channel_clock.advance(1)
        await node.idle()
        assert done == [1]
        assert (await channel_layer.statistics())["pending"] == 0


async def test_idle_raises_what_a_background_consumer_raised_once() -> None:
    async def work(message: Message) -> None:
        raise LookupError(message["number"])

    async with Node(Application([route("work", work)], concurrency=1)) as node:
        await Channel("work").send({"number": 1})
        await Channel("work").send({"number": 2})
        with pytest.raises(LookupError, match="1") as failed:
            await node.idle()
        assert "LookupError(2)" in failed.value.__notes__[0]
        await node.idle()


async def test_retries_run_on_the_clock(channel_clock: Clock) -> None:
    attempts = []

    @consumer(durable=True, retries=2, backoff=10)
    async def work(message: Message) -> None:
        attempts.append(message.attempt)
        if message.attempt < 3:
            raise LookupError("not yet")

    async with Node(Application([route("work", work)])) as node:
        await Channel("work").send({})
        for _ in range(2):
            with pytest.raises(LookupError):
                await node.idle()
            channel_clock.advance(10)
        await node.idle()
    assert attempts == [1, 2, 3]


async def test_control_flow_is_no_error(channel_clock: Clock) -> None:
    @consumer(durable=True, backoff=1)
    async def work(message: Message) -> None:
        raise ConsumeLater if message.attempt == 1 else Reject("no")

    async with Node(Application([route("work", work)])) as node:
        await Channel("work").send({})
        await node.idle()
        channel_clock.advance(1)
        await node.idle()
        assert len(await Channel("work").dead_letters()) == 1


async def test_an_error_that_idle_did_not_tell_is_raised_at_the_end() -> None:
    handled = asyncio.Event()

    async def work(message: Message) -> None:
        handled.set()
        raise LookupError("broken")

    node = Node(Application([route("work", work)]))
    await node.__aenter__()
    await Channel("work").send({})
    await handled.wait()
    with pytest.raises(LookupError, match="broken"):
        await node.__aexit__(None, None, None)


async def test_an_error_of_a_socket_is_not_the_nodes() -> None:
    async def receive(message: Message) -> None:
        raise LookupError("broken")

    app = Application([route("websocket.receive", receive)])
    async with Node(app) as node, WebsocketClient(app, "/") as ws:
        await ws.send("a")
        assert await ws.wait_closed() == 1011
        await node.idle()


async def test_a_consumer_that_hangs_is_named() -> None:
    free = asyncio.Event()

    async def hang(message: Message) -> None:
        await free.wait()

    async with Node(Application([route("work", hang)])) as node:
        await Channel("work").send({})
        with pytest.raises(AssertionError, match=r"not idle after 0\.02 s") as failed:
            await node.idle(timeout=0.02)
        assert "hang" in str(failed.value)
        free.set()
        await node.idle()


async def test_what_keeps_an_application_from_starting_is_raised() -> None:
    @asynccontextmanager
    async def around(app: Application) -> AsyncIterator[None]:
        await fail()
        yield

    with pytest.raises(LookupError, match="no database"):
        async with Node(Application([], lifespan=around)):
            pass


async def test_an_application_without_lifespan_is_an_assertion_error() -> None:
    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("what is a lifespan?")

    with pytest.raises(AssertionError, match="does not answer lifespan events") as failed:
        async with Node(plain):
            pass
    assert isinstance(failed.value.__cause__, ValueError)


async def test_a_failed_start_of_another_application_carries_its_message() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(RuntimeError, match="no database"):
        async with Node(broken):
            pass


async def test_a_failed_stop_is_an_error() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "still busy"})

    node = Node(broken)
    await node.__aenter__()
    with pytest.raises(AssertionError, match="still busy"):
        await node.__aexit__(None, None, None)


async def test_middleware_may_surround_the_application() -> None:
    done = []

    async def work(message: Message) -> None:
        done.append(message["a"])

    inner = Application([route("work", work)])

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        await inner({**scope}, receive, send)

    async with Node(middleware) as node:
        await Channel("work").send({"a": 1})
        await node.idle()
    assert done == [1]
