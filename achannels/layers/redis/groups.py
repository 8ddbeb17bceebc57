"""The groups that this node is in: a node joins with its first member and leaves with its last."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from achannels.contracts import Receiver
from achannels.exceptions import LayerUnavailable
from achannels.layers.membership import Membership
from achannels.layers.redis.reader import Entry
from achannels.layers.redis.shard import Shard

_REMEMBERED = 10.0
"""Seconds for which the last join or leave of a socket by another node is remembered."""

_AT_ONCE = 500
"""Groups that are renewed by one operation."""


class _State:
    """What the shard knows of this node in one group.

    Attributes:
        version: Sequence of the last join entry that this node knows of.
        inside: The node is in the group, and has not asked to leave.
        joining: The join that is on its way.
        adding: Sockets that are about to become members.
        leaving: The node has asked to leave, and knows no answer yet.
    """

    __slots__ = ("adding", "inside", "joining", "leaving", "version")

    def __init__(self) -> None:
        self.version = 0
        self.inside = False
        self.joining: asyncio.Future[bytes] | None = None
        self.adding = 0
        self.leaving = False

    @property
    def idle(self) -> bool:
        """Nobody is about to join, and the node not about to leave."""
        return self.joining is None and not self.adding and not self.leaving


class Groups:
    """Keeps the shards' view of this node's groups true.

    That a node leaves, and by which version of the group, is decided and asked for in one step:
    a join of another member in between makes the shard refuse.

    Args:
        node: This node.
        membership: Who is a member here.
        is_attached: Tells whether a reply channel of this node still is one.
        shard_of: Returns the shard of a group.
    """

    def __init__(
        self,
        node: str,
        membership: Membership,
        is_attached: Callable[[str], bool],
        shard_of: Callable[[str], Shard],
    ) -> None:
        self._node = node
        self._membership = membership
        self._is_attached = is_attached
        self._shard_of = shard_of
        self._states: dict[str, _State] = {}
        self._renew_at: dict[int, float] = {}
        self._declared: dict[int, str] = {}
        self._latest: dict[tuple[str, str], tuple[tuple[int, int], float]] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._states)

    async def add(self, group: str, channel: str, receiver: Receiver) -> None:
        """Make a socket of this node a member.

        It gets nothing that this node sent before.

        Raises:
            LayerUnavailable: The node could not join; the socket is no member.
        """
        shard = self._shard_of(group)
        state = self._states.get(group)
        if state is None:
            state = self._states[group] = _State()
        state.adding += 1
        try:
            if not state.inside:
                await self._join(group, state, shard)
            await self._settle(shard)
            if self._is_attached(channel):
                self._membership.add(group, channel, receiver, 0.0)
        finally:
            state.adding -= 1
            self._leave_if_empty(group)

    async def leave(self, group: str, channel: str) -> None:
        """End a membership of a socket of this node, which has got all that this node sent before."""
        await self._settle(self._shard_of(group))
        self.discard(group, channel)

    async def _settle(self, shard: Shard) -> None:
        """Have what other nodes did to sockets of this one, and all that this one sent, behind us.

        Once the shard knows that this node changes memberships too, others wait for it to read.
        """
        mine = shard.registration.incarnation
        if self._declared.get(shard.index) != mine:
            await shard.submit("o")
            self._declared[shard.index] = mine
        await shard.reader.read_past(shard.sender.written)

    def discard(self, group: str, channel: str) -> None:
        """End a membership of a socket of this node."""
        self._membership.discard(group, channel)
        self._leave_if_empty(group)

    def detach(self, channel: str) -> None:
        """End all memberships of a socket of this node."""
        groups = self._membership.groups_of(channel)
        self._membership.detach(channel)
        for group in groups:
            self._leave_if_empty(group)

    def take_join(self, entry: Entry, receiver: Receiver | None) -> None:
        """A join was read: another node's of a socket here, or one of this node.

        Args:
            entry: It has the group, the local part of the socket, empty for this node's own, and
                the id that the join had before it was repeated.
            receiver: The socket, if it still is there.
        """
        group, local, *_ = entry.head
        state = self._states.get(group)
        if state is None:
            state = self._states[group] = _State()
            state.inside = True
        state.version = max(state.version, entry.sequence)
        if local:
            state.inside = True
            if receiver is not None and self._is_news(entry):
                self._membership.add(group, f"{self._node}!{local}", receiver, 0.0)
        self._leave_if_empty(group)

    def take_leave(self, entry: Entry) -> None:
        """Another node has ended the membership of a socket here."""
        group, local, *_ = entry.head
        if self._is_news(entry):
            self.discard(group, f"{self._node}!{local}")

    def _is_news(self, entry: Entry) -> bool:
        """Return whether nothing later is known of a membership: repeated entries come late."""
        group, local, *before = entry.head
        id = before[0] if before else entry.id.decode()
        stamp, _, sequence = id.partition("-")
        at = (int(stamp), int(sequence))
        now = asyncio.get_running_loop().time()
        while self._latest:
            oldest = next(iter(self._latest))
            if self._latest[oldest][1] > now - _REMEMBERED:
                break
            del self._latest[oldest]
        known = self._latest.pop((group, local), None)
        latest = known is None or known[0] < at
        self._latest[group, local] = (at if known is None else max(at, known[0]), now)
        return latest

    def renew(self, shard: Shard) -> None:
        """Have the keys of this node's groups live on, long before they would go by themselves."""
        now = asyncio.get_running_loop().time()
        if now < self._renew_at.get(shard.index, 0.0):
            return
        ttl = shard.timing.group_ttl
        self._renew_at[shard.index] = now + ttl / 2000
        groups = [group for group in self._states if self._shard_of(group) is shard]
        for start in range(0, len(groups), _AT_ONCE):
            renewing = shard.submit("O", ttl, *groups[start : start + _AT_ONCE], patient=True)
            renewing.add_done_callback(_ignore)

    def forget(self) -> None:
        """All memberships have ended, everywhere."""
        self._membership.clear()
        for group in list(self._states):
            if self._states[group].idle:
                del self._states[group]

    def registered(self, shard: Shard) -> None:
        """The node has registered with its groups, each as a first join."""
        for group, state in list(self._states.items()):
            if self._shard_of(group) is shard:
                state.version = 1
                state.inside = group in self._membership
                if not state.inside and state.idle:
                    del self._states[group]

    async def _join(self, group: str, state: _State, shard: Shard) -> None:
        if state.joining is None:
            ttl = shard.timing.group_ttl
            mine = shard.registration.incarnation
            state.joining = shard.submit("J", group, ttl, f"J{group} \n")
            state.joining.add_done_callback(partial(self._joined, state, shard, mine))
        await asyncio.shield(state.joining)

    def _joined(self, state: _State, shard: Shard, mine: str, join: asyncio.Future[bytes]) -> None:
        state.joining = None
        if not join.cancelled() and join.exception() is None:
            self._declared[shard.index] = mine
            state.version = max(state.version, int(join.result().partition(b"-")[2]))
            state.inside = True

    def _leave_if_empty(self, group: str) -> None:
        state = self._states.get(group)
        if state is None or group in self._membership or not state.idle:
            return
        if not state.inside:
            del self._states[group]
            return
        state.inside = False
        state.leaving = True
        leave = self._shard_of(group).submit("N", group, state.version)
        leave.add_done_callback(partial(self._left, group, state, state.version))

    def _left(self, group: str, state: _State, version: int, leave: asyncio.Future[int]) -> None:
        state.leaving = False
        if leave.cancelled() or self._states.get(group) is not state:
            return
        error = leave.exception()
        if isinstance(error, LayerUnavailable):
            state.inside = True
        elif error is None and not leave.result():
            state.inside = state.inside or state.version > version
        self._leave_if_empty(group)


def _ignore(done: asyncio.Future[Any]) -> None:
    """A registration that comes in between renews them too."""
    if not done.cancelled():
        done.exception()


__all__ = ["Groups"]
