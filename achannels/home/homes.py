"""Homes: the sockets and requests of other processes whose consumers run in this one."""

import asyncio
import logging
from typing import Any

from achannels.asgi.remote.scope import unpack_scope
from achannels.asgi.settings import Settings
from achannels.channel import Channel
from achannels.codec import Encoded
from achannels.contracts import ChannelLayer, Home, Origin, Taken
from achannels.dispatch import Dispatcher
from achannels.exceptions import ConfigurationError
from achannels.home.desk import Desk
from achannels.home.request import RequestTenant
from achannels.home.tenant import Keeper
from achannels.home.websocket import SocketTenant
from achannels.relay import RelayLayer
from achannels.split.inbox import Arrival, Inbox
from achannels.types import ASGIApplication

logger = logging.getLogger("achannels.worker")

_LAST_WORDS = 1.0
"""Seconds for handlers that were cancelled, and for the interfaces to hear of it."""


class Homes:
    """Runs the consumers of sockets and requests that this node takes.

    It is an `achannels.relay.RelayListener`.

    Args:
        dispatcher: Finds and calls the consumers.
        layer: What carries events and answers.
        settings: Of the application.
        http: Answers the requests that no `http.request` route takes.
        sessions: Are told of sockets whose channel sessions the interfaces keep.

    Raises:
        ConfigurationError: The layer reaches no other process.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        layer: ChannelLayer,
        settings: Settings,
        http: ASGIApplication | None,
        sessions: Keeper | None = None,
    ) -> None:
        if not isinstance(layer, RelayLayer):
            raise ConfigurationError(
                f"{type(layer).__name__} reaches no other process, so a worker would get nothing. "
                "Set CHANNEL_LAYERS to achannels.layers.redis.RedisLayer, or run no worker: the "
                "server runs the consumers itself."
            )
        self.dispatcher = dispatcher
        self.layer: ChannelLayer = layer
        self.relay: RelayLayer = layer
        self.settings = settings
        self.http = http
        self.sessions = sessions
        routes_ends = "http.disconnect" in dispatcher.router.channels
        self._desk = Desk(layer, routes_ends=routes_ends)
        self._inboxes = self._desk.inboxes
        self._since: dict[int, set[Home]] = {}
        self._channels: dict[str, Channel] = {}
        layer.listen(self)

    def __len__(self) -> int:
        return len(self._inboxes)

    @property
    def busy(self) -> int:
        """Handlers that run."""
        return len(self._desk.running)

    def channel(self, name: str) -> Channel:
        """Return a named channel of the layer."""
        found = self._channels.get(name)
        if found is None:
            found = self._channels[name] = Channel(name, channel_layer=self.layer)
        return found

    async def adopt(self, taken: Taken, origin: Origin) -> None:
        """Be the home of the socket of an event; returns when that event was handled."""
        inbox = self._take(taken, origin)
        if inbox is not None:
            await self._desk.handled(inbox, origin.number)

    async def drain(self, timeout: float) -> None:
        """Hand back all sockets, each when its handler has ended.

        Handlers that run longer than `timeout` seconds are cancelled.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        self._inboxes.pause()
        try:
            async with asyncio.timeout(timeout):
                for taken in await self.relay.drain():
                    if taken.origin is not None:
                        self._take(taken, taken.origin)
        except TimeoutError:
            logger.error("the layer does not answer: it is left to the lease to tell of this end")
        self._inboxes.drain()
        await self._desk.emptied(deadline - min(_LAST_WORDS, timeout / 4) - loop.time())
        for task in self._desk.running:
            logger.error("the worker stopped while %s was still handled", task.get_name())
            task.cancel()
        if self._desk.running:
            self.dispatcher.threads.abandon()
        await self._desk.emptied(_LAST_WORDS)
        if len(self._inboxes):
            logger.error("%d sockets could not be handed back", len(self._inboxes))
        self._desk.tell_finished()
        await self._desk.courier.flush(_LAST_WORDS)

    async def close(self) -> None:
        """End what still runs."""
        self._desk.close()
        running = self._desk.running
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=_LAST_WORDS)

    # What the layer says; see `achannels.relay.RelayListener`.

    def homed(self, origin: Origin, home: Home) -> None:
        """An event was taken that this node offered; it offers none."""
        logger.error("%s is no socket of this node", origin.channel)

    def expired(self, origin: Origin) -> None:
        """An event expired that this node offered; it offers none."""
        logger.error("%s is no socket of this node", origin.channel)

    def unreadable(self, origin: Origin) -> None:
        """An event could not be read that this node offered; it offers none."""
        logger.error("%s is no socket of this node", origin.channel)

    def event(self, message: Encoded) -> None:
        """The next event of a socket."""
        event: Any = message.decode()
        channel, term, number, kind, body, last = event
        if not self._inboxes.put(channel, term, Arrival(number, kind, body, last)):
            logger.debug("event %d of %s came twice or too late", number, channel)

    def told(self, shard: int, message: Encoded) -> None:
        """An interface says something about some sockets."""
        records: Any = message.decode()
        for word, channel, term, *more in records:
            inbox = self._inboxes.find(channel, term)
            if inbox is None:
                continue
            match word:
                case "ack":
                    if more[0] == self.relay.home(shard).incarnation:
                        self._desk.heard(inbox)
                    self._inboxes.acknowledged(channel, term)
                case "release":
                    self._inboxes.released(channel, term)
                case "cancel":
                    self._desk.cancel(inbox)
                case _:
                    inbox.kept.told(word, more)

    def unheard(self, shard: int, node: str) -> None:
        """What an interface says cannot be read: its events cannot either, and are not here."""

    def down(self, shard: int, home: Home, position: int) -> None:
        """A node is dead, or has left."""
        self._inboxes.down(shard, home)

    def reset(self, shard: int) -> None:
        """The server lost its data."""
        if shard in self._since:
            self._since[shard].add(self.relay.home(shard))
        for inbox in self._inboxes:
            if inbox.shard == shard:
                inbox.kept.reset()
        self._inboxes.reset(shard)

    def fenced(self, shard: int) -> None:
        """This node was declared dead."""
        logger.error("this worker was silent for its lease; its sockets have other homes")
        self._since[shard] = {self.relay.home(shard)}
        for inbox in self._inboxes:
            inbox.kept.is_fenced |= inbox.shard == shard
        self._inboxes.fenced(shard)

    def _take(self, taken: Taken, origin: Origin) -> Inbox | None:
        """Take an event from a shared channel; `None` if another home has the socket by now."""
        content = taken.content
        shard = self.relay.shard(origin.channel)
        since = self._since.get(shard)
        if since is not None and taken.home not in since:
            logger.warning("an event of %s was taken before the lease was lost", origin.channel)
            return None
        kind, body, last = content["kind"], content["body"], content["last"]
        orphan = last and not origin.alive
        if kind == "http.request":
            last = not Encoded(body).decode()["stays"]
        inbox = Inbox(origin.channel, shard, Home(*content["from"]), origin.term, origin.number)
        make = RequestTenant if kind.startswith("http.") else SocketTenant
        scope = unpack_scope(Encoded(content["scope"]).decode())
        tenant = inbox.kept = make(self, inbox, scope, gap=content["gap"])
        tenant.session = content["session"]
        self._inboxes.take(inbox, Arrival(origin.number, kind, body, last, orphan))
        if taken.home is not None and taken.home != self.relay.home(shard) and not inbox.is_over:
            self._desk.resume(inbox)
        return inbox


__all__ = ["Homes"]
