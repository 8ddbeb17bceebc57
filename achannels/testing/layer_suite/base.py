"""What the tests of the suite need: a layer, time that passes, and something attached to it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from achannels.codec import Encoded
from achannels.contracts import ChannelLayer, Statistics
from achannels.types import Content

PATIENCE = 5.0
"""Seconds that the suite waits for something that must happen."""


class Connection:
    """A receiver that notes what it gets: a socket as a layer sees one.

    Args:
        layer: It is attached to this layer.
        capacity: Messages that may wait while `reading` is false.

    Attributes:
        channel: Name of its reply channel.
        received: The contents that were delivered, the oldest first.
        gaps: The groups and the reason of each gap that it was told of.
        reading: While false, messages wait, as for a client that does not read.
    """

    def __init__(self, layer: ChannelLayer, capacity: int = 100) -> None:
        self.layer = layer
        self.capacity = capacity
        self.received: list[Content] = []
        self.gaps: list[tuple[list[str], str]] = []
        self._waiting: deque[Encoded] = deque()
        self._reading = True
        self.channel = layer.attach(self)

    @property
    def pending(self) -> int:
        """Messages that wait."""
        return len(self._waiting)

    @property
    def reading(self) -> bool:
        """Whether messages are delivered as they come."""
        return self._reading

    @reading.setter
    def reading(self, value: bool) -> None:
        self._reading = value
        while value and self._waiting:
            self._write(self._waiting.popleft())

    def gap(self, groups: list[str], reason: str, since: float) -> None:
        """Note that messages may have been lost."""
        self.gaps.append((groups, reason))

    def deliver(self, message: Encoded, *, group: bool) -> bool:
        """Take a message; see `achannels.contracts.Receiver`."""
        if self._reading:
            self._write(message)
        elif len(self._waiting) < self.capacity:
            self._waiting.append(message)
        elif group:
            self.layer.books.drop("overflow")
        else:
            return False
        return True

    def close(self) -> None:
        """End: what waits is gone."""
        self.layer.books.drop("gone", len(self._waiting))
        self._waiting.clear()
        self.layer.detach(self.channel)

    def _write(self, message: Encoded) -> None:
        self.received.append(message.decode())
        self.layer.books.delivered += 1


def check_books(books: Statistics) -> None:
    """Assert that a layer's statistics balance and that nothing is negative."""
    dropped = sum(books["dropped"].values())
    assert books["accepted"] == (
        books["delivered"] + books["expired"] + dropped + books["pending"]
    ), books
    numbers = (books["delivered"], books["expired"], books["pending"], *books["dropped"].values())
    assert min(numbers) >= 0, books


class SuiteBase:
    """The hooks of the suite.

    Attributes:
        tick: Seconds between two things that must be told apart by time; 1 or more costs nothing
            when `pass_time` advances a clock.
        silence: Seconds after which a channel counts as empty: longer than a message that is there
            takes to come.
    """

    tick: float = 0.2
    silence: float = 0.02

    async def make_layer(self, **config: Any) -> ChannelLayer:
        """Return a new, empty layer.

        Args:
            **config: Settings that each layer has, with these meanings: `capacity`,
                `channel_capacity`, `expiry`, `channel_expiry`, `group_expiry`, `message_size`.
        """
        raise NotImplementedError("make_layer() must return a new layer made with **config")

    async def pass_time(self, seconds: float) -> None:
        """Let the layer's time pass."""
        await asyncio.sleep(seconds)

    @asynccontextmanager
    async def layer(self, **config: Any) -> AsyncIterator[ChannelLayer]:
        """Make and open a layer; at the end its books must balance, and it is closed."""
        layer = await self.make_layer(**config)
        await layer.open()
        try:
            yield layer
            check_books(await layer.statistics())
        finally:
            await layer.aclose()

    async def eventually(self, happened: Callable[[], bool]) -> None:
        """Wait until something has happened, `PATIENCE` at most."""
        async with asyncio.timeout(PATIENCE):
            while not happened():  # noqa: ASYNC110 - no layer tells when it has come to rest
                await asyncio.sleep(0.001)

    async def receive_all(self, layer: ChannelLayer, channel: str, count: int) -> list[Content]:
        """Receive so many messages of a channel."""
        async with asyncio.timeout(PATIENCE):
            return [await layer.receive(channel) for _ in range(count)]

    async def is_empty(self, layer: ChannelLayer, channel: str) -> bool:
        """Return whether nothing can be received from a channel now."""
        try:
            async with asyncio.timeout(self.silence):
                await layer.receive(channel)
        except TimeoutError:
            return True
        return False


__all__ = ["PATIENCE", "Connection", "SuiteBase", "check_books"]
