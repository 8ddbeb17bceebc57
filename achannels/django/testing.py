"""Django's test cases with channels: fresh layers, and consumers on the test's database connection.

```python
class LiveblogTest(ChannelTestCase):
    async def test_view_reaches_socket(self) -> None:
        async with WebsocketClient(get_asgi_application(), "/liveblog/") as socket:
            await self.async_client.post("/entries/", {"text": "news"})
            assert "news" in str(await socket.receive())
```
"""

import asyncio
import inspect
import unittest
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    contextmanager,
)
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.signals import request_started
from django.db import DEFAULT_DB_ALIAS, connections
from django.test import TestCase, TransactionTestCase
from django.test.testcases import LiveServerTestCase, LiveServerThread
from django.utils.functional import classproperty

from achannels import registry
from achannels.asgi import Application, get_asgi_application
from achannels.consumers.threads import set_hygiene, set_runner
from achannels.django.db import close_old_connections
from achannels.exceptions import WrongContext
from achannels.layers.memory import MemoryLayer
from achannels.serving import Server, listen
from achannels.types import ASGIApplication, Receive, Scope, Send

if TYPE_CHECKING:
    from django.core.handlers.asgi import ASGIHandler
    from django.db.backends.base.base import BaseDatabaseWrapper

PATIENCE = 5.0
"""Seconds that a live server has to start, and to stop."""

Callbacks = list[Callable[[], Any]]


def memory_layer(config: Mapping[str, Any]) -> MemoryLayer:
    """Return a new layer for a test, in place of one of `CHANNEL_LAYERS`.

    Args:
        config: An entry of `CHANNEL_LAYERS`. Keys of its `CONFIG`, and of its `TEST_CONFIG` over
            it, that a `MemoryLayer` has are kept.
    """
    known = inspect.signature(MemoryLayer).parameters
    options = {**config.get("CONFIG", {}), **config.get("TEST_CONFIG", {})}
    return MemoryLayer(**{key: value for key, value in options.items() if key in known})


@contextmanager
def fresh_layers() -> Iterator[None]:
    """Have each alias of `CHANNEL_LAYERS` stand for a new `MemoryLayer` inside the block."""
    with ExitStack() as stack:
        for alias, config in {"default": {}, **registry.configured()}.items():
            stack.enter_context(registry.override(memory_layer(config), alias))
        yield


@contextmanager
def shared_connection() -> Iterator[None]:
    """Have `def` consumers run where the test's own calls of the ORM run, one at a time."""
    before = set_runner(_run_in_the_test)
    try:
        yield
    finally:
        set_runner(before)


def _run_in_the_test(call: Callable[[], Any]) -> Awaitable[Any]:
    return sync_to_async(call, thread_sensitive=True)()


class ChannelTests(unittest.TestCase):
    """What the test cases here add to Django's."""

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        """Run the test with its own layers."""
        with self.surroundings():
            return super().run(result)

    def debug(self) -> None:
        """Run the test with its own layers, and collect no errors."""
        with self.surroundings():
            super().debug()

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """Prepare what is around one test, its `setUp` and `tearDown`."""
        with fresh_layers(), shared_connection():
            yield


class ChannelTestCase(ChannelTests, TestCase):
    """Django's `TestCase`: fresh memory layers, and consumers inside the test's transaction.

    Sends with `on_commit=` obey `captureOnCommitCallbacks`, which has an async form here.
    """

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """Prepare what is around one test, and keep its connections open."""
        with super().surroundings(), ExitStack() as stack:
            for connection in connections.all():
                # A request of a client that is not Django's own would close them.
                stay = mock.patch.object(connection, "close_if_unusable_or_obsolete")
                stack.enter_context(stay)
            yield

    @classmethod
    def captureOnCommitCallbacks(  # noqa: N802 - Django's name
        cls, *, using: str = DEFAULT_DB_ALIAS, execute: bool = False
    ) -> "CommitCallbacks":
        """Capture what waits for a commit, as Django's method does; `async with` in async tests.

        Args:
            using: Alias of the database.
            execute: Call back at the end of the block.
        """
        return CommitCallbacks(super().captureOnCommitCallbacks(using=using, execute=execute))


