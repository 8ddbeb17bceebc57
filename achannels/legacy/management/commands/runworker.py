"""`manage.py runworker` with the options of Channels 1.x."""

import logging
from typing import Any

from django.core.management.base import CommandError, CommandParser

from achannels.django.application import application
from achannels.django.management.commands import runworker
from achannels.exceptions import ConfigurationError, LayerUnavailable
from achannels.home.running import run_worker
from achannels.legacy.asgi import DEFAULT_CHANNEL_LAYER, channel_layers
from achannels.legacy.log import setup_logger

logger = logging.getLogger("django.channels")


class Command(runworker.Command):
    """The command of `achannels`, with two options more."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options."""
        super().add_arguments(parser)
        parser.add_argument(
            "--layer", default=DEFAULT_CHANNEL_LAYER, help="Which of CHANNEL_LAYERS to listen on."
        )
        parser.add_argument(
            "--threads", type=int, default=1, help="Plain consumers that run at once, at most."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until SIGTERM or SIGINT, and finish what is in hand then.

        Raises:
            CommandError: There is no such layer, it lives in one process alone, or there is nothing
                to listen on.
        """
        setup_logger("django.channels", options["verbosity"])
        alias = options["layer"]
        if alias != DEFAULT_CHANNEL_LAYER and alias not in channel_layers:
            raise CommandError(
                f"--layer is {alias!r}; CHANNEL_LAYERS has {', '.join(channel_layers)}."
            )
        layer = channel_layers[alias]
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
                application(alias, threads=threads),
                only=options["only_channels"],
                exclude=options["exclude_channels"],
                concurrency=options["concurrency"] or threads,
                on_start=lambda channels: logger.info(
                    "Listening on channels %s", ", ".join(channels)
                ),
            )
        except (ConfigurationError, LayerUnavailable) as error:
            raise CommandError(str(error)) from error


__all__ = ["Command"]
