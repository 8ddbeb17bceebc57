"""Who is here: the receivers of this process, the members of groups, and the way to all of them."""

import asyncio
import logging
import math
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from itertools import takewhile
from time import perf_counter

from achannels.codec import Encoded
from achannels.contracts import Receiver
from achannels.exceptions import ChannelFull
from achannels.layers.counters import Counters

logger = logging.getLogger("achannels.layer")

_DONE = object()
_CHUNK = 32
_TURN = 0.002
"""Seconds that one group send may hold the event loop; looked at after each `_CHUNK` members."""


class Post:
    """An ordinary channel as a member of a group: what it takes goes into its mailbox.

    Args:
        post: Puts a message into the mailbox of a channel.
        channel: The channel.
        books: Where is counted what found no room.
    """

    __slots__ = ("_books", "_channel", "_post")

    pending = 0
    capacity = 0

    def __init__(self, post: Callable[[str, Encoded], None], channel: str, books: Counters) -> None:
        self._post = post
        self._channel = channel
        self._books = books

    def gap(self, groups: list[str], reason: str, since: float) -> None:
        """Do nothing: a channel has no consumer that could be told."""

    def deliver(self, message: Encoded, *, group: bool) -> bool:
        """Put the message into the mailbox, or count that it is full."""
        try:
            self._post(self._channel, message)
        except ChannelFull:
            self._books.drop("full")
        return group


class Receivers:
    """What is attached to the reply channels of a node.

    Attributes:
        attached: By name of the channel.
        loop: Where they live.
    """

    __slots__ = ("_leaving", "attached", "loop")

    def __init__(self) -> None:
        self.attached: dict[str, Receiver] = {}
        self.loop: asyncio.AbstractEventLoop | None = None
        self._leaving: deque[Receiver] = deque()

    @property
    def pending(self) -> int:
        """Messages that they hold, those of detached ones included."""
        self._prune(len(self._leaving))
        return sum(each.pending for each in self.attached.values()) + sum(
            each.pending for each in self._leaving
        )

    def attach(self, node: str, receiver: Receiver) -> str:
        """Return the name of a new reply channel, which nobody can guess."""
        channel = f"{node}!{secrets.token_hex(16)}"
        self.attached[channel] = receiver
        self.loop = asyncio.get_running_loop()
        return channel

    def detach(self, channel: str) -> None:
        """Forget a reply channel; what its receiver still holds stays pending."""
        receiver = self.attached.pop(channel, None)
        if receiver is not None and receiver.pending:
            self._leaving.append(receiver)
            self._prune(min(2, len(self._leaving)))

    def clear(self) -> int:
        """Forget all of them, and return how many messages they held."""
        held = self.pending
        self.attached.clear()
        self._leaving.clear()
        return held

    def _prune(self, count: int) -> None:
        for _ in range(count):
            receiver = self._leaving.popleft()
            if receiver.pending:
                self._leaving.append(receiver)


class Members:
    """The members of one group.

    Attributes:
        receivers: By name of the channel, in the order of joining.
        lapses: When the membership of an ordinary channel ends by itself; the next to end is first.
        left: How many members have left; tells a send that paused to look again.
    """

    __slots__ = ("lapses", "left", "receivers")

    def __init__(self) -> None:
        self.receivers: dict[str, Receiver] = {}
        self.lapses: dict[str, float] = {}
        self.left = 0

    def lapsed(self, now: float) -> list[str]:
        """Return the members whose membership has ended by itself."""
        return [each for each, _ in takewhile(lambda item: item[1] <= now, self.lapses.items())]

    def discard(self, channel: str) -> None:
        """Remove a member, if it is one."""
        if self.receivers.pop(channel, None) is not None:
            self.left += 1
            self.lapses.pop(channel, None)

    def fan_out(self, message: Encoded, books: Counters) -> Iterator[None]:
        """Deliver a message to everyone who is a member now and has not left when its turn comes.

        Yields when the event loop should get a turn.
        """
        receivers = list(self.receivers.values())
        left = self.left
        until = perf_counter() + _TURN
        start = 0
        while start < len(receivers):
            chunk = receivers[start : start + _CHUNK]
            books.accepted += len(chunk)
            for receiver in chunk:
                try:
                    receiver.deliver(message, group=True)
                except Exception:
                    logger.exception("a member of a group failed to take a message")
                    books.drop("gone")
            start += _CHUNK
            if perf_counter() > until and start < len(receivers):
                yield
                if self.left != left:
                    still = set(map(id, self.receivers.values()))
                    receivers = [each for each in receivers[start:] if id(each) in still]
                    left = self.left
                    start = 0
                until = perf_counter() + _TURN