class CommitCallbacks(
    AbstractContextManager[Callbacks, None], AbstractAsyncContextManager[Callbacks, None]
):
    """Captures in the thread of the test's database connection, which is not the loop's.

    Raises:
        WrongContext: Entered by a plain `with` on an event loop: it would capture nothing.
    """

    def __init__(self, captured: AbstractContextManager[Callbacks]) -> None:
        self._captured = captured

    def __enter__(self) -> Callbacks:
        if asyncio._get_running_loop() is not None:
            raise WrongContext(
                "`with captureOnCommitCallbacks()` captures nothing on an event loop. "
                "Use `async with`."
            )
        return self._captured.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._captured.__exit__(*error)

    async def __aenter__(self) -> Callbacks:
        return await sync_to_async(self._captured.__enter__)()

    async def __aexit__(self, *error: Any) -> None:
        await sync_to_async(self._captured.__exit__)(*error)


class ChannelTransactionTestCase(ChannelTests, TransactionTestCase):
    """Django's `TransactionTestCase` with fresh memory layers."""


class ChannelServerThread(LiveServerThread):
    """Serves what the current test has set, with uvicorn and an event loop of its own.

    Attributes:
        application: Serves new connections.
        loop: The event loop of the server.
    """

    application: ASGIApplication
    loop: asyncio.AbstractEventLoop
    _server: Server | None = None

    def run(self) -> None:
        """Serve until `terminate`."""
        try:
            with listen(self.host, self.port) as listening:
                server = self._server = Server(
                    self.serve, listening, patience=PATIENCE, on_start=self._accepts
                )
                self.port = server.port
                server.run()
        except Exception as error:  # noqa: BLE001 - raised where the server is waited for
            self.error = cast("Any", error)
            self.is_ready.set()

    def terminate(self) -> None:
        """Stop the server and wait for it."""
        if self._server is not None:
            self._server.stop()
        self.join()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; the lifespan of an application is the test's, not the server's."""
        if scope["type"] != "lifespan":
            await self.application(scope, receive, send)
            return
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})

    def call(self, work: Any) -> None:
        """Run a coroutine on the server's loop and wait for it."""
        asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    def _accepts(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.is_ready.set()


class ChannelLiveServerTestCase(ChannelTests, LiveServerTestCase):
    """Django's `LiveServerTestCase` with sockets: a real port, served by uvicorn in a thread.

    Each test has an application of its own; its sockets are closed at the end of the test.

    Attributes:
        application: What is served; `None` makes it from Django's settings.
        serve_static: Serve static files, where `django.contrib.staticfiles` is installed.
    """

    host = "127.0.0.1"
    server_thread_class = ChannelServerThread
    application: ASGIApplication | None = None
    serve_static = True

    @classproperty
    def live_server_ws_url(cls) -> str:  # noqa: N805
        """Address of the server for sockets: `ws://127.0.0.1:54321`."""
        return f"ws://{cls.host}:{cls.server_thread.port}"

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """Prepare layers and an application for one test."""
        thread = cast("ChannelServerThread", self.server_thread)
        with fresh_layers(), _connections_in_threads(thread):
            application = type(self).application or get_asgi_application()
            thread.application = self._with_static(application)
            ours = application if isinstance(application, Application) else None
            if ours is not None:
                thread.call(ours.__aenter__())
            try:
                yield
            finally:
                if ours is not None:
                    thread.call(ours.__aexit__(None, None, None))

    def _with_static(self, application: ASGIApplication) -> ASGIApplication:
        if not self.serve_static or not apps.is_installed("django.contrib.staticfiles"):
            return application
        return cast("ASGIApplication", ASGIStaticFilesHandler(cast("ASGIHandler", application)))


@contextmanager
def _connections_in_threads(thread: ChannelServerThread) -> Iterator[None]:
    """Have the server's threads use the test's connection to a database that is in memory."""
    shared: Mapping[str, BaseDatabaseWrapper] = thread.connections_override or {}

    def share(**kwargs: Any) -> None:
        for alias, connection in shared.items():
            connections[alias] = connection

    def unshare() -> None:
        for alias in shared:
            del connections[alias]

    async def in_the_shared_thread(function: Callable[[], None]) -> None:
        await sync_to_async(function)()

    if not shared:
        yield
        return
    request_started.connect(share, weak=False)
    set_hygiene(share, close_old_connections)
    thread.call(in_the_shared_thread(share))
    try:
        yield
    finally:
        thread.call(in_the_shared_thread(unshare))
        set_hygiene(close_old_connections)
        request_started.disconnect(share)


__all__ = [
    "ChannelLiveServerTestCase",
    "ChannelServerThread",
    "ChannelTestCase",
    "ChannelTransactionTestCase",
    "CommitCallbacks",
    "fresh_layers",
    "memory_layer",
    "shared_connection",
]
