"""System checks: what of 1.x's ways is in force where the site is deployed, and how to leave it."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core import checks

from achannels.django import conf
from achannels.exceptions import ConfigurationError
from achannels.legacy.conf import DEFAULTS, WORDS, is_old_way, max_body

TAG = "channels"

Messages = Iterator[checks.CheckMessage]

_OURS = {
    "unrouted": (
        "W101",
        "Sockets on paths that no route takes are accepted, as in Channels 1.x.",
        "Set ACHANNELS['UNROUTED'] = 'reject' to answer them 404.",
    ),
    "allowed_origins": (
        "W102",
        "Pages of any site may open a socket, as in Channels 1.x, where no decorator forbids it.",
        "Set ACHANNELS['ALLOWED_ORIGINS'] = None for this site's own pages, or to a list.",
    ),
    "state": (
        "I103",
        "Users and channel sessions are read anew for each message, as in Channels 1.x.",
        "Set ACHANNELS['STATE'] = 'connection' for consumers with the decorators of achannels.",
    ),
}
_WORDS = {
    "CHANNELS_ERRORS": (
        "I104",
        "A plain consumer that raised leaves its socket open, as in Channels 1.x.",
        "the client is told with code 1011, and can connect anew",
    ),
    "CHANNELS_VIEWS": (
        "I105",
        "Views run as consumers in threads, as in Channels 1.x.",
        "Django's own ASGI handler calls them, async views on the event loop",
    ),
    "CHANNELS_PATHS": (
        "I106",
        "A path in a route of Channels 1.x is a regular expression.",
        "a plain path is one of Django's, as in routes of achannels",
    ),
    "CHANNELS_REPLY_CHANNEL": (
        "I107",
        "message.reply_channel is None where a message has none, as in Channels 1.x.",
        "it raises NoReplyChannel, which says why",
    ),
    "CHANNELS_SESSIONS": (
        "I108",
        "The session of each socket stays in the session engine until it expires, as in Channels 1.x.",
        "it is deleted when the socket has ended",
    ),
}


def register() -> None:
    """Have Django run the checks."""
    checks.register(check_settings, TAG)
    checks.register(check_defaults, TAG, deploy=True)


def check_settings(**kwargs: Any) -> list[checks.CheckMessage]:
    """Check the settings of the shim."""
    found: list[checks.CheckMessage] = []
    for setting in WORDS:
        try:
            is_old_way(setting)
        except ConfigurationError as error:
            found.append(checks.Error(str(error), id="channels.E101"))
    try:
        max_body()
    except ConfigurationError as error:
        found.append(checks.Error(str(error), id="channels.E101"))
    return found


def check_defaults(**kwargs: Any) -> list[checks.CheckMessage]:
    """Name the ways of 1.x that are in force, each with the setting that ends it."""
    return [*_ours(), *_words(), *_body()]


def _ours() -> Messages:
    try:
        values = conf.application_settings()
    except ConfigurationError:
        return  # that is achannels.E006
    for key, (number, text, hint) in _OURS.items():
        if getattr(values, key) == DEFAULTS[key]:
            yield _message(number, text, hint)


def _words() -> Messages:
    for setting, (number, text, effect) in _WORDS.items():
        if getattr(settings, setting, WORDS[setting][0]) == WORDS[setting][0]:
            yield _message(number, text, f"With {setting} = {WORDS[setting][1]!r}, {effect}.")


def _body() -> Messages:
    if getattr(settings, "CHANNELS_MAX_BODY", None) is None:
        yield _message(
            "W109",
            "The body of a request for a plain consumer or a view may have any size, and is held in "
            "memory, as in Channels 1.x.",
            "Set CHANNELS_MAX_BODY to a number of bytes, or limit it in the proxy.",
        )


def _message(number: str, text: str, hint: str) -> checks.CheckMessage:
    kind = checks.Warning if number.startswith("W") else checks.Info
    return kind(text, hint=hint, id=f"channels.{number}")


__all__ = ["check_defaults", "check_settings", "register"]
