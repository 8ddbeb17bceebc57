"""The routing of a project that every server serves: what a socket can live through."""

from achannels import Group, Message, include, route, sync
from achannels.exceptions import DenyConnection


async def echo(message: Message) -> None:
    key = "text" if "text" in message else "bytes"
    await message.reply_channel.send({key: message[key]})


def echo_in_a_thread(message: sync.Message) -> None:
    message.reply_channel.send({"text": message["text"]})


async def listen(message: Message) -> None:
    await Group("news").add(message.reply_channel)
    await message.reply_channel.send({"accept": True})


async def leave(message: Message) -> None:
    await Group("news").send({"text": f"somebody left with {message['code']}"})


async def refuse(message: Message) -> None:
    raise DenyConnection("members only", status=401)


async def fail(message: Message) -> None:
    raise ValueError("this consumer fails")


async def close(message: Message) -> None:
    await message.reply_channel.send({"text": "bye", "close": 4000, "reason": "you said so"})


async def pick(message: Message) -> None:
    await message.reply_channel.send({"accept": True, "subprotocol": "chat.v2"})


def tell(message: sync.Message) -> None:
    sync.Group("news").send({"text": f"background: {message['text']}"})


channel_routing = [
    route("websocket.receive", echo, path="echo/"),
    route("websocket.receive", echo_in_a_thread, path="def/"),
    route("websocket.connect", listen, path="news/"),
    include({"websocket.receive": echo, "websocket.disconnect": leave}, path="leaving/"),
    route("websocket.connect", refuse, path="members/"),
    route("websocket.receive", fail, path="broken/"),
    route("websocket.receive", close, path="closing/"),
    route("websocket.connect", pick, path="protocols/"),
    route("tell", tell),
]
