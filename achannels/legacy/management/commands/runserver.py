"""`manage.py runserver` with the options of Channels 1.x."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.management.base import CommandParser

from achannels.asgi.settings import SettingKeywords
from achannels.django import conf
from achannels.django.management.commands import runserver
from achannels.legacy.log import CHANNELS, setup_logger
from achannels.legacy.project import LegacyProject
from achannels.types import ASGIApplication


class Command(runserver.Command):
    """The command of `achannels`, with three options more."""

    switches: ClassVar[Mapping[str, str]] = {
        **runserver.Command.switches,
        "mode": "--noworker",
        "http_timeout": "--http_timeout",
        "handshake_timeout": "--websocket_handshake_timeout",
    }

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options."""
        super().add_arguments(parser)
        parser.add_argument(
            "--noworker",
            action="store_false",
            dest="run_worker",
            help="Run no consumers here; manage.py runworker runs them.",
        )
        parser.add_argument(
            "--http_timeout",
            type=float,
            help="Seconds that a request may wait for its answer; then it is answered 503.",
        )
        parser.add_argument(
            "--websocket_handshake_timeout",
            type=float,
            help="Seconds that a socket may wait to be accepted; then it is refused.",
        )

    def run(self, **options: Any) -> None:
        """Serve, with or without the reloader; above verbosity 1, tell of each message."""
        setup_logger(CHANNELS, options["verbosity"])
        super().run(**options)

    def get_application(self, **options: Any) -> ASGIApplication:
        """Return the application that `ASGI_APPLICATION` names, else the project's."""
        project = conf.get_project()
        if isinstance(project, LegacyProject):
            project.serves_static = options["use_static_handler"]
        return super().get_application(**options)

    def keywords(self, options: dict[str, Any]) -> SettingKeywords:
        """Return the settings that the command line changes."""
        keywords = super().keywords(options)
        if not options["run_worker"]:
            keywords["mode"] = "interface"
        if options["http_timeout"] is not None:
            keywords["http_timeout"] = options["http_timeout"]
        if options["websocket_handshake_timeout"] is not None:
            keywords["handshake_timeout"] = options["websocket_handshake_timeout"]
        return keywords


__all__ = ["Command"]
