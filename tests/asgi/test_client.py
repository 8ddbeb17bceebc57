"""The side of a socket that consumers and the layer see: what each kind of message does to it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from achannels import Channel, Group, Message, route, route_class, sync
from achannels.asgi import Application
from achannels.asgi.client import Client
from achannels.consumers import AsyncWebsocketConsumer
from achannels.exceptions import ChannelFull, InvalidContent
from achannels.layers.memory import MemoryLayer
from achannels.testing import ConnectionDenied, WebsocketClient
from tests.doubles import RecordingSend, errors, websocket_scope


async def join(message: Message) -> None:
    await Group("all").add(message.reply_channel)
    await message.reply_channel.send({"accept": True})


async def wait(message: Message) -> None:
    await Group("all").add(message.reply_channel)


async def name_of(layer: MemoryLayer) -> str:
    async with asyncio.timeout(5):
        while not (names := await layer.group_channels("all")):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
    [name] = names
    return name


@asynccontextmanager
async def accepted(layer: MemoryLayer, **settings: Any) -> AsyncIterator[tuple[Any, Channel]]:
    """Connect a socket that was accepted, and give it with its channel."""
    app = Application([route("websocket.connect", join)], **settings)
    async with app, WebsocketClient(app, "/shop/") as ws:
        yield ws, Channel(await name_of(layer))


# From elsewhere, when it is open.


async def test_a_frame_with_a_close_is_sent_and_closes(channel_layer: MemoryLayer) -> None:
    async with accepted(channel_layer) as (ws, channel):
        await channel.send({"text": "bye", "close": 4000, "reason": "enough"})
        assert await ws.receive() == "bye"
        assert await ws.wait_closed() == 4000
        assert ws.close_reason == "enough"


async def test_a_group_closes_its_members(channel_layer: MemoryLayer) -> None:
    async with accepted(channel_layer) as (ws, _):
        await Group("all").send({"close": 4001})
        assert await ws.wait_closed() == 4001


async def test_what_no_socket_can_send_is_logged_and_counted(
    channel_layer: MemoryLayer, caplog: pytest.LogCaptureFixture
) -> None:
    async with accepted(channel_layer) as (ws, channel):
        await channel.send({"txt": "typo"})
        await Group("all").send({"text": 5})
        await channel.send({"text": "right"})
        assert await ws.receive() == "right"
    assert channel_layer.books.dropped["rejected"] == 2
    records = errors(caplog.records, "achannels.server")
    assert len(records) == 2
    assert f"a message to {channel.name} was dropped: " in records[0].getMessage()


async def test_accept_says_nothing_to_a_socket_that_is_open(channel_layer: MemoryLayer) -> None:
    async with accepted(channel_layer) as (ws, channel):
        await channel.send({"accept": True})
        await Group("all").send({"accept": True, "text": "again"})
        assert await ws.receive() == "again"


async def test_the_error_of_a_full_outbox_names_its_capacity(channel_layer: MemoryLayer) -> None:
    async with accepted(channel_layer, outbox_capacity=1) as (ws, channel):
        ws.pause()
        await channel.send({"text": "written"})
        await channel.send({"text": "waits"})
        with pytest.raises(ChannelFull) as error:
            await channel.send({"text": "refused"})
        assert (error.value.channel, error.value.capacity) == (channel.name, 1)
        assert "raise 'outbox_capacity'" in str(error.value)
        ws.resume()
        assert [await ws.receive() for _ in range(2)] == ["written", "waits"]


# From elsewhere, before it was accepted.


@asynccontextmanager
async def waiting(
    layer: MemoryLayer, **settings: Any
) -> AsyncIterator[tuple[WebsocketClient, Channel, "asyncio.Task[WebsocketClient]"]]:
    """Connect a socket that nobody has accepted, and give it with its channel and its entering."""
    app = Application([route("websocket.connect", wait)], **settings)
    async with app:
        client = WebsocketClient(app, "/shop/")
        entering = asyncio.create_task(client.__aenter__())
        yield client, Channel(await name_of(layer)), entering


async def test_the_first_who_decides_wins(channel_layer: MemoryLayer) -> None:
    async with waiting(channel_layer) as (ws, channel, entering):
        await channel.send({"accept": True, "text": "1"})
        await channel.send({"accept": True, "text": "2"})
        await channel.send({"accept": False})
        await entering
        assert [await ws.receive() for _ in range(2)] == ["1", "2"]
        assert await ws.receive_nothing()
        await ws.__aexit__(None, None, None)


@pytest.mark.parametrize(
    "refusals", [[{"accept": False}, {"close": True}], [{"close": 4000}, {"accept": True}]]
)
async def test_a_socket_that_was_refused_stays_refused(
    refusals: list[dict[str, Any]], channel_layer: MemoryLayer
) -> None:
    async with waiting(channel_layer) as (_, channel, entering):
        for refusal in refusals:
            await channel.send(refusal)
        with pytest.raises(ConnectionDenied) as denied:
            await entering
    assert denied.value.status == 403


async def test_a_frame_of_a_group_does_not_accept(channel_layer: MemoryLayer) -> None:
    async with waiting(channel_layer) as (ws, channel, entering):
        await Group("all").send({"accept": True})
        await Group("all").send({"text": "waits"})
        for _ in range(10):
            await asyncio.sleep(0)
        assert not entering.done()
        await channel.send({"accept": True})
        await entering
        assert await ws.receive() == "waits"
        await ws.__aexit__(None, None, None)


async def test_a_welcome_that_finds_no_room_is_counted(channel_layer: MemoryLayer) -> None:
    async with waiting(channel_layer, outbox_capacity=1) as (ws, channel, entering):
        await Group("all").send({"text": "waits"})
        await channel.send({"accept": True, "text": "welcome"})
        await entering
        assert await ws.receive() == "waits"
        await ws.__aexit__(None, None, None)
    assert channel_layer.books.dropped["full"] == 1


async def test_the_books_balance_while_another_decides(channel_layer: MemoryLayer) -> None:
    async with waiting(channel_layer) as (ws, channel, entering):
        await channel.send({"accept": True})
        books = await channel_layer.statistics()
        assert (books["accepted"], books["pending"]) == (1, 1)
        await entering
        assert (await channel_layer.statistics())["pending"] == 0
        await ws.__aexit__(None, None, None)


# Its own consumer.


async def test_a_consumer_that_was_overtaken_speaks_to_an_open_socket(
    channel_layer: MemoryLayer,
) -> None:
    go = asyncio.Event()

    async def connect(message: Message) -> None:
        await Group("all").add(message.reply_channel)
        await go.wait()
        await message.reply_channel.send({"accept": True})
        await message.reply_channel.send({"text": "own"})

    app = Application([route("websocket.connect", connect)])
    client = WebsocketClient(app, "/")
    async with app:
        entering = asyncio.create_task(client.__aenter__())
        await Channel(await name_of(channel_layer)).send({"accept": True, "text": "other"})
        ws = await entering
        go.set()
        assert [await ws.receive() for _ in range(2)] == ["other", "own"]
        await ws.__aexit__(None, None, None)


async def test_what_follows_a_refusal_is_counted_as_an_answer(channel_layer: MemoryLayer) -> None:
    async def connect(message: Message) -> None:
        await message.reply_channel.send({"accept": False})
        await message.reply_channel.send({"text": "nobody reads this"})

    app = Application([route("websocket.connect", connect)])
    async with app:
        with pytest.raises(ConnectionDenied):
            async with WebsocketClient(app, "/"):
                pass
    books = await channel_layer.statistics()
    assert (books["accepted"], books["delivered"], books["dropped"]["gone"]) == (2, 1, 1)


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_consumer_sends_its_own_socket_an_event(is_async: bool) -> None:
    class Note(AsyncWebsocketConsumer):
        async def note(self, event: Mapping[str, Any]) -> None:
            await self.send(text_data=f"note {event['n']}")

    async def on_loop(message: Message) -> None:
        await message.reply_channel.send({"type": "note", "n": 1})

    def in_thread(message: sync.Message) -> None:
        message.reply_channel.send({"type": "note", "n": 1})
        for wrong in ({"txt": "typo"}, {"type": "note", "x": object()}):
            with pytest.raises(InvalidContent):
                message.reply_channel.send(wrong)

    app = Application(
        [
            route("websocket.receive", on_loop if is_async else in_thread, text="^note"),
            route_class(Note),
        ]
    )
    async with app, WebsocketClient(app, "/") as ws:
        await ws.send("note")
        assert await ws.receive() == "note 1"


async def test_the_content_of_an_event_is_checked_where_it_is_sent() -> None:
    class Note(AsyncWebsocketConsumer):
        async def receive(self, text_data: str) -> None:
            with pytest.raises(InvalidContent, match=r"content\['x'\] is an object"):
                await self.reply_channel.send({"type": "note", "x": object()})
            await self.send(text_data="refused")

    app = Application([route_class(Note)])
    async with app, WebsocketClient(app, "/") as ws:
        await ws.send("a")
        assert await ws.receive() == "refused"


# What a socket has to add.


@pytest.mark.parametrize("call", [lambda client: client.end(1000), lambda c: c.too_late()])
async def test_a_client_leaves_the_life_of_a_socket_to_others(call: Any) -> None:
    async with Application([]) as app:
        client = Client(await app.node(), websocket_scope(), RecordingSend())
        with pytest.raises(NotImplementedError):
            call(client)
        with pytest.raises(NotImplementedError):
            await client._event_failed(ValueError(), None, {})  # type: ignore[arg-type]


async def test_nothing_of_this_is_logged_above_info(
    channel_layer: MemoryLayer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with accepted(channel_layer) as (ws, channel):
            await channel.send({"text": "a"})
            await ws.receive()
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
