"""`manage.py runworker`: consumers in a process of their own, beside interface servers."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from achannels.asgi import Application, get_asgi_application
from achannels.django.management.commands.runserver import describe
from achannels.exceptions import ConfigurationError, LayerUnavailable
from achannels.home.running import run_worker


class Command(BaseCommand):
    """Runs the consumers of sockets, requests and background channels, and holds no socket."""

    help = (
        "Runs consumers in a process of its own. The servers beside it hold the sockets: "
        "ACHANNELS_MODE=interface uvicorn mysite.asgi:application"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options."""
        parser.add_argument(
            "--only-channels",
            nargs="+",
            action="extend",
            default=[],
            metavar="GLOB",
            help="Listen on channels that one of these matches, for example 'websocket.*'.",
        )
        parser.add_argument(
            "--exclude-channels",
            nargs="+",
            action="extend",
            default=[],
            metavar="GLOB",
            help="Do not listen on channels that one of these matches.",
        )
        parser.add_argument(
            "--concurrency",
            type=int,
            help="Messages of channels handled at once, at most (the setting CONCURRENCY); sockets "
            "that are at home here have one each.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until SIGTERM or SIGINT, hand the sockets over, and finish what is in hand then.

        Raises:
            CommandError: There is nothing to listen on, or the layer reaches no other process.
        """
        concurrency = options["concurrency"]
        if concurrency is not None and concurrency < 1:
            raise CommandError(f"--concurrency is {concurrency}; it must be an int from 1 up.")
        try:
            application = get_asgi_application()
            run_worker(
                application,
                only=options["only_channels"],
                exclude=options["exclude_channels"],
                concurrency=concurrency,
                on_start=lambda channels: self._tell(application, channels),
            )
        except (ConfigurationError, LayerUnavailable) as error:
            raise CommandError(str(error)) from error

    def _tell(self, application: Application, channels: list[str]) -> None:
        self.stdout.write(f"Starting worker ({describe(application)})")
        self.stdout.write(f"Listening on {', '.join(channels)}")
        self.stdout.write("Quit the worker with CONTROL-C.")


__all__ = ["Command"]
