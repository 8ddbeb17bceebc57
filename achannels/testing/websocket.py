"""WebsocketClient: a WebSocket client in the process of the test, for any ASGI application."""

import asyncio
import json
from collections import deque
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from achannels.testing.connection import (
    MARK,
    ClientLeft,
    Connection,
    Headers,
    HeaderSource,
    below,
    check_event,
    close_failed,
    make_scope,
    shown,
)
from achannels.testing.leaks import check_socket, lend, nodes, return_nodes, socket_of
from achannels.types import ASGIApplication, Event

_DENIAL = "websocket.http.response"
_HANDSHAKE = ("websocket.accept", "websocket.close", f"{_DENIAL}.start")
_OPEN = ("websocket.send", "websocket.close")


class ConnectionDenied(Exception):
    """The application refused the socket.

    Attributes:
        status: The HTTP status of the answer.
        reason: Its body.
        headers: Its headers.
    """

    def __init__(self, status: int, reason: str, headers: Headers) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.headers = headers

    def __str__(self) -> str:
        return f"the application refused the socket: HTTP {self.status} {self.reason}".rstrip()


class JsonFrames:
    """JSON over the frames of a client."""

    async def send(self, data: str | bytes) -> None:
        """Send a frame."""
        raise NotImplementedError

    async def receive(self, timeout: float = 1.0) -> str | bytes:
        """Return the next frame."""
        raise NotImplementedError

    async def send_json(self, content: Any) -> None:
        """Send a value as a JSON text frame."""
        await self.send(json.dumps(content))

    async def receive_json(self, timeout: float = 1.0) -> Any:
        """Return what the next frame says in JSON.

        Raises:
            AssertionError: No frame came, or it is not JSON.
        """
        frame = await self.receive(timeout)
        try:
            return json.loads(frame)
        except ValueError as error:
            raise AssertionError(f"this frame came, which is not JSON: {shown(frame)}") from error


