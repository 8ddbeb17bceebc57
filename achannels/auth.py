"""Users: what a consumer declares, and who says who it is."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from achannels.options import set_mark
from achannels.types import Scope

F = TypeVar("F", bound=Callable[..., Any])

UserLoader = Callable[[Scope], Awaitable[Any]]
"""From the scope of the handshake to the user, an anonymous one if nobody logged in."""


def http_user(consumer: F) -> F:
    """Give the consumer `message.user`: who logged in when the connection was made.

    It is loaded once per connection. A user that a middleware put into the scope wins. On a class,
    write `http_user = True` and read `self.scope["user"]`.
    """
    set_mark(consumer, "http_user", True)
    return consumer


class _Loader:
    user: UserLoader | None = None


def set_user_loader(loader: UserLoader | None) -> UserLoader | None:
    """Say who finds the user of a connection, and return who did before."""
    before = _Loader.user
    _Loader.user = loader
    return before


def get_user_loader() -> UserLoader | None:
    """Return who finds the user of a connection; `None` without Django."""
    return _Loader.user


__all__ = ["UserLoader", "get_user_loader", "http_user", "set_user_loader"]
