"""What sockets and requests do in one process, they do in split mode too: the same tests again.

Each test of `tests.asgi` runs here with an `Application` in whose place stand an interface and a
worker. Left out is what speaks of the inside of one process.
"""

import asyncio
from collections.abc import Iterator
from functools import partial
from types import ModuleType
from typing import Any

import pytest

from achannels import registry
from achannels.asgi import Application
from achannels.asgi.node import Node
from achannels.home import desk
from achannels.home.node import WorkerNode
from achannels.home.running import channels_of
from achannels.types import Receive, Scope, Send
from tests.asgi import test_backpressure, test_http, test_threads, test_websocket
from tests.split.layer import World, WorldLayer

MODULES = (test_websocket, test_http, test_threads, test_backpressure)

LEFT_OUT = {
    "test_class_events_run_between_the_frames": "an event comes after the frames that left before",
    "test_an_unknown_event_is_logged_and_counted_and_the_socket_stays": "the interface counts it "
    "as delivered to the home",
    "test_a_reply_to_a_slow_client_waits_until_it_reads": "the first replies go ahead",
    "test_drop_oldest_never_drops_a_reply": "it waits for a reply that comes within one turn",
    "test_a_reply_that_stalls_ends_the_socket_and_raises_nothing": "the first replies go ahead",
}
"""Tests of what is otherwise between processes, and why."""


class SplitApplication:
    """An interface and a worker that look like one application."""

    def __init__(self, routing: Any, **options: Any) -> None:
        layer = registry.get_channel_layer()
        assert isinstance(layer, WorldLayer)
        self.layer = layer
        self.interface = Application(routing, layer=layer, mode="interface", **options)
        own = layer.world.layer()
        self.worker = Application(routing, layer=own, **options)
        self.worker._layer = own
        self.worker.node_class = partial(
            WorkerNode,
            channels=channels_of(self.worker),
            concurrency=self.worker.settings.concurrency,
            http=self.worker.http,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        node = await self.interface.node()
        await self.worker.node()
        try:
            await self.interface(scope, receive, send)
        finally:
            await asyncio.shield(self._handled(node))

    async def __aenter__(self) -> "SplitApplication":
        await self.interface.__aenter__()
        await self.worker.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.interface.__aexit__(*exc_info)
        await self.worker.__aexit__(*exc_info)

    async def node(self) -> Node:
        return await self.interface.node()

    async def statistics(self) -> dict[str, Any]:
        return await self.interface.statistics()

    async def _handled(self, node: Node) -> None:
        """Wait until the worker has done with what has ended at the interface."""
        async with asyncio.timeout(15.0):
            while node.interface and any(  # noqa: ASYNC110 - a line tells nobody
                line._owner is None for line in node.interface._lines.values()
            ):
                await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def _split(_fresh_channel_layers: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = registry.set_channel_layer(World().layer())
    monkeypatch.setattr(desk, "_LAZILY", 0.0)
    for module in MODULES:
        monkeypatch.setattr(module, "Application", SplitApplication)
    yield
    registry.set_channel_layer(before)


@pytest.fixture
def channel_layer(_split: None) -> WorldLayer:
    layer = registry.get_channel_layer()
    assert isinstance(layer, WorldLayer)
    return layer


def _tests_of(module: ModuleType) -> Iterator[tuple[str, Any]]:
    short = module.__name__.rpartition("test_")[2]
    for name, test in vars(module).items():
        if name.startswith("test_") and name not in LEFT_OUT:
            yield f"test_{short}_{name.removeprefix('test_')}", test


for _module in MODULES:
    globals().update(_tests_of(_module))
