"""Sessions: what a consumer declares, and who loads it.

The decorators only mark; their order is free. The dispatcher loads before the call and saves after
it. On a class, write the same name as an attribute: `channel_session = True`.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from achannels.options import set_mark
from achannels.types import Content, Scope

F = TypeVar("F", bound=Callable[..., Any])


def channel_session(consumer: F) -> F:
    """Give the consumer `message.channel_session`: a dict of this socket, kept until it ends.

    What is changed is kept also when the consumer raised. Values are what a message may carry.
    """
    set_mark(consumer, "channel_session", True)
    return consumer


def http_session(consumer: F) -> F:
    """Give the consumer `message.http_session`: the browser's Django session.

    It is loaded before each call, `None` without cookie, and saved after it if it was changed and
    the consumer did not raise.
    """
    set_mark(consumer, "http_session", True)
    return consumer


class ChannelSessions(Protocol):
    """Where channel sessions are kept when they shall outlive the process that made them."""

    async def load(self, channel: str) -> Content:
        """Return the session of a reply channel, empty if there is none."""

    async def save(self, channel: str, session: Content) -> None:
        """Keep it."""

    async def delete(self, channel: str) -> None:
        """Forget it; no error if there is none."""


class HttpSessions(Protocol):
    """Where the sessions of browsers come from."""

    async def load(self, scope: Scope) -> Any:
        """Return the session that the request's cookie names, loaded; `None` without cookie."""

    async def save(self, session: Any) -> None:
        """Save a session if it was changed."""


class _Loader:
    http_sessions: HttpSessions | None = None


def set_http_sessions(loader: HttpSessions | None) -> HttpSessions | None:
    """Say where the sessions of browsers come from, and return who said it before."""
    before = _Loader.http_sessions
    _Loader.http_sessions = loader
    return before


def get_http_sessions() -> HttpSessions | None:
    """Return where the sessions of browsers come from; `None` without Django."""
    return _Loader.http_sessions


__all__ = [
    "ChannelSessions",
    "HttpSessions",
    "channel_session",
    "get_http_sessions",
    "http_session",
    "set_http_sessions",
]
