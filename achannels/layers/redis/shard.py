"""One shard as this node sees it: what goes in, what comes out, and the registration behind both."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from redis.exceptions import RedisError

from achannels.exceptions import LayerUnavailable
from achannels.layers.redis.link import ELSEWHERE, Argument, Link, Unsettled
from achannels.layers.redis.reader import Entry, Reader
from achannels.layers.redis.registration import Backoff, Loss, Registration, Timing, now
from achannels.layers.redis.sender import Sender
from achannels.layers.redis.servers import Place

logger = logging.getLogger("achannels.layer")


class Keeper(Protocol):
    """What a shard asks of its layer."""

    def groups_in(self, shard: "Shard") -> list[str]:
        """Return the groups of the shard that have members here."""

    def registered(self, shard: "Shard", loss: Loss | None) -> None:
        """The node has registered; with a loss, what waited for it is gone."""

    def renewed(self, shard: "Shard") -> None:
        """The lease was renewed."""

    def take_entry(self, shard: "Shard", entry: Entry) -> Awaitable[None] | None:
        """Handle an entry; the next waits for what this returns."""

    def take_event(self, shard: "Shard", entry: Entry) -> None:
        """Handle an event of a socket that has its home here."""

    def missed(self, shard: "Shard", count: int, since: float) -> None:
        """So many group messages found the log full."""

    def books_to_publish(self, shard: "Shard") -> list[Argument]:
        """Return names and numbers, if they have changed and it is time."""

    def books_published(self, shard: "Shard") -> None:
        """They have arrived."""


class Shard:
    """Three connections: commands, the log, and the lease, so that none waits behind another.

    Args:
        index: Its place among the shards.
        tag: Its hash tag.
        place: Where its data lives.
        node: This node.
        timing: How long things may take.
        log_capacity: Entries that may wait in the log of a node.
        log_bytes: Their size.
        keeper: The layer.
    """

    def __init__(
        self,
        index: int,
        tag: str,
        place: Place,
        node: str,
        timing: Timing,
        log_capacity: int,
        log_bytes: int,
        keeper: Keeper,
    ) -> None:
        self.index = index
        self.name = place.name
        self.timing = timing
        self._keeper = keeper
        self._links = [Link(place, timing.send_timeout) for _ in range(3)]
        commands, log, control = self._links
        self.registration = Registration(
            node,
            tag,
            control,
            timing,
            lambda: keeper.groups_in(self),
            self._registered,
            lambda: keeper.renewed(self),
        )
        self.reader = Reader(log, self.registration, self, log_capacity, log_bytes)
        self.sender = Sender(
            place.name, commands, self.registration, timing.send_timeout, log_capacity, log_bytes
        )
        self.submit = self.sender.submit
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Register and begin to read; waits while the shard moves to another server.

        Raises:
            LayerUnavailable: The server does not answer, or refuses.
        """
        backoff, deadline = Backoff(), now() + self.timing.send_timeout
        while not self.registration.incarnation:
            try:
                await self.registration.register()
            except (Unsettled, RedisError) as error:
                if not isinstance(error, ELSEWHERE) or now() > deadline:
                    raise LayerUnavailable(
                        f"the channel layer cannot use {self.name}: {error}. Start the server, or "
                        "mend CONFIG 'hosts'.",
                        outcome="refused",
                    ) from error
                await backoff.wait()
        loop = asyncio.get_running_loop()
        for work in (self.sender.run, self.reader.run, self.registration.keep_alive):
            task = loop.create_task(self._go_on(work), name=f"achannels {work.__qualname__}")
            self._tasks.append(task)

    async def _go_on(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run one of the shard's tasks until cancelled.

        After an error in one the node registers anew: it must not live on deaf, or dumb.
        """
        backoff = Backoff()
        failed = ""
        while True:
            try:
                if failed:
                    await self.registration.register_again(failed)
                await work()
            except Exception:
                logger.critical("the channel layer has failed, and registers anew", exc_info=True)
                failed = self.registration.incarnation
                await backoff.wait()

    async def close(self, error: Callable[[], Exception]) -> None:
        """Leave the shard, and fail what waits.

        Args:
            error: Makes what the waiting callers get.
        """
        await self._end_tasks()
        self.sender.close(error)
        if self.registration.incarnation:
            try:
                await self.registration.leave()
            except (Unsettled, RedisError) as reason:
                logger.warning(
                    "could not leave %s (%s); the other nodes forget this one within %s s",
                    self.name,
                    reason,
                    self.timing.lease,
                )
        for link in self._links:
            await link.close()

    def abandon(self) -> list[Any]:
        """Forget everything without touching it; return what must not be collected.

        For a forked child, whose connections are its parent's, and for a loop that has stopped.
        """
        return [link.abandon() for link in self._links] + list(self._tasks)

    # What the reader hands over.

    def take_entry(self, entry: Entry) -> Awaitable[None] | None:
        """Handle an entry; see `achannels.layers.redis.reader.Owner`."""
        return self._keeper.take_entry(self, entry)

    def take_event(self, entry: Entry) -> None:
        """Handle an event of a socket; see `achannels.layers.redis.reader.Owner`."""
        self._keeper.take_event(self, entry)

    def missed(self, count: int, since: float) -> None:
        """Some messages were missed; see `achannels.layers.redis.reader.Owner`."""
        self._keeper.missed(self, count, since)

    def books_to_publish(self) -> list[Argument]:
        """Return the books; see `achannels.layers.redis.reader.Owner`."""
        return self._keeper.books_to_publish(self)

    def books_published(self) -> None:
        """They have arrived; see `achannels.layers.redis.reader.Owner`."""
        self._keeper.books_published(self)

    def _registered(self, last: str, loss: Loss | None) -> None:
        self.reader.restart(last)
        self.sender.restart()
        self._keeper.registered(self, loss)

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks.clear()


__all__ = ["Keeper", "Shard"]
