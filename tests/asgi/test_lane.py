"""Events for a socket's class consumer: between its frames, one at a time, after the accept."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest

from achannels import Channel, Group, Message, route, route_class
from achannels.asgi import Application
from achannels.consumers import AsyncWebsocketConsumer
from achannels.exceptions import ChannelFull
from achannels.layers.memory import MemoryLayer
from achannels.testing import WebsocketClient
from tests.doubles import errors


class Gated(AsyncWebsocketConsumer):
    """What it handles waits until the test lets it go."""

    groups = ("news",)
    steps: list[str]
    began: asyncio.Event
    go: asyncio.Event

    async def receive(self, text_data: str) -> None:
        await self.work(f"frame {text_data}")

    async def news(self, event: Mapping[str, Any]) -> None:
        await self.work(f"event {event['n']}")

    async def disconnect(self, code: int) -> None:
        self.steps.append(f"disconnect {code}")

    async def work(self, what: str) -> None:
        self.steps.append(f"begin {what}")
        self.began.set()
        try:
            await self.go.wait()
        finally:
            self.steps.append(f"end {what}")
        await self.send(text_data=what)


def gated(**attributes: Any) -> type[Gated]:
    made = {"steps": [], "began": asyncio.Event(), "go": asyncio.Event(), **attributes}
    return type("Gated", (Gated,), made)


@asynccontextmanager
async def connected(
    consumer: type[AsyncWebsocketConsumer], **settings: Any
) -> AsyncIterator[WebsocketClient]:
    app = Application([route_class(consumer)], **settings)
    async with app, WebsocketClient(app, "/") as ws:
        yield ws


async def one_member(layer: MemoryLayer) -> str:
    [name] = await layer.group_channels("news")
    return name


# Order.


async def test_events_of_an_idle_socket_are_handled_one_at_a_time() -> None:
    consumer = gated()
    async with connected(consumer) as ws:
        for n in range(3):
            await Group("news").send({"type": "news", "n": n})
        await consumer.began.wait()
        assert consumer.steps == ["begin event 0"]
        consumer.go.set()
        assert [await ws.receive() for _ in range(3)] == ["event 0", "event 1", "event 2"]
    assert consumer.steps[:4] == ["begin event 0", "end event 0", "begin event 1", "end event 1"]


async def test_a_frame_waits_for_the_event_in_hand_and_those_before_it() -> None:
    consumer = gated()
    async with connected(consumer) as ws:
        await Group("news").send({"type": "news", "n": 1})
        await consumer.began.wait()
        await Group("news").send({"type": "news", "n": 2})
        await ws.send("a")
        for _ in range(10):
            await asyncio.sleep(0)
        assert consumer.steps == ["begin event 1"]
        consumer.go.set()
        assert [await ws.receive() for _ in range(3)] == ["event 1", "event 2", "frame a"]


async def test_events_wait_for_the_frame_in_hand_and_pass_the_next() -> None:
    consumer = gated()
    async with connected(consumer) as ws:
        await ws.send("a")
        await ws.send("b")
        await consumer.began.wait()
        await Group("news").send({"type": "news", "n": 1})
        consumer.go.set()
        assert [await ws.receive() for _ in range(3)] == ["frame a", "event 1", "frame b"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
async def test_events_are_handled_by_eager_tasks_too() -> None:
    class Telling(AsyncWebsocketConsumer):
        groups = ("news",)

        async def news(self, event: Mapping[str, Any]) -> None:
            if event["n"]:
                await Group("news").send({"type": "news", "n": event["n"] - 1})
            await self.send(text_data=f"event {event['n']}")

    loop = asyncio.get_running_loop()
    async with connected(Telling) as ws:
        loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - not in 3.11
        try:
            for _ in range(2):
                await Group("news").send({"type": "news", "n": 1})
                assert [await ws.receive() for _ in range(2)] == ["event 1", "event 0"]
        finally:
            loop.set_task_factory(None)


# Before the accept.


class Waiting(AsyncWebsocketConsumer):
    """It does not accept by itself, and answers events."""

    groups = ("news",)
    returned: asyncio.Event
    during: ClassVar[Callable[..., Awaitable[None]] | None] = None

    async def connect(self) -> None:
        if self.during is not None:
            await self.during()
        self.returned.set()

    async def news(self, event: Mapping[str, Any]) -> None:
        await self.send(text_data=f"event {event['n']}")


@pytest.mark.parametrize("during", [True, False])
async def test_events_before_the_accept_wait_for_it(
    during: bool, channel_layer: MemoryLayer
) -> None:
    async def send(self: Any = None) -> None:
        await Group("news").send({"type": "news", "n": 1})

    returned = asyncio.Event()
    attributes = {"returned": returned, "during": send if during else None}
    app = Application([route_class(type("Waiting", (Waiting,), attributes))])
    client = WebsocketClient(app, "/")
    async with app:
        entering = asyncio.create_task(client.__aenter__())
        await returned.wait()
        if not during:
            for _ in range(5):
                await asyncio.sleep(0)
            await send()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not entering.done()  # no answer to an event has accepted the socket
        await Channel(await one_member(channel_layer)).send({"accept": True, "text": "come in"})
        ws = await entering
        assert {await ws.receive(), await ws.receive()} == {"come in", "event 1"}
        await ws.__aexit__(None, None, None)


# Limits.


async def test_a_direct_event_to_a_socket_with_many_raises(channel_layer: MemoryLayer) -> None:
    consumer = gated(outbox_capacity=2)
    async with connected(consumer) as ws:
        channel = Channel(await one_member(channel_layer))
        await channel.send({"type": "news", "n": 0})
        await consumer.began.wait()
        await channel.send({"type": "news", "n": 1})
        await channel.send({"type": "news", "n": 2})
        with pytest.raises(ChannelFull) as error:
            await channel.send({"type": "news", "n": 3})
        assert (error.value.channel, error.value.capacity) == (channel.name, 2)
        consumer.go.set()
        assert [await ws.receive() for _ in range(3)] == ["event 0", "event 1", "event 2"]


async def test_the_own_events_of_a_socket_are_counted_when_there_are_too_many(
    channel_layer: MemoryLayer,
) -> None:
    class Talking(AsyncWebsocketConsumer):
        outbox_capacity = 2

        async def receive(self, text_data: str) -> None:
            for n in range(4):
                await self.reply_channel.send({"type": "note", "n": n})

        async def note(self, event: Mapping[str, Any]) -> None:
            await self.send(text_data=f"note {event['n']}")

    async with connected(Talking) as ws:
        await ws.send("a")
        assert [await ws.receive() for _ in range(2)] == ["note 0", "note 1"]
        assert await ws.receive_nothing()
    assert channel_layer.books.dropped["full"] == 2


async def test_an_event_without_a_class_consumer_is_logged_and_counted(
    channel_layer: MemoryLayer, caplog: pytest.LogCaptureFixture
) -> None:
    async def connect(message: Message) -> None:
        await Group("news").add(message.reply_channel)
        await message.reply_channel.send({"accept": True})

    app = Application([route("websocket.connect", connect)])
    async with app, WebsocketClient(app, "/shop/") as ws:
        await Group("news").send({"type": "news.flash"})
        await Group("news").send({"text": "still here"})
        assert await ws.receive() == "still here"
        while not channel_layer.books.dropped["no_handler"]:  # noqa: ASYNC110 - a count is no event
            await asyncio.sleep(0)
    [record] = errors(caplog.records, "achannels.server")
    assert record.getMessage() == (
        "WebSocket /shop/: an event of type 'news.flash', and no class consumer to take it"
    )


# The end.


async def test_disconnect_waits_for_the_event_in_hand_and_what_waits_is_gone(
    channel_layer: MemoryLayer,
) -> None:
    consumer = gated()
    async with connected(consumer) as ws:
        await Group("news").send({"type": "news", "n": 1})
        await consumer.began.wait()
        await Group("news").send({"type": "news", "n": 2})
        await ws.lose()
        while not channel_layer.books.dropped["gone"]:  # noqa: ASYNC110 - a count is no event
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
        assert consumer.steps == ["begin event 1"]
        consumer.go.set()
    assert consumer.steps == ["begin event 1", "end event 1", "disconnect 1006"]


async def test_an_event_that_does_not_end_is_cancelled(channel_layer: MemoryLayer) -> None:
    consumer = gated()
    async with connected(consumer, drain_timeout=0.01) as ws:
        await Group("news").send({"type": "news", "n": 1})
        await consumer.began.wait()
        await ws.lose()
    assert consumer.steps == ["begin event 1", "end event 1", "disconnect 1006"]
    assert channel_layer.books.dropped["gone"] == 1


async def test_events_to_a_socket_that_has_ended_are_gone(channel_layer: MemoryLayer) -> None:
    class Closing(AsyncWebsocketConsumer):
        groups = ("news",)

        async def receive(self, text_data: str) -> None:
            await self.close()
            await Group("news").send({"type": "news"})
            await self.reply_channel.send({"type": "news"})

        async def news(self, event: Mapping[str, Any]) -> None:
            raise AssertionError("called")

    async with connected(Closing) as ws:
        await ws.send("a")
        assert await ws.wait_closed() == 1000
    assert channel_layer.books.dropped["gone"] == 2


@pytest.mark.parametrize("before", [0, 1])
async def test_nothing_is_handled_once_disconnect_began(
    before: int, channel_layer: MemoryLayer
) -> None:
    async def note(self: Gated, event: Mapping[str, Any]) -> None:
        self.steps.append("called")

    async def disconnect(self: Gated, code: int) -> None:
        await self.work(f"disconnect {code}")

    consumer = gated(news=note, gap=note, disconnect=disconnect)
    app = Application([route_class(consumer)])
    async with app, WebsocketClient(app, "/") as ws:
        for _ in range(before):
            await Group("news").send({"type": "news"})
        while channel_layer.books.delivered < before:  # noqa: ASYNC110 - a count is no event
            await asyncio.sleep(0)
        await ws.lose()
        await consumer.began.wait()
        await Group("news").send({"type": "news"})
        await gap(app, GAP)
        for _ in range(10):
            await asyncio.sleep(0)
        consumer.go.set()
    called = ["called"] * before
    assert consumer.steps == [*called, "begin disconnect 1006", "end disconnect 1006"]
    assert channel_layer.books.dropped["gone"] == 2  # the event, and the frame of disconnect
    assert channel_layer.books.delivered == before


async def test_an_event_handler_may_end_the_socket(channel_layer: MemoryLayer) -> None:
    class Leaving(AsyncWebsocketConsumer):
        groups = ("news",)
        seen: list[int]

        async def news(self, event: Mapping[str, Any]) -> None:
            self.seen.append(event["n"])
            raise ValueError("broken")

    seen: list[int] = []
    async with connected(type("Leaving", (Leaving,), {"seen": seen})) as ws:
        await Group("news").send({"type": "news", "n": 1})
        await Group("news").send({"type": "news", "n": 2})
        assert await ws.wait_closed() == 1011
    assert seen == [1]
    assert channel_layer.books.dropped["gone"] == 1


# Gaps.


GAP = (["news"], "layer_reset", 2.5)


async def gap(app: Application, *gaps: tuple[list[str], str, float]) -> None:
    """Tell all sockets of an application what a layer over a server does."""
    for socket in (await app.node()).sockets:
        for groups, reason, since in gaps:
            socket.gap(groups, reason, since)  # type: ignore[attr-defined]


async def test_a_gap_calls_its_route() -> None:
    contents: list[dict[str, Any]] = []

    async def on_gap(message: Message) -> None:
        contents.append(message.content)
        await message.reply_channel.send({"text": "reload"})

    async def connect(message: Message) -> None:
        await message.reply_channel.send({"accept": True})

    app = Application(
        [route("websocket.connect", connect), route("websocket.gap", on_gap, path="shop/")]
    )
    async with app, WebsocketClient(app, "/shop/") as ws, WebsocketClient(app, "/other/") as other:
        await gap(app, GAP)
        assert await ws.receive() == "reload"
        assert await other.receive_nothing()
    [content] = contents
    assert content.pop("reply_channel").count("!") == 1
    assert content == {
        "path": "/shop/",
        "groups": ["news"],
        "reason": "layer_reset",
        "since": 2.5,
    }


class Board(AsyncWebsocketConsumer):
    groups = ("news",)

    async def receive(self, text_data: str) -> None:
        raise AssertionError("no frame is sent")

    async def gap(self, event: dict[str, Any]) -> None:
        await self.send(text_data=f"{event['groups']} {event['reason']} {event['since']}")

    async def news(self, event: Mapping[str, Any]) -> None:
        await self.send(text_data="news")


async def test_a_class_has_a_hook_for_it() -> None:
    app = Application([route_class(Board)])
    async with app, WebsocketClient(app, "/") as ws:
        await gap(app, GAP)
        assert await ws.receive() == "['news'] layer_reset 2.5"


async def test_gaps_that_wait_become_one_and_come_before_events() -> None:
    app = Application([route_class(Board)])
    async with app, WebsocketClient(app, "/") as ws:
        await Group("news").send({"type": "news"})
        await gap(app, (["news", "b"], "layer_reset", 1.0), (["a", "b"], "log_full", 0.5))
        assert await ws.receive() == "['a', 'b', 'news'] log_full 1.0"
        assert await ws.receive() == "news"


async def test_a_gap_of_a_busy_socket_waits_for_its_frame() -> None:
    consumer = gated(gap=Board.gap)
    app = Application([route_class(consumer)])
    async with app, WebsocketClient(app, "/") as ws:
        await ws.send("a")
        await consumer.began.wait()
        await gap(app, GAP)
        consumer.go.set()
        assert await ws.receive() == "frame a"
        assert await ws.receive() == "['news'] layer_reset 2.5"


async def test_a_gap_that_raises_closes_with_1011(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(AsyncWebsocketConsumer):
        async def gap(self, event: dict[str, Any]) -> None:
            raise ValueError("broken")

    app = Application([route_class(Broken)])
    async with app, WebsocketClient(app, "/") as ws:
        with caplog.at_level(logging.ERROR):
            await gap(app, GAP)
            assert await ws.wait_closed() == 1011
    assert len(errors(caplog.records, "achannels.consumer")) == 1


async def test_a_gap_of_a_socket_that_has_ended_wakes_nobody() -> None:
    class Closing(AsyncWebsocketConsumer):
        async def receive(self, text_data: str) -> None:
            await self.close()
            await gap(app, GAP)

        async def gap(self, event: dict[str, Any]) -> None:
            raise AssertionError("called")

    app = Application([route_class(Closing)])
    async with app, WebsocketClient(app, "/") as ws:
        await ws.send("a")
        assert await ws.wait_closed() == 1000
