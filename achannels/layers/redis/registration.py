"""Who this node is in a shard: registered, alive, and by whose clock."""

import asyncio
import logging
import math
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from redis.exceptions import RedisError, TryAgainError

from achannels.layers.redis.link import ELSEWHERE, Argument, Link, Unsettled
from achannels.layers.redis.lua import FENCE, REGISTER, RENEW, Script

logger = logging.getLogger("achannels.layer")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.2
"""Seconds between two tries to reach a server, with jitter."""

_BACKSTOP = 86_400.0
"""Seconds that keys live without a node that cares for them; longer than any step of a clock."""

_SWEPT = 3
"""Named channels, and groups, that each renewal looks at for what has expired."""


class Loss(NamedTuple):
    """What was lost before a node registered anew.

    Attributes:
        data: The server's data: another epoch has begun.
        lease: This node's lease, by its own clock or the others'.
    """

    data: bool
    lease: bool


now: Callable[[], float]
"""Seconds of a clock that goes on while the machine sleeps, where there is one."""
if hasattr(time, "CLOCK_BOOTTIME"):

    def now() -> float:
        """Return the time of the lease."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:
    now = time.monotonic


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things may take, in seconds.

    Attributes:
        lease: A node that is silent for so long is forgotten.
        send_timeout: Callers wait so long.
        group_expiry: Of memberships; the keys of a shard live a little longer, should all nodes die.
    """

    lease: float
    send_timeout: float
    group_expiry: float

    @property
    def log_ttl(self) -> int:
        """Milliseconds after which the keys of a node go by themselves, should all nodes die.

        It is no verdict on a node: a step of the server's clock must not end a lease.
        """
        return int(max(_BACKSTOP, 2 * self.lease) * 1000)

    @property
    def group_ttl(self) -> int:
        """Milliseconds after which the key of a group goes by itself."""
        return max(int(self.group_expiry * 1000), self.log_ttl)


class Backoff:
    """Pauses that double, with jitter, until something works."""

    __slots__ = ("_pause",)

    def __init__(self) -> None:
        self._pause = _FIRST_PAUSE

    def reset(self) -> None:
        """Begin with the shortest pause again."""
        self._pause = _FIRST_PAUSE

    async def wait(self) -> None:
        """Wait for the next pause."""
        await asyncio.sleep(self._pause * random.uniform(0.5, 1.5))
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)


