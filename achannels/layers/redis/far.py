"""Memberships of sockets on other nodes: they are asked for in the log of the node that has the socket."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

from achannels.layers.redis.shard import Shard

_REPEATED = 3.0
"""Seconds for which a join or leave is repeated when the server loses its data."""


@dataclass(slots=True)
class _Change:
    shard: Shard
    code: str
    group: str
    node: str
    local: str
    at: float
    id: str = ""

    def submit(self) -> asyncio.Future[Any]:
        entry = f"{self.code}{self.group} {self.local}" + (f" {self.id}" if self.id else "") + "\n"
        if self.code == "J":
            ttl = self.shard.timing.group_ttl
            return self.shard.submit("J", self.group, self.node, ttl, entry)
        return self.shard.submit("W", self.node, entry)


class FarMemberships:
    """Joins and leaves for sockets of other nodes.

    What was accepted and not read by the node when the server lost its data is lost with it. So
    those of the last seconds are repeated, under the id that they had: a node that knows of
    something later ignores them.
    """

    def __init__(self) -> None:
        self._recent: deque[_Change] = deque()

    async def join(self, shard: Shard, group: str, node: str, local: str) -> None:
        """Make a socket of another node a member; one whose node is gone joins nothing."""
        await self._change(_Change(shard, "J", group, node, local, _now()))

    async def leave(self, shard: Shard, group: str, node: str, local: str) -> None:
        """End a membership of a socket of another node."""
        await self._change(_Change(shard, "L", group, node, local, _now()))

    def repeat(self, shard: Shard) -> None:
        """The server has lost its data."""
        self._forget_old()
        for change in self._recent:
            if change.shard is shard:
                change.submit().add_done_callback(_retrieve)

    async def _change(self, change: _Change) -> None:
        self._forget_old()
        id = await change.submit()
        if id != b"GONE":
            change.id = id.decode()
            self._recent.append(change)

    def _forget_old(self) -> None:
        while self._recent and self._recent[0].at < _now() - _REPEATED:
            self._recent.popleft()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _retrieve(done: asyncio.Future[Any]) -> None:
    if not done.cancelled():
        done.exception()


__all__ = ["FarMemberships"]
