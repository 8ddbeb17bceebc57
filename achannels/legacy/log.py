"""`channels.log`."""

import logging
import sys
from typing import TextIO

from django.conf import settings

CHANNELS = "django.channels"
"""The logger of 1.x; what its consumers raise is logged there."""

FORMAT = "%(asctime)s - %(levelname)s - %(module)s - %(message)s"

SERVERS = ("daphne.ws_protocol", "daphne.http_protocol", "daphne.server")
"""Loggers that get the same handler; their names are those of 1.x's server."""


class _Handler(logging.StreamHandler[TextIO]):
    """Told apart from handlers that others have put on the loggers."""


class _Fallback(_Handler):
    """Writes what Django's own logging keeps from the terminal: without `DEBUG` it mails alone."""

    def handle(self, record: logging.LogRecord) -> bool:
        is_shown = settings.configured and settings.DEBUG and settings.LOGGING_CONFIG
        if is_shown or (settings.configured and settings.LOGGING):
            return False
        self.stream = sys.stderr
        return bool(super().handle(record))


def install() -> None:
    """Have warnings and errors on stderr where no logging is set up; more than once does nothing."""
    logger = logging.getLogger(CHANNELS)
    if not any(isinstance(each, _Handler) for each in logger.handlers):
        handler = _Fallback()
        handler.setLevel(logging.WARNING)
        logger.addHandler(handler)


def setup_logger(name: str, verbosity: int = 1) -> logging.Logger:
    """Have a logger write to stderr, from `INFO` up, or from `DEBUG` up above verbosity 1.

    Args:
        name: The logger; its records go no further.
        verbosity: That of the command.

    Returns:
        The logger.
    """
    level = logging.DEBUG if verbosity > 1 else logging.INFO
    handler = _Handler()
    handler.setLevel(level)
    handler.setFormatter(logging.Formatter(FORMAT))
    for logged in (name, *SERVERS):
        logger = logging.getLogger(logged)
        logger.setLevel(level)
        logger.propagate = False
        logger.handlers = [each for each in logger.handlers if not isinstance(each, _Handler)]
        logger.addHandler(handler)
    return logging.getLogger(name)


__all__ = ["CHANNELS", "install", "setup_logger"]
