"""Bare ASGI between processes: one subscription in Redis for each, and a loop over its sockets."""

import asyncio
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from redis.asyncio import Redis

from benchmarks.redis_case import URL

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

CHANNEL = "bench"

client = Redis.from_url(os.environ[URL], socket_timeout=None)
members: set[Send] = set()


class Subscription:
    """The subscription of this process: it begins with the first member, and stays."""

    def __init__(self) -> None:
        self._listening: asyncio.Task[None] | None = None
        self._begun = asyncio.Event()

    async def begin(self) -> None:
        """Subscribe, if that was not done."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())
        await self._begun.wait()

    async def _listen(self) -> None:
        subscription = client.pubsub(ignore_subscribe_messages=False)
        await subscription.subscribe(CHANNEL)
        async for message in subscription.listen():
            if message["type"] == "subscribe":
                self._begun.set()
                continue
            text = message["data"].decode()
            for member in list(members):
                await member({"type": "websocket.send", "text": text})


subscription = Subscription()


async def group(scope: Event, receive: Receive, send: Send) -> None:
    """Keep members at one path, and send them what comes in at any other, in any process."""
    if scope["type"] != "websocket":
        raise NotImplementedError(scope["type"])
    await receive()
    if scope["path"] != "/member/":
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            for _ in range(int(event["text"][:4])):
                await client.publish(CHANNEL, event["text"])
        return
    await subscription.begin()
    members.add(send)
    try:
        await send({"type": "websocket.accept"})
        while (await receive())["type"] == "websocket.receive":
            pass
    finally:
        members.discard(send)
