"""achannels: the same behaviour in function consumers and in a class consumer."""

import time

from achannels import Group, Message, route, route_class, sync
from achannels.asgi import Application
from achannels.consumers import AsyncWebsocketConsumer

MEMBERS = Group("bench")


async def reply(message: Message) -> None:
    """Send a text back."""
    await message.reply_channel.send({"text": message["text"]})


class Echo(AsyncWebsocketConsumer):
    """Sends each text back."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Send a text back."""
        await self.send(text_data=text_data)


async def join(message: Message) -> None:
    """Become a member, then be accepted."""
    await MEMBERS.add(message.reply_channel)
    await message.reply_channel.send({"accept": True})


async def join_alone(message: Message) -> None:
    """Become the only member of a group, then be accepted."""
    await Group(message.reply_channel.name.partition("!")[2]).add(message.reply_channel)
    await message.reply_channel.send({"accept": True})


async def publish(message: Message) -> None:
    """Send a text to the members as often as its first four digits say."""
    text = message["text"]
    for _ in range(int(text[:4])):
        await MEMBERS.send({"text": text})


def sync_reply(message: sync.Message) -> None:
    """Send a text back, from a thread."""
    message.reply_channel.send({"text": message["text"]})


def blocking_reply(message: sync.Message) -> None:
    """Send a text back after half a second of blocking."""
    time.sleep(0.5)
    message.reply_channel.send({"text": message["text"]})


function_echo = Application([route("websocket.receive", reply)])
class_echo = Application([route_class(Echo)])
group = Application(
    [
        route("websocket.connect", join, path="member/"),
        route("websocket.receive", publish, path="control/"),
    ]
)
own_groups = Application([route("websocket.connect", join_alone, path="member/")])
sync_echo = Application(
    [
        route("websocket.receive", sync_reply, path="def/"),
        route("websocket.receive", blocking_reply, path="blocking/"),
        route("websocket.receive", reply, path="async/"),
    ]
)