class Registration:
    """The node's place in one shard; everything that writes there names its incarnation and epoch.

    Args:
        node: This node.
        tag: Hash tag of the shard.
        link: The control connection; nothing else uses it, so a renewal waits for nobody.
        timing: How long things may take.
        groups: Returns the groups of the shard that have members here.
        registered: Called after each registration with the id of the last entry of the new, empty
            log, and what was lost before, `None` for the first time.
        renewed: Called when the lease was renewed.

    Attributes:
        node: This node.
        key: Of the shard's books; the scripts build all others from it.
        epoch: Of the shard's data; another one means that data was lost.
        candidate: Name of the next epoch, in case that this node finds that one must begin.
        incarnation: Of this registration.
        ready: Set while the node is registered.
        offset: The server's time less the loop's, in seconds; not more than it is.
        committed: Id of the last entry of the log that is known to be committed.
        written: Sequence of the last entry of the log that is known to be written, or skipped.
    """

    def __init__(
        self,
        node: str,
        tag: str,
        link: Link,
        timing: Timing,
        groups: Callable[[], list[str]],
        registered: Callable[[str, Loss | None], None],
        renewed: Callable[[], None],
    ) -> None:
        self.node = node
        self.key = f"{{{tag}}}:meta"
        self.prefix = f"{{{tag}}}:"
        self.epoch = ""
        self.candidate = _new_epoch()
        self.incarnation = ""
        self.ready = asyncio.Event()
        self.offset = 0.0
        self.committed = "0-0"
        self.written = 0
        self._link = link
        self._timing = timing
        self._groups = groups
        self._registered = registered
        self._renewed = renewed
        self._lock = asyncio.Lock()
        self._calling = asyncio.Lock()
        self._lease_until = 0.0
        self._beats: dict[bytes, tuple[bytes, float]] = {}
        self._looked_at = 0.0

    @property
    def head(self) -> tuple[Argument, ...]:
        """The first arguments of each script."""
        return (self.node, self.incarnation, self.epoch)

    @property
    def holds(self) -> bool:
        """Whether the lease certainly has not run out."""
        return now() < self._lease_until

    async def register(self, lost: str = "") -> None:
        """Register, unless another caller did so meanwhile.

        Args:
            lost: The incarnation that is not accepted any more; empty for the first time.

        Raises:
            Unsettled: The server does not answer.
            RedisError: It refuses.
        """
        async with self._lock:
            if self.incarnation != lost:
                return
            self.ready.clear()
            groups = self._groups()
            asked = now()
            answer = await self._call(
                REGISTER,
                (self.node, "", self.candidate, 0 if lost else 1),
                (self._timing.log_ttl, self._timing.group_ttl, len(groups), *groups),
            )
            before, held = self.epoch, self.holds
            self.epoch, self.incarnation, last = (each.decode() for each in answer[1:4])
            self._lease_until = asked + self._timing.lease
            self.learn_time(answer[4])
            self.committed = last
            self.written = 0
            self.candidate = _new_epoch()
            self._beats.clear()
            loss = None
            if lost:
                loss = Loss(data=before != self.epoch, lease=before == self.epoch or not held)
                what = "the data of the server" if loss.data else "its lease"
                logger.warning(
                    "node %s is registered anew at %s: lost %s", self.node, self.prefix, what
                )
            self._registered(last, loss)
            self.ready.set()

    async def register_again(self, lost: str) -> None:
        """Register anew after the server has refused an incarnation; goes on until it succeeds."""
        backoff = Backoff()
        while self.incarnation == lost:
            try:
                await self.register(lost)
            except (Unsettled, RedisError) as error:
                logger.debug("cannot register at %s yet: %s", self.prefix, error)
                await backoff.wait()

    async def keep_alive(self) -> None:
        """Renew the lease until cancelled, and forget nodes that are silent for one."""
        backoff = Backoff()
        while True:
            await asyncio.sleep(self._until_next())
            backoff.reset()
            while True:
                try:
                    await self.renew()
                    break
                except (Unsettled, RedisError) as error:
                    logger.debug("cannot renew the lease at %s yet: %s", self.prefix, error)
                    await backoff.wait()

    def _until_next(self) -> float:
        """Return seconds until the lease is renewed, or a silence has lasted for one."""
        lease = self._timing.lease
        first = min((seen for _, seen in self._beats.values()), default=math.inf)
        return min(lease / 3 * random.uniform(0.85, 0.95), max(0.0, first + lease - now()))

    async def renew(self) -> None:
        """Renew the lease once; register anew if it is over.

        Raises:
            Unsettled: The server does not answer.
            RedisError: It refuses.
        """
        mine = self.incarnation
        asked = now()
        arguments = (*self.head, self.committed, self.candidate, self._timing.log_ttl, _SWEPT)
        answer = await self._call(RENEW, arguments)
        if answer[0] != b"OK":
            await self.register_again(mine)
            return
        self._lease_until = asked + self._timing.lease
        self.learn_time(answer[1], anew=True)
        self.written = int(answer[2])
        self._renewed()
        await self._forget_silent(dict(zip(answer[3::2], answer[4::2], strict=True)), asked)

    async def leave(self) -> None:
        """Be forgotten at once, with everything that is the node's."""
        command = (*self.head, self.node, "")
        try:
            await self._call(FENCE, command)
        except (Unsettled, *ELSEWHERE):  # since the last renewal; a new connection may do
            await self._call(FENCE, command)

    def learn_time(self, stamp: bytes, *, anew: bool = False) -> None:
        """Take the server's time, in milliseconds, from an answer that came just now."""
        offset = int(stamp) / 1000 - asyncio.get_running_loop().time()
        self.offset = offset if anew or not self.offset else max(self.offset, offset)

    async def _forget_silent(self, beats: dict[bytes, bytes], at: float) -> None:
        """Forget nodes whose heartbeats have stood still for a lease.

        While this node could not renew, the others could not either: what was seen before does not
        count then.
        """
        if at - self._looked_at > self._timing.lease / 2:
            self._beats.clear()
        self._looked_at = at
        for node in self._beats.keys() - beats.keys():
            del self._beats[node]
        for node, beat in beats.items():
            seen = self._beats.get(node)
            if seen is None or seen[0] != beat:
                self._beats[node] = (beat, now())
            elif at >= seen[1] + self._timing.lease and node.decode() != self.node:
                logger.warning("node %s was silent for its lease and is forgotten", node.decode())
                await self._call(FENCE, (*self.head, node, beat))
                del self._beats[node]

    async def _call(
        self, script: Script, arguments: tuple[Argument, ...], more: tuple[Argument, ...] = ()
    ) -> list[Any]:
        async with self._calling:
            try:
                answer: list[Any] = await self._link.call(script, self.key, arguments + more)
                if answer[0] == b"MOVING":
                    raise TryAgainError("the shard is moving to another server")
            except ELSEWHERE:
                await self._link.drop()
                raise
        return answer


def _new_epoch() -> str:
    return secrets.token_hex(8)


__all__ = ["Backoff", "Loss", "Registration", "Timing", "now"]
