"""A server that several nodes share, in memory: what a `RelayLayer` does, one step at a time.

`Server` has the rules of the shared state. `achannels` nodes reach it in two ways: the model test
steps it by hand, and `tests.split.layer` puts a layer on top.
"""

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from achannels.codec import Encoded
from achannels.contracts import Home, Origin
from achannels.exceptions import ChannelFull
from achannels.relay import HomeDraining, HomeGone

Watcher = Callable[[], None]


class Void(Exception):
    """The caller is not registered any more: nothing was done."""


@dataclass
class Waiting:
    """A message on a shared channel."""

    message: Encoded
    origin: Origin | None
    expires: bool
    sender: Home
    epoch: int


@dataclass
class Member:
    """A node as the server knows it."""

    incarnation: int
    log: list[tuple[int, tuple[Any, ...]]] = field(default_factory=list)
    sequence: int = 0
    position: int = 0
    draining: bool = False


class Server:
    """The shared state of all nodes."""

    def __init__(self, *, capacity: int = 100, log_capacity: int = 10_000) -> None:
        self.capacity = capacity
        self.log_capacity = log_capacity
        self.epoch = 1
        self.members: dict[str, Member] = {}
        self.channels: dict[str, deque[Waiting]] = {}
        self.claims: set[str] = set()
        self.gone = 0
        self._incarnations = itertools.count(1)
        self._watchers: list[Watcher] = []

    def watch(self, watcher: Watcher) -> None:
        """Call somebody whenever something has changed."""
        self._watchers.append(watcher)

    def _tell(self) -> None:
        for watcher in self._watchers:
            watcher()

    def register(self, node: str) -> Home:
        """Make a node alive, with an empty log."""
        incarnation = next(self._incarnations)
        self.members[node] = Member(incarnation)
        self._tell()
        return Home(node, incarnation)

    def is_registered(self, caller: Home) -> bool:
        member = self.members.get(caller.node)
        return member is not None and member.incarnation == caller.incarnation

    def wipe(self) -> None:
        """Lose all data."""
        self.epoch += 1
        self.members.clear()
        self.channels.clear()
        self.claims.clear()
        self._tell()

    def fence(self, node: str) -> None:
        """Declare a node dead and tell the others."""
        member = self.members.pop(node, None)
        if member is None:
            return
        for other in self.members.values():
            self._append(other, ("down", Home(node, member.incarnation), member.position))
        self._tell()

    # What nodes call; each raises Void when the caller is not registered.

    def offer(
        self,
        caller: Home,
        channel: str,
        message: Encoded,
        origin: Origin,
        *,
        expires: bool,
        sender: Home,
        epoch: int,
    ) -> None:
        """Put an event onto a channel; `sender` is the caller when it decided to."""
        self._check(caller)
        waiting = self.channels.setdefault(channel, deque())
        if len(waiting) >= self.capacity:
            raise ChannelFull(channel, self.capacity)
        waiting.append(Waiting(message, origin, expires, sender, epoch))
        self._tell()

    def take(self, caller: Home, channel: str) -> tuple[Encoded, Origin | None] | None:
        """Take the first message of a channel and make the caller the home."""
        self._check(caller)
        waiting = self.channels.get(channel)
        while waiting:
            first = waiting.popleft()
            if first.origin is None:
                return first.message, None
            if first.epoch != self.epoch:
                self.gone += 1
                continue
            if not self.is_registered(first.sender):
                if not first.expires:
                    return first.message, first.origin._replace(alive=False)
                self.gone += 1
                continue
            self._append(self.members[first.sender.node], ("homed", first.origin, caller))
            self._tell()
            return first.message, first.origin
        return None

    def expire(self, channel: str) -> None:
        """Drop what may expire on a channel."""
        kept = deque(each for each in self.channels.get(channel, ()) if not each.expires)
        for each in self.channels.get(channel, ()):
            if (
                each.expires
                and each.origin
                and self.is_registered(each.sender)
                and each.epoch == self.epoch
            ):
                self._append(self.members[each.sender.node], ("expired", each.origin))
        self.channels[channel] = kept
        self._tell()

    def forward(self, caller: Home, home: Home, message: Encoded) -> int:
        self._check(caller)
        if not self.is_registered(home):
            raise HomeGone
        member = self.members[home.node]
        if member.draining:
            raise HomeDraining
        if len(member.log) >= self.log_capacity:
            raise ChannelFull(home.node, self.log_capacity)
        position = self._append(member, ("event", message))
        self._tell()
        return position

    def tell(self, caller: Home, node: str, entry: tuple[Any, ...]) -> None:
        self._check(caller)
        member = self.members.get(node)
        if member is None:
            raise HomeGone
        self._append(member, entry)
        self._tell()

    def drain(self, caller: Home) -> int:
        self._check(caller)
        self.members[caller.node].draining = True
        return self.members[caller.node].sequence

    def claim(self, caller: Home, channel: str) -> bool:
        self._check(caller)
        if channel in self.claims:
            return False
        self.claims.add(channel)
        return True

    def read(self, caller: Home, after: int) -> list[tuple[int, tuple[Any, ...]]]:
        """Return the entries of the caller's log after a position."""
        self._check(caller)
        return [entry for entry in self.members[caller.node].log if entry[0] > after]

    def commit(self, caller: Home, position: int) -> None:
        """The caller has read so far."""
        self._check(caller)
        member = self.members[caller.node]
        member.position = max(member.position, position)
        member.log = [entry for entry in member.log if entry[0] > position]

    def _check(self, caller: Home) -> None:
        if not self.is_registered(caller):
            raise Void

    def _append(self, member: Member, entry: tuple[Any, ...]) -> int:
        member.sequence += 1
        member.log.append((member.sequence, entry))
        return member.sequence
