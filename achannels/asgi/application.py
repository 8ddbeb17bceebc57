"""Application: the ASGI-3 callable."""

import asyncio
import importlib
import sys
from typing import TYPE_CHECKING, Any, Unpack

from achannels import registry
from achannels.asgi import http as requests
from achannels.asgi import lifespan
from achannels.asgi.admission import claims
from achannels.asgi.events import path_of
from achannels.asgi.node import Node
from achannels.asgi.origin import HostCheck, OriginCheck
from achannels.asgi.remote import request as remote_requests
from achannels.asgi.remote.websocket import RemoteWebSocket
from achannels.asgi.settings import SettingKeywords, Settings, resolve
from achannels.asgi.signals import Signals
from achannels.asgi.websocket import WebSocket
from achannels.auth import get_user_loader
from achannels.consumers.threads import Threads
from achannels.contracts import ChannelLayer
from achannels.dispatch import Dispatcher
from achannels.routing import Router, Routing
from achannels.sessions import ChannelSessions, get_http_sessions
from achannels.state import Loaders
from achannels.types import ASGIApplication, Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Callable


class Application:
    """Serves WebSocket and HTTP connections through consumers; an ASGI-3 application.

    It needs no lifespan: the node starts with the first connection. With lifespan, or inside
    `async with application:`, it opens early and drains on stop.

    Args:
        routing: A list or dict of routes, or its dotted name.
        layer: What carries messages; without it the registered `default` layer, a `MemoryLayer` if
            none is registered. A layer given where `default` stands for nothing yet becomes it, so
            that `Group("news")` anywhere in the process means a group of this application.
        http: An ASGI application for the requests that no `http.request` route takes; without it
            they are answered 404.
        websocket: An ASGI application for the sockets that no route takes.
        **settings: See `Settings`.

    Raises:
        ConfigurationError: A route, a consumer or a setting is wrong.
    """

    def __init__(
        self,
        routing: Routing,
        *,
        layer: ChannelLayer | None = None,
        http: ASGIApplication | None = None,
        websocket: ASGIApplication | None = None,
        **settings: Unpack[SettingKeywords],
    ) -> None:
        self.settings = Settings.make(settings)
        self.router = Router(routing)
        self.http = http
        self.websocket = websocket
        self._layer = None if layer is None or registry.adopt(layer) else layer
        self._node: Node | None = None
        self._starting: asyncio.Task[Node] | None = None
        self._lifespan: Callable[[Any], Any] | None = resolve("lifespan", self.settings.lifespan)
        self._around: list[Any] = []
        self._entering = False
        self._signals = Signals(self._stop_node, lambda: self.settings.drain_timeout)
        self._routes_http = "http.request" in self.router.channels
        self.hosts: HostCheck | None = None
        self.channel_sessions: ChannelSessions | None = None
        self.node_class: Callable[..., Node] = Node
        self._dispatcher: Dispatcher | None = None

    @property
    def layer(self) -> ChannelLayer:
        """What carries the messages of this application."""
        return self._layer or registry.get_channel_layer()

    def adjust(self, **settings: Unpack[SettingKeywords]) -> None:
        """Change settings of an application that has not started yet.

        Raises:
            ConfigurationError: A value is wrong.
        """
        self.settings = self.settings.but(settings)
        self._dispatcher = None

    @property
    def dispatcher(self) -> Dispatcher:
        """Finds and calls the consumers."""
        if self._dispatcher is None:
            user = resolve("user", self.settings.user) or get_user_loader()
            anew = self.settings.state == "message"
            loaders = Loaders(user, get_http_sessions(), self.channel_sessions, anew=anew)
            self._dispatcher = Dispatcher(self.router, Threads(self.settings.threads), loaders)
        return self._dispatcher

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        kind = scope["type"]
        if kind == "http":
            await self._serve_http(scope, receive, send)
        elif kind == "websocket":
            if self.websocket is not None and not self._claims(scope):
                await self.websocket(scope, receive, send)
                return
            node = await self.node()
            if node.interface is not None:
                await RemoteWebSocket(node.interface, node, scope, receive, send).run()
            else:
                await WebSocket(node, scope, receive, send).run()
        elif kind == "lifespan":
            others = [app for app in (self.http, self.websocket) if app is not None]
            await lifespan.serve(self, list(dict.fromkeys(others)), scope, receive, send)
        else:
            raise ValueError(f"achannels serves http, websocket and lifespan, not {kind!r}.")

    async def __aenter__(self) -> "Application":
        self._entering = True
        try:
            node = await self.node()
            if self._lifespan is not None:
                around = self._lifespan(self)
                await around.__aenter__()
                self._around.append(around)
            node.work()
            self._signals.install()
        except BaseException:
            await self.__aexit__(*sys.exc_info())
            raise
        finally:
            self._entering = False
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._signals.remove()
        node = self._node
        try:
            if node is not None and not node.stopped:
                await node.stop()
            self._node = None
        finally:
            if self._around:
                await self._around.pop().__aexit__(*exc_info)
            if node is not None:
                await node.layer.leave()

    async def _stop_node(self) -> None:
        """Stop the node before the server ends: it stays the application's, and refuses sockets."""
        if self._node is not None:
            await self._node.stop()

    async def node(self) -> Node:
        """Return the node of the running loop, started."""
        node = self._node
        if (
            node is not None
            and node.loop is asyncio.get_running_loop()
            and node.layer is self.layer
            and (self._signals.came or not node.stopped)
        ):
            return node
        return await self._start()

    async def statistics(self) -> dict[str, Any]:
        """Return the layer's statistics with `sockets`, `tasks` and `threads` of this node."""
        node = await self.node()
        return {
            **await node.layer.statistics(),
            "sockets": len(node.sockets),
            "tasks": node.tasks,
            "threads": self.settings.threads,
        }

    async def _start(self) -> Node:
        """Start the node once, however many connections come at the same moment."""
        loop = asyncio.get_running_loop()
        starting = self._starting
        if starting is None or starting.get_loop() is not loop:
            starting = self._starting = loop.create_task(self._make_node())
        try:
            return await asyncio.shield(starting)
        finally:
            if starting.done():
                self._starting = None

    async def _make_node(self) -> Node:
        node = self.node_class(
            self.dispatcher,
            self.layer,
            self.settings,
            OriginCheck(self.settings.allowed_origins, self.hosts),
        )
        await node.start()
        if not self._entering:
            node.work()
        self._node = node
        return node

    async def _serve_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.settings.mode == "interface":
            node = await self.node()
            assert node.interface is not None
            any_path = self.http is not None
            sent = remote_requests.find(node, scope, any_path=any_path)
            if sent is not None:
                remote = remote_requests.RemoteRequest
                await remote(node.interface, node, scope, receive, send, *sent).run()
                return
        elif self._routes_http:
            node = await self.node()
            found = requests.find(node, scope)
            if found is not None:
                await requests.Request(node, scope, receive, send, *found).run()
                return
        elif self._node is None:
            await self.node()
        if self.http is not None:
            await self.http(scope, receive, send)
            return
        await send(
            {
                "type": "http.response.start",
                "status": 404,
                "headers": [(b"content-type", b"text/plain"), (b"content-length", b"9")],
            }
        )
        await send({"type": "http.response.body", "body": b"Not Found"})

    def _claims(self, scope: Scope) -> bool:
        return claims(self.router, {"path": path_of(scope)})


def get_asgi_application(**settings: Unpack[SettingKeywords]) -> Application:
    """Return the application of a Django project: its routing, its layers, its settings.

    Args:
        **settings: They win over the setting `ACHANNELS`.

    Raises:
        ConfigurationError: A setting, a route or a consumer is wrong.
    """
    project = importlib.import_module("achannels.django.application")
    application: Application = project.application(**settings)
    return application


__all__ = ["Application", "get_asgi_application"]
