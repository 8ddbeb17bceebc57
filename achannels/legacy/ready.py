"""Who is told that consumers are about to run: the signals of 1.x, when a node starts."""

import logging

from achannels.asgi import node as nodes
from achannels.asgi.node import Node
from achannels.dispatch import Dispatcher
from achannels.handlers import flush
from achannels.home.node import WorkerNode
from achannels.legacy.asgi import DEFAULT_CHANNEL_LAYER, ChannelLayerWrapper, channel_layers
from achannels.legacy.signals import worker_process_ready
from achannels.legacy.worker import Worker
from achannels.registry import get_channel_layer

logger = logging.getLogger("django.channels")


async def tell_ready(dispatcher: Dispatcher, *, process: bool = False) -> None:
    """Send `worker_ready` in a thread, as plain consumers run.

    Args:
        dispatcher: Of the node.
        process: Send `worker_process_ready` before, since the process is nothing but a worker.
    """
    facade = channel_layers.over(get_channel_layer())
    worker = Worker(ChannelLayerWrapper(facade, DEFAULT_CHANNEL_LAYER, []), signal_handlers=False)

    def tell() -> None:
        if process:
            worker_process_ready.send(sender=worker)
        worker.ready()

    sends, error = await dispatcher.threads.run(tell)
    await flush(sends, "worker_ready", dispatcher.send_timeout)
    if error is not None:
        logger.error("a receiver of worker_ready failed", exc_info=error)


async def _started(node: Node) -> None:
    if node.settings.mode != "interface":  # where no consumers run
        await tell_ready(node.dispatcher, process=isinstance(node, WorkerNode))


def install() -> None:
    """Have the signal sent by every node of this process that starts."""
    if _started not in nodes.starting:
        nodes.starting.append(_started)


__all__ = ["install", "tell_ready"]
