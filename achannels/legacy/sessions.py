"""`channels.sessions`: sessions of sockets and of browsers around a consumer, and the order of messages.

The decorators work on `def` and `async def` consumers.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar, overload

from django.conf import settings
from django.contrib.sessions.backends.base import CreateError, SessionBase
from django.core.signals import setting_changed
from django.dispatch import receiver

from achannels.django.sessions import key_of, store_class
from achannels.exceptions import ConsumeLater
from achannels.legacy.decorators import first_or_second_argument, surrounded
from achannels.legacy.message import MISSING, given
from achannels.legacy.ordering import in_order
from achannels.legacy.request import AsgiRequest

F = TypeVar("F", bound=Callable[..., Any])

_COOKIES = "django.contrib.sessions.backends.signed_cookies"


def session_for_reply_channel(reply_channel: str) -> SessionBase:
    """Return the session of a reply channel, loaded.

    It is kept in `CHANNEL_SESSION_ENGINE`, else in `SESSION_ENGINE`.

    Args:
        reply_channel: Name of the channel.

    Raises:
        ValueError: The engine keeps sessions in cookies.
    """
    key = key_of(reply_channel)
    session = _channel_store()(session_key=key)
    session.keys()
    session._session_key = key  # loading what is not there has dropped it
    return session


@lru_cache
def _channel_store() -> type[SessionBase]:
    """Return a store that keeps its key: whoever gives a session a new one means a browser's."""
    engine = getattr(settings, "CHANNEL_SESSION_ENGINE", None) or settings.SESSION_ENGINE
    if engine == _COOKIES:
        raise ValueError(
            f"channel sessions cannot be kept by {engine!r}: a socket sets no cookies. "
            "Set CHANNEL_SESSION_ENGINE to another engine."
        )
    store = store_class(engine)

    def cycle_key(self: SessionBase) -> None:
        self.modified = True

    # Its name is part of what a session is signed with: whoever asks the engine reads it as well.
    names = {"__module__": store.__module__, "__qualname__": store.__qualname__}
    return type(store.__name__, (store,), {**names, "cycle_key": cycle_key})


@receiver(setting_changed)
def _forget_store(*, setting: str, **kwargs: Any) -> None:
    """Follow `override_settings` in tests."""
    if setting in ("CHANNEL_SESSION_ENGINE", "SESSION_ENGINE"):
        _channel_store.cache_clear()


@contextmanager
def _with_channel_session(message: Any) -> Iterator[None]:
    session = given(message, "channel_session")
    if session is not MISSING:
        try:
            yield
        finally:
            if getattr(session, "modified", False):
                session.save()
        return
    reply_channel = message._reply
    if reply_channel is None:
        raise ValueError(
            f"a channel session belongs to a reply channel, and the message on {message.channel} "
            "has none."
        )
    session = session_for_reply_channel(reply_channel.name)
    if not session.keys() and not session.exists(str(session.session_key)):
        try:
            session.save(must_create=True)
        except CreateError:  # another worker was faster
            raise ConsumeLater from None
    message.channel_session = session
    try:
        yield
    finally:
        if session.modified and not session.is_empty():
            session.save()


def channel_session(function: F) -> F:
    """Give a consumer `message.channel_session`: a Django session of its socket.

    It is saved after the consumer if it was changed, also when that raised.

    Raises:
        ValueError: When it is called: there is no message, or it has no reply channel.
    """
    return surrounded(_with_channel_session, first_or_second_argument)(function)


@contextmanager
def _with_http_session(message: Any) -> Iterator[None]:
    if given(message, "http_session") is not MISSING:
        try:
            yield
        finally:
            _save(message.http_session)  # which may be another one now: see `_remembering`
        return
    session = message.http_session = _session_of_browser(message)
    yield
    _save(session)


def _save(session: SessionBase | None) -> None:
    if session is not None and session.modified:
        session.save()


def _session_of_browser(message: Any) -> SessionBase | None:
    message.content.setdefault("method", "FAKE")
    try:
        request = AsgiRequest(message)
        key = request.GET.get("session_key") or request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    except Exception as error:
        raise ValueError(
            f"the message on {message.channel} says nothing of a browser: {error!r}. Use "
            "http_session on websocket.connect and http.request."
        ) from error
    return store_class(settings.SESSION_ENGINE)(session_key=key) if key else None


def http_session(function: F) -> F:
    """Give a consumer `message.http_session`: the Django session of the browser, or `None`.

    The query parameter `session_key` names it, else the cookie. It is saved after the consumer if it
    was changed and nothing was raised; it is never created.

    Raises:
        ValueError: When it is called: there is no message, or it has nothing of a request.
    """
    return surrounded(_with_http_session)(function)


@contextmanager
def _remembering(message: Any) -> Iterator[None]:
    name = settings.SESSION_COOKIE_NAME
    channel_session = message.channel_session
    if message.http_session is not None:
        if name not in channel_session:
            channel_session[name] = message.http_session.session_key
    elif name in channel_session:
        message.http_session = store_class(settings.SESSION_ENGINE)(
            session_key=channel_session[name]
        )
    yield


def channel_and_http_session(function: F) -> F:
    """Give a consumer both sessions.

    `websocket.connect` knows the browser's; the session of the socket remembers it for the others.
    """
    return http_session(channel_session(surrounded(_remembering)(function)))


@overload
def enforce_ordering(func: F, slight: bool = False) -> F: ...


@overload
def enforce_ordering(func: None = None, slight: bool = False) -> Callable[[F], F]: ...


def enforce_ordering(func: Any = None, slight: bool = False) -> Any:
    """Have the messages of one connection handled in the order of their `order`; also `channel_session`.

    Those of our own sockets come in order by themselves, so it costs them nothing. Others, of an
    interface server of one's own, wait for those before them on a channel beside the reply channel.

    Args:
        func: The consumer.
        slight: Was taken out of 1.x.

    Raises:
        ValueError: `slight` is true; or, when it is called, the message has no `order`.
    """
    if slight:
        raise ValueError("slight ordering was taken out of Channels 1.x: leave slight=True out.")

    def decorate(function: F) -> F:
        return channel_session(in_order(function))

    return decorate if func is None else decorate(func)


__all__ = [
    "channel_and_http_session",
    "channel_session",
    "enforce_ordering",
    "http_session",
    "session_for_reply_channel",
]
