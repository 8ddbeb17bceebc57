"""Sockets whose consumers run in other processes."""

from achannels import Message, route
from achannels.testing import WebsocketClient
from tests.split.nodes import site


async def accept(message: Message) -> None:
    await message.reply_channel.send({"accept": True})


async def echo(message: Message) -> None:
    kind = "text" if "text" in message else "bytes"
    await message.reply_channel.send({kind: message[kind]})


ROUTING = [route("websocket.connect", accept), route("websocket.receive", echo)]


async def test_a_socket_is_answered_by_a_worker() -> None:
    async with site(ROUTING) as made, WebsocketClient(made.interface, "/") as ws:
        await ws.send("a")
        assert await ws.receive() == "a"
        await ws.send(b"b")
        assert await ws.receive() == b"b"


async def test_a_worker_with_the_interfaces_settings_is_a_worker() -> None:
    async with site(ROUTING, workers=0) as made:
        await made.start_worker(mode="interface")
        async with WebsocketClient(made.interface, "/") as ws:
            await ws.send("a")
            assert await ws.receive() == "a"
