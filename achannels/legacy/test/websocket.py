"""`channels.test.websocket`: a client that speaks as a browser's WebSocket does."""

import json as json_
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib import auth
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest

from achannels.django.sessions import store_class
from achannels.legacy.asgi import DEFAULT_CHANNEL_LAYER
from achannels.legacy.sessions import session_for_reply_channel
from achannels.legacy.test.base import Client


class WSClient(Client):
    """A socket, with cookies, headers, a session and a user.

    Args:
        ordered: Give each message its `order`.
        alias: Which of `CHANNEL_LAYERS` it uses.
    """

    def __init__(self, ordered: bool = False, alias: str = DEFAULT_CHANNEL_LAYER) -> None:
        super().__init__(alias)
        self.order = 0
        self.is_ordered = ordered
        self._session: SessionBase | None = None
        self._is_browsers = False
        self._headers: dict[str, bytes] = {}
        self._cookies: dict[str, str] = {}
        self._session_cookie = True

    def set_cookie(self, key: str, value: str) -> None:
        """Have a cookie sent with each message."""
        self._cookies[key] = value

    def set_header(self, key: str, value: str | bytes) -> None:
        """Have a header sent with each message.

        Raises:
            ValueError: It is `cookie`; `set_cookie` is for these.
        """
        if key.lower() == "cookie":
            raise ValueError("Use set_cookie to set cookie header")
        self._headers[key] = value.encode("latin-1") if isinstance(value, str) else value

    def get_cookies(self) -> dict[str, str]:
        """Return the cookies of the next message; the session's is among them until the first."""
        cookies = dict(self._cookies)
        if self._session_cookie and apps.is_installed("django.contrib.sessions"):
            cookies[settings.SESSION_COOKIE_NAME] = str(self.session.session_key)
        return cookies

    @property
    def headers(self) -> dict[str, bytes]:
        """The headers of the next message, as a dict; a server sends a list of pairs."""
        headers = dict(self._headers)
        if cookies := self.get_cookies():
            pairs = (f"{name}={value}" for name, value in cookies.items())
            headers["cookie"] = "; ".join(pairs).encode("latin-1")
        return headers

    @property
    def session(self) -> SessionBase:
        """The session of this socket; after a log-in, that of the browser.

        Raises:
            EnvironmentError: `django.contrib.sessions` is not installed.
        """
        if self._session is None:
            if not apps.is_installed("django.contrib.sessions"):
                raise OSError("the app 'django.contrib.sessions' is needed to use sessions")
            self._session = session_for_reply_channel(self.reply_channel)
        return self._session

    def login(self, **credentials: Any) -> bool:
        """Log a user in; returns whether the credentials and the user are good."""
        user = auth.authenticate(**credentials)
        if user is None or not user.is_active:
            return False
        self._login(user, None)
        return True

    def force_login(self, user: Any, backend: str | None = None) -> None:
        """Log a user in without credentials.

        Args:
            user: The user.
            backend: Dotted name of one of `AUTHENTICATION_BACKENDS`; `None` takes the first.
        """
        self._login(user, backend or settings.AUTHENTICATION_BACKENDS[0])

    def send(
        self,
        to: str,
        content: Mapping[str, Any] = {},
        text: Any = None,
        path: str = "/",
    ) -> None:
        """Send a message as a server does for a socket.

        Args:
            to: Name of the channel.
            content: The message; it is copied.
            text: Its text; anything but `str` is sent as JSON.
            path: Path of the socket; only connect gets the query string behind its `?`.

        Raises:
            ValueError: The path has more than one `?`, or an `order` is given to an ordered client.
        """
        if path.count("?") > 1:
            raise ValueError("Path must not contain more than one '?'")
        message = deepcopy(dict(content))
        bare, _, query = path.partition("?")
        message.setdefault("path", bare)
        if to == "websocket.connect":
            message.setdefault("query_string", query)
        message.setdefault("headers", self.headers)
        if text is not None:
            message["text"] = text if isinstance(text, str) else json_.dumps(text)
        if self.is_ordered:
            if "order" in message:
                raise ValueError("Do not use 'order' manually with 'ordered=True'")
            message["order"] = self.order
            self.order += 1
        super().send(to, message)
        self._session_cookie = False

    def send_and_consume(  # type: ignore[override]
        self,
        channel: str,
        content: Mapping[str, Any] = {},
        text: Any = None,
        path: str = "/",
        fail_on_none: bool = True,
        check_accept: bool = True,
    ) -> Any:
        """Send a message and run its consumer.

        Args:
            channel: As in `send`.
            content: As in `send`.
            text: As in `send`.
            path: As in `send`.
            fail_on_none: As in `consume`.
            check_accept: Check that connect is answered with `{"accept": True}` before all else.

        Raises:
            AssertionError: It is not.
        """
        self.send(channel, content, text, path)
        result = self.consume(channel, fail_on_none=fail_on_none)
        if channel == "websocket.connect" and check_accept:
            answer = self.receive(json=False)
            if answer != {"accept": True}:
                raise AssertionError(f"Connection rejected: {answer} != '{{accept: True}}'")
        return result

    def receive(self, json: bool = True) -> Any:
        """Return the next answer.

        Args:
            json: Decode the text; `False` returns it as it is.

        Returns:
            The text of a frame, all of the answer if it has none, `None` if there is no answer.
        """
        content = super().receive()
        if content is None:
            return None
        if "text" in content and content["text"] is not None:
            return json_.loads(content["text"]) if json else content["text"]
        return content

    def _login(self, user: Any, backend: str | None) -> None:
        if not self._is_browsers:
            session = store_class(settings.SESSION_ENGINE)()
            session.update(dict(self.session.items()))
            self._session, self._is_browsers = session, True
        request = HttpRequest()
        request.session = self.session
        auth.login(request, user, backend)
        request.session.save()
        self._session_cookie = True


__all__ = ["WSClient"]
