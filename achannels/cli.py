"""The command `achannels`: a worker for applications without Django."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from achannels.asgi import Application
from achannels.exceptions import ConfigurationError, LayerUnavailable
from achannels.home.running import run_worker


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see `achannels --help`.

    Args:
        arguments: Without the program's name; `None` takes those of the process.

    Returns:
        The exit status.
    """
    options = _parser().parse_args(arguments)
    sys.path.insert(0, os.getcwd())
    try:
        application = load(options.application)
        run_worker(
            application,
            only=options.only_channels,
            exclude=options.exclude_channels,
            concurrency=options.concurrency,
            on_start=lambda channels: _say(f"Listening on {', '.join(channels)}"),
        )
    except (ConfigurationError, LayerUnavailable) as error:
        sys.stderr.write(f"achannels: {error}\n")
        return 1
    return 0


def load(path: str) -> Application:
    """Return the application that `module:name` names.

    Raises:
        ConfigurationError: There is none, or it is something else.
    """
    module, _, name = path.partition(":")
    if not module or not name:
        raise ConfigurationError(f"{path!r} is no application; write module:name.")
    try:
        found = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ConfigurationError(f"{path!r}: there is no module {error.name}.") from error
    except AttributeError as error:
        raise ConfigurationError(f"{path!r}: module {module} has no {name!r}.") from error
    if not isinstance(found, Application):
        raise ConfigurationError(
            f"{path!r} is a {type(found).__name__}, not an achannels.asgi.Application."
        )
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="achannels", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    worker = commands.add_parser(
        "worker",
        help="run the consumers of an application in a process of their own",
        description="Runs the consumers of an application. The servers beside it hold the sockets: "
        "ACHANNELS_MODE=interface uvicorn hello:application",
    )
    worker.add_argument("application", help="where it is, for example hello:application")
    for option, text in (
        ("--only-channels", "listen on channels that one of these matches"),
        ("--exclude-channels", "do not listen on channels that one of these matches"),
    ):
        worker.add_argument(
            option, nargs="+", action="extend", default=[], metavar="GLOB", help=text
        )
    worker.add_argument(
        "--concurrency",
        type=_count,
        help="messages of channels handled at once, at most; sockets that are at home here have one each",
    )
    return parser


def _count(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no int from 1 up")
    return int(text)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


__all__ = ["load", "main"]
