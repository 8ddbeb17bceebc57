"""The queues of ordinary channels: capacity, expiry, delays, and who waits for a message."""

import asyncio
import fnmatch
import heapq
import math
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import Generic, TypeVar

from achannels.codec import Encoded
from achannels.exceptions import ChannelFull, ConfigurationError
from achannels.layers.counters import Counters, Letter

N = TypeVar("N", int, float)

_SWEPT = 2
"""Mailboxes that are looked at whenever one is made; see `Mailboxes.sweep`."""


def check_count(place: str, value: object) -> int:
    """Return a setting that is an int from 1 up.

    Raises:
        ConfigurationError: It is something else.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise ConfigurationError(f"CONFIG {place} is {value!r}; it must be an int from 1 up.")


def check_seconds(place: str, value: object) -> float:
    """Return a setting that is a number of seconds above 0.

    Raises:
        ConfigurationError: It is something else.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return float(value)
    raise ConfigurationError(
        f"CONFIG {place} is {value!r}; it must be a number of seconds above 0."
    )


class ByChannel(Generic[N]):
    """A limit per channel: the first pattern that matches decides, else the default.

    Args:
        key: The setting; `channel_<key>` holds the patterns.
        default: The limit of a channel that no pattern matches.
        patterns: A dict of limits. A key is a glob, which must match the whole name, or a compiled
            regular expression, which must match its beginning. The name of a channel with a `!` is
            here the part after it.
        check: Returns a limit, or raises.

    Raises:
        ConfigurationError: It names the key, the value and what is allowed.
    """

    __slots__ = ("_patterns", "default")

    default: N

    def __init__(
        self, key: str, default: object, patterns: object, check: Callable[[str, object], N]
    ) -> None:
        self.default = check(repr(key), default)
        self._patterns: list[tuple[re.Pattern[str], N]] = []
        if patterns is None:
            return
        key = f"channel_{key}"
        if not isinstance(patterns, Mapping):
            raise ConfigurationError(
                f"CONFIG {key!r} is {patterns!r}; it must be a dict of channel patterns, for "
                "example {'thumbnails': 5000, 'mail.*': 20}."
            )
        for pattern, limit in patterns.items():
            text = pattern.pattern if isinstance(pattern, re.Pattern) else pattern
            if not isinstance(text, str):
                raise ConfigurationError(
                    f"CONFIG {key!r} has the key {pattern!r}; a channel pattern is a str such as "
                    "'mail.*', or a compiled regular expression of str."
                )
            compiled = re.compile(fnmatch.translate(text)) if text is pattern else pattern
            self._patterns.append((compiled, check(f"{key!r}[{text!r}]", limit)))

    def __getitem__(self, channel: str) -> N:
        if self._patterns:
            name = channel.rpartition("!")[2]
            for pattern, limit in self._patterns:
                if pattern.match(name):
                    return limit
        return self.default


class Mailbox:
    """The queue of one channel, first in, first out.

    Who waits is woken, not handed a message: a waiter that is cancelled before it runs has taken
    nothing. Whoever was woken, or stops waiting, calls `pass_on`, so that no wake-up is lost.

    Attributes:
        name: The channel.
        capacity: Messages that may wait, delayed ones included.
        waiters: A future for each receive that waits, the oldest first.
        served: When it was last taken from, in turns of `Mailboxes`.
    """

    __slots__ = (
        "_books",
        "_delayed",
        "_expiry",
        "_lasting",
        "_ready",
        "_sent",
        "capacity",
        "name",
        "served",
        "waiters",
    )

    def __init__(self, name: str, capacity: int, expiry: float, books: Counters) -> None:
        self.name = name
        self.capacity = capacity
        self._expiry = expiry
        self._books = books
        self._ready: deque[Letter] = deque()
        self._delayed: list[tuple[float, int, Letter]] = []
        self._sent = 0
        self._lasting = False
        self.waiters: dict[asyncio.Future[None], None] = {}
        self.served = 0

    @property
    def pending(self) -> int:
        """Messages in it, expired ones that nobody has looked at included."""
        return len(self._ready) + len(self._delayed)

    @property
    def next_due(self) -> float:
        """When the next delayed message is due; infinity without one."""
        return self._delayed[0][0] if self._delayed else math.inf

    def put(
        self, message: Encoded, now: float, delay: float = 0.0, *, durable: bool = False
    ) -> None:
        """Take a message and wake who waits for it; its sender counts it.

        Raises:
            ChannelFull: As many messages wait as the capacity allows.
        """
        if self.pending >= self.capacity:
            self.expire(now)
            if self.pending >= self.capacity:
                raise ChannelFull(self.name, self.capacity)
        if delay or durable:
            self.put_again(Letter(message, durable=durable), now, delay)
            return
        if self._delayed:
            self._promote(now)
        self._ready.append(Letter(message, now + self._expiry))
        if self.waiters:
            self.wake()

    def put_again(self, letter: Letter, now: float, delay: float) -> None:
        """Take a message that does not expire, over the capacity if need be."""
        letter.expires = math.inf
        if delay:
            heapq.heappush(self._delayed, (now + delay, self._sent, letter))
            self._sent += 1
            self.wake_all()  # each sets its timer anew
            return
        self._promote(now)
        self._append_lasting(letter)
        self.wake()

    def put_back(self, letter: Letter) -> None:
        """Return a message that was popped and has reached nobody to its place."""
        self._ready.appendleft(letter)
        self._lasting = True
        self.wake()

    def has_message(self, now: float) -> bool:
        """Return whether `pop` finds a message; drops what has expired before it."""
        if self._delayed:
            self._promote(now)
        ready = self._ready
        while ready:
            if ready[0].expires > now:
                return True
            ready.popleft()
            self._books.expired += 1
        return False

    def pop(self) -> Letter:
        """Remove the first message; to be called after `has_message` was true."""
        return self._ready.popleft()

    def expire(self, now: float) -> None:
        """Drop and count all that has expired."""
        if self._delayed:
            self._promote(now)
        if self._lasting:
            fresh = deque(letter for letter in self._ready if letter.expires > now)
            self._books.expired += len(self._ready) - len(fresh)
            self._ready = fresh
            self._lasting = bool(fresh)
        else:
            self.has_message(now)

    def clear(self) -> int:
        """Empty it and return how many messages it held."""
        count = self.pending
        self._ready.clear()
        self._delayed.clear()
        return count

    def wake(self) -> None:
        """Wake the oldest waiter."""
        while self.waiters:
            waiter = next(iter(self.waiters))
            del self.waiters[waiter]
            if not waiter.done():
                waiter.set_result(None)
                return

    def wake_all(self) -> None:
        """Wake all waiters."""
        waiters = list(self.waiters)
        self.waiters.clear()
        for waiter in waiters:
            if not waiter.done():
                with suppress(RuntimeError):  # the loop of the waiter is closed
                    waiter.set_result(None)

    def pass_on(self, now: float) -> None:
        """Wake the next waiter if there is a message for it."""
        if self.waiters and self.has_message(now):
            self.wake()

    def _promote(self, now: float) -> None:
        while self._delayed and self._delayed[0][0] <= now:
            self._append_lasting(heapq.heappop(self._delayed)[2])

    def _append_lasting(self, letter: Letter) -> None:
        self._ready.append(letter)
        self._lasting = True


