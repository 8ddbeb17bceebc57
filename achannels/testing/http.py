"""HttpClient: an HTTP client in the process of the test, for any ASGI application."""

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from achannels.testing.connection import (
    ClientLeft,
    Connection,
    Headers,
    HeaderSource,
    below,
    check_event,
    close_failed,
    header_list,
    make_scope,
    shown,
)
from achannels.testing.leaks import lend, nodes, return_nodes
from achannels.types import ASGIApplication, Event

Body = bytes | str | Iterable[bytes] | AsyncIterable[bytes]
"""The body of a request: whole, or in parts."""


class Response:
    """A whole answer.

    Attributes:
        status: The HTTP status.
        headers: The headers, names in any case.
        body: All parts, joined.
    """

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def text(self) -> str:
        """The body as text, in UTF-8."""
        return self.body.decode()

    def json(self) -> Any:
        """Return what the body says in JSON.

        Raises:
            AssertionError: It is not JSON.
        """
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise AssertionError(
                f"this body came, which is not JSON: {shown(self.body)}"
            ) from error

    def __repr__(self) -> str:
        return f"<Response {self.status}: {shown(self.body)}>"


class Exchange:
    """One request whose answer comes in parts; `HttpClient.stream` gives it.

    Attributes:
        status: The HTTP status, once `started` has returned.
        headers: The headers, once `started` has returned.
    """

    def __init__(self, connection: Connection) -> None:
        self.status = 0
        self.headers = Headers()
        self._connection = connection
        self._requests: asyncio.Queue[Event] = asyncio.Queue()
        self._parts: list[bytes] = []
        self._started = False
        self._complete = False
        self._left = False

    async def send(self, part: bytes, *, more: bool = True) -> None:
        """Send a part of the request's body; `more=False` with the last."""
        self._requests.put_nowait({"type": "http.request", "body": part, "more_body": more})

    async def started(self, timeout: float = 1.0) -> int:
        """Wait for status and headers of the answer, and return the status.

        Raises:
            AssertionError: They did not come within `timeout` seconds.
        """
        await self._until(lambda: self._started, timeout, "no answer came")
        return self.status

    async def receive(self, timeout: float = 1.0) -> bytes:
        """Return the next part of the answer's body; an empty one when it is complete.

        Raises:
            AssertionError: None came within `timeout` seconds.
        """
        ready = lambda: bool(self._parts) or self._complete  # noqa: E731 - named for both uses
        await self._until(ready, timeout, "no part of the answer came")
        return self._parts.pop(0) if self._parts else b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while part := await self.receive():
            yield part

    async def response(self, timeout: float = 1.0) -> Response:
        """Return the whole answer.

        Raises:
            AssertionError: It was not complete within `timeout` seconds.
        """
        await self._until(lambda: self._complete, timeout, "no complete answer came")
        return Response(self.status, self.headers, b"".join(self._parts))

    def leave(self) -> None:
        """The client goes, whatever it has got by now."""
        if not self._left:
            self._left = True
            self._requests.put_nowait({"type": "http.disconnect"})

    async def _until(self, ready: Any, timeout: float, what: str) -> None:
        connection = self._connection
        if await connection.until(lambda: ready() or connection.ended, timeout) and ready():
            return
        if connection.ended:
            raise connection.failure(f"{what}, and the application ended.")
        raise connection.failure(f"{what} within {timeout} s.")

    # What the application calls.

    async def give(self) -> Event:
        """Return the next event of the request."""
        if self._requests.empty() and (self._left or self._complete):
            return {"type": "http.disconnect"}
        return await self._requests.get()

    async def take(self, event: Event) -> None:
        """Take an event of the answer."""
        if self._left:
            raise ClientLeft
        if not self._started:
            check_event(event, ("http.response.start",))
            self.status = event["status"]
            self.headers = Headers(event.get("headers") or ())
            self._started = True
        else:
            check_event(event, () if self._complete else ("http.response.body",))
            if part := bytes(event.get("body", b"")):
                self._parts.append(part)
            if not event.get("more_body", False):
                self._complete = True
                self._requests.put_nowait({"type": "http.disconnect"})
        self._connection.changed()


