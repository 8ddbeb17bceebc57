"""One ASGI connection to an application under test: its task, what it waits for, what it raised."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from achannels.types import ASGIApplication, Event, Receive, Scope, Send

HeaderSource = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]
"""Headers as a test writes them: a mapping of `str`, or pairs of `str` or `bytes`."""

MARK = "achannels.testing"
"""The extension in a scope by which the kit finds the socket of its client again."""

_SHOWN = 200
"""Characters of a frame that an error text shows."""


class Headers(Mapping[str, str]):
    """The headers of an answer: names in any case; of several with one name, the last.

    Attributes:
        raw: All of them, in order, as pairs of bytes.
    """

    def __init__(self, raw: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.raw = [(bytes(name), bytes(value)) for name, value in raw]

    def get_all(self, name: str) -> list[str]:
        """Return the values of all headers with this name, in order."""
        wanted = name.lower().encode("latin-1")
        return [value.decode("latin-1") for key, value in self.raw if key.lower() == wanted]

    def __getitem__(self, name: str) -> str:
        found = self.get_all(name)
        if not found:
            raise KeyError(name)
        return found[-1]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.decode("latin-1").lower() for name, _ in self.raw))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return f"Headers({self.raw!r})"


class ClientLeft(OSError):
    """What the application's `send` raises when the client is gone, as ASGI says."""

    def __init__(self) -> None:
        super().__init__("the client of this connection is gone")


class Connection:
    """Runs an application for one scope, in a task of its own with the caller's context.

    Waiting never cancels the application: a wait that ends returns `False`, and the application
    goes on.

    Args:
        application: Any ASGI application.
        scope: The scope of the connection.
        hears: Which of the package's log records with an exception belong to this connection.
    """

    def __init__(
        self,
        application: ASGIApplication,
        scope: Scope,
        hears: Callable[[logging.LogRecord], bool],
    ) -> None:
        self.scope = scope
        self.errors: list[BaseException] = []
        self.task: asyncio.Task[None] | None = None
        self._application = application
        self._hears = hears
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def ended(self) -> bool:
        """Whether the application has returned or raised."""
        return self.task is not None and self.task.done()

    def start(self, receive: Receive, send: Send) -> None:
        """Start the application."""
        _hub.add(self)
        self.task = asyncio.get_running_loop().create_task(
            self._run(receive, send), name=f"application at {self.scope.get('path', 'lifespan')}"
        )
        self.task.add_done_callback(lambda _: self.changed())

    def changed(self) -> None:
        """Have everyone who waits look again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, ready: Callable[[], bool], timeout: float) -> bool:
        """Wait until `ready()`; return whether it is, after `timeout` seconds at the latest."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while not ready():
            left = deadline - loop.time()
            if left <= 0:
                return False
            waiter: asyncio.Future[None] = loop.create_future()
            self._waiters.add(waiter)
            try:
                await asyncio.wait([waiter], timeout=left)
            finally:
                self._waiters.discard(waiter)
        return True

    async def end(self, timeout: float) -> AssertionError | None:
        """Wait for the application to end; one that does not is cancelled, and that is the error."""
        task = self.task
        if task is None:
            return None
        error = None
        if not await self.until(lambda: self.ended, timeout):
            error = self.failure(f"the application did not end within {timeout} s.")
            task.cancel()
            await asyncio.wait([task])
        _hub.discard(self)
        return error

    def hear(self, record: logging.LogRecord, error: BaseException) -> None:
        """Take an exception that the package logged, if it is this connection's."""
        if self._hears(record):
            self.errors.append(error)

    def take_error(self) -> BaseException | None:
        """Return what the application raised that no test was told yet; the rest as notes."""
        errors, self.errors = self.errors, []
        for other in errors[1:]:
            errors[0].add_note(f"The application raised this too: {other!r}")
        return errors[0] if errors else None

    def failure(self, text: str) -> AssertionError:
        """Return the error of a wait, caused by what the application raised."""
        cause = self.take_error()
        if cause is None and self.task is not None and not self.task.done():
            text += f"\nThe application goes on; it waits here:\n{where(self.task)}"
        elif cause is not None:
            text += f"\nThe application raised {cause!r}, see above."
        error = AssertionError(text)
        error.__cause__ = cause
        return error

    async def _run(self, receive: Receive, send: Send) -> None:
        try:
            await self._application(self.scope, receive, send)
        except Exception as error:  # noqa: BLE001 - told to the test
            self.errors.append(error)


