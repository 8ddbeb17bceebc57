"""LiveServer: an application on a real port, in the test's event loop or in a thread of its own."""

import asyncio
import secrets
import threading
from collections.abc import Iterable
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from achannels.testing.connection import Headers, HeaderSource, header_list, shown
from achannels.testing.websocket import ConnectionDenied, JsonFrames
from achannels.types import ASGIApplication, Event, Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Iterator

    import uvicorn
    from websockets.asyncio.client import ClientConnection

_USER = "x-achannels-test-user"


class LiveServer:
    """Serves an application with uvicorn on a free port of this machine.

    `with` runs it in a thread with an event loop of its own, for tests that are no coroutines, for
    browsers, and for test clients that block. `async with` runs it in the test's event loop.

    Args:
        application: Any ASGI application; its lifespan runs with the server.
        host: Address to listen on.
        port: 0 takes a free one.
        timeout: Seconds to wait for start and stop.
        **options: Keywords of `uvicorn.Config`, for example `ws="wsproto"`.

    Attributes:
        port: The port, once the server has started.

    Raises:
        Exception: On entering: what kept the server from starting.
    """

    def __init__(
        self,
        application: ASGIApplication,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        timeout: float = 10.0,
        **options: Any,
    ) -> None:
        self.host = host
        self.port = port
        self.timeout = timeout
        self._application = application
        self._options = options
        self._users: dict[str, Any] = {}
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None
        self._started = threading.Event()
        self._failed: BaseException | None = None
        self._reason = ""

    @property
    def url(self) -> str:
        """Address of the server, without a slash at the end: `http://127.0.0.1:54321`."""
        return f"http://{self.host}:{self.port}"

    @property
    def ws_url(self) -> str:
        """The same for sockets: `ws://127.0.0.1:54321`."""
        return f"ws://{self.host}:{self.port}"

    def websocket(
        self,
        path: str,
        *,
        user: Any = None,
        headers: HeaderSource = (),
        subprotocols: Iterable[str] = (),
        origin: str | None = None,
        timeout: float = 5.0,
    ) -> "LiveSocket":
        """Return a client for a path, to be entered with `async with`.

        Args:
            path: Path with its query string.
            user: The scope's `user`, as a middleware would put it there; the server runs in this
                process, so any object will do.
            headers: Further headers of the handshake.
            subprotocols: Those that the client offers.
            origin: Value of the `Origin` header.
            timeout: Seconds to wait for the handshake, and for the close.
        """
        given = header_list(headers)
        if user is not None:
            token = secrets.token_urlsafe(16)
            self._users[token] = user
            given.append((_USER.encode(), token.encode()))
        return LiveSocket(self.ws_url + path, given, tuple(subprotocols), origin, timeout)

    def __enter__(self) -> Self:
        server = self._make()
        self._thread = threading.Thread(target=self._run, name="achannels live server", daemon=True)
        self._thread.start()
        started = self._started.wait(self.timeout)
        if not started or not server.started:
            self._stop_thread()
            raise self._failed or TimeoutError(f"the server did not start in {self.timeout} s.")
        self._note_port(server)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop_thread()

    async def __aenter__(self) -> Self:
        server = self._make()
        started = asyncio.Event()
        self._on_start(server, started.set)
        self._task = asyncio.get_running_loop().create_task(self._serve(), name="live server")
        self._task.add_done_callback(lambda _: started.set())
        async with asyncio.timeout(self.timeout):
            await started.wait()
        if not server.started:
            raise self._failed or RuntimeError("the server did not start.")
        self._note_port(server)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        failed: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await asyncio.wait([self._task], timeout=self.timeout)
            self._server.force_exit = True
            await asyncio.wait([self._task])

    def _make(self) -> "uvicorn.Server":
        import uvicorn  # noqa: PLC0415 - only this class needs it

        class Server(uvicorn.Server):
            @contextmanager
            def capture_signals(self) -> "Iterator[None]":
                yield  # the signals are the test runner's

        config = uvicorn.Config(
            self._with_users,
            **{
                "host": self.host,
                "port": self.port,
                "log_config": None,
                "access_log": False,
                "interface": "asgi3",
                "loop": "asyncio",
                "timeout_graceful_shutdown": int(self.timeout),
                **self._options,
            },
        )
        self._server = Server(config)
        return self._server

    def _on_start(self, server: "uvicorn.Server", started: Any) -> None:
        startup = server.startup

        async def told(*args: Any, **kwargs: Any) -> None:
            await startup(*args, **kwargs)
            started()

        server.startup = told  # type: ignore[method-assign]

    def _run(self) -> None:
        assert self._server is not None
        self._on_start(self._server, self._started.set)
        try:
            asyncio.run(self._serve())
        finally:
            self._started.set()

    async def _serve(self) -> None:
        assert self._server is not None
        try:
            await self._server.serve()
        except SystemExit as error:
            why = self._reason or f"see its log ({error!r})"
            self._failed = RuntimeError(f"the application did not start: {why}")
        except Exception as error:  # noqa: BLE001 - raised by who entered
            self._failed = error

    def _note_port(self, server: "uvicorn.Server") -> None:
        self.port = server.servers[0].sockets[0].getsockname()[1]

    def _stop_thread(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(self.timeout)
            self._server.force_exit = True
            self._thread.join(self.timeout)

    async def _with_users(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def noting(event: Event) -> None:
            if event["type"] == "lifespan.startup.failed":
                self._reason = event.get("message", "")
            await send(event)

        for name, value in scope.get("headers", ()):
            if name == _USER.encode() and (user := self._users.get(value.decode())) is not None:
                scope["user"] = user
        await self._application(scope, receive, noting if scope["type"] == "lifespan" else send)


class LiveSocket(JsonFrames):
    """A WebSocket to a `LiveServer`, with the methods of `WebsocketClient`.

    Args:
        url: Where to connect.
        headers: Further headers of the handshake.
        subprotocols: Those that the client offers.
        origin: Value of the `Origin` header.
        timeout: Seconds to wait for the handshake, and for the close.

    Raises:
        ConnectionDenied: On entering: the application refused the socket.
    """

    def __init__(
        self,
        url: str,
        headers: list[tuple[bytes, bytes]],
        subprotocols: tuple[str, ...],
        origin: str | None,
        timeout: float,
    ) -> None:
        self.url = url
        self.timeout = timeout
        self.subprotocol: str | None = None
        self.headers = Headers()
        self._given = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        self._subprotocols = subprotocols
        self._origin = origin
        self._connection: ClientConnection | None = None
        self._next: asyncio.Task[str | bytes] | None = None

    async def __aenter__(self) -> Self:
        from websockets.asyncio.client import connect  # noqa: PLC0415 - only this class needs it
        from websockets.exceptions import InvalidStatus  # noqa: PLC0415

        try:
            connection = self._connection = await connect(
                self.url,
                additional_headers=self._given,
                subprotocols=self._subprotocols or None,  # type: ignore[arg-type]
                origin=self._origin,  # type: ignore[arg-type]
                open_timeout=self.timeout,
                close_timeout=self.timeout,
                max_queue=None,
                proxy=None,
            )
        except InvalidStatus as error:
            response = error.response
            raise ConnectionDenied(
                response.status_code,
                bytes(response.body or b"").decode("utf-8", "replace"),
                _headers(response.headers.raw_items()),
            ) from None
        self.subprotocol = connection.subprotocol
        if connection.response is not None:
            self.headers = _headers(connection.response.headers.raw_items())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def send(self, data: str | bytes) -> None:
        """Send a text (`str`) or binary (`bytes`) frame."""
        await self._open.send(data)

    async def receive(self, timeout: float = 1.0) -> str | bytes:
        """Return the next frame.

        Raises:
            AssertionError: None came within `timeout` seconds, or the socket was closed.
        """
        task = self._receiving()
        await asyncio.wait([task], timeout=timeout)
        if not task.done():
            raise AssertionError(f"no frame came within {timeout} s.")
        self._next = None
        if task.exception() is not None:
            raise AssertionError(f"no frame came: {task.exception()}") from task.exception()
        return task.result()

    async def receive_nothing(self, wait: float = 0.05) -> bool:
        """Return whether no frame comes within `wait` seconds; one that comes stays unread."""
        task = self._receiving()
        await asyncio.wait([task], timeout=wait)
        return not task.done() or task.exception() is not None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the socket from the client's side."""
        await self._open.close(code, reason)
        if self._next is not None:
            task, self._next = self._next, None
            await asyncio.wait([task])
            task.exception()

    async def wait_closed(self, timeout: float = 1.0) -> int:
        """Wait until the socket is closed and return the code: 1006 if it was lost.

        Raises:
            AssertionError: It was not closed within `timeout` seconds.
        """
        closing = asyncio.get_running_loop().create_task(self._open.wait_closed())
        await asyncio.wait([closing], timeout=timeout)
        if not closing.done():
            closing.cancel()
            text = f"the socket was not closed within {timeout} s."
            if self._next is not None and self._next.done() and not self._next.exception():
                text += f" This frame came: {shown(self._next.result())}."
            raise AssertionError(text)
        return self._open.close_code or 1006

    @property
    def _open(self) -> "ClientConnection":
        if self._connection is None:
            raise RuntimeError("the socket is not connected: enter it with `async with`.")
        return self._connection

    def _receiving(self) -> "asyncio.Task[str | bytes]":
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._open.recv())
        return self._next


def _headers(items: Iterable[tuple[str, str]]) -> Headers:
    return Headers((name.encode("latin-1"), value.encode("latin-1")) for name, value in items)


__all__ = ["LiveServer", "LiveSocket"]
