"""Sessions over any of Django's engines: those of browsers, and those of channels."""

import base64
import hashlib
import importlib
import logging
from collections.abc import Callable
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.apps import apps
from django.conf import settings
from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.http import parse_cookie

from achannels.codec import Encoded, encode
from achannels.exceptions import ConfigurationError
from achannels.types import Content, Scope

logger = logging.getLogger("achannels.consumer")

_COOKIES = "django.contrib.sessions.backends.signed_cookies"
_FILES = "django.contrib.sessions.backends.file"
_TABLE = ("django.contrib.sessions.backends.db", "django.contrib.sessions.backends.cached_db")
_KEY = "channel_session"
_LARGEST = 2**31


def is_available() -> bool:
    """Return whether browsers can have sessions: the engine has its table, or needs none."""
    return apps.is_installed("django.contrib.sessions") or settings.SESSION_ENGINE not in _TABLE


def store_class(engine: str) -> type[SessionBase]:
    """Return the class of a session engine.

    Raises:
        ConfigurationError: The engine cannot be imported.
    """
    try:
        found: type[SessionBase] = importlib.import_module(engine).SessionStore
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"the session engine {engine!r} cannot be imported: {error}."
        ) from error
    return found


def session_key(scope: Scope) -> str | None:
    """Return the session that the cookies of a handshake or request name, `None` if none does."""
    cookies = b"; ".join(value for name, value in scope["headers"] if name == b"cookie")
    return parse_cookie(cookies.decode("latin-1")).get(settings.SESSION_COOKIE_NAME)


class BrowserSessions:
    """The sessions of browsers, in `SESSION_ENGINE`."""

    async def load(self, scope: Scope) -> SessionBase | None:
        """Return the session that the request's cookie names, loaded; `None` without cookie.

        What is read from it or written to it afterwards does no I/O, so it is a plain dict to
        `async def` and `def` consumers alike.
        """
        key = session_key(scope)
        if not key:
            return None
        session = store_class(settings.SESSION_ENGINE)(key)
        await _load(session)
        return session

    async def save(self, session: SessionBase) -> None:
        """Save a session if it was changed.

        One that was deleted meanwhile (by a log-out) stays deleted, and none is created: an open
        connection cannot hand the browser the cookie of a new one.
        """
        if not session.modified or session.is_empty():
            return
        if session.session_key is None:
            logger.warning("a change of http_session is lost: the cookie names no session")
            return
        if type(session).__module__ == _COOKIES:
            logger.error(
                "a change of http_session is lost: the engine %s keeps sessions in cookies, and an "
                "open connection cannot set one. Use another SESSION_ENGINE.",
                _COOKIES,
            )
            return
        try:
            await _save(session)
        except UpdateError:
            logger.warning("a change of http_session is lost: the session was deleted meanwhile")


class EngineSessions:
    """Sessions of channels, kept in a session engine: they outlive the process of their socket.

    Args:
        engine: Dotted name of the engine's module.

    Raises:
        ConfigurationError: The engine cannot be imported, or keeps sessions in cookies.
    """

    def __init__(self, engine: str) -> None:
        if engine == _COOKIES:
            raise ConfigurationError(
                f"CHANNEL_SESSION_ENGINE is {engine!r}, which keeps sessions in cookies; a socket "
                "has none. Use 'django.contrib.sessions.backends.cache' or another engine."
            )
        self._store = store_class(engine)
        if engine in _TABLE and not apps.is_installed("django.contrib.sessions"):
            raise ConfigurationError(
                f"CHANNEL_SESSION_ENGINE is {engine!r}, and its table is not there. "
                "Put 'django.contrib.sessions' into INSTALLED_APPS."
            )

    async def load(self, channel: str) -> Content:
        """Return the session of a reply channel, empty if there is none."""
        store = self._store(key_of(channel))
        await _load(store)
        text = store.get(_KEY)
        return {} if text is None else Encoded(base64.b64decode(cast("str", text))).decode()

    async def save(self, channel: str, session: Content) -> None:
        """Keep it."""
        body = encode(session, "channel_session", _LARGEST).body
        store = self._store(key_of(channel))
        store.clear()
        store[_KEY] = base64.b64encode(body).decode("ascii")
        try:
            await _save(store)
        except UpdateError:
            try:
                await _save(store, must_create=True)
            except CreateError:  # another process was faster
                await _save(store)

    async def delete(self, channel: str) -> None:
        """Forget it; no error if there is none."""
        store = self._store()
        await _call(store, store.delete, store.adelete, key_of(channel))


def key_of(channel: str) -> str:
    """Return the session key of a reply channel, as Channels 1.x makes it."""
    return f"chn{hashlib.sha1(channel.encode(), usedforsecurity=False).hexdigest()[:29]}"


def sessions_in(engine: Any) -> EngineSessions | None:
    """Return the sessions that the setting `CHANNEL_SESSION_ENGINE` names.

    Raises:
        ConfigurationError: It names no engine that can do it.
    """
    if engine is None:
        return None
    if not isinstance(engine, str):
        raise ConfigurationError(
            f"CHANNEL_SESSION_ENGINE is {engine!r}. Give the dotted name of a session engine."
        )
    return EngineSessions(engine)


async def _load(session: SessionBase) -> None:
    await _call(session, session.keys, session.akeys)


async def _save(session: SessionBase, *, must_create: bool = False) -> None:
    await _call(session, session.save, session.asave, must_create)


async def _call(
    session: SessionBase, method: Callable[..., Any], amethod: Callable[..., Any], *args: Any
) -> None:
    """Call the async form of a method; that of the file engine reads and writes on the loop."""
    if type(session).__module__ == _FILES:
        await sync_to_async(method, thread_sensitive=False)(*args)
    else:
        await amethod(*args)


__all__ = [
    "BrowserSessions",
    "EngineSessions",
    "is_available",
    "key_of",
    "session_key",
    "sessions_in",
    "store_class",
]
