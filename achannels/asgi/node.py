"""Node: one process's runtime: its loop, its layer, its sockets and requests, its worker."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol
from weakref import WeakSet

from achannels.asgi.deadlines import Deadlines
from achannels.asgi.interface import Interface
from achannels.asgi.limits import Limits
from achannels.asgi.origin import OriginCheck
from achannels.asgi.settings import Settings
from achannels.channel import Channel
from achannels.contracts import ChannelLayer
from achannels.dispatch import Dispatcher
from achannels.options import Options
from achannels.worker import Worker

logger = logging.getLogger("achannels.server")

EMBEDDED = ("websocket.", "http.")
"""Channels whose messages are handled where the socket is, and never queue."""

_BATCH = 20
"""Sockets that are closed at once when the node stops."""

_CLOSED_PER_SECOND = 1000
"""How fast, unless half of `drain_timeout` is shorter."""

_LAST_WORDS = 1.0
"""Seconds for the disconnect handlers of sockets whose handlers had to be cancelled."""


class Ending(Protocol):
    """A socket or request that can be told to end."""

    def end(self, code: int, *, now: bool = False) -> None:
        """End with a close code, between two messages, or `now`: cancel the handler that runs."""


class Node:
    """What the sockets of one event loop share.

    Args:
        dispatcher: Finds and calls the consumers.
        layer: What carries messages.
        settings: Of the application.
        origin: Decides which pages may open a socket.
    """

    holds_sockets = True
    """Sockets and requests come to this node, unlike to one that only runs consumers."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        layer: ChannelLayer,
        settings: Settings,
        origin: OriginCheck,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.dispatcher = dispatcher
        self.router = dispatcher.router
        self.layer = layer
        self.settings = settings
        self.origin = origin
        self.sockets: set[Ending] = set()
        self.draining = False
        self.stopped = False
        self.worker: Worker | None = None
        self.interface: Interface | None = None
        self.handshakes = Deadlines(settings.handshake_timeout)
        self._limits: dict[Options | None, Limits] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: asyncio.Task[None] | None = None
        self._emptied: asyncio.Future[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        nodes.add(self)
        self.channels = {
            name: Channel(name, channel_layer=layer)
            for name in (
                "websocket.connect",
                "websocket.receive",
                "websocket.disconnect",
                "websocket.gap",
                "http.request",
                "http.disconnect",
            )
        }

    @property
    def tasks(self) -> int:
        """Tasks that the node owns."""
        return len(self._tasks) + (self.worker.busy if self.worker else 0)

    async def start(self) -> None:
        """Open the layer.

        Raises:
            ConfigurationError: The layer lives on another loop.
        """
        await self.layer.open()
        if self.settings.mode == "interface" and self.holds_sockets:
            self.interface = Interface(self.layer, frozenset(self.router.channels), self.spawn)
        for tell in starting:
            await tell(self)

    def work(self) -> None:
        """Start the worker, if there are background channels here and it does not run.

        Raises:
            ConfigurationError: The layer cannot do what a consumer asks.
        """
        if self.worker is not None or self.interface is not None:
            return
        background = [name for name in self.router.channels if not name.startswith(EMBEDDED)]
        if background:
            self.worker = Worker(self.dispatcher, self.layer, background, self.settings.concurrency)
            self._run_worker(self.worker)

    def _run_worker(self, worker: Worker) -> None:
        self._running = self.loop.create_task(worker.run(), name="achannels worker")
        self._running.add_done_callback(_report)

    async def _end_running(self) -> None:
        """Have the worker take no more."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.wait([running])

    async def stop(self) -> None:
        """Close all sockets with 1012, run their disconnect handlers, finish what is in hand.

        Returns within `drain_timeout`: a second before, or a quarter of it, handlers that still run
        are cancelled. Who calls it meanwhile waits for the same end.
        """
        if self._stopping is None:
            self.draining = True
            deadline = self.loop.time() + self.settings.drain_timeout
            self._stopping = self.loop.create_task(self._stop(deadline), name="achannels stop")
        await asyncio.shield(self._stopping)

    async def _stop(self, deadline: float) -> None:
        await self._end_running()
        await self._close_sockets(deadline)
        last_words = min(_LAST_WORDS, self.settings.drain_timeout / 4)
        cancelled = deadline - last_words
        if self.worker is not None:
            await self.worker.stop(max(0.0, cancelled - self.loop.time()))
            self.worker = None
        await self._wait_emptied(max(0.0, cancelled - self.loop.time()))
        for socket in list(self.sockets):
            socket.end(1012, now=True)
        if self.sockets:
            self.dispatcher.threads.abandon()
        await self._wait_emptied(last_words)
        if self.interface is not None:
            await self.interface.accepted(max(last_words, deadline - self.loop.time()))
        await self._end_tasks(deadline)
        if self.interface is not None:
            self.interface.close()
        self.handshakes.close()
        self.dispatcher.threads.abandon()
        self.dispatcher.threads.close()
        self.stopped = True
        nodes.discard(self)

    def limits(self, options: Options | None) -> Limits:
        """Return what may wait for a client of a consumer with these options."""
        found = self._limits.get(options)
        if found is None:
            settings = self.settings
            found = self._limits[options] = Limits(
                (options and options.outbox_capacity) or settings.outbox_capacity,
                (options and options.outbox_bytes) or settings.outbox_bytes,
                (options and options.overflow) or settings.overflow,
                settings.stall_timeout,
            )
        return found

    def leave(self, socket: Ending) -> None:
        """Forget a socket that ended."""
        self.sockets.discard(socket)
        if not self.sockets and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that the node owns; its exception is logged."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def run_beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task that the node owns and nobody waits for."""
        _ = self.spawn(work)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        _report(task)

    async def _close_sockets(self, deadline: float) -> None:
        """Close all sockets in batches, spread with jitter, so that not all come back at once."""
        sockets = list(self.sockets)
        random.shuffle(sockets)
        spread = min(len(sockets) / _CLOSED_PER_SECOND, (deadline - self.loop.time()) / 2)
        for start in range(0, len(sockets), _BATCH):
            if start:
                jitter = random.uniform(0.5, 1.5)
                await asyncio.sleep(spread * _BATCH / len(sockets) * jitter)
            for socket in sockets[start : start + _BATCH]:
                socket.end(1012)

    async def _wait_emptied(self, timeout: float) -> None:
        if self.sockets:
            self._emptied = self.loop.create_future()
            await asyncio.wait([self._emptied], timeout=timeout)

    async def _end_tasks(self, deadline: float) -> None:
        while self._tasks:
            left = deadline - self.loop.time()
            if left <= 0:
                for task in self._tasks:
                    task.cancel()
            await asyncio.wait(self._tasks, timeout=left if left > 0 else _LAST_WORDS)
            if left <= 0:
                return


starting: list[Callable[[Node], Awaitable[None]]] = []
"""Awaited by each node that has opened its layer, before it serves anything."""

nodes: WeakSet[Node] = WeakSet()
"""The nodes of this process that were not stopped; tests look for leaks in them."""


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.error("a task of the node failed", exc_info=task.exception())


__all__ = ["EMBEDDED", "Ending", "Node", "nodes", "starting"]