class WebsocketClient(JsonFrames):
    """A client's side of one WebSocket, as an async context manager.

    Entering connects and waits for the accept. Leaving disconnects, waits for the application to
    end, and checks that nothing is left of the socket: it is in no group, nothing is pending, and
    the last client leaves no task behind. What the application raised and no test was told yet is
    raised there. The application runs in a task of its own with the context of the test. A wait
    that ends raises `AssertionError` and never cancels the application.

    Args:
        application: Any ASGI application, for example one that is wrapped by middleware.
        path: Path, below `root_path`, with its query string.
        user: The scope's `user`, as a middleware would put it there.
        headers: Further headers of the handshake: a mapping, or pairs.
        subprotocols: Those that the client offers.
        origin: Value of the `Origin` header; `None` sends none, as a client that is no browser.
        root_path: Where the application is mounted.
        scheme: `"ws"` or `"wss"`.
        denial: The server can send an HTTP answer instead of the accept, as most can.
        scope: Laid over the scope that these arguments make.
        timeout: Seconds to wait for the accept, and for the application to end.

    Attributes:
        subprotocol: The one that the application accepted.
        headers: Those that came with the accept.
        close_code: The code that the socket was closed with, `None` while it is open.
        close_reason: Why, in the words of who closed it.

    Raises:
        ConnectionDenied: On entering: the application refused the socket.
        Exception: On entering or leaving: what the application raised.
        AssertionError: The application answers nothing, does not end, or leaves something behind.
    """

    def __init__(
        self,
        application: ASGIApplication,
        path: str,
        *,
        user: Any = None,
        headers: HeaderSource = (),
        subprotocols: Iterable[str] = (),
        origin: str | None = None,
        root_path: str = "",
        scheme: str = "ws",
        denial: bool = True,
        scope: Mapping[str, Any] | None = None,
        timeout: float = 5.0,
    ) -> None:
        given = make_scope(
            "websocket",
            path,
            scheme=scheme,
            headers=headers,
            root_path=root_path,
            user=user,
            more={"subprotocols": list(subprotocols), **(scope or {})},
        )
        if origin is not None:
            given["headers"].append((b"origin", origin.encode("latin-1")))
        if given["subprotocols"]:
            offered = ", ".join(given["subprotocols"]).encode("latin-1")
            given["headers"].append((b"sec-websocket-protocol", offered))
        if denial:
            given["extensions"][_DENIAL] = {}
        self.scope = given
        self.timeout = timeout
        self.subprotocol: str | None = None
        self.headers = Headers()
        self.close_code: int | None = None
        self.close_reason = ""
        self._connection = Connection(application, given, below(given))
        self._to_application: asyncio.Queue[Event] = asyncio.Queue()
        self._frames: deque[str | bytes] = deque()
        self._accepted = False
        self._denied: ConnectionDenied | None = None
        self._status = 0
        self._denial_body: list[bytes] = []
        self._left = False
        self._window: int | None = None
        self._reading = asyncio.Event()
        self._found: tuple[Any, Any, str] | None = None

    async def __aenter__(self) -> Self:
        if self._connection.task is not None:
            raise RuntimeError("a client connects once; make another one.")
        before = nodes()
        self._reading.set()
        self._to_application.put_nowait({"type": "websocket.connect"})
        connection = self._connection
        connection.start(self._give, self._take)
        answered = await connection.until(self._is_answered, self.timeout)
        lend(before)
        if self._accepted:
            if found := socket_of(self.scope["extensions"][MARK]):
                self._found = (*found, found[1].channel_name)
            return self
        error: BaseException = self._denied or connection.failure(
            "the application ended without an answer to the handshake."
            if answered
            else f"the application did not accept the socket within {self.timeout} s."
        )
        self._leave(1006, "")
        stuck = await connection.end(self.timeout)
        raised = connection.take_error()
        await return_nodes()
        raise raised or error.__cause__ or (stuck if answered else None) or error

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        failed: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connection = self._connection
        self._leave(1000, "")
        errors: list[BaseException | None] = [await connection.end(self.timeout)]
        errors.insert(0, connection.take_error())
        if self._found is not None:
            errors.append(check_socket(*self._found))
        errors.append(await return_nodes())
        close_failed(failed, errors)

    async def send(self, data: str | bytes) -> None:
        """Send a text (`str`) or binary (`bytes`) frame.

        Raises:
            AssertionError: The socket is closed.
        """
        if self._is_closed():
            raise self._connection.failure(f"nothing can be sent: {self._state()}.")
        key = "text" if isinstance(data, str) else "bytes"
        self._to_application.put_nowait({"type": "websocket.receive", key: data})

    async def receive(self, timeout: float = 1.0) -> str | bytes:
        """Return the next frame: a `str` or `bytes`.

        Raises:
            AssertionError: None came within `timeout` seconds, or the socket was closed.
        """
        if not await self._connection.until(self._has_news, timeout):
            raise self._connection.failure(f"no frame came within {timeout} s.")
        if not self._frames:
            raise self._connection.failure(f"no frame came: {self._state()}.")
        return self._frames.popleft()

    async def receive_nothing(self, wait: float = 0.05) -> bool:
        """Return whether no frame comes within `wait` seconds; one that comes stays unread.

        Raises:
            AssertionError: The socket was closed because the application raised.
        """
        await self._connection.until(self._has_news, wait)
        if not self._frames and self._connection.errors:
            raise self._connection.failure(f"no frame came: {self._state()}.")
        return not self._frames

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the socket from the client's side; leaving the context does it with 1000."""
        self._leave(code, reason)

    async def wait_closed(self, timeout: float = 1.0) -> int:
        """Wait until the socket is closed and return the code: 1006 if it was lost.

        An error of the application that closed it counts as told to the test.

        Raises:
            AssertionError: It was not closed within `timeout` seconds.
        """
        await self._connection.until(self._is_closed, timeout)
        if self.close_code is None:
            text = f"the socket was not closed within {timeout} s."
            if self._frames:
                text += f" These frames came: {', '.join(map(shown, self._frames))}."
            raise self._connection.failure(text)
        self._connection.errors.clear()
        return self.close_code

    async def lose(self) -> None:
        """Lose the connection, without a word to the application but its disconnect with 1006."""
        self._leave(1006, "")

    def pause(self, after: int = 0) -> None:
        """Stop reading: once the network has taken `after` bytes, the application's `send` waits."""
        self._window = after
        if after <= 0:
            self._reading.clear()

    def resume(self) -> None:
        """Read again."""
        self._window = None
        self._reading.set()

    def _leave(self, code: int, reason: str) -> None:
        """The client goes: what the application sends from now on raises in it."""
        if self._left or self.close_code is not None:
            return
        self._left = True
        self._end(code, reason)
        self._reading.set()

    def _end(self, code: int, reason: str) -> None:
        self.close_code, self.close_reason = code, reason
        event = {"type": "websocket.disconnect", "code": code, "reason": reason}
        self._to_application.put_nowait(event)
        self._connection.changed()

    def _is_answered(self) -> bool:
        return self._accepted or self._denied is not None or self._connection.ended

    def _has_news(self) -> bool:
        return bool(self._frames) or self._is_closed()

    def _is_closed(self) -> bool:
        if self._connection.ended and self.close_code is None:
            self.close_code, self.close_reason = 1006, "the application ended"
        return self.close_code is not None

    def _state(self) -> str:
        reason = f" {self.close_reason!r}" if self.close_reason else ""
        who = "the client" if self._left else "the application"
        return f"{who} closed the socket with {self.close_code}{reason}"

    # What the application calls.

    async def _give(self) -> Event:
        if self._to_application.empty() and (self._left or self.close_code is not None):
            raise RuntimeError("receive() was called again after websocket.disconnect.")
        return await self._to_application.get()

    async def _take(self, event: Event) -> None:
        if self._left:
            raise ClientLeft
        if self._denial_body or self._denied is not None:
            self._take_denial(event)
        elif not self._accepted:
            self._answer(event)
        else:
            await self._take_frame(event)
        self._connection.changed()

    def _answer(self, event: Event) -> None:
        kind = check_event(event, _HANDSHAKE)
        if kind == "websocket.accept":
            self.subprotocol = event.get("subprotocol")
            self.headers = Headers(event.get("headers") or ())
            if self.subprotocol is not None and self.subprotocol not in self.scope["subprotocols"]:
                raise RuntimeError(
                    f"the application accepted the subprotocol {self.subprotocol!r}, and the "
                    f"client offered {self.scope['subprotocols']}."
                )
            self._accepted = True
        elif kind == "websocket.close":
            self._refuse(403, event.get("reason") or "", Headers())
        else:
            self._denial_body.append(b"")
            self._status, self.headers = event["status"], Headers(event.get("headers") or ())

    def _take_denial(self, event: Event) -> None:
        allowed = (f"{_DENIAL}.body",) if self._denied is None else ()
        check_event(event, allowed)
        self._denial_body.append(event.get("body", b""))
        if not event.get("more_body", False):
            reason = b"".join(self._denial_body).decode("utf-8", "replace")
            self._refuse(self._status, reason, self.headers)

    def _refuse(self, status: int, reason: str, headers: Headers) -> None:
        self._denied = ConnectionDenied(status, reason, headers)
        self._end(1006, reason)

    async def _take_frame(self, event: Event) -> None:
        kind = check_event(event, _OPEN if self.close_code is None else ())
        text, data = event.get("text"), event.get("bytes")
        await self._wait_for_reader(len(text or data or ""))
        if kind == "websocket.close":
            self._end(event.get("code", 1000), event.get("reason") or "")
        elif text is not None:
            if not isinstance(text, str) or data is not None:
                raise RuntimeError(f"a frame is text or bytes; the application sent {event!r}.")
            self._frames.append(text)
        elif isinstance(data, bytes):
            self._frames.append(data)
        else:
            raise RuntimeError(f"a frame is text or bytes; the application sent {event!r}.")

    async def _wait_for_reader(self, size: int) -> None:
        if self._window is not None:
            self._window -= size
            if self._window <= 0:
                self._reading.clear()
        await self._reading.wait()
        if self._left:
            raise ClientLeft


__all__ = ["ConnectionDenied", "JsonFrames", "WebsocketClient"]
