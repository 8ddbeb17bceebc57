"""What consumers and the layer see of one socket: the side that talks to its client."""

from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from achannels.asgi.events import (
    UNREADABLE,
    Reply,
    path_of,
    prepare,
    prepare_shared,
)
from achannels.asgi.handshake import Handshake
from achannels.asgi.lane import Lane
from achannels.asgi.node import Node
from achannels.asgi.outbox import Outbox
from achannels.codec import Encoded, encode
from achannels.dispatch import Handler
from achannels.types import Content, Scope, Send

if TYPE_CHECKING:
    from achannels.state import Connection


class Client:
    """Takes replies, messages of the layer and events for class consumers, each to its place.

    It is what a bound reply channel talks to, and what the layer delivers to.
    """

    __slots__ = (
        "_busy",
        "_connection",
        "_deciding",
        "_denied",
        "_handshake",
        "_lane",
        "_node",
        "_outbox",
        "_over",
        "_path",
        "channel_name",
        "scope",
    )

    def __init__(self, node: Node, scope: Scope, send: Send) -> None:
        self.scope = scope
        self.channel_name = ""
        self._node = node
        self._path = path_of(scope)
        self._connection: Connection
        self._outbox = self._make_outbox(send)
        self._handshake: Handshake | None = Handshake(
            scope, self._path, send, self._outbox, node.settings.subprotocols
        )
        self._deciding = 0
        self._denied = False
        self._busy = True
        self._over = False
        self._lane: Lane | None = None

    def _make_outbox(self, send: Send) -> Outbox:
        node = self._node
        return Outbox(send, node.limits(None), node.layer.books, node.spawn, self.end)

    def end(self, code: int, *, now: bool = False) -> None:
        """End the socket; see `achannels.asgi.node.Ending`."""
        raise NotImplementedError

    def too_late(self) -> None:
        """The time for the handshake is over."""
        raise NotImplementedError

    async def _event_failed(self, error: Exception, handler: Handler, content: Content) -> bool:
        """Answer what a class consumer raised; return whether the socket goes on."""
        raise NotImplementedError

    @property
    def is_over(self) -> bool:
        """Whether nobody hears an answer any more."""
        return self._over or self._denied or self._outbox.is_closed

    @property
    def pending(self) -> int:
        """Messages that were taken and are not written."""
        return self._outbox.pending + len(self._lane or ()) + self._deciding

    @property
    def capacity(self) -> int:
        """Messages that may wait."""
        return self._outbox.capacity

    def gap(self, groups: list[str], reason: str, since: float) -> None:
        """Call the route of `websocket.gap`, or the hook of the class consumer, if there is one."""
        content = {
            "reply_channel": self.channel_name,
            "path": self._path,
            "groups": groups,
            "reason": reason,
            "since": since,
        }
        found = self._node.dispatcher.find("websocket.gap", content)
        if found is not None and self._takes_events():
            lane = self._open_lane()
            lane.put_gap(found, content)
            self._start_lane()

    def deliver(self, message: Encoded, *, group: bool) -> bool:
        """Take a message from the layer without waiting; see `achannels.contracts.Receiver`."""
        reply: Reply | None = message.prepared
        if reply is None:
            reply = message.prepared = prepare_shared(message, self.channel_name)
        if reply.plain and (group or self._handshake is None):
            return self._outbox.push(reply, group=group)
        if reply.event:
            return self._post(message, group=group)
        if reply is UNREADABLE:
            self._node.layer.books.drop("rejected")
            return True
        if group or self._handshake is None:
            return self._outbox.push(reply, group=group)
        self._deciding += 1
        self._node.run_beside(self._decide_for_another(reply))
        return True

    def reply(self, content: Mapping[str, Any]) -> Coroutine[Any, Any, None]:
        """Send to the own client; the coroutine waits while it is slow."""
        if self._handshake is None and len(content) == 1:
            text = content.get("text")
            if type(text) is str and text.isascii():
                return self._outbox.write_text(text)
        return self.write(self.prepare(content))

    def prepare(self, content: Mapping[str, Any]) -> Reply | Encoded:
        """Check a reply; callable from any thread."""
        reply = prepare(content)
        return self._encode(content) if reply.event else reply

    async def write(self, prepared: Reply | Encoded) -> None:
        """Send what `prepare` made."""
        books = self._node.layer.books
        if isinstance(prepared, Encoded):
            books.accepted += 1
            self._post(prepared, group=True)
            return
        if self._handshake is not None:
            await self._decide(prepared)
            if self._denied or (prepared.data is None and prepared.close is None):
                books.replies += 1
                return
        await self._outbox.write(prepared)

    def _encode(self, content: Mapping[str, Any]) -> Encoded:
        return encode(content, self.channel_name, self._node.layer.message_size)

    def _post(self, message: Encoded, *, group: bool) -> bool:
        books = self._node.layer.books
        if not self._takes_events():
            books.drop("gone")
            return True
        taken = self._open_lane().put(message, self._outbox.capacity, group=group)
        self._start_lane()
        return taken

    def _takes_events(self) -> bool:
        """Whether the consumer may still be called: disconnect is the last that it hears."""
        return not self.is_over

    def _open_lane(self) -> Lane:
        if self._lane is None:
            self._lane = Lane(self._node, self._connection, self._path, self._event_failed)
        return self._lane

    def _start_lane(self) -> None:
        """Have the events handled that wait, once the socket was accepted and is not busy."""
        if self._lane is not None and not self._busy and self._handshake is None:
            self._lane.start()

    async def _decide(self, reply: Reply) -> None:
        """Accept or refuse, if the reply says so and nobody did before."""
        if reply.refuse or (reply.accept is None and reply.data is None and reply.close):
            await self._deny(403)
        elif self._handshake is not None and (reply.accept is not None or reply.data is not None):
            handshake, self._handshake = self._handshake, None
            self._node.handshakes.discard(self)
            await handshake.accept(reply)
            self._start_lane()

    async def _decide_for_another(self, reply: Reply) -> None:
        books = self._node.layer.books
        try:
            await self._decide(reply)
        finally:
            self._deciding -= 1
            if self._denied or (reply.data is None and reply.close is None):
                books.delivered += 1
            elif not self._outbox.push(reply, group=False):
                books.drop("full")
        if self._denied:
            self.end(1006)

    async def _deny(
        self, status: int, reason: str = "", headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        if self._handshake is not None:
            handshake, self._handshake = self._handshake, None
            self._node.handshakes.discard(self)
            self._denied = True
            await handshake.deny(status, reason, headers)


__all__ = ["Client"]
