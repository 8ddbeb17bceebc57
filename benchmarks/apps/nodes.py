"""achannels over Redis without sockets: a node whose members count, and one that only sends."""

import asyncio
import os
from typing import Any

from achannels.codec import Encoded
from achannels.layers.redis import RedisLayer
from benchmarks.redis_case import URL

GROUP = "bench"
TEXT = "=" * 64


class Member:
    """A receiver that counts; the layer calls it as it calls a socket."""

    pending = 0
    capacity = 100

    def __init__(self, node: "Members") -> None:
        self._node = node

    def deliver(self, message: Encoded, *, group: bool) -> bool:
        """Count a message."""
        self._node.count()
        return True

    def gap(self, groups: list[str], reason: str, since: float) -> None:
        """Fail: nothing may get lost here."""
        raise AssertionError(f"a gap in {groups}: {reason}")


class Members:
    """A node with members of one group."""

    def __init__(self) -> None:
        self._received = 0
        self._awaited = 0
        self._complete = asyncio.Event()

    async def open(self) -> dict[str, float]:
        """Open the layer."""
        self._layer = RedisLayer([os.environ[URL]])
        await self._layer.open()
        return {}

    async def join(self, members: float) -> dict[str, float]:
        """Have so many join the group."""
        for _ in range(int(members)):
            await self._layer.group_add(GROUP, self._layer.attach(Member(self)))
        return {}

    async def complete(self, deliveries: float) -> dict[str, float]:
        """Wait until there were so many deliveries, and return how many there are."""
        self._awaited = int(deliveries)
        while self._received < self._awaited:
            self._complete.clear()
            await self._complete.wait()
        return {"received": self._received}

    def count(self) -> None:
        """Count a delivery."""
        self._received += 1
        if self._received >= self._awaited:
            self._complete.set()

    async def close(self) -> dict[str, float]:
        """Close the layer."""
        await self._layer.aclose()
        return {}


class Sender:
    """A node that only sends."""

    async def open(self) -> dict[str, float]:
        """Open the layer."""
        self._content: dict[str, Any] = {"text": TEXT}
        self._layer = RedisLayer([os.environ[URL]])
        await self._layer.open()
        return {}

    async def send(self) -> dict[str, float]:
        """Send to the group once."""
        await self._layer.group_send(GROUP, self._content)
        return {}

    async def close(self) -> dict[str, float]:
        """Close the layer."""
        await self._layer.aclose()
        return {}
