"""Deadlines: one timer for many waits of the same length, nearly all of which end early."""

import asyncio
from collections.abc import Hashable
from typing import Protocol


class Late(Hashable, Protocol):
    """Something that can be too late."""

    def too_late(self) -> None:
        """Called once, when its time is over."""


class Deadlines:
    """Calls `too_late()` on what was added and not discarded within `timeout` seconds.

    A timer of the loop per socket would cost more than the rest of its handshake.
    """

    __slots__ = ("_loop", "_timeout", "_timer", "_until")

    def __init__(self, timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._until: dict[Late, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, thing: Late) -> None:
        """Start the time of `thing`."""
        self._until[thing] = self._loop.time() + self._timeout
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout, self._look)

    def discard(self, thing: Late) -> None:
        """End the time of `thing`; no error if it has none."""
        self._until.pop(thing, None)

    def close(self) -> None:
        """End the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._until:
            thing, until = next(iter(self._until.items()))
            if until > now:
                self._timer = self._loop.call_later(until - now, self._look)
                return
            del self._until[thing]
            thing.too_late()


__all__ = ["Deadlines", "Late"]
