"""`manage.py runserver`: Django's development server, with WebSockets."""

import errno
import os
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, cast

from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler, StaticFilesHandler
from django.core.handlers.asgi import ASGIHandler
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.management.commands import runserver
from django.db import connections
from django.utils import autoreload
from django.utils.module_loading import import_string
from django.utils.version import get_docs_version

import achannels
from achannels.asgi import Application, get_asgi_application
from achannels.asgi.settings import SettingKeywords
from achannels.django import conf
from achannels.django.access import AccessLog, write_socket_lines
from achannels.django.reload import leave_within, run_with_reloader
from achannels.exceptions import ConfigurationError
from achannels.serving import NotStarted, Server, listen, require_server
from achannels.types import ASGIApplication

PATIENCE = 3.0
"""Seconds that requests and handlers have to end when the server stops or reloads."""

_AT_ONCE = 0.5
"""Seconds that the end may take after a second signal."""

ERRORS = {
    errno.EACCES: "You don't have permission to access that port.",
    errno.EADDRINUSE: "That port is already in use.",
    errno.EADDRNOTAVAIL: "That IP address can't be assigned to.",
}


class Command(runserver.Command):
    """Serves pages and WebSockets; with `--noasgi`, it is Django's own command."""

    help = "Starts a lightweight web server for development, which also serves WebSockets."

    switches: ClassVar[Mapping[str, str]] = {"threads": "--nothreading"}
    """The option behind each setting that the command line changes."""

    addr: str
    port: str
    use_ipv6: bool
    _raw_ipv6: bool
    _server: Server | None = None
    _stopped = False
    _leaving = False

    def add_arguments(self, parser: CommandParser) -> None:
        """Add Django's arguments, those of its staticfiles app, and ours."""
        super().add_arguments(parser)
        parser.add_argument(
            "--noasgi",
            action="store_false",
            dest="use_asgi",
            help="Run Django's own development server, which knows no WebSockets.",
        )
        parser.add_argument(
            "--nostatic",
            action="store_false",
            dest="use_static_handler",
            help="Do not serve static files at STATIC_URL.",
        )
        parser.add_argument(
            "--insecure",
            action="store_true",
            dest="insecure_serving",
            help="Serve static files even if DEBUG is False.",
        )

    def run(self, **options: Any) -> None:
        """Serve, with or without the reloader."""
        if not options["use_asgi"]:
            super().run(**options)
            return
        try:
            require_server()
        except ConfigurationError as error:
            raise CommandError(f"{error}, or run Django's own server: --noasgi") from None
        if options["use_reloader"]:
            run_with_reloader(self.inner_run, self.stop, PATIENCE, **options)
        else:
            self.inner_run(None, **options)
            leave_within(PATIENCE, 0)  # a thread that hangs does not keep the process

    def leave(self) -> None:
        """Limit the time that the end may take; called at each signal."""
        leave_within(_AT_ONCE if self._leaving else 2 * PATIENCE, 0)
        self._leaving = True

    def stop(self) -> None:
        """End the server and wait for it, so long."""
        self._stopped = True
        if self._server is not None:
            self._server.stop()
            self._server.wait(2 * PATIENCE)

    def inner_run(self, *args: Any, **options: Any) -> None:
        """Check the project as Django does, then serve until the server is stopped."""
        if not options["use_asgi"]:
            super().inner_run(*args, **options)
            return
        autoreload.raise_last_exception()
        if not options["skip_checks"]:
            self.stdout.write("Performing system checks...\n\n")
            kwargs = cast("dict[str, Any]", BaseCommand.get_check_kwargs(self, options))
            self.check(**kwargs, display_num_errors=True)
        self.check_migrations()
        for connection in connections.all(initialized_only=True):
            connection.close()
        write_socket_lines()
        try:
            self._serve(options)
        except OSError as error:
            self._give_up(ERRORS.get(error.errno or 0) or str(error))
        except (NotStarted, ConfigurationError) as error:
            if options["use_reloader"]:
                raise  # the reloader waits until it is mended
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            if options.get("shutdown_message"):
                self.stdout.write(options["shutdown_message"])

    def get_handler(self, *args: Any, **options: Any) -> Any:
        """Return what is served: the project with its static files, for WSGI with `--noasgi`."""
        use_static = (
            apps.is_installed("django.contrib.staticfiles")
            and options["use_static_handler"]
            and (settings.DEBUG or options["insecure_serving"])
        )
        if not options["use_asgi"]:
            handler = super().get_handler(*args, **options)
            return StaticFilesHandler(handler) if use_static else handler
        application = self.get_application(**options)
        return (
            ASGIStaticFilesHandler(cast("ASGIHandler", application)) if use_static else application
        )

    def get_application(self, **options: Any) -> ASGIApplication:
        """Return the application that `ASGI_APPLICATION` names, else the project's.

        An `asgi.py` that still makes Django's plain application is passed over. One that is no
        `Application` is served as it is, and a warning says which options have no effect then.
        """
        keywords = self.keywords(options)
        dotted = getattr(settings, "ASGI_APPLICATION", None)
        found: ASGIApplication | None = import_string(dotted) if dotted else None
        if found is None or isinstance(found, ASGIHandler):
            found = get_asgi_application()
        if isinstance(found, Application):
            keywords["drain_timeout"] = min(found.settings.drain_timeout, PATIENCE)
            found.adjust(**keywords)
        elif keywords:
            lost = ", ".join(self.switches[key] for key in keywords)
            text = f"WARNING: {lost} without effect: {dotted} is no Application of achannels."
            self.stderr.write(self.style.WARNING(text))
        return found

    def keywords(self, options: dict[str, Any]) -> SettingKeywords:
        """Return the settings that the command line changes."""
        return {} if options["use_threading"] else {"threads": 1}

    def _serve(self, options: dict[str, Any]) -> None:
        listening = listen(
            "0.0.0.0" if self.addr == "0" else self.addr, int(self.port), ipv6=self.use_ipv6
        )
        try:
            handler = self.get_handler(**options)
            server = Server(
                AccessLog(handler),
                listening,
                patience=PATIENCE,
                on_start=lambda: self._tell(server.port, _innermost(handler)),
                on_signal=self.leave,
                headers=[("server", f"achannels/{achannels.__version__}")],
                server_header=False,
            )
        except BaseException:
            listening.close()
            raise
        self._server = server
        if self._stopped:
            server.stop()
        server.run()

    def _tell(self, port: int, application: object) -> None:
        address = f"[{self.addr}]" if self._raw_ipv6 else self.addr
        if address == "0":
            address = "0.0.0.0"
        quit_command = "CTRL-BREAK" if sys.platform == "win32" else "CONTROL-C"
        self.stdout.write(
            f"{datetime.now().strftime('%B %d, %Y - %X')}\n"
            f"Django version {self.get_version()}, using settings {settings.SETTINGS_MODULE!r}\n"
            f"Starting ASGI development server at {self.protocol}://{address}:{port}/ "
            f"({describe(application)})\n"
            f"Quit the server with {quit_command}."
        )
        if os.environ.get("DJANGO_RUNSERVER_HIDE_WARNING") != "true":
            self.stdout.write(
                self.style.WARNING(
                    "WARNING: This is a development server. Do not use it in a production "
                    "setting. Use a production WSGI or ASGI server instead.\n"
                    "For more information on production servers see: "
                    f"https://docs.djangoproject.com/en/{get_docs_version()}/howto/deployment/"
                )
            )
        self.stdout.flush()

    def _give_up(self, text: str) -> None:
        self.stderr.write(f"Error: {text}")
        self.stdout.flush()
        # In the reloader's thread sys.exit() would end nothing.
        os._exit(1)


def describe(application: object) -> str:
    """Return what is served, in a few words: `achannels 0.1, memory layer, 2 routes from …`."""
    version = f"achannels {achannels.__version__.removesuffix('.0')}"
    if not isinstance(application, Application):
        return f"{version}, {getattr(settings, 'ASGI_APPLICATION', None)}"
    layer = type(application.layer).__name__.removesuffix("Layer").lower()
    count = len(application.router.routes)
    routes = f"{count or 'no'} route{'' if count == 1 else 's'}"
    routing = conf.routing()
    source = f" from {routing.removesuffix('.channel_routing')}" if isinstance(routing, str) else ""
    return f"{version}, {layer} layer, {routes}{source}"


def _innermost(handler: object) -> object:
    return handler.application if isinstance(handler, ASGIStaticFilesHandler) else handler
