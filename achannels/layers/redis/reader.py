"""The way out of a shard: the node reads its log, entry by entry, and commits what it has read."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from redis.exceptions import NoScriptError, RedisError

from achannels.layers.redis.link import Argument, Link, Unsettled, command_of
from achannels.layers.redis.lua import COMMIT
from achannels.layers.redis.registration import Backoff, Registration

logger = logging.getLogger("achannels.layer")

COUNT = 256
"""Entries that are read at once."""

_TURN = 0.002
"""Seconds after which a long batch lets the loop run."""

_BLOCK = 500
"""Milliseconds that the server waits for the first of them."""

_DEFERRED = 20
"""Milliseconds for which a commit may wait for more to commit."""

_ENTRIES = 32
"""Entries after which it waits no longer; a tenth of what the log may hold, if that is less."""

_BYTES = 65_536
"""Their size, likewise."""


class Entry:
    """One entry of the log.

    Attributes:
        kind: Its first byte; see `entries`.
        head: The rest of its first line, split at spaces.
        body: What follows.
        id: Of the entry.
        sequence: The second part of its id.
        stamp: The server's time when it was written, in milliseconds.
    """

    __slots__ = ("body", "head", "id", "kind", "sequence", "stamp")

    def __init__(self, id: bytes, data: bytes) -> None:
        self.id = id
        stamp, _, sequence = id.partition(b"-")
        self.stamp = int(stamp)
        self.sequence = int(sequence)
        line, _, self.body = data.partition(b"\n")
        self.kind = line[:1]
        self.head = line[1:].decode().split(" ")


class Owner(Protocol):
    """Who takes the entries."""

    def take_entry(self, entry: Entry) -> Awaitable[None] | None:
        """Handle an entry; the next waits for what this returns."""

    def take_event(self, entry: Entry) -> None:
        """Handle an event of a socket, when it is certain that no other node will get it."""

    def missed(self, count: int, since: float) -> None:
        """So many group messages found the log full.

        Args:
            count: How many.
            since: Seconds since the log was last read.
        """

    def books_to_publish(self) -> list[Argument]:
        """Return names and numbers, if they have changed and it is time."""

    def books_published(self) -> None:
        """They have arrived."""


class Reader:
    """Reads the log, hands each entry to its owner once, and tells the server how far it is.

    Args:
        link: The reader's own connection, which waits most of the time.
        registration: Of the node in the shard.
        owner: Who takes the entries.
        log_capacity: Entries that may wait in the log.
        log_bytes: Their size.
    """

    def __init__(
        self,
        link: Link,
        registration: Registration,
        owner: Owner,
        log_capacity: int,
        log_bytes: int,
    ) -> None:
        self._link = link
        self._registration = registration
        self._owner = owner
        self._entry_limit = min(_ENTRIES, log_capacity // 10)
        self._byte_limit = min(_BYTES, log_bytes // 10)
        self._loop = asyncio.get_running_loop()
        self.last = "0-0"
        self._sequence = 0
        self._taken: Counter[str] = Counter()
        self._entries = 0
        self._bytes = 0
        self._commit_by = 0.0
        self._held: list[Entry] = []
        self._in_doubt = False
        self._is_away = False
        self._uncommitted: list[int] = []
        self._publishing: list[Argument] = []
        self._caught_up = self._loop.time()
        self._barriers: list[tuple[int, asyncio.Future[None]]] = []

    def restart(self, last: str) -> None:
        """The node has registered: its log begins after this id, and is empty."""
        self.last = last
        self._sequence = int(last.partition("-")[2])
        self._taken.clear()
        self._entries = self._bytes = 0
        self._held.clear()
        self._in_doubt = False
        self._uncommitted.clear()
        self._caught_up = self._loop.time()
        for _, barrier in self._barriers:
            if not barrier.done():
                barrier.set_result(None)
        self._barriers.clear()

    async def read_past(self, sequence: int) -> None:
        """Wait until the entry with this sequence, and all before it, have been handled."""
        if sequence > self._sequence or self._held:
            barrier = self._loop.create_future()
            self._barriers.append((sequence, barrier))
            await barrier

    def uncommitted(self, position: str) -> int:
        """Return how many direct messages were handled that a commit up to there leaves out."""
        sequence = int(position.partition("-")[2])
        return sum(each > sequence for each in self._uncommitted)

    @property
    def behind(self) -> float:
        """Seconds since the end of the log was reached: no entry that comes now is older."""
        return self._loop.time() - self._caught_up

    def is_fresh(self, entry: Entry, expiry: float) -> bool:
        """Return whether an entry is younger than `expiry` seconds.

        It is when the reader has been at the end of the log since, whatever the clocks say.
        """
        if self.behind < expiry:
            return True
        server = self._loop.time() + self._registration.offset
        return entry.stamp / 1000 + expiry > server

    async def run(self) -> None:
        """Read until cancelled."""
        backoff = Backoff()
        registration = self._registration
        while True:
            await registration.ready.wait()
            mine = registration.incarnation
            self._in_doubt |= self._link.is_stale
            try:
                accepted = await self._confirm(mine) and await self._read(mine)
                backoff.reset()
                if self._is_away:
                    self._is_away = False
                    logger.warning("%s answers again", self._link.name)
            except (Unsettled, RedisError) as error:
                if not self._is_away:
                    self._is_away = True
                    logger.warning("%s does not answer: %s", self._link.name, error)
                self._in_doubt = True
                await self._link.drop()
                await backoff.wait()
                continue
            if not accepted:
                self._held.clear()
                await registration.register_again(mine)

    async def _confirm(self, mine: str) -> bool:
        """Commit on a new connection before anything else; return whether the node is accepted.

        A server that has lost its data says so now, and not when the node's log, which others
        write into meanwhile in vain, is read next.
        """
        if not self._in_doubt:
            return True
        answer = await self._link.call(
            COMMIT, self._registration.key, self._commit(always=True) or ()
        )
        return await self._judge(answer, mine)

    async def _judge(self, answer: list[bytes], mine: str) -> bool:
        """Take the answer to a commit; return whether the node is accepted."""
        if answer[0] == b"MOVING":
            raise Unsettled("the shard is moving to another server")
        if answer[0] != b"OK":
            await self._link.drop()
            return False
        if self._registration.incarnation == mine:
            self._in_doubt = False
            self._committed()
        return True

    async def _read(self, mine: str) -> bool:
        """Commit what was read, read on, and hand over; return whether the node is accepted."""
        registration, link = self._registration, self._link
        written = registration.written
        commands: list[tuple[Argument, ...]] = []
        commit = self._commit()
        if commit is not None:
            commands.append(command_of(COMMIT, registration.key, commit))
        log = f"{registration.prefix}log:{registration.node}"
        block = _DEFERRED if commit is None and self._entries else _BLOCK
        commands.append(("XREAD", "COUNT", COUNT, "BLOCK", block, "STREAMS", log, self.last))
        async with link.guard(_BLOCK / 1000):
            await link.send(commands)
            answer: Any = await link.read() if commit is not None else None
            committed = answer is not None and not isinstance(answer, Exception)
            if committed and not await self._judge(answer, mine):
                return False
            streams = await link.read()
        if isinstance(answer, NoScriptError):
            await link.load()
            return True
        for each in (answer, streams):
            if isinstance(each, Exception):
                raise each
        if registration.incarnation == mine:
            await self._hand_over(streams[0][1] if streams else (), mine, written)
        return True

    def _commit(self, *, always: bool = False) -> list[Argument] | None:
        """Return the arguments of a commit, if there is anything to commit that cannot wait."""
        registration = self._registration
        self._publishing = self._owner.books_to_publish()
        if not (always or self._publishing or (self._entries and self._is_urgent())):
            return None
        arguments: list[Argument] = [
            *registration.head,
            self.last,
            registration.committed,
            registration.candidate,
            self._bytes,
            len(self._taken),
        ]
        for local, count in self._taken.items():
            arguments += (local, count)
        return arguments + self._publishing

    def _is_urgent(self) -> bool:
        """Return whether a commit cannot wait.

        It makes room for direct messages, and releases events. Else it only shortens the log.
        """
        return (
            bool(self._taken or self._held)
            or self._entries >= self._entry_limit
            or self._bytes >= self._byte_limit
            or self._loop.time() >= self._commit_by
        )

    def _committed(self) -> None:
        self._registration.committed = self.last
        self._taken.clear()
        self._entries = self._bytes = 0
        self._uncommitted.clear()
        if self._publishing:
            self._owner.books_published()
        held, self._held = self._held, []
        for entry in held:
            if entry.kind == b"E":
                self._owner.take_event(entry)
            else:
                self._owner.take_entry(entry)
        if held:
            self._pass_barriers()

    async def _hand_over(
        self, entries: Sequence[tuple[bytes, list[bytes]]], mine: str, written: int
    ) -> None:
        began = self._loop.time()
        until = began + _TURN
        if not entries and written > self._sequence:
            self._skip_to(written)
        for id, (_, data) in entries:
            entry = Entry(id, data)
            self._skip_to(entry.sequence - 1)
            self._sequence = entry.sequence
            self.last = id.decode()
            if not self._entries:
                self._commit_by = began + _DEFERRED / 1000
            self._entries += 1
            self._bytes += len(data)
            if entry.kind == b"D":
                self._taken[entry.head[0]] += 1
                self._uncommitted.append(entry.sequence)
            if entry.kind == b"E" or (self._held and entry.kind == b"-"):
                self._held.append(entry)  # what a node has sent comes before its end
                continue
            waited = await self._take(entry)
            if not waited:
                if self._loop.time() <= until:
                    continue
                await asyncio.sleep(0)
            if self._registration.incarnation != mine:
                return
            until = self._loop.time() + _TURN
        if len(entries) < COUNT:
            self._caught_up = began
        self._pass_barriers()

    async def _take(self, entry: Entry) -> bool:
        """Have the owner handle an entry; return whether that took a while."""
        try:
            waits = self._owner.take_entry(entry)
            if waits is not None:
                await waits
        except Exception:
            logger.exception("an entry of kind %r could not be handled", entry.kind)
            return True
        return waits is not None

    def _skip_to(self, sequence: int) -> None:
        """Notice a hole: messages that found the log full."""
        if sequence > self._sequence:
            missed = sequence - self._sequence
            self._sequence = sequence
            self._owner.missed(missed, self.behind)

    def _pass_barriers(self) -> None:
        waiting = []
        for sequence, barrier in self._barriers:
            if sequence > self._sequence or self._held:
                waiting.append((sequence, barrier))
            elif not barrier.done():
                barrier.set_result(None)
        self._barriers = waiting


__all__ = ["COUNT", "Entry", "Owner", "Reader"]
