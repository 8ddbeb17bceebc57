"""`manage.py runworker` with the options of Channels 1.x."""

import logging
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from achannels.asgi import Application, get_asgi_application
from achannels.exceptions import ConfigurationError
from achannels.home.running import run_worker
from achannels.legacy.asgi import DEFAULT_CHANNEL_LAYER, ChannelLayerWrapper, channel_layers
from achannels.legacy.log import setup_logger

logger = logging.getLogger("django.channels")


class Command(BaseCommand):
    """Runs consumers in a process of its own: of named channels, and of sockets held elsewhere."""

    help = "Runs consumers in a process of its own, apart from the servers."

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
            CommandError: The layer lives in one process alone, or there is nothing to listen on.
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
        try:
            run_worker(
                _application(layer, threads),
                only=options["only_channels"] or (),
                exclude=options["exclude_channels"] or (),
                concurrency=threads,
                on_start=lambda channels: logger.info(
                    "Listening on channels %s", ", ".join(channels)
                ),
            )
        except ConfigurationError as error:
            raise CommandError(str(error)) from error


def _application(layer: ChannelLayerWrapper, threads: int) -> Application:
    if layer.alias == DEFAULT_CHANNEL_LAYER:
        return get_asgi_application(threads=threads)
    return Application(layer.routing, layer=layer.channel_layer.layer, threads=threads)
