"""Users: who logged in when a connection was made, through Django's own check of the session."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from django.contrib.auth import aget_user
from django.contrib.sessions.backends.base import SessionBase

from achannels.django.sessions import BrowserSessions
from achannels.types import Scope

if TYPE_CHECKING:
    from django.http import HttpRequest

_browsers = BrowserSessions()


async def user_of(scope: Scope) -> Any:
    """Return the user whose log-in the session of a connection holds, else an anonymous one.

    The session is only read. Django gives a session a new key after a change of `SECRET_KEY`, and
    ends it after a change of the password; a connection that is open cannot hand the browser a new
    cookie, so both are left to the next request.
    """
    session = await _browsers.load(scope)
    request = SimpleNamespace(session=_ReadOnly(session))
    return await aget_user(cast("HttpRequest", request))


class _ReadOnly:
    """The part of a session that `aget_user` uses, without its changes."""

    def __init__(self, session: SessionBase | None) -> None:
        self._session = session

    async def aget(self, key: str, default: Any = None) -> Any:
        return default if self._session is None else await self._session.aget(key, default)

    async def aset(self, key: str, value: Any) -> None:
        """Change nothing."""

    async def acycle_key(self) -> None:
        """Change nothing."""

    async def aflush(self) -> None:
        """Change nothing."""


__all__ = ["user_of"]
