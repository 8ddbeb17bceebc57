"""A named channel between two processes, for each peer: one plays its producer, one its consumer."""

# mypy: disable-error-code="import-untyped"

import asyncio
import os
import time

from channels_redis.core import RedisChannelLayer
from redis.asyncio import Redis

from achannels.layers.redis import RedisLayer
from benchmarks.apps.settings_channels4_core import HOSTS
from benchmarks.redis_case import URL

CHANNEL = "bench"
TEXT = "=" * 64
CAPACITY = 1_000_000
AT_ONCE = 100


class Queue:
    """Both ends of a queue; the messages carry numbers from one upwards."""

    def __init__(self) -> None:
        self._sent = 0
        self._received = 0
        self._sum = 0
        self._awaited = 0
        self._complete = asyncio.Event()
        self._consuming: asyncio.Task[None] | None = None

    # What the peers do in their own ways.

    async def open(self) -> dict[str, float]:
        """Connect."""
        return {}

    async def send(self, number: int) -> None:
        """Send one message and wait until it is taken."""
        raise NotImplementedError

    async def send_all(self, numbers: range) -> None:
        """Send messages at once and wait until all are taken."""
        async with asyncio.TaskGroup() as sends:
            for number in numbers:
                sends.create_task(self.send(number))

    async def receive(self) -> list[int]:
        """Wait for a message and return its number, or those of several."""
        raise NotImplementedError

    async def close(self) -> dict[str, float]:
        """Stop."""
        if self._consuming is not None:
            self._consuming.cancel()
            await asyncio.wait([self._consuming])
        return {}

    # Commands.

    async def produce(self, seconds: float, at_once: float) -> dict[str, float]:
        """Send for some time, so many at once; return how many were sent in all."""
        until = time.perf_counter() + seconds
        count = int(at_once)
        while time.perf_counter() < until:
            first = self._sent + 1
            self._sent += count
            if count == 1:
                await self.send(first)
            else:
                await self.send_all(range(first, first + count))
        return {"sent": self._sent}

    async def consume(self) -> dict[str, float]:
        """Receive from now on."""
        self._consuming = asyncio.create_task(self._consume())
        return {}

    async def complete(self, sent: float) -> dict[str, float]:
        """Wait until so many messages have come; return how many there are and their sum."""
        self._awaited = int(sent)
        while self._received < self._awaited:
            self._complete.clear()
            await self._complete.wait()
        return {"received": self._received, "sum": self._sum}

    async def _consume(self) -> None:
        while True:
            for number in await self.receive():
                self._received += 1
                self._sum += number
            if self._received >= self._awaited:
                self._complete.set()


class Lists(Queue):
    """The least that redis-py can do: a list, pipelined pushes, pops of many."""

    async def open(self) -> dict[str, float]:
        """Make the client."""
        self._client = Redis.from_url(os.environ[URL], socket_timeout=None)
        self._text = TEXT.encode()
        return {}

    async def send(self, number: int) -> None:
        """Push one."""
        await self._client.rpush(CHANNEL, number.to_bytes(8) + self._text)

    async def send_all(self, numbers: range) -> None:
        """Push many in one write."""
        async with self._client.pipeline(transaction=False) as pipeline:
            for number in numbers:
                pipeline.rpush(CHANNEL, number.to_bytes(8) + self._text)
            await pipeline.execute()

    async def receive(self) -> list[int]:
        """Pop what is there."""
        _, items = await self._client.blmpop(0, 1, CHANNEL, direction="LEFT", count=AT_ONCE)
        return [int.from_bytes(item[:8]) for item in items]


class Achannels(Queue):
    """The Redis layer, used as its worker uses it."""

    async def open(self) -> dict[str, float]:
        """Open the layer."""
        self._layer = RedisLayer([os.environ[URL]], capacity=CAPACITY)
        await self._layer.open()
        return {}

    async def send(self, number: int) -> None:
        """Send one."""
        await self._layer.send(CHANNEL, {"number": number, "text": TEXT})

    async def receive(self) -> list[int]:
        """Take one, with room for more, and settle it."""
        taken = await self._layer.take([CHANNEL], slots=AT_ONCE)
        await self._layer.settle(taken)
        return [taken.content["number"]]

    async def close(self) -> dict[str, float]:
        """Close the layer."""
        await super().close()
        await self._layer.aclose()
        return {}


class Core(Queue):
    """`channels_redis.core`."""

    async def open(self) -> dict[str, float]:
        """Make the layer."""
        self._layer = RedisChannelLayer(hosts=HOSTS, capacity=CAPACITY)
        return {}

    async def send(self, number: int) -> None:
        """Send one."""
        await self._layer.send(CHANNEL, {"type": "bench", "number": number, "text": TEXT})

    async def receive(self) -> list[int]:
        """Receive one."""
        message = await self._layer.receive(CHANNEL)
        return [message["number"]]