class HttpClient:
    """A client for the requests of a test; `async with` checks at the end that nothing is left.

    What the application raises is raised in the test, as the request's own error. The application
    runs in a task of its own with the context of the test; a wait that ends raises
    `AssertionError` and never cancels it.

    Args:
        application: Any ASGI application.
        user: The scope's `user`, as a middleware would put it there.
        headers: Headers of every request: a mapping, or pairs.
        root_path: Where the application is mounted.
        scheme: `"http"` or `"https"`.
        raise_errors: Raise what the application raised, also when it answered 500.
        timeout: Seconds to wait for a complete answer, and for the application to end.
    """

    def __init__(
        self,
        application: ASGIApplication,
        *,
        user: Any = None,
        headers: HeaderSource = (),
        root_path: str = "",
        scheme: str = "http",
        raise_errors: bool = True,
        timeout: float = 5.0,
    ) -> None:
        self.timeout = timeout
        self._application = application
        self._user = user
        self._headers = header_list(headers)
        self._root_path = root_path
        self._scheme = scheme
        self._raise_errors = raise_errors

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        failed: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        close_failed(failed, [await return_nodes()])

    async def get(self, path: str, *, headers: HeaderSource = ()) -> Response:
        """Return the answer to `GET`."""
        return await self.request("GET", path, headers=headers)

    async def post(
        self, path: str, body: Body = b"", *, json: Any = None, headers: HeaderSource = ()
    ) -> Response:
        """Return the answer to `POST`."""
        return await self.request("POST", path, body, json=json, headers=headers)

    async def request(
        self,
        method: str,
        path: str,
        body: Body = b"",
        *,
        json: Any = None,
        headers: HeaderSource = (),
    ) -> Response:
        """Return the whole answer to a request.

        Args:
            method: For example `"PUT"`.
            path: Path, below `root_path`, with its query string.
            body: Whole (`bytes` or `str`), or in parts.
            json: A value to send as JSON instead.
            headers: Headers of this request beside the client's.

        Raises:
            Exception: What the application raised.
            AssertionError: No complete answer came in time.
        """
        async with self.stream(method, path, body, json=json, headers=headers) as exchange:
            return await exchange.response(self.timeout)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        body: Body | None = b"",
        *,
        json: Any = None,
        headers: HeaderSource = (),
    ) -> AsyncIterator[Exchange]:
        """Send a request and take its answer in parts; leaving the block early is leaving.

        Args:
            method: For example `"GET"`.
            path: Path, below `root_path`, with its query string.
            body: Whole, or in parts; `None`: the test sends the parts with `exchange.send`.
            json: A value to send as JSON instead.
            headers: Headers of this request beside the client's.

        Raises:
            Exception: What the application raised.
            AssertionError: The application does not end.
        """
        scope = self._scope(method, path, json, headers)
        before = nodes()
        connection = Connection(self._application, scope, below(scope))
        exchange = Exchange(connection)
        connection.start(exchange.give, exchange.take)
        failed: BaseException | None = None
        try:
            if body is not None:
                await _send_body(exchange, body if json is None else _dump(json))
            yield exchange
        except BaseException as error:
            failed = error
            raise
        finally:
            exchange.leave()
            stuck = await connection.end(self.timeout)
            lend(before)
            errors: list[BaseException | None] = [stuck]
            if self._raise_errors:
                errors.insert(0, connection.take_error())
            close_failed(failed, errors)

    def _scope(self, method: str, path: str, json: Any, headers: HeaderSource) -> dict[str, Any]:
        given = [*self._headers, *header_list(headers)]
        if json is not None and not any(name == b"content-type" for name, _ in given):
            given.append((b"content-type", b"application/json"))
        return make_scope(
            "http",
            path,
            scheme=self._scheme,
            headers=given,
            root_path=self._root_path,
            user=self._user,
            more={"method": method.upper()},
        )


async def _send_body(exchange: Exchange, body: Body) -> None:
    if isinstance(body, bytes | str):
        await exchange.send(body.encode() if isinstance(body, str) else body, more=False)
        return
    if isinstance(body, AsyncIterable):
        async for part in body:
            await exchange.send(part)
    else:
        for part in body:
            await exchange.send(part)
    await exchange.send(b"", more=False)


def _dump(value: Any) -> str:
    return json.dumps(value)


__all__ = ["Exchange", "HttpClient", "Response"]
