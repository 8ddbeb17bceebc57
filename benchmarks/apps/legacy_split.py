"""Consumers of Channels 1.x in split mode: the interface, and the process that runs them."""

import os
from functools import partial

from achannels.asgi import Application
from achannels.home.node import WorkerNode
from achannels.home.running import channels_of
from achannels.layers.redis import RedisLayer
from benchmarks.apps.legacy import ROUTING
from benchmarks.redis_case import URL


def application(mode: str) -> Application:
    """Return the application for one of the two processes."""
    return Application(ROUTING, layer=RedisLayer([os.environ[URL]]), mode=mode)  # type: ignore[arg-type]


class Worker:
    """What `runworker` runs."""

    async def open(self) -> dict[str, float]:
        """Take messages from now on."""
        self._application = application("embedded")
        self._application.node_class = partial(
            WorkerNode, channels=channels_of(self._application), concurrency=64
        )
        await self._application.__aenter__()
        return {}

    async def close(self) -> dict[str, float]:
        """Hand everything over."""
        await self._application.__aexit__(None, None, None)
        return {}
