"""Memberships of sockets on other nodes: they are asked for in the log of the node that has the socket."""

import asyncio
import secrets
from collections import deque
from contextlib import suppress
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

    def submit(self, question: str = "") -> asyncio.Future[Any]:
        entry = f"{self.code}{self.group} {self.local}" + (f" {self.id}" if self.id else "") + "\n"
        ttl = self.shard.timing.group_ttl
        return self.shard.submit("I", self.code, self.group, self.node, ttl, entry, question)


class FarMemberships:
    """Joins and leaves for sockets of other nodes.

    What was accepted and not read by the node when the server lost its data is lost with it. So
    those of the last seconds are repeated, under the id that they had: a node that knows of
    something later ignores them.

    A node that joins and leaves by itself too says when it has read what it was asked, so that what
    it does next comes after that.

    Args:
        node: This node.
        answers: What other nodes are asked by this one, by token.
    """

    def __init__(self, node: str, answers: dict[str, asyncio.Future[list[str]]]) -> None:
        self._node = node
        self._answers = answers
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
        token = secrets.token_hex(8)
        read = self._answers[token] = asyncio.get_running_loop().create_future()
        try:
            answer = await change.submit(f"R{self._node} {token}\n")
            if answer == b"GONE":
                return
            change.id = answer[0].decode()
            self._recent.append(change)
            if answer[1]:
                with suppress(TimeoutError):  # a node that is silent does nothing next
                    async with asyncio.timeout(change.shard.timing.send_timeout):
                        await read
        finally:
            self._answers.pop(token, None)

    def _forget_old(self) -> None:
        while self._recent and self._recent[0].at < _now() - _REPEATED:
            self._recent.popleft()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _retrieve(done: asyncio.Future[Any]) -> None:
    if not done.cancelled():
        done.exception()


__all__ = ["FarMemberships"]