class Mailboxes:
    """The mailboxes of a layer; they are made when needed and forgotten when empty.

    Args:
        capacity: Messages that may wait in a channel.
        expiry: Seconds for which they may.
        books: Where is counted what becomes of them.
    """

    __slots__ = ("_books", "_boxes", "_capacity", "_expiry", "_round", "_turn")

    def __init__(self, capacity: ByChannel[int], expiry: ByChannel[float], books: Counters) -> None:
        self._capacity = capacity
        self._expiry = expiry
        self._books = books
        self._boxes: dict[str, Mailbox] = {}
        self._round: Iterator[str] = iter(())
        self._turn = 0

    @property
    def has_waiters(self) -> bool:
        """Whether anyone waits for a message."""
        return any(box.waiters for box in self._boxes.values())

    def __contains__(self, channel: object) -> bool:
        return channel in self._boxes

    def open(self, channel: str, now: float) -> Mailbox:
        """Return the mailbox of a channel; it is made if there is none."""
        box = self._boxes.get(channel)
        if box is None:
            self.sweep(now, _SWEPT)
            box = self._boxes[channel] = Mailbox(
                channel, self._capacity[channel], self._expiry[channel], self._books
            )
            box.served = self._turn
        return box

    def pop(self, channels: Collection[str], now: float) -> tuple[str, Letter] | None:
        """Remove the first message of the channel that has waited longest for its turn."""
        first: Mailbox | None = None
        for channel in channels:
            box = self._boxes.get(channel)
            if box is None or (first is not None and box.served >= first.served):
                continue
            if box.has_message(now):
                first = box
        if first is None:
            return None
        self._turn += 1
        first.served = self._turn
        return first.name, first.pop()

    def sweep(self, now: float, count: int = 1) -> None:
        """Look at the next `count` mailboxes: drop what has expired, forget the empty ones.

        Called for each message put, and more often when mailboxes are made, it keeps the memory of
        channels that nobody reads within a small multiple of what `expiry` lets live.
        """
        for _ in range(count):
            channel = next(self._round, None)
            if channel is None:
                self._round = iter(list(self._boxes))
                return
            box = self._boxes[channel]
            box.expire(now)
            if not box.pending and not box.waiters:
                del self._boxes[channel]

    def count(self, now: float) -> int:
        """Drop all that has expired and return how many messages wait."""
        self._round = iter(list(self._boxes))
        self.sweep(now, len(self._boxes))
        return sum(box.pending for box in self._boxes.values())

    def clear(self) -> int:
        """Drop all messages and return how many there were."""
        return sum(box.clear() for box in self._boxes.values())

    async def wait(self, channels: Collection[str], now: float, *, timed: bool) -> None:
        """Wait until one of the channels may have a message, or `wake_all` is called.

        Args:
            channels: At least one.
            now: The time.
            timed: Whether real time passes, so that a timer may wait for delayed messages.
        """
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        due = math.inf
        for channel in channels:
            box = self.open(channel, now)
            box.waiters[waiter] = None
            due = min(due, box.next_due)
        timer = loop.call_later(due - now, _wake, waiter) if timed and due < math.inf else None
        try:
            await waiter
        except asyncio.CancelledError:
            self.pass_on(channels, now)
            raise
        finally:
            for channel in channels:
                if channel in self._boxes:
                    self._boxes[channel].waiters.pop(waiter, None)
            if timer is not None:
                timer.cancel()

    def pass_on(self, channels: Collection[str], now: float) -> None:
        """Wake the next waiters of channels that have messages."""
        for channel in channels:
            box = self._boxes.get(channel)
            if box is not None:
                box.pass_on(now)

    def wake_delayed(self) -> None:
        """Have who waits for a delayed message look at the clock again."""
        for box in self._boxes.values():
            if box.next_due < math.inf:
                box.wake_all()

    def wake_all(self) -> None:
        """Wake everyone who waits."""
        for box in self._boxes.values():
            box.wake_all()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


__all__ = ["ByChannel", "Mailbox", "Mailboxes", "check_count", "check_seconds"]