class Membership:
    """The groups of a layer; a group is forgotten with its last member.

    Args:
        books: Of the layer.
    """

    __slots__ = ("_books", "_groups", "_of", "_round", "_sends")

    def __init__(self, books: Counters) -> None:
        self._books = books
        self._sends: dict[Members, asyncio.Task[None]] = {}
        self._groups: dict[str, Members] = {}
        self._of: dict[str, str | set[str]] = {}  # most channels have one group; a set costs 200 B
        self._round: Iterator[str] = iter(())

    def __contains__(self, group: object) -> bool:
        return group in self._groups

    def find(self, group: str, now: float) -> Members | None:
        """Return the members of a group, those whose membership has lapsed removed."""
        members = self._groups.get(group)
        if members is not None and members.lapses:
            for channel in members.lapsed(now):
                self.discard(group, channel)
        return members

    def add(
        self, group: str, channel: str, receiver: Receiver, now: float, lapses: float = math.inf
    ) -> None:
        """Make a channel a member.

        Args:
            group: The group.
            channel: The channel.
            receiver: What takes its messages.
            now: The time.
            lapses: When the membership ends by itself; a later call renews it.
        """
        if lapses < math.inf:
            self._sweep(now)
        members = self._groups.get(group)
        if members is None:
            members = self._groups[group] = Members()
        if channel not in members.receivers:
            members.receivers[channel] = receiver
            before = self._of.setdefault(channel, group)
            if isinstance(before, set):
                before.add(group)
            elif before != group:
                self._of[channel] = {before, group}
        if lapses < math.inf:
            members.lapses.pop(channel, None)  # renewed: it goes to the end
            members.lapses[channel] = lapses

    def discard(self, group: str, channel: str) -> None:
        """End a membership, if there is one."""
        groups = self._of.get(channel)
        if isinstance(groups, set) and group in groups:
            groups.discard(group)
            if not groups:
                del self._of[channel]
        elif groups == group:
            del self._of[channel]
        else:
            return
        self._leave(group, channel)

    def detach(self, channel: str) -> None:
        """End all memberships of a channel; costs as much as it has groups."""
        for group in self.groups_of(channel):
            self._leave(group, channel)
        self._of.pop(channel, None)

    def groups_of(self, channel: str) -> set[str]:
        """Return the groups that a channel is a member of."""
        groups = self._of.get(channel, set())
        return {groups} if isinstance(groups, str) else set(groups)

    def clear(self) -> None:
        """End all memberships."""
        for channel in list(self._of):
            self.detach(channel)

    @property
    def is_sending(self) -> bool:
        """Whether a send to a large group goes on."""
        return bool(self._sends)

    async def send(self, group: str, message: Encoded, now: float) -> None:
        """Deliver a message to all members of a group.

        A send that takes long lets the loop run in between; the next to the same group waits for
        it, so all members see one order. It reaches everyone also when its caller is cancelled.
        """
        members = self.find(group, now)
        if members is None:
            return
        steps = members.fan_out(message, self._books)
        before = self._sends.get(members)
        if before is None and next(steps, _DONE) is _DONE:
            return
        task = asyncio.get_running_loop().create_task(_finish(before, steps))
        self._sends[members] = task
        task.add_done_callback(lambda done: self._sent(members, done))
        await asyncio.shield(task)

    async def wait_sent(self) -> None:
        """Wait for the sends that go on."""
        while self._sends:
            await asyncio.wait(list(self._sends.values()))

    def forget_sends(self) -> None:
        """Give up the sends that go on: their loop has stopped."""
        self._sends.clear()

    def _sent(self, members: Members, task: asyncio.Task[None]) -> None:
        if self._sends.get(members) is task:
            del self._sends[members]

    def _leave(self, group: str, channel: str) -> None:
        members = self._groups[group]
        members.discard(channel)
        if not members.receivers:
            del self._groups[group]

    def _sweep(self, now: float) -> None:
        """Look at the next two groups, so that memberships that have lapsed do not pile up."""
        for _ in range(2):
            group = next(self._round, None)
            if group is None:
                self._round = iter(list(self._groups))
                return
            self.find(group, now)


async def _finish(before: asyncio.Task[None] | None, steps: Iterator[None]) -> None:
    if before is not None:
        await asyncio.wait([before])
    for _ in steps:
        await asyncio.sleep(0)


__all__ = ["Members", "Membership", "Post", "Receivers"]
