"""What a home gets of an ASGI scope: everything that a message can carry."""

from typing import Any

from achannels.codec import encode, pack
from achannels.exceptions import InvalidContent
from achannels.types import Scope

_STAYS = frozenset({"app", "endpoint", "router", "state"})
"""Keys that belong to the process of the server."""


def pack_scope(scope: Scope) -> bytes:
    """Return a scope encoded; values that no message can carry are left out.

    What a middleware has put into it travels too, if it is of the types of messages.
    """
    shown: dict[str, Any] = {key: value for key, value in scope.items() if key not in _STAYS}
    try:
        return encode(shown, "scope", 2**31).body
    except InvalidContent:
        return pack({key: value for key, value in shown.items() if _travels(value)}).body


def unpack_scope(scope: dict[str, Any]) -> Scope:
    """Return a decoded scope as ASGI has it: pairs are tuples."""
    for key in ("client", "server"):
        if scope.get(key) is not None:
            scope[key] = tuple(scope[key])
    scope["headers"] = [(name, value) for name, value in scope.get("headers", ())]
    scope.setdefault("extensions", {})
    scope["state"] = {}
    return scope


def _travels(value: object) -> bool:
    try:
        encode({"value": value}, "scope", 2**31)
    except InvalidContent:
        return False
    return True


__all__ = ["pack_scope", "unpack_scope"]
