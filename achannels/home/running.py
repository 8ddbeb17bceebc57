"""Run a worker in this process until a signal ends it."""

import asyncio
import importlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Collection
from functools import partial

from achannels.asgi.application import Application
from achannels.exceptions import ConfigurationError
from achannels.home.node import WorkerNode, left
from achannels.layers.memory import MemoryLayer

logger = logging.getLogger("achannels.worker")

_GRACE = 5.0
"""Seconds beyond `drain_timeout` after which a process whose threads hang ends all the same."""

Tell = Callable[[list[str]], None]


def run_worker(
    application: Application,
    *,
    only: Collection[str] = (),
    exclude: Collection[str] = (),
    concurrency: int | None = None,
    on_start: Tell | None = None,
) -> None:
    """Run the consumers of an application until SIGTERM or SIGINT, then hand everything over.

    On uvloop where that is installed. A second signal ends it at once.

    Args:
        application: Whose routing says what there is.
        only: Globs of the channels to listen on; empty: all.
        exclude: Globs of the channels not to listen on.
        concurrency: Messages of channels handled at once, at most; `None` takes the setting.
        on_start: Called with the channels when it listens.

    Raises:
        ConfigurationError: There is nothing to listen on, or the layer reaches no other process.
        LayerUnavailable: The layer's server does not answer.
    """
    channels = channels_of(application, only, exclude)
    if isinstance(application.layer, MemoryLayer):
        raise ConfigurationError(
            "the memory layer ends with its process: a worker beside the server would get nothing. "
            "Set CHANNEL_LAYERS to achannels.layers.redis.RedisLayer, or run no worker: the server "
            "runs the consumers itself."
        )
    application.node_class = partial(
        WorkerNode,
        channels=channels,
        concurrency=concurrency or application.settings.concurrency,
        http=application.http,
    )
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(application, lambda: on_start(channels) if on_start is not None else None))


def channels_of(
    application: Application, only: Collection[str] = (), exclude: Collection[str] = ()
) -> list[str]:
    """Return the channels that a worker of an application listens on.

    Raises:
        ConfigurationError: There is none.
    """
    channels = set(application.router.channels)
    if application.http is not None:
        channels.add("http.request")
    return left(channels, only, exclude)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's where it is installed, as uvicorn does, otherwise asyncio's own."""
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _run(application: Application, started: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    patience = application.settings.drain_timeout + _GRACE

    def stop() -> None:
        if asked.is_set():
            os._exit(1)
        asked.set()
        _leave_within(patience)

    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # on Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
    async with application:
        started()
        await asked.wait()


def _leave_within(seconds: float) -> None:
    """End the process when threads of consumers keep it from ending."""

    def leave() -> None:
        logger.error("consumers in threads still run; the worker ends without them")
        os._exit(1)

    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()


__all__ = ["channels_of", "run_worker"]
