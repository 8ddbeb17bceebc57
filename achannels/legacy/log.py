"""`channels.log`."""

import logging
from typing import TextIO

FORMAT = "%(asctime)s - %(levelname)s - %(module)s - %(message)s"

SERVERS = ("daphne.ws_protocol", "daphne.http_protocol", "daphne.server")
"""Loggers that get the same handler; their names are those of 1.x's server."""


class _Handler(logging.StreamHandler[TextIO]):
    """Told apart from handlers that others have put on the loggers."""


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


__all__ = ["setup_logger"]
