"""The grammar of channel and group names: one validator for every layer."""

import re

from achannels.exceptions import InvalidName

MAX_LENGTH = 199
"""Characters in a name, at most."""

_GROUP = re.compile(r"[a-zA-Z0-9._-]{1,199}")
_CHANNEL = re.compile(r"(?=.{1,199}\Z)[a-zA-Z0-9._-]+(?:[!?][a-zA-Z0-9._-]+)?")
_NOT_IN_GROUP = re.compile(r"[^a-zA-Z0-9._-]")
_NOT_IN_CHANNEL = re.compile(r"[^a-zA-Z0-9._!?-]")


def check_channel(name: str) -> str:
    """Return `name` if it is a channel name.

    A channel name has 1 to 199 characters of `a-z A-Z 0-9 . - _`. One `!` in it makes it a reply
    channel (the part before is the node), one `?` a channel with a single reader.

    Raises:
        InvalidName: It says which character is wrong, and where.
    """
    if isinstance(name, str) and _CHANNEL.fullmatch(name):
        return str.__str__(name)
    raise _explain("channel", name, _NOT_IN_CHANNEL, "a-z A-Z 0-9 . - _ and one ! or ?")


def check_group(name: str) -> str:
    """Return `name` if it is a group name: 1 to 199 characters of `a-z A-Z 0-9 . - _`.

    Raises:
        InvalidName: It says which character is wrong, and where.
    """
    if isinstance(name, str) and _GROUP.fullmatch(name):
        return str.__str__(name)
    raise _explain("group", name, _NOT_IN_GROUP, "a-z A-Z 0-9 . - _")


def node_of(channel: str) -> str | None:
    """Return the node that owns a reply channel, `None` for any other channel."""
    node, mark, _ = channel.partition("!")
    return node if mark else None


def _explain(kind: str, name: object, wrong: re.Pattern[str], allowed: str) -> InvalidName:
    if not isinstance(name, str):
        return InvalidName(
            f"{kind} name {name!r} is of type {type(name).__name__}; it must be a str."
        )
    if not name:
        return InvalidName(f"{kind} name '' is empty; it needs 1 to {MAX_LENGTH} characters.")
    found = wrong.search(name)
    if found:
        return InvalidName(
            f"{kind} name {name!r} has {found[0]!r} at position {found.start()}; allowed are "
            f"{allowed} (at most {MAX_LENGTH} characters). Use a slug or a hash of the text."
        )
    if len(name) > MAX_LENGTH:
        return InvalidName(
            f"{kind} name {name[:40]!r}... has {len(name)} characters, the limit is {MAX_LENGTH}. "
            "Use a slug or a hash of the text."
        )
    return InvalidName(
        f"{kind} name {name!r} is not complete: one '!' or '?' stands between two parts "
        "that are not empty."
    )


__all__ = ["MAX_LENGTH", "check_channel", "check_group", "node_of"]
