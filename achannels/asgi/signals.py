"""A signal that ends uvicorn stops the node first, while sockets can still be told."""

import asyncio
import logging
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any

logger = logging.getLogger("achannels.server")

Before = Callable[[int, FrameType | None], Any]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_LEAST = 0.25
"""Seconds that a server has for its own end at least."""


class Signals:
    """Stands before uvicorn's own handlers of SIGINT and SIGTERM.

    uvicorn closes all sockets at once, waits for their handlers without limit, and ends the
    application's lifespan last. So at the first signal the node stops: its sockets are closed in
    batches, its handlers have `drain_timeout` seconds. Then, or at a second signal, the server gets
    the signal, and what is left of these seconds for its requests, and for clients that do not read
    what they were sent, unless it has a limit of its own. Other servers, and programs with handlers
    of their own, are left alone.

    Args:
        stop: Stops the node.
        patience: Returns the seconds that everything may take.
    """

    def __init__(
        self, stop: Callable[[], Coroutine[Any, Any, None]], patience: Callable[[], float]
    ) -> None:
        self._stop = stop
        self._patience = patience
        self._deadline = 0.0
        self._limited: Any = None
        self._handed_over = False
        self._before: dict[int, Before] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def came(self) -> bool:
        """Whether a signal has come, so that no new node is made."""
        return self._task is not None

    def install(self) -> None:
        """Take the place of uvicorn's handlers, if they are there and this is the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler) and _is_uvicorns(handler):
                self._before[number] = handler
                signal.signal(number, self._handle)
        self._loop = asyncio.get_running_loop()

    def remove(self) -> None:
        """Give uvicorn its place back."""
        if self._limited is not None:
            self._limited.timeout_graceful_shutdown = None
            self._limited = None
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, handler)
        self._before.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        loop = self._loop
        if loop is None or not loop.is_running():
            self._before[number](number, frame)
        elif self._task is not None:
            self._hand_over(loop, number, frame)
        else:
            loop.call_soon_threadsafe(self._begin, number)

    def _begin(self, number: int) -> None:
        loop = self._loop
        if self._task is None and loop is not None:
            self._deadline = loop.time() + self._patience()
            self._task = loop.create_task(self._stop(), name="achannels stop")
            self._task.add_done_callback(lambda done: self._pass_on(loop, number, done))

    def _pass_on(
        self, loop: asyncio.AbstractEventLoop, number: int, done: asyncio.Task[None]
    ) -> None:
        if number in self._before and not self._handed_over:
            self._hand_over(loop, number, None)
        if not done.cancelled() and done.exception() is not None:
            logger.error("the node did not stop cleanly", exc_info=done.exception())

    def _hand_over(
        self, loop: asyncio.AbstractEventLoop, number: int, frame: FrameType | None
    ) -> None:
        self._handed_over = True
        handler: Any = self._before[number]
        config = handler.__self__.config
        if config.timeout_graceful_shutdown is None:
            config.timeout_graceful_shutdown = max(_LEAST, self._deadline - loop.time())
            self._limited = config
        handler(number, frame)


def _is_uvicorns(handler: Any) -> bool:
    uvicorn = sys.modules.get("uvicorn.server")
    owner = getattr(handler, "__self__", None)
    return uvicorn is not None and type(owner) is uvicorn.Server


__all__ = ["Signals"]
