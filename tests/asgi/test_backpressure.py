"""A client that reads slowly, or not at all: what waits, what is dropped, who notices."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from achannels import Channel, Group, Message, consumer, route, route_class
from achannels.asgi import Application
from achannels.consumers import AsyncWebsocketConsumer
from achannels.exceptions import ChannelFull
from achannels.layers.memory import MemoryLayer
from achannels.testing import WebsocketClient
from tests.doubles import assert_balanced


async def receive(message: Message) -> None:
    """Take a frame."""


async def join(message: Message) -> None:
    await Group("room").add(message.reply_channel)
    await message.reply_channel.send({"accept": True})


def room(**options: Any) -> Application:
    """Return an application whose sockets are in one group."""

    @consumer(**options)
    async def connect(message: Message) -> None:
        await join(message)

    return Application([route("websocket.connect", connect), route("websocket.receive", receive)])


async def until(ready: Callable[[], bool]) -> None:
    while not ready():  # noqa: ASYNC110 - counters tell nobody
        await asyncio.sleep(0)


async def received(ws: WebsocketClient, count: int) -> list[str | bytes]:
    return [await ws.receive() for _ in range(count)]


async def test_a_reply_to_a_slow_client_waits_until_it_reads() -> None:
    steps = []

    async def slow(message: Message) -> None:
        steps.append("begin")
        await message.reply_channel.send({"text": "1"})
        steps.append("sent")

    async with WebsocketClient(Application([route("websocket.receive", slow)]), "/") as ws:
        ws.pause()
        await ws.send("a")
        await ws.send("b")
        assert await ws.receive_nothing()
        assert steps == ["begin"]
        ws.resume()
        assert await received(ws, 2) == ["1", "1"]
    assert steps == ["begin", "sent"] * 2


async def test_a_slow_member_keeps_nobody_waiting_and_loses_nothing() -> None:
    app = room()
    async with WebsocketClient(app, "/") as slow, WebsocketClient(app, "/") as fast:
        slow.pause()
        for number in range(100):
            await Group("room").send({"text": str(number)})
        assert await received(fast, 100) == [str(number) for number in range(100)]
        slow.resume()
        assert await received(slow, 100) == [str(number) for number in range(100)]


async def test_the_books_balance_while_frames_wait(channel_layer: MemoryLayer) -> None:
    async with WebsocketClient(room(), "/") as ws:
        ws.pause()
        for number in range(10):
            await Group("room").send({"text": str(number)})
        statistics = await channel_layer.statistics()
        assert statistics["pending"] == 10
        assert_balanced(statistics)
        ws.resume()
        await received(ws, 10)


async def test_a_full_outbox_closes_with_1013_by_default(channel_layer: MemoryLayer) -> None:
    app = room(outbox_capacity=3)
    async with WebsocketClient(app, "/") as slow, WebsocketClient(app, "/") as fast:
        slow.pause()
        for number in range(6):
            await Group("room").send({"text": str(number)})
        assert await received(fast, 6) == [str(number) for number in range(6)]
        await until(lambda: channel_layer.books.dropped["gone"] > 0)
        slow.resume()
        assert await slow.wait_closed() == 1013
    assert channel_layer.books.dropped["overflow"] == 2


async def test_drop_new_keeps_the_oldest_frames(channel_layer: MemoryLayer) -> None:
    async with WebsocketClient(room(outbox_capacity=3, overflow="drop_new"), "/") as ws:
        ws.pause()
        for number in range(10):
            await Group("room").send({"text": str(number)})
        ws.resume()
        assert await received(ws, 4) == ["0", "1", "2", "3"]
        assert await ws.receive_nothing()
        await Group("room").send({"text": "after"})
        assert await ws.receive() == "after"
    assert channel_layer.books.dropped["overflow"] == 6


async def test_drop_oldest_keeps_the_newest_frames(channel_layer: MemoryLayer) -> None:
    async with WebsocketClient(room(outbox_capacity=3, overflow="drop_oldest"), "/") as ws:
        ws.pause()
        for number in range(10):
            await Group("room").send({"text": str(number)})
        ws.resume()
        assert await received(ws, 4) == ["0", "7", "8", "9"]
        assert await ws.receive_nothing()
    assert channel_layer.books.dropped["overflow"] == 6


async def test_drop_oldest_never_drops_a_reply() -> None:
    @consumer(outbox_capacity=2, overflow="drop_oldest")
    async def answer(message: Message) -> None:
        await message.reply_channel.send({"text": "reply"})

    app = Application([route("websocket.connect", join), route("websocket.receive", answer)])
    async with WebsocketClient(app, "/") as ws:
        ws.pause()
        await Group("room").send({"text": "0"})
        await ws.send("a")
        await ws.receive_nothing(wait=0.01)
        for number in range(1, 10):
            await Group("room").send({"text": str(number)})
        ws.resume()
        assert "reply" in await received(ws, 3)


async def test_bytes_are_limited_too(channel_layer: MemoryLayer) -> None:
    async with WebsocketClient(room(outbox_bytes=3_000, overflow="drop_new"), "/") as ws:
        ws.pause()
        for _ in range(10):
            await Group("room").send({"bytes": b"x" * 1_000})
        ws.resume()
        assert len(await received(ws, 3)) == 3
        assert await ws.receive_nothing()
    assert channel_layer.books.dropped["overflow"] == 7


async def test_one_frame_over_outbox_bytes_is_sent_when_nothing_waits() -> None:
    async with WebsocketClient(room(outbox_bytes=10), "/") as ws:
        await Group("room").send({"text": "x" * 100})
        assert await ws.receive() == "x" * 100


async def test_a_direct_send_to_a_full_outbox_raises_channel_full(
    channel_layer: MemoryLayer,
) -> None:
    async with WebsocketClient(room(outbox_capacity=3), "/") as ws:
        [name] = await channel_layer.group_channels("room")
        ws.pause()
        for _ in range(4):
            await Channel(name).send({"text": "x"})
        with pytest.raises(ChannelFull) as full:
            await Channel(name).send({"text": "x"})
        assert full.value.capacity == 3
        ws.resume()
        await received(ws, 4)


async def test_class_attributes_set_the_limits(channel_layer: MemoryLayer) -> None:
    class Member(AsyncWebsocketConsumer):
        groups = ("room",)
        overflow = "drop_new"
        outbox_capacity = 2

    async with WebsocketClient(Application([route_class(Member)]), "/") as ws:
        ws.pause()
        for number in range(5):
            await Group("room").send({"text": str(number)})
        ws.resume()
        assert await received(ws, 3) == ["0", "1", "2"]
    assert channel_layer.books.dropped["overflow"] == 2


async def test_the_settings_of_the_application_are_the_default(channel_layer: MemoryLayer) -> None:
    routing = [route("websocket.connect", join), route("websocket.receive", receive)]
    app = Application(routing, outbox_capacity=1, overflow="drop_new")
    async with WebsocketClient(app, "/") as ws:
        ws.pause()
        for number in range(3):
            await Group("room").send({"text": str(number)})
        ws.resume()
        assert await received(ws, 2) == ["0", "1"]
    assert channel_layer.books.dropped["overflow"] == 1


async def test_events_over_the_capacity_of_a_class_are_counted_as_full(
    channel_layer: MemoryLayer,
) -> None:
    started, free = asyncio.Event(), asyncio.Event()

    class Slow(AsyncWebsocketConsumer):
        groups = ("room",)
        outbox_capacity = 2

        async def tick(self, event: dict[str, Any]) -> None:
            started.set()
            await free.wait()
            await self.send(text_data=str(event["number"]))

    async with WebsocketClient(Application([route_class(Slow)]), "/") as ws:
        await Group("room").send({"type": "tick", "number": 0})
        await started.wait()
        for number in range(1, 5):
            await Group("room").send({"type": "tick", "number": number})
        free.set()
        assert await received(ws, 3) == ["0", "1", "2"]
    assert channel_layer.books.dropped["full"] == 2


# Stalled.


async def test_a_client_that_takes_nothing_is_closed_with_1013_and_the_others_lose_nothing(
    channel_layer: MemoryLayer,
) -> None:
    codes: asyncio.Queue[int] = asyncio.Queue()

    async def disconnect(message: Message) -> None:
        codes.put_nowait(message["code"])

    app = Application(
        [
            route("websocket.connect", join),
            route("websocket.receive", receive),
            route("websocket.disconnect", disconnect),
        ],
        stall_timeout=0.05,
    )
    async with WebsocketClient(app, "/") as stalled, WebsocketClient(app, "/") as reads:
        stalled.pause()
        for number in range(50):
            await Group("room").send({"text": str(number)})
        assert await codes.get() == 1013
        while len(await channel_layer.group_channels("room")) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await Group("room").send({"text": "last"})
        assert await received(reads, 51) == [*map(str, range(50)), "last"]
        stalled.resume()
        assert await stalled.wait_closed() == 1013
    assert channel_layer.books.dropped["gone"] == 50


async def test_a_reply_that_stalls_ends_the_socket_and_raises_nothing() -> None:
    returned = asyncio.Event()

    async def slow(message: Message) -> None:
        await message.reply_channel.send({"text": "1"})
        await message.reply_channel.send({"text": "2"})
        returned.set()

    app = Application([route("websocket.receive", slow)], stall_timeout=0.02)
    async with WebsocketClient(app, "/") as ws:
        ws.pause()
        await ws.send("a")
        await returned.wait()
        ws.resume()
        assert await ws.wait_closed() == 1013


async def test_a_client_that_reads_slowly_but_steadily_stays() -> None:
    async with WebsocketClient(
        Application(
            [route("websocket.connect", join), route("websocket.receive", receive)],
            stall_timeout=0.6,
        ),
        "/",
    ) as ws:
        for number in range(5):
            ws.pause()
            await Group("room").send({"text": str(number)})
            assert await ws.receive_nothing(wait=0.15)
            ws.resume()
            assert await ws.receive() == str(number)


async def test_a_stalled_client_that_vanishes_is_disconnected_once() -> None:
    codes: list[int] = []

    async def disconnect(message: Message) -> None:
        codes.append(message["code"])

    app = Application(
        [
            route("websocket.connect", join),
            route("websocket.receive", receive),
            route("websocket.disconnect", disconnect),
        ]
    )
    async with WebsocketClient(app, "/") as ws:
        ws.pause()
        for _ in range(3):
            await Group("room").send({"text": "x"})
        await ws.lose()
    assert codes == [1006]
