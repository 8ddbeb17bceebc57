"""Named channels as this node uses them: it takes what it has room for, and gives back the rest."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from achannels.exceptions import LayerUnavailable
from achannels.layers.counters import Counters
from achannels.layers.redis.encryption import Undecipherable
from achannels.layers.redis.letter import Letter
from achannels.layers.redis.shard import Shard

logger = logging.getLogger("achannels.layer")

_POLL = 1.0
"""Seconds after which who waits looks again, should the node that was told of a message have died."""


class _Waiter:
    """A caller who waits.

    Attributes:
        woken: It has a reason to look.
        owes: The reason is a message in a shard of which nobody else was told.
    """

    __slots__ = ("_future", "owes", "woken")

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None
        self.woken = False
        self.owes = False

    def wake(self, *, owes: bool = False) -> None:
        self.woken = True
        self.owes = self.owes or owes
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def sleep(self, seconds: float) -> None:
        if self.woken:
            return
        loop = asyncio.get_running_loop()
        self._future = loop.create_future()
        timer = loop.call_later(seconds, self.wake)
        try:
            await self._future
        finally:
            timer.cancel()


class Queues:
    """Takes messages for those who wait here.

    A shard is asked for messages; when it has none it remembers that this node waits, and writes a
    poke into the node's log when one comes. No connection waits for a channel.

    Args:
        books: Of the layer.
        shard_of: Returns the shard of a channel.
        lease: Seconds after which an unsettled durable message goes to another worker.
        incarnations: Returns those of this node in all shards, joined by commas.
        decrypt: Makes the content readable.
    """

    def __init__(
        self,
        books: Counters,
        shard_of: Callable[[str], Shard],
        lease: float,
        incarnations: Callable[[], str],
        decrypt: Callable[[bytes], bytes],
    ) -> None:
        self._books = books
        self._shard_of = shard_of
        self._lease = int(lease * 1000)
        self._incarnations = incarnations
        self._decrypt = decrypt
        self._stock: dict[str, deque[Letter]] = {}
        self._waiters: dict[str, dict[_Waiter, None]] = {}
        self._served: dict[str, int] = {}
        self._turn = 0

    @property
    def pending(self) -> int:
        """Messages in stock that only this node knows of."""
        return sum(not each.id for letters in self._stock.values() for each in letters)

    @property
    def has_waiters(self) -> bool:
        """Whether anyone waits for a message."""
        return bool(self._waiters)

    @property
    def leases(self) -> list[Letter]:
        """Durable messages in stock."""
        return [each for letters in self._stock.values() for each in letters if each.id]

    async def next(
        self,
        channels: tuple[str, ...],
        check: Callable[[], None],
        slots: int = 1,
        durable: Collection[str] | None = None,
    ) -> Letter:
        """Wait for a message.

        Args:
            channels: Of any of them; they take turns.
            check: Raises when nobody may wait any more.
            slots: How many messages the caller can take one after the other, without waiting.
            durable: The channels whose messages are kept until they are settled; `None` if the
                caller does not know.
        """
        waiter = _Waiter()
        due = 0.0
        try:
            with self._waiting(waiter, channels):
                while True:
                    check()
                    letter = self.pop(channels)
                    if letter is not None:
                        break
                    if due:
                        await waiter.sleep(due)
                        due = 0.0
                    else:
                        due = await self._look(waiter, channels, slots, durable)
        except asyncio.CancelledError:
            self.offer(channels)
            if waiter.owes:
                self._pass_on(channels)
            raise
        if waiter.owes:
            self._pass_on(channels)
        return letter

    def poke(self, shard: Shard, channel: str) -> None:
        """A message has come; the shard told this node alone."""
        waiters = self._waiters.get(channel)
        if waiters:
            self._wake_one(channel, owes=True)
        else:
            shard.submit("P", channel).add_done_callback(_ignore)

    def put_back(self, letter: Letter) -> None:
        """Return a message that reached nobody to the head of its channel."""
        self._stock.setdefault(letter.channel, deque()).appendleft(letter)
        self.offer((letter.channel,))

    def offer(self, channels: Collection[str]) -> None:
        """Have someone else here take what is in stock, or give it back to the shard."""
        for channel in channels:
            if not self._stock.get(channel):
                continue
            if self._waiters.get(channel):
                self._wake_one(channel)
            else:
                self._give_back(channel)

    def wake_all(self) -> None:
        """Have everyone who waits look again."""
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.wake()

    def give_all_back(self) -> None:
        """Give all that is in stock back to the shards."""
        for channel in list(self._stock):
            self._give_back(channel)

    def take_homed(self) -> list[Letter]:
        """Return the events in stock, which cannot be given back."""
        homed = [each for letters in self._stock.values() for each in letters if each.origin]
        self.forget()
        return homed

    def forget(self) -> int:
        """Drop what is in stock; return how many messages only this node knew of."""
        pending = self.pending
        self._stock.clear()
        return pending

    def pop(self, channels: tuple[str, ...]) -> Letter | None:
        """Return a message from the stock, if one of these channels has any."""
        stock = self._stock
        ready = [each for each in channels if each in stock] if stock else ()
        if not ready:
            return None
        channel = ready[0]
        if len(channels) > 1:
            channel = min(ready, key=lambda each: self._served.get(each, 0))
            self._serve(channel)
        letters = stock[channel]
        letter = letters.popleft()
        if not letters:
            del stock[channel]
        return letter

    def _serve(self, channel: str) -> None:
        self._turn += 1
        self._served.pop(channel, None)
        self._served[channel] = self._turn
        if len(self._served) > 1_000:
            del self._served[next(iter(self._served))]

    async def _look(
        self,
        waiter: _Waiter,
        channels: tuple[str, ...],
        slots: int,
        durable: Collection[str] | None,
    ) -> float:
        """Ask for messages; a caller who is cancelled meanwhile still owes what it owed."""
        owed = waiter.owes
        waiter.woken = waiter.owes = False
        try:
            return await self._fetch(channels, slots, durable)
        except asyncio.CancelledError:
            waiter.owes = waiter.owes or owed
            raise

    async def _fetch(
        self, channels: tuple[str, ...], slots: int, durable: Collection[str] | None
    ) -> float:
        """Ask the shards for messages; return seconds until a delayed one is due."""
        due = _POLL
        turns: dict[Shard, list[str]] = {}
        for channel in sorted(channels, key=lambda each: self._served.get(each, 0)):
            turns.setdefault(self._shard_of(channel), []).append(channel)
        for shard, names in turns.items():
            answer = await self._ask(shard, names, slots, durable)
            if answer is None:
                continue
            count = self._store(names, answer)
            slots -= count
            if count:
                if answer[1]:
                    self._wake_others(names)
                if slots <= 0:
                    return 0.0
            elif answer[0] >= 0:
                due = min(due, answer[0] / 1000)
        return due

    async def _ask(
        self, shard: Shard, names: list[str], slots: int, durable: Collection[str] | None
    ) -> list[Any] | None:
        """Ask one shard; `None` when it does not answer: what it may have given comes later."""
        arguments: list[str | int] = [
            slots,
            self._lease,
            int(self._have_others(names)),
            self._incarnations(),
        ]
        for name in names:
            known = "" if durable is None else "1" if name in durable else "0"
            arguments += (name, known)
        take_back = partial(self._take_back, names)
        taking = shard.submit("T", *arguments, undo=take_back)
        try:
            answer: list[Any] = await taking
        except asyncio.CancelledError:
            if taking.done() and not taking.cancelled() and taking.exception() is None:
                take_back(taking.result())  # it came in the same turn
            raise
        except LayerUnavailable:
            return None
        return answer

    def _store(self, channels: Collection[str], answer: list[Any]) -> int:
        """Keep what came; what no key opens is counted.

        A durable message waits for who has the key: it comes again after a lease, as if nobody had
        taken it.
        """
        count = 0
        for channel, messages in zip(channels, answer[2:], strict=True):
            letters = self._stock.get(channel) or deque()
            for each in messages:
                is_kept = not isinstance(each, bytes) and bool(each[0])
                if not is_kept:
                    self._books.accepted += 1
                try:
                    letters.append(Letter(channel, each, self._decrypt))
                except Undecipherable as error:
                    logger.error("a message on %s was written with another key: %s", channel, error)
                    if is_kept:
                        back = self._shard_of(channel).submit("u", channel, self._lease, each[0])
                        back.add_done_callback(_ignore)
                    else:
                        self._books.drop("rejected")
                    if not isinstance(each, bytes) and each[3]:
                        self._tell_owner(channel, each[3])
                else:
                    count += 1
            if letters:
                self._stock[channel] = letters
        return count

    def _tell_owner(self, channel: str, origin: bytes) -> None:
        """Tell the node of a socket that the home of its event cannot read it."""
        node, local, term, number, *_ = origin.decode().split(" ")
        entry = f"N{local} {term} {number}\n"
        telling = self._shard_of(channel).submit("W", node, entry, patient=True)
        telling.add_done_callback(_ignore)

    def _take_back(self, channels: Collection[str], answer: list[Any]) -> None:
        """Messages came for a caller that was cancelled meanwhile."""
        if self._store(channels, answer):
            self.offer(channels)
        if answer[1]:
            self._wake_others(channels)

    def _give_back(self, channel: str) -> None:
        letters = self._stock.pop(channel)
        homed = deque(each for each in letters if each.origin is not None)
        if homed:  # whose home this node is already
            self._stock[channel] = homed
        shard = self._shard_of(channel)
        for letter in reversed(letters):
            if letter.origin is not None:
                continue
            if letter.id:
                shard.submit("u", channel, 0, letter.id).add_done_callback(_ignore)
                continue
            self._books.accepted -= 1
            back = shard.submit("U", channel, letter.expires, letter.body)
            back.add_done_callback(self.gave_back)

    def gave_back(self, back: asyncio.Future[Any]) -> None:
        """What the books do not count here any more was given to the shard, or is lost."""
        if back.cancelled() or back.exception() is not None:
            self._books.accepted += 1
            self._books.drop("gone")

    @contextmanager
    def _waiting(self, waiter: _Waiter, channels: tuple[str, ...]) -> Iterator[None]:
        for channel in channels:
            self._waiters.setdefault(channel, {})[waiter] = None
        try:
            yield
        finally:
            for channel in channels:
                waiters = self._waiters[channel]
                waiters.pop(waiter, None)
                if not waiters:
                    del self._waiters[channel]

    def _pass_on(self, channels: Collection[str]) -> None:
        """Who was told of a message does not look for it: have someone else look."""
        for channel in channels:
            if channel in self._waiters:
                self._wake_one(channel, owes=True)
            else:
                self._shard_of(channel).submit("P", channel).add_done_callback(_ignore)

    def _have_others(self, channels: Collection[str]) -> bool:
        return any(len(self._waiters[channel]) > 1 for channel in channels)

    def _wake_one(self, channel: str, *, owes: bool = False) -> None:
        waiters = self._waiters[channel]
        idle = (each for each in waiters if not each.woken)
        next(idle, next(iter(waiters))).wake(owes=owes)

    def _wake_others(self, channels: Collection[str]) -> None:
        for channel in channels:
            if channel in self._waiters:
                self._wake_one(channel, owes=True)


def _ignore(done: asyncio.Future[Any]) -> None:
    """Retrieve the exception of something that repairs itself with time."""
    if not done.cancelled():
        done.exception()


__all__ = ["Queues"]