LOGGERS = ("achannels", "django.channels")
"""Where exceptions are logged; those of consumers of Channels 1.x at the second."""


class _Hub(logging.Handler):
    """Hands the exceptions that the package logs to the connections they belong to."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._connections: set[Connection] = set()

    def add(self, connection: Connection) -> None:
        if not self._connections:
            for name in LOGGERS:
                logging.getLogger(name).addHandler(self)
        self._connections.add(connection)

    def discard(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            for name in LOGGERS:
                logging.getLogger(name).removeHandler(self)

    def count(self, loop: asyncio.AbstractEventLoop) -> int:
        tasks = (connection.task for connection in self._connections)
        return sum(task is not None and task.get_loop() is loop for task in tasks)

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            for connection in tuple(self._connections):
                connection.hear(record, error)


_hub = _Hub()


def below(scope: Scope) -> Callable[[logging.LogRecord], bool]:
    """Return a check for records about connections to the path of a scope, mounted or not."""

    def hears(record: logging.LogRecord) -> bool:
        path = getattr(record, "path", None)
        return isinstance(path, str) and str(scope["path"]).endswith(path)

    return hears


def active() -> int:
    """Return how many connections of the kit are open on this event loop."""
    return _hub.count(asyncio.get_running_loop())


def where(task: asyncio.Task[Any]) -> str:
    """Return the places in the code where a task waits, outermost first."""
    lines = []
    waiting: Any = task.get_coro()
    while waiting is not None:
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "gi_frame", None)
        if frame is None:
            break
        code = frame.f_code
        lines.append(f'  File "{code.co_filename}", line {frame.f_lineno}, in {code.co_qualname}')
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "gi_yieldfrom", None)
    return "\n".join(lines) or f"  {task!r}"


def close_failed(failed: BaseException | None, errors: Iterable[BaseException | None]) -> None:
    """Raise the first error of an end; a test that failed already keeps its own, with notes.

    Raises:
        BaseException: The first error, if the test had not failed before.
    """
    found = [error for error in errors if error is not None]
    if failed is not None:
        for error in found:
            failed.add_note(f"At the end of the connection: {error!r}")
    elif found:
        for error in found[1:]:
            found[0].add_note(f"At the end of the connection: {error!r}")
        raise found[0]


def shown(data: object) -> str:
    """Return a frame or body as an error text shows it."""
    text = repr(data)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"


def header_list(source: HeaderSource) -> list[tuple[bytes, bytes]]:
    """Return headers as a scope has them: lower-case names, pairs of bytes."""
    pairs = source.items() if isinstance(source, Mapping) else source
    return [(_bytes(name).lower(), _bytes(value)) for name, value in pairs]


def make_scope(
    kind: str,
    url: str,
    *,
    scheme: str,
    headers: HeaderSource,
    root_path: str,
    user: Any,
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what the scopes of sockets and requests have in common.

    Raises:
        ValueError: The path does not begin with a slash.
    """
    if not url.startswith("/"):
        raise ValueError(f"the path {url!r} does not begin with '/'.")
    path, _, query = url.partition("?")
    given = header_list(headers)
    if not any(name == b"host" for name, _ in given):
        given.insert(0, (b"host", b"testserver"))
    scope: dict[str, Any] = {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": scheme,
        "path": root_path + unquote(path),
        "raw_path": (root_path + path).encode(),
        "query_string": query.encode(),
        "root_path": root_path,
        "headers": given,
        "client": ("127.0.0.1", 50123),
        "server": ("testserver", 80),
        "state": {},
        "extensions": {MARK: {}},
    }
    if user is not None:
        scope["user"] = user
    scope.update(more)
    return scope


def _bytes(value: str | bytes) -> bytes:
    return value.encode("latin-1") if isinstance(value, str) else bytes(value)


def check_event(event: Event, allowed: Iterable[str]) -> str:
    """Return the type of an event that the application sent.

    Raises:
        RuntimeError: A server would not take it now.
    """
    kind: str = event["type"]
    if kind not in allowed:
        may = ", ".join(allowed) or "nothing more"
        raise RuntimeError(f"the application sent {kind!r}; now it may send {may}.")
    return kind


__all__ = [
    "MARK",
    "ClientLeft",
    "Connection",
    "HeaderSource",
    "Headers",
    "active",
    "below",
    "check_event",
    "close_failed",
    "header_list",
    "make_scope",
    "shown",
    "where",
]
