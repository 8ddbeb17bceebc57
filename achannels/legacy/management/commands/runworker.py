"""`manage.py runworker` with the options of Channels 1.x."""

import asyncio
import fnmatch
import logging
import signal
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from achannels.asgi import Application, get_asgi_application
from achannels.asgi.node import EMBEDDED
from achannels.legacy.asgi import DEFAULT_CHANNEL_LAYER, ChannelLayerWrapper, channel_layers
from achannels.legacy.log import setup_logger
from achannels.legacy.ready import tell_ready
from achannels.worker import Worker

logger = logging.getLogger("django.channels")


class Command(BaseCommand):
    """Runs the consumers of named channels beside the servers, in a process of its own."""

    help = "Runs the consumers of named channels beside the servers, in a process of its own."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options."""
        parser.add_argument(
            "--layer", default=DEFAULT_CHANNEL_LAYER, help="Which of CHANNEL_LAYERS to listen on."
        )
        parser.add_argument(
            "--only-channels",
            action="append",
            help="Listen on channels that this glob matches; may be given several times.",
        )
        parser.add_argument(
            "--exclude-channels",
            action="append",
            help="Do not listen on channels that this glob matches; may be given several times.",
        )
        parser.add_argument(
            "--threads", type=int, default=1, help="Messages that are handled at once."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until SIGTERM or SIGINT, and finish what is in hand then.

        Raises:
            CommandError: The layer lives in one process alone.
        """
        setup_logger("django.channels", options["verbosity"])
        layer = channel_layers[options["layer"]]
        if layer.local_only():
            raise CommandError(
                f"the layer {layer} carries nothing between processes: the servers handle its "
                "messages themselves. Workers need a layer over Redis."
            )
        threads = options["threads"]
        logger.info("Using %s worker.", "multi-threaded" if threads > 1 else "single-threaded")
        logger.info("Running worker against channel layer %s", layer)
        asyncio.run(self._work(layer, threads, options))

    async def _work(
        self, layer: ChannelLayerWrapper, threads: int, options: dict[str, Any]
    ) -> None:
        core = layer.channel_layer.layer
        if layer.alias == DEFAULT_CHANNEL_LAYER:
            application = get_asgi_application(threads=threads, concurrency=threads)
        else:
            application = Application(layer.routing, layer=core, threads=threads)
        channels = left(application.router.channels, options)
        logger.info("Listening on channels %s", ", ".join(sorted(channels)))
        await core.open()
        await tell_ready(application.dispatcher, process=True)
        worker = Worker(application.dispatcher, core, channels, threads)
        loop = asyncio.get_running_loop()
        running = loop.create_task(worker.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, running.cancel)
        await asyncio.wait([running])
        await worker.stop(application.settings.drain_timeout)
        await core.aclose()


def left(channels: Iterable[str], options: dict[str, Any]) -> list[str]:
    """Return the channels that the globs leave, without those that servers handle themselves."""
    only, exclude = options["only_channels"], options["exclude_channels"]
    return [
        channel
        for channel in channels
        if not channel.startswith(EMBEDDED)
        and (not only or _matches(channel, only))
        and not (exclude and _matches(channel, exclude))
    ]


def _matches(channel: str, globs: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(channel, glob) for glob in globs)
