"""`manage.py rundelay`: sends delayed messages when they are due."""

import logging
from argparse import ArgumentParser
from typing import Any

from django.core.management import BaseCommand, CommandError

from achannels.legacy.asgi import DEFAULT_CHANNEL_LAYER, channel_layers
from achannels.legacy.delay.worker import Worker
from achannels.legacy.log import setup_logger


class Command(BaseCommand):
    """Keeps the messages on `asgi.delay` in the database and sends them when they are due."""

    help = "Keeps the messages on asgi.delay in the database and sends them when they are due."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument(
            "--layer", default=DEFAULT_CHANNEL_LAYER, help="which of CHANNEL_LAYERS to use"
        )
        parser.add_argument(
            "--sleep",
            type=float,
            default=1,
            help="seconds between two looks into the database",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until SIGTERM or SIGINT.

        Raises:
            CommandError: The layer lives in one process alone.
        """
        setup_logger("django.channels", options["verbosity"])
        layer = channel_layers[options["layer"]]
        if layer.local_only():
            raise CommandError(
                f"the layer {layer} carries nothing between processes, so nothing would come on "
                "asgi.delay. The servers and workers of a layer in memory delay messages themselves."
            )
        logging.getLogger("django.channels").info("Running delay against channel layer %s", layer)
        Worker(layer, database_sleep_duration=options["sleep"]).run()
