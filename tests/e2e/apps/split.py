"""A chat of numbers: each socket gets back what it sent, in order, and who handled it."""

import asyncio
import json
import os
import sys
import time

from achannels import Group, Message, route, route_class, sync
from achannels.asgi import Application
from achannels.consumers import AsyncJsonWebsocketConsumer
from achannels.layers.redis import RedisLayer
from achannels.sessions import channel_session


@channel_session
async def connect(message: Message) -> None:
    message.channel_session["seen"] = 0
    await Group("all").add(message.reply_channel)
    await message.reply_channel.send({"accept": True})


@channel_session
async def receive(message: Message) -> None:
    message.channel_session["seen"] += 1
    seen = message.channel_session["seen"]
    answer = {"number": int(message["text"]), "seen": seen, "pid": os.getpid()}
    await message.reply_channel.send({"text": json.dumps(answer)})


async def disconnect(message: Message) -> None:
    sys.stdout.write(f"disconnect {message['code']}\n")


class Counter(AsyncJsonWebsocketConsumer):
    """One instance for each socket."""

    async def connect(self) -> None:
        self.count = 0
        await self.accept()

    async def receive_json(self, content: object) -> None:
        self.count += 1
        await self.send_json({"count": self.count, "instance": id(self), "pid": os.getpid()})


async def hang(message: Message) -> None:
    await message.reply_channel.send({"text": "heard"})
    await asyncio.sleep(3600)


def block(message: sync.Message) -> None:
    message.reply_channel.send({"text": "heard"}, immediately=True)
    time.sleep(3600)


async def hello(message: Message) -> None:
    body = await message.body()
    await message.reply_channel.send(
        {
            "status": 200,
            "headers": [(b"x-pid", b"%d" % os.getpid())],
            "content": body,
            "more_content": True,
        }
    )
    await message.reply_channel.send({"content": b"!"})


application = Application(
    [
        route("websocket.connect", connect, path="echo/"),
        route("websocket.receive", receive, path="echo/"),
        route("websocket.disconnect", disconnect, path="echo/"),
        route_class(Counter, path="count/"),
        route("websocket.receive", hang, path="hang/"),
        route("websocket.receive", block, path="block/"),
        route("http.request", hello, path="hello/"),
    ],
    layer=RedisLayer([os.environ["REDIS"]], prefix=os.environ["PREFIX"], lease=3.0),
    drain_timeout=float(os.environ.get("DRAIN", "10")),
    http_timeout=float(os.environ.get("HTTP_TIMEOUT", "10")),
)
