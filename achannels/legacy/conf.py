"""What 1.x does otherwise than we, as settings: each can be set to our way while a project moves.

| setting | 1.x's way, the default here | our way |
|---|---|---|
| `CHANNELS_ERRORS` | `"keep"`: a plain consumer that raised leaves its socket open | `"close"`: closed with 1011 |
| `CHANNELS_VIEWS` | `"consumer"`: views are consumers of `http.request` | `"django"`: Django's own handler |
| `CHANNELS_MAX_BODY` | `None`: no limit for the body of a request | bytes |
| `CHANNELS_PATHS` | `"regex"`: a `path` in the shim's routes is a regular expression | `"django"`: as in `achannels` |
| `CHANNELS_SESSIONS` | `"keep"`: the session of a socket that ended stays until it expires | `"delete"` |
| `CHANNELS_REPLY_CHANNEL` | `"optional"`: `None` where a message has none | `"required"`: it raises |

Those that are settings of every application are in `DEFAULTS`.
"""

from typing import Any, Final

from django.conf import settings

from achannels.exceptions import ConfigurationError

DEFAULTS: Final[dict[str, Any]] = {
    "unrouted": "accept",
    "allowed_origins": ["*"],
    "state": "message",
}
"""Keywords of `Application` and what `install()` makes their defaults; `ACHANNELS` wins."""

WORDS: Final[dict[str, tuple[str, str]]] = {
    "CHANNELS_ERRORS": ("keep", "close"),
    "CHANNELS_PATHS": ("regex", "django"),
    "CHANNELS_REPLY_CHANNEL": ("optional", "required"),
    "CHANNELS_SESSIONS": ("keep", "delete"),
    "CHANNELS_VIEWS": ("consumer", "django"),
}
"""Settings of the shim that are one of two words: 1.x's way first, which is the default."""


def is_old_way(setting: str) -> bool:
    """Return whether a setting of `WORDS` has the value that stands for 1.x's way.

    Raises:
        ConfigurationError: It has neither value.
    """
    old, new = WORDS[setting]
    value = getattr(settings, setting, old) if settings.configured else old
    if value not in (old, new):
        raise ConfigurationError(f"{setting} is {value!r}; it must be {old!r} or {new!r}.")
    return bool(value == old)


def max_body() -> int | None:
    """Return the bytes that the body of a request may have for a plain consumer, `None`: any.

    Raises:
        ConfigurationError: `CHANNELS_MAX_BODY` is no number from 1 up.
    """
    value = getattr(settings, "CHANNELS_MAX_BODY", None) if settings.configured else None
    if value is None or (type(value) is int and value >= 1):
        return value
    raise ConfigurationError(
        f"CHANNELS_MAX_BODY is {value!r}; it must be an int from 1 up, or None."
    )


def script_name() -> str:
    """Return `FORCE_SCRIPT_NAME`, empty if it is not set."""
    return (settings.FORCE_SCRIPT_NAME if settings.configured else None) or ""


__all__ = ["DEFAULTS", "WORDS", "is_old_way", "max_body", "script_name"]
