"""News for all: members get what is published, and are told of gaps."""

import asyncio
import json
import os
import sys
import time

from achannels import Group, Message, route
from achannels.asgi import Application
from achannels.exceptions import LayerUnavailable
from achannels.layers.redis import RedisLayer

NEWS = Group("news")


async def join(message: Message) -> None:
    await NEWS.add(message.reply_channel)
    await message.reply_channel.send({"accept": True})


async def gap(message: Message) -> None:
    await message.reply_channel.send({"text": json.dumps({"gap": message["reason"]})})


async def leave(message: Message) -> None:
    sys.stdout.write(f"disconnect {message['code']}\n")


async def publish(message: Message) -> None:
    """Send to the members, and answer how that went and how many seconds it took."""
    began, outcome = time.monotonic(), "ok"
    try:
        await NEWS.send({"text": message["text"]})
    except LayerUnavailable as error:
        outcome = error.outcome
    answer = {"outcome": outcome, "took": time.monotonic() - began}
    await message.reply_channel.send({"text": json.dumps(answer)})


async def hang(message: Message) -> None:
    await message.reply_channel.send({"text": "heard"})
    await asyncio.sleep(3600)


application = Application(
    [
        route("websocket.connect", join, path="news/"),
        route("websocket.receive", hang, path="news/"),
        route("websocket.gap", gap, path="news/"),
        route("websocket.disconnect", leave, path="news/"),
        route("websocket.receive", publish, path="publish/"),
    ],
    layer=RedisLayer([os.environ["REDIS"]], prefix=os.environ["PREFIX"]),
    drain_timeout=float(os.environ.get("DRAIN", "10")),
)
