"""Our loggers and the setting `LOGGING`.

`logging.config.dictConfig` disables each logger that is there already, unless told not to; ours are,
where the settings or an `asgi.py` import us before Django reads its settings.
"""

import logging

NAMES = ("achannels", "django.channels")


def enable() -> None:
    """Enable our loggers again; called when the apps are ready, which is after `LOGGING`."""
    for name in list(logging.root.manager.loggerDict):
        if name in NAMES or name.startswith("achannels."):
            logging.getLogger(name).disabled = False


__all__ = ["enable"]
