"""`channels.auth`: the user of a socket or browser around a consumer, read anew for each message."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, TypeVar

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user
from django.contrib.sessions.backends.base import SessionBase

from achannels.legacy.decorators import first_or_second_argument, surrounded
from achannels.legacy.sessions import channel_and_http_session, channel_session, http_session

F = TypeVar("F", bound=Callable[..., Any])

_KEYS = (BACKEND_SESSION_KEY, SESSION_KEY, HASH_SESSION_KEY)


def transfer_user(from_session: Any, to_session: Any) -> None:
    """Have a second session say of the user what a first one says, if that knows one."""
    if all(key in from_session for key in _KEYS):
        for key in _KEYS:
            to_session[key] = from_session[key]


def _user(message: Any, attribute: str) -> Any:
    try:
        session = getattr(message, attribute)
    except AttributeError as error:
        raise ValueError(f"the message on {message.channel} has no {attribute}.") from error
    request: Any = SimpleNamespace(session={} if session is None else session)
    with _keeping_key(session):
        return get_user(request)


@contextmanager
def _keeping_key(session: Any) -> Iterator[None]:
    """Have the session stay under its key: Django gives it another after a change of `SECRET_KEY`.

    Nobody could tell the browser of that. What replaces the log-in is kept, and so is a `cycle_key`
    of the consumer's own.
    """
    if not isinstance(session, SessionBase):
        yield
        return
    session.cycle_key = lambda: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        del session.cycle_key


@contextmanager
def _with_channel_user(message: Any) -> Iterator[None]:
    message.user = _user(message, "channel_session")
    yield


@contextmanager
def _with_http_user(message: Any) -> Iterator[None]:
    message.user = _user(message, "http_session")
    yield


@contextmanager
def _transferring(message: Any) -> Iterator[None]:
    if message.http_session is not None:
        transfer_user(message.http_session, message.channel_session)
    yield


def channel_session_user(function: F) -> F:
    """Give a consumer `message.user`: the one that the session of its socket says."""
    find = first_or_second_argument
    return channel_session(surrounded(_with_channel_user, find)(function))


def http_session_user(function: F) -> F:
    """Give a consumer `message.user`: the one that the session of the browser says."""
    return http_session(surrounded(_with_http_user)(function))


def channel_session_user_from_http(function: F) -> F:
    """Give a consumer the user of the browser, and have the session of the socket remember it."""
    return http_session_user(channel_session(surrounded(_transferring)(function)))


def channel_and_http_session_user_from_http(function: F) -> F:
    """Do as `channel_session_user_from_http`, and remember the browser's session as well."""
    return http_session_user(channel_and_http_session(surrounded(_transferring)(function)))


__all__ = [
    "channel_and_http_session_user_from_http",
    "channel_session_user",
    "channel_session_user_from_http",
    "http_session_user",
    "transfer_user",
]
