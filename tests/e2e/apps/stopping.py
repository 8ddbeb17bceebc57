"""An application whose consumers tell what becomes of their sockets, and never return."""

import asyncio
import os
import sys
import time

from achannels import Group, Message, route, sync
from achannels.asgi import Application
from achannels.layers.memory import MemoryLayer

NOISE = os.urandom(262_144)
"""What no compression makes smaller."""


async def connect(message: Message) -> None:
    await Group("all").add(message.reply_channel)
    await message.reply_channel.send({"accept": True})


async def receive(message: Message) -> None:
    await message.reply_channel.send({"text": "heard"})
    await asyncio.sleep(3600)


def block(message: sync.Message) -> None:
    message.reply_channel.send({"text": "heard"}, immediately=True)
    time.sleep(3600)


async def flood(message: Message) -> None:
    """Send more than a network takes in."""
    for _ in range(64):
        await Group("all").send({"bytes": NOISE})


async def slow(message: Message) -> None:
    """Send as much in one frame, and wait for the client."""
    sys.stdout.write("sends\n")
    await message.reply_channel.send({"bytes": 64 * NOISE})


async def disconnect(message: Message) -> None:
    sys.stdout.write(f"disconnect {message['code']}\n")


application = Application(
    [
        route("websocket.connect", connect),
        route("websocket.receive", block, text="block"),
        route("websocket.receive", flood, text="flood"),
        route("websocket.receive", slow, text="slow"),
        route("websocket.receive", receive),
        route("websocket.disconnect", disconnect),
    ],
    layer=MemoryLayer(),
    drain_timeout=float(os.environ["DRAIN"]),
)
