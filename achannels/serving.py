"""Serving: uvicorn run from code, with what sockets need that its own defaults do not give.

- The listening socket is opened first, so a port that is taken is told before anything starts, and
  has `TCP_USER_TIMEOUT`: a client that vanished without a word is given up by the system.
- At a signal, or `stop()`, sockets are closed with 1012, their disconnect handlers run, what the
  worker has in hand is finished, and requests are answered; then the application's lifespan ends.
  All that has a limit, and a second signal ends it at once.
- Frames are not compressed: that costs more than everything else about a small frame.
"""

import asyncio
import socket
import sys
import threading
from collections.abc import Callable
from importlib.util import find_spec
from types import FrameType
from typing import TYPE_CHECKING, Any

from achannels.asgi.node import nodes
from achannels.exceptions import AChannelsError, ConfigurationError
from achannels.types import ASGIApplication, Event, Receive, Scope, Send

if TYPE_CHECKING:
    import uvicorn

USER_TIMEOUT = 30.0
"""Seconds that sent bytes may stay unacknowledged before a connection is given up."""

_TURN = 0.1


class NotStarted(AChannelsError):
    """The application's lifespan failed at the start."""


def listen(host: str, port: int, *, ipv6: bool = False, backlog: int = 2048) -> socket.socket:
    """Open a listening socket.

    Args:
        host: Name or address.
        port: 0 takes a free one.
        ipv6: Resolve a name to an IPv6 address.
        backlog: Connections that may wait to be accepted.

    Raises:
        OSError: The address cannot be listened on.
    """
    if not 0 <= port < 2**16:
        raise OSError(f"The port {port} is not one of 0 to 65535.")
    family = socket.AF_INET6 if ipv6 or ":" in host else socket.AF_INET
    found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there it would let two servers share a port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None:  # accepted connections inherit it
            listening.setsockopt(socket.IPPROTO_TCP, option, int(USER_TIMEOUT * 1000))
        listening.bind(found[0][4])
        listening.listen(backlog)
    except BaseException:
        listening.close()
        raise
    return listening


class Server:
    """Serves an application on a listening socket, with uvicorn.

    Args:
        application: Any ASGI application.
        listening: See `listen`; it is closed at the end.
        patience: Seconds that requests in hand have to end, after the sockets were closed.
        on_start: Called when the application has started and connections are accepted.
        on_signal: Called at each SIGINT and SIGTERM, also while something blocks the loop.
        **options: Keywords of `uvicorn.Config`; they win over ours.

    Raises:
        ConfigurationError: uvicorn, or a library for WebSockets, is not installed.
    """

    def __init__(
        self,
        application: ASGIApplication,
        listening: socket.socket,
        *,
        patience: float = 10.0,
        on_start: Callable[[], None] | None = None,
        on_signal: Callable[[], None] | None = None,
        **options: Any,
    ) -> None:
        self.port: int = listening.getsockname()[1]
        self.loop: asyncio.AbstractEventLoop | None = None
        self._application = application
        self._listening = listening
        self._on_start = on_start
        self._on_signal = on_signal
        self._reason = ""
        self._over = threading.Event()
        self._server = _make_server(self, {"timeout_graceful_shutdown": patience, **options})

    def run(self) -> None:
        """Serve until `stop()`, or in the main thread until SIGINT or SIGTERM; call it once.

        The signal is raised again when all has ended.

        Raises:
            NotStarted: The application did not start; the text has its reason.
        """
        try:
            self._server.run(sockets=[self._listening])
        except SystemExit:
            raise NotStarted(
                f"the application did not start: {self._reason or 'see its log'}"
            ) from None
        finally:
            self._listening.close()
            self._over.set()

    def stop(self, *, now: bool = False) -> None:
        """Have the server end; from any thread, and more than once.

        Args:
            now: Wait for nothing.
        """
        self._server.should_exit = True
        if now:
            self._server.force_exit = True

    def wait(self, timeout: float) -> bool:
        """Wait until the server has ended; return whether it has."""
        return self._over.wait(timeout)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""

        async def noting(event: Event) -> None:
            if event["type"] == "lifespan.startup.failed":
                self._reason = event.get("message", "")
            await send(event)

        is_lifespan = scope["type"] == "lifespan"
        await self._application(scope, receive, noting if is_lifespan else send)

    def started(self) -> None:
        """Note the loop and tell who wants to know."""
        self.loop = asyncio.get_running_loop()
        if self._on_start is not None:
            self._on_start()

    def signalled(self) -> None:
        """Tell of a signal."""
        if self._on_signal is not None:
            self._on_signal()


def require_server() -> None:
    """Check that what `Server` runs is installed.

    Raises:
        ConfigurationError: uvicorn, or a library for WebSockets, is not.
    """
    if find_spec("uvicorn") is None:
        raise ConfigurationError(f"uvicorn is not installed. {_INSTALL}")
    from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol  # noqa: PLC0415

    if AutoWebSocketsProtocol is None:
        raise ConfigurationError(f"no library for WebSockets is installed. {_INSTALL}")


def _make_server(server: Server, options: dict[str, Any]) -> "uvicorn.Server":
    require_server()
    import uvicorn  # noqa: PLC0415 - an extra that only a server needs

    class Uvicorn(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                server.started()

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            server.signalled()
            super().handle_exit(sig, frame)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # uvicorn closes its connections first and tells the application last, when nothing can
            # be sent any more. So the nodes stop before.
            for each in self.servers:
                each.close()
            await self._stop_nodes()
            await super().shutdown(sockets)

        async def _stop_nodes(self) -> None:
            loop = asyncio.get_running_loop()
            stopping = {loop.create_task(node.stop()) for node in nodes if node.loop is loop}
            while stopping and not self.force_exit:
                _, stopping = await asyncio.wait(stopping, timeout=_TURN)

    config = uvicorn.Config(
        server.serve,
        **{
            "interface": "asgi3",
            "log_config": None,
            "access_log": False,
            "ws_per_message_deflate": False,
            **options,
        },
    )
    return Uvicorn(config)


_INSTALL = 'Install it with: pip install "achannels[server]"'

__all__ = ["USER_TIMEOUT", "NotStarted", "Server", "listen", "require_server"]
