"""Applications of split mode in the process of the test: an interface, and workers beside it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from achannels.asgi import Application
from achannels.home.homes import Homes
from achannels.home.node import WorkerNode
from achannels.home.running import channels_of
from tests.split.layer import World, WorldLayer


class Worker:
    """A worker process of an application, in this process."""

    def __init__(self, world: World, routing: Any, **options: Any) -> None:
        self.world = world
        self.layer = world.layer()
        self.application = Application(routing, layer=self.layer, **options)
        self.application._layer = self.layer
        self.application.node_class = partial(
            WorkerNode,
            channels=channels_of(self.application),
            concurrency=self.application.settings.concurrency,
            http=self.application.http,
        )
        self._stack = AsyncExitStack()
        self.is_running = False

    async def start(self) -> None:
        await self._stack.enter_async_context(self.application)
        self.is_running = True

    async def stop(self) -> None:
        """SIGTERM: drain and leave."""
        self.is_running = False
        await self._stack.aclose()

    async def kill(self) -> None:
        """SIGKILL: end without a word, but for the tasks of this process."""
        self.is_running = False
        node = self.node
        self.world.kill(self.layer)
        await node._end_running()
        await self.homes.close()
        assert node.worker is not None
        await node.worker.stop(0.0)
        node.stopped = True

    @property
    def node(self) -> WorkerNode:
        node = self.application._node
        assert isinstance(node, WorkerNode)
        return node

    @property
    def homes(self) -> Homes:
        homes = self.node._homes
        assert homes is not None
        return homes


class Site:
    """One interface and its workers.

    Args:
        routing: Of all of them.
        options: Further arguments of `Application`.
    """

    def __init__(self, routing: Any, *, world: World | None = None, **options: Any) -> None:
        self.world = world or World()
        self.routing = routing
        self.options = options
        self.layer: WorldLayer = self.world.layer()
        self.interface = Application(routing, layer=self.layer, mode="interface", **options)
        self.interface._layer = self.layer
        self.workers: list[Worker] = []

    async def start_worker(self, **options: Any) -> Worker:
        worker = Worker(self.world, self.routing, **{**self.options, **options})
        self.workers.append(worker)
        await worker.start()
        return worker


@asynccontextmanager
async def site(routing: Any, *, workers: int = 1, **options: Any) -> AsyncIterator[Site]:
    """A running site."""
    made = Site(routing, **options)
    try:
        async with made.interface:
            for _ in range(workers):
                await made.start_worker()
            yield made
    finally:
        for worker in made.workers:
            if worker.is_running:
                await worker.stop()
