"""Named channels over Redis: receiving, background work, dead letters."""

import asyncio
import itertools
import logging
import secrets
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from achannels.codec import Encoded
from achannels.contracts import DeadLetter, Home, Taken
from achannels.exceptions import ChannelFull, InvalidName
from achannels.layers import several
from achannels.layers.counters import DEAD_LETTERS, check_limit, readable
from achannels.layers.redis.intake import RedisIntake
from achannels.layers.redis.letter import Letter
from achannels.layers.redis.shard import Shard
from achannels.names import check_channel
from achannels.types import Content

logger = logging.getLogger("achannels.layer")

_PAGE = 1_048_576
"""Bytes of dead letters after which an answer of the server ends."""


class RedisWork(RedisIntake):
    """The part of `RedisLayer` that takes from named channels; see there."""

    def _start_over(self) -> None:
        super()._start_over()
        self._taken: dict[tuple[str, str], Letter] = {}
        self._ids = itertools.count(1)
        self._receivable: set[tuple[str, ...]] = set()

    def _in_hand(self) -> int:
        plain = sum(not letter.id for letter in self._taken.values())
        return plain + self._queues.pending + self._receivers.pending

    def renewed(self, shard: Shard) -> None:
        """The lease was renewed: durable messages in hand stay in hand."""
        super().renewed(shard)
        for letter in (*self._taken.values(), *self._queues.leases):
            if letter.id and self._shard_of(letter.channel) is shard:
                shard.submit(
                    "l", letter.channel, letter.id, letter.attempt, int(self._timing.lease * 1000)
                ).add_done_callback(_retrieve)

    # Receiving.

    async def receive(self, channel: str) -> Content:
        """Wait for the next message of a channel. Cancelling loses no message.

        Raises:
            InvalidName: `channel` is no channel name, or one that nobody here receives from.
            LayerClosed: The layer was closed, before or meanwhile.
        """
        return (await self._receive((channel,))).message.decode()

    async def receive_many(self, channels: Collection[str]) -> tuple[str, Content]:
        """Wait for the next message of any of the channels, which take turns.

        Raises:
            ConfigurationError: `channels` is empty, or a `str`.
            InvalidName: One is no channel name, or one that nobody here receives from.
            LayerClosed: The layer was closed, before or meanwhile.
        """
        letter = await self._receive(several(channels))
        return letter.channel, letter.message.decode()

    async def new_channel(self, prefix: str = "specific") -> str:
        """Return a new name for a channel that only this process receives from.

        Raises:
            InvalidName: The prefix has other characters than `a-z A-Z 0-9 . - _`, or is too long.
        """
        if self._closed:
            self._refuse("it has no new channel")
        return check_channel(f"{self.node}!{prefix}.{secrets.token_urlsafe(16)}")

    async def _receive(self, channels: tuple[str, ...]) -> Letter:
        self._check_receivable(channels)
        return await self._run(lambda: self._received(channels), self._unreceive)

    async def _received(self, channels: tuple[str, ...]) -> Letter:
        letter = await self._queues.next(channels, lambda: self._check_open(channels))
        if letter.id:
            _ = self._settle_kept(letter, "A")
        else:
            self.books.delivered += 1
        return letter

    def _unreceive(self, letter: Letter) -> None:
        if not letter.id:
            self.books.delivered -= 1
            self._queues.put_back(letter)

    def _check_open(self, channels: tuple[str, ...]) -> None:
        if self._closed:
            self._refuse(f"nothing comes on {', '.join(channels)} any more")

    def _check_receivable(self, channels: tuple[str, ...]) -> None:
        for channel in channels:
            node, mark, key = check_channel(channel).partition("!")
            if mark and (node != self.node or "." not in key):
                raise InvalidName(
                    f"channel name {channel!r} is that of a socket or of another process: nobody "
                    "here receives from it. Use a name without '!', or one from new_channel()."
                )

    # Background work.

    async def take(
        self,
        channels: Collection[str],
        *,
        slots: int = 1,
        durable: Collection[str] = (),
    ) -> Taken:
        """Wait for a message; see `achannels.contracts.WorkLayer.take`."""
        names = several(channels)
        if names not in self._receivable:
            self._check_receivable(names)
            self._receivable = {names}
        while True:
            letter = await self._take_letter(names, slots, durable)
            try:
                return self._as_taken(letter)
            except ValueError as error:
                if letter.origin is not None:
                    raise
                logger.error("a message on %s cannot be decoded: %s", letter.channel, error)
                lost = Taken(letter.channel, {}, letter.key, letter.attempt, bool(letter.id))
                await self.settle(lost, dead=f"it cannot be decoded: {error}")

    async def _take_letter(
        self, names: tuple[str, ...], slots: int, durable: Collection[str]
    ) -> Letter:
        if self._is_open and asyncio.get_running_loop() is self._home.loop:
            letter = self._queues.pop(names)
            if letter is not None:
                self._remember(letter)
            else:
                letter = await self._take(names, slots, durable)
        else:
            letter = await self._run(lambda: self._take(names, slots, durable), self._untake)
        return letter

    async def _take(
        self, channels: tuple[str, ...], slots: int, durable: Collection[str]
    ) -> Letter:
        letter = await self._queues.next(
            channels, lambda: self._check_open(channels), slots, durable
        )
        self._remember(letter)
        return letter

    def _remember(self, letter: Letter) -> None:
        letter.key = letter.id or f"~{next(self._ids)}"
        self._taken[letter.channel, letter.key] = letter

    def _untake(self, letter: Letter) -> None:
        del self._taken[letter.channel, letter.key]
        self._queues.put_back(letter)

    def _as_taken(self, letter: Letter) -> Taken:
        origin, home = letter.origin, None
        if origin is not None:
            shard = self._shard_of(origin.channel.partition("!")[2])
            home = Home(self.node, int(letter.incarnations.split(",")[shard.index]))
        return Taken(
            letter.channel,
            letter.message.decode(),
            letter.key,
            letter.attempt,
            bool(letter.id),
            origin,
            home,
        )

    async def settle(
        self, taken: Taken, *, again: float | None = None, dead: str | None = None
    ) -> None:
        """Say what became of a message; see `achannels.contracts.WorkLayer.settle`."""
        if self._is_open and asyncio.get_running_loop() is self._home.loop:
            await self._settle(taken, again, dead)
        else:
            await self._run(lambda: self._settle(taken, again, dead))

    async def _settle(self, taken: Taken, again: float | None, dead: str | None) -> None:
        letter = self._taken.pop((taken.channel, taken.id), None)
        if letter is None:
            return
        counted = dead if dead in ("no_handler", "no_route") else "rejected"
        if letter.id:
            if again is not None:
                await self._settle_kept(letter, "a", letter.attempt, int(again * 1000))
            elif dead is not None:
                await self._settle_kept(
                    letter, "X", letter.attempt, counted, DEAD_LETTERS, readable(dead)
                )
            else:
                await self._settle_kept(letter, "A")
        elif again is not None:
            self.books.accepted -= 1
            shard = self._shard_of(letter.channel)
            back = shard.submit(
                "B", letter.channel, letter.attempt + 1, int(again * 1000), letter.body
            )
            back.add_done_callback(self._queues.gave_back)
            await asyncio.shield(back)
        elif dead is not None:
            self.books.drop(counted)
        else:
            self.books.delivered += 1

    def _settle_kept(self, letter: Letter, code: str, *arguments: str | int) -> asyncio.Future[Any]:
        shard = self._shard_of(letter.channel)
        settling = shard.submit(code, letter.channel, letter.id, *arguments)
        settling.add_done_callback(_retrieve)
        return settling

    # Dead letters.

    async def dead_letters(self, channel: str, limit: int = 100) -> list[DeadLetter]:
        """Return the channel's dead letters, oldest first; the newest 1,000 are kept.

        Raises:
            ConfigurationError: `limit` is no number from 1.
        """
        check_channel(channel)
        check_limit(limit)
        return await self._run(lambda: self._dead_letters(channel, limit))

    async def _dead_letters(self, channel: str, limit: int) -> list[DeadLetter]:
        letters: list[DeadLetter] = []
        seen = 0
        while seen < limit:
            found = await self._ask(channel, "V", channel, seen, limit - seen, _PAGE)
            letters += [self._read_letter(id.decode(), each) for id, each in found if each]
            seen += len(found)
            if not found:
                break
        return letters

    def _read_letter(self, id: str, letter: bytes) -> DeadLetter:
        attempts, failed_at, length, rest = letter.split(b" ", 3)
        size = int(length)
        reason = rest[:size].decode()
        try:
            content = Encoded(self._decrypt(rest[size:])).decode()
        except ValueError as error:
            content, reason = {}, f"{reason} (not shown here: {error})"
        at = datetime.fromtimestamp(int(failed_at) / 1000, UTC)
        return DeadLetter(id, content, int(attempts), at, reason)

    async def requeue(self, channel: str, id: str) -> bool:
        """Send a dead letter again as a first attempt; `False` if there is none of that id.

        Raises:
            ChannelFull: There is no room; the letter stays.
        """
        check_channel(channel)
        capacity = self._capacity[channel]
        done = await self._run(lambda: self._ask(channel, "Z", channel, id, capacity))
        if done == b"FULL":
            raise ChannelFull(channel, capacity)
        return bool(done)

    async def drop_letter(self, channel: str, id: str) -> bool:
        """Forget a dead letter; `False` if there is none of that id."""
        check_channel(channel)
        return bool(await self._run(lambda: self._ask(channel, "Y", channel, id)))

    async def _ask(self, channel: str, code: str, *arguments: str | int) -> Any:
        return await self._shard_of(channel).submit(code, *arguments)


def _retrieve(done: asyncio.Future[Any]) -> None:
    if not done.cancelled():
        done.exception()


__all__ = ["RedisWork"]
