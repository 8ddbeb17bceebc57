"""MemoryLayer: channels and groups inside one process."""

import asyncio
import secrets
import time
from collections.abc import Collection, Mapping
from typing import Any

from achannels.codec import Encoded, encode
from achannels.contracts import DeadLetter, Receiver, Statistics, Taken
from achannels.exceptions import ChannelFull, ConfigurationError, InvalidName
from achannels.layers import BaseLayer, check_wait, several
from achannels.layers.counters import Counters, Letter, Work, check_limit
from achannels.layers.mailbox import ByChannel, Mailboxes, check_count, check_seconds
from achannels.layers.membership import Membership, Post, Receivers
from achannels.names import check_channel, check_group
from achannels.types import Clock, Content


class MemoryLayer(BaseLayer):
    """A layer inside one process: what every promise costs least, and what ends with the process.

    It keeps `ChannelLayer` and `WorkLayer`, and refuses what a layer between processes would, so
    that what works here works there. Two processes with one each are two worlds.

    The names of `new_channel` and `attach` belong to this process. A message to a channel of another
    node, or to one that was detached, is counted as `gone`.

    Args:
        capacity: Messages that may wait in a channel, delayed ones included.
        channel_capacity: The same by pattern or compiled regular expression, the first match wins:
            `{"mail.*": 20}`. A name with a `!` is matched by the part after it.
        expiry: Seconds that a message may wait; durable and delayed messages do not expire.
        channel_expiry: The same by pattern.
        group_expiry: Seconds that an ordinary channel stays in a group; a socket while it lives.
        message_size: Bytes of an encoded message, at most.
        clock: Monotonic seconds; one that has `subscribe(callback)` tells when its time changed.

    Raises:
        ConfigurationError: It names the key, the value and what is allowed.
    """

    def __init__(
        self,
        *,
        capacity: int = 100,
        channel_capacity: Mapping[Any, int] | None = None,
        expiry: float = 60.0,
        channel_expiry: Mapping[Any, float] | None = None,
        group_expiry: float = 86_400.0,
        message_size: int = 1_048_576,
        clock: Clock = time.monotonic,
    ) -> None:
        if not callable(clock):
            raise ConfigurationError(
                f"CONFIG 'clock' is {clock!r}; it must be callable and return monotonic seconds."
            )
        self._capacity = ByChannel("capacity", capacity, channel_capacity, check_count)
        self._expiry = ByChannel("expiry", expiry, channel_expiry, check_seconds)
        self._group_expiry = check_seconds("'group_expiry'", group_expiry)
        self.message_size = check_count("'message_size'", message_size)
        self._clock = clock
        super().__init__()
        subscribe = getattr(clock, "subscribe", None)
        self._timed = subscribe is None
        self._unsubscribe = subscribe(self._clock_changed) if subscribe is not None else None

    def _begin(self) -> None:
        self.node = secrets.token_urlsafe(16)
        self.books = Counters()
        self._mailboxes = Mailboxes(self._capacity, self._expiry, self.books)
        self._membership = Membership(self.books)
        self._receivers = Receivers()
        self._attached = self._receivers.attached
        self._work = Work(self.books)
        self._durable: set[str] = set()

    # Sending.

    async def send(
        self,
        channel: str,
        content: Mapping[str, Any],
        *,
        delay: float = 0.0,
        durable: bool = False,
    ) -> None:
        """Send to a channel; see `achannels.contracts.ChannelLayer.send`."""
        if self._closed:
            self._refuse(f"nothing was sent to channel {channel!r}")
        if channel not in self._attached and channel not in self._mailboxes:
            check_channel(channel)
        message = encode(content, channel, self.message_size)
        if delay or durable:
            check_wait(channel, delay)
        await self._at_home(self._send, channel, message, delay, durable)

    def _send(self, channel: str, message: Encoded, delay: float, durable: bool) -> None:
        receiver = self._attached.get(channel)
        if receiver is not None:
            if not receiver.deliver(message, group=False):
                raise ChannelFull(channel, getattr(receiver, "capacity", self._capacity.default))
        elif self._has_mailbox(channel):
            self._post(channel, message, delay, durable=durable or channel in self._durable)
        else:
            self.books.drop("gone")
        self.books.accepted += 1

    def _post(
        self, channel: str, message: Encoded, delay: float = 0.0, *, durable: bool = False
    ) -> None:
        now = self._clock()
        self._mailboxes.open(channel, now).put(message, now, delay, durable=durable)
        self._mailboxes.sweep(now)

    def _has_mailbox(self, channel: str) -> bool:
        """Whether messages of the channel queue here: not those of sockets and other nodes."""
        node, mark, key = channel.partition("!")
        return not mark or (node == self.node and "." in key)

    # Receiving.

    async def receive(self, channel: str) -> Content:
        """Wait for the next message of a channel. Cancelling loses no message.

        Raises:
            InvalidName: `channel` is no channel name, or one that nobody here receives from.
            LayerClosed: The layer was closed, before or meanwhile.
        """
        _, letter = await self._receive((channel,))
        return letter.message.decode()

    async def receive_many(self, channels: Collection[str]) -> tuple[str, Content]:
        """Wait for the next message of any of the channels, which take turns.

        Raises:
            ConfigurationError: `channels` is empty, or a `str`.
            InvalidName: One is no channel name, or one that nobody here receives from.
            LayerClosed: The layer was closed, before or meanwhile.
        """
        channel, letter = await self._receive(several(channels))
        return channel, letter.message.decode()

    async def new_channel(self, prefix: str = "specific") -> str:
        """Return a new name for a channel that only this process receives from.

        It may join groups. There is nothing to give back: what nobody reads expires.

        Args:
            prefix: Begins the part after the `!`, which is what patterns in `channel_capacity` and
                `channel_expiry` see.

        Raises:
            InvalidName: The prefix has other characters than `a-z A-Z 0-9 . - _`, or is too long.
        """
        if self._closed:
            self._refuse("it has no new channel")
        return check_channel(f"{self.node}!{prefix}.{secrets.token_urlsafe(16)}")

    async def _receive(self, channels: tuple[str, ...]) -> tuple[str, Letter]:
        self._check_receivable(channels)
        if asyncio.get_running_loop() is self._home.loop or self._home.is_here():
            return await self._received(channels)
        return await self._home.call(lambda: self._received(channels), self._unreceive)

    async def _received(self, channels: tuple[str, ...]) -> tuple[str, Letter]:
        found = await self._next(channels)
        self.books.delivered += 1
        return found

    def _unreceive(self, found: tuple[str, Letter]) -> None:
        self.books.delivered -= 1
        self._put_back(found)

    def _put_back(self, found: tuple[str, Letter]) -> None:
        channel, letter = found
        self._mailboxes.open(channel, self._clock()).put_back(letter)

    async def _next(self, channels: tuple[str, ...]) -> tuple[str, Letter]:
        loop = asyncio.get_running_loop()
        waited = False
        while True:
            if self._closed:
                self._refuse(f"nothing comes on {', '.join(channels)} any more")
            if self._home.loop is not loop:  # it moved while this waited
                return await self._home.call(lambda: self._next(channels), self._put_back)
            now = self._clock()
            found = self._mailboxes.pop(channels, now)
            if waited:
                self._mailboxes.pass_on(channels, now)
            if found is not None:
                return found
            await self._mailboxes.wait(channels, now, timed=self._timed)
            waited = True

    def _check_receivable(self, channels: tuple[str, ...]) -> None:
        for channel in channels:
            if channel not in self._mailboxes and not self._has_mailbox(check_channel(channel)):
                raise InvalidName(
                    f"channel name {channel!r} is that of a socket or of another process: nobody "
                    "here receives from it. Use a name without '!', or one from new_channel()."
                )

    # Groups.

    async def group_add(self, group: str, channel: str) -> None:
        """Make a channel a member; see `achannels.contracts.ChannelLayer.group_add`.

        A reply channel that is not attached to this layer joins nothing.
        """
        if group not in self._membership:
            check_group(group)
        if channel not in self._attached:
            check_channel(channel)
        await self._at_home(self._group_add, group, channel)

    def _group_add(self, group: str, channel: str) -> None:
        now = self._clock()
        receiver = self._attached.get(channel)
        if receiver is not None:
            self._membership.add(group, channel, receiver, now)
        elif self._has_mailbox(channel):
            post = Post(self._post, channel, self.books)
            self._membership.add(group, channel, post, now, now + self._group_expiry)

    async def group_discard(self, group: str, channel: str) -> None:
        """End a membership; see `achannels.contracts.ChannelLayer.group_discard`."""
        check_group(group)
        check_channel(channel)
        await self._at_home(self._membership.discard, group, channel)

    async def group_send(self, group: str, content: Mapping[str, Any]) -> None:
        """Send to every member; see `achannels.contracts.ChannelLayer.group_send`.

        It returns when each member has got the message, and holds the loop for a few milliseconds
        at most. It reaches all members also when the caller is cancelled meanwhile.
        """
        if self._closed:
            self._refuse(f"nothing was sent to group {group!r}")
        if group not in self._membership:
            check_group(group)
        message = encode(content, group, self.message_size)
        if asyncio.get_running_loop() is self._home.loop or self._home.is_here():
            await self._membership.send(group, message, self._clock())
        else:
            await self._home.call(lambda: self._membership.send(group, message, self._clock()))

    async def group_channels(self, group: str) -> set[str]:
        """Return the names of the members."""
        return await self._at_home(self._group_channels, check_group(group))

    def _group_channels(self, group: str) -> set[str]:
        members = self._membership.find(group, self._clock())
        return set(members.receivers) if members is not None else set()

    # Reply channels.

    def attach(self, receiver: Receiver) -> str:
        """Open a reply channel of this process and return its name.

        Raises:
            ConfigurationError: Called on another loop than the layer's.
            LayerClosed: The layer was closed.
        """
        if self._closed:
            self._refuse("it opens no reply channel")
        self._check_home()
        return self._receivers.attach(self.node, receiver)

    def detach(self, channel: str) -> None:
        """Close a reply channel: it is in no group any more, and what is sent to it is `gone`."""
        self._soon(self._detach, channel)

    def _detach(self, channel: str) -> None:
        if channel in self._attached:
            self._membership.detach(channel)
            self._receivers.detach(channel)

    # Work.

    async def take(
        self, channels: Collection[str], *, slots: int = 1, durable: Collection[str] = ()
    ) -> Taken:
        """Wait for a message; see `achannels.contracts.WorkLayer.take`. It brings one at a time."""
        names = several(channels)
        self._durable.update(durable)
        self._check_receivable(names)
        if asyncio.get_running_loop() is self._home.loop or self._home.is_here():
            channel, letter = await self._take(names)
        else:
            channel, letter = await self._home.call(lambda: self._take(names), self._untake)
        return Taken(channel, letter.message.decode(), letter.id, letter.attempt, letter.durable)

    async def _take(self, channels: tuple[str, ...]) -> tuple[str, Letter]:
        found = await self._next(channels)
        self._work.take(found[1])
        return found

    def _untake(self, found: tuple[str, Letter]) -> None:
        self._work.untake(found[1])
        self._put_back(found)

    async def settle(
        self, taken: Taken, *, again: float | None = None, dead: str | None = None
    ) -> None:
        """Say what became of a message: done, `again` after so many seconds, or `dead` and why.

        A dead message becomes a dead letter if `taken.durable` is true. What is not in flight any
        more is left alone.
        """
        await self._at_home(self._settle, taken, again, dead)

    def _settle(self, taken: Taken, again: float | None, dead: str | None) -> None:
        letter = self._work.settle(taken, again=again is not None, dead=dead)
        if letter is not None:
            now = self._clock()
            self._mailboxes.open(taken.channel, now).put_again(letter, now, again or 0.0)

    async def dead_letters(self, channel: str, limit: int = 100) -> list[DeadLetter]:
        """Return the channel's dead letters, oldest first; the newest 1,000 are kept.

        Raises:
            ConfigurationError: `limit` is no number from 1.
        """
        check_channel(channel)
        return await self._at_home(self._work.dead_letters, channel, check_limit(limit))

    async def requeue(self, channel: str, id: str) -> bool:
        """Send a dead letter again as a first attempt; `False` if there is none of that id.

        Raises:
            ChannelFull: There is no room; the letter stays.
        """
        return await self._at_home(self._requeue, check_channel(channel), id)

    def _requeue(self, channel: str, id: str) -> bool:
        message = self._work.find(channel, id)
        if message is None:
            return False
        self._send(channel, message, 0.0, True)
        return self._work.drop(channel, id)

    async def drop_letter(self, channel: str, id: str) -> bool:
        """Forget a dead letter; `False` if there is none of that id."""
        return await self._at_home(self._work.drop, check_channel(channel), id)

    # The layer as a whole.

    def _check_free(self) -> None:
        if self._attached or self._membership.is_sending or self._mailboxes.has_waiters:
            raise ConfigurationError(
                "this MemoryLayer is in use on another running event loop of the process, which has "
                "receivers or listeners on it. Run both on one loop, or give each its own layer."
            )

    async def flush(self) -> None:
        """Drop all messages that wait, counted as `rejected`, all dead letters and memberships.

        What a worker or a socket has in hand stays with it.
        """
        await self._at_home(self._flush)

    def _flush(self) -> None:
        self.books.drop("rejected", self._mailboxes.clear())
        self._membership.clear()
        self._work.clear()

    async def statistics(self) -> Statistics:
        """Return the books at this moment; what has expired is found first."""
        return await self._at_home(self._statistics)

    def _statistics(self) -> Statistics:
        waiting = self._mailboxes.count(self._clock())
        return self.books.statistics(waiting + self._work.pending + self._receivers.pending)

    async def _close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._mailboxes.wake_all()
        await self._membership.wait_sent()
        self._flush()

    def _moved(self, home: asyncio.AbstractEventLoop) -> None:
        """The loop of the layer has stopped, and another takes its place."""
        self._mailboxes.wake_all()
        self._membership.forget_sends()
        loop = self._receivers.loop
        if loop is not None and loop.is_closed():
            for channel in self._attached:
                self._membership.detach(channel)
            self.books.drop("gone", self._receivers.clear())

    def _clock_changed(self) -> None:
        self._soon(self._mailboxes.wake_delayed)


__all__ = ["MemoryLayer"]
