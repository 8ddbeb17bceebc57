"""A socket at an interface: its events go to its home, whose answers come back."""

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from achannels.asgi import websocket
from achannels.asgi.eager import Rest
from achannels.asgi.events import Reply, disconnect_content, prepare
from achannels.asgi.handshake import log
from achannels.asgi.interface import Interface
from achannels.asgi.node import Node
from achannels.asgi.outbox import Outbox
from achannels.asgi.remote.scope import pack_scope
from achannels.asgi.websocket import Found, WebSocket
from achannels.codec import Encoded, encode
from achannels.split.event import Event, Verdict
from achannels.types import Content, Receive, Scope, Send

if TYPE_CHECKING:
    from achannels.asgi.line import Line

logger = logging.getLogger("achannels.server")

_EVENT = "websocket.event"
"""Kind of an event for a class consumer."""


class RemoteOutbox(Outbox):
    """An outbox that takes the answers of a home without waiting."""

    __slots__ = ("_held",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._held = 0

    @property
    def pending(self) -> int:
        """Messages that were taken and are not written."""
        return super().pending + self._held

    def answer(self, reply: Reply) -> asyncio.Future[bool] | None:
        """Send an answer, in its turn.

        Returns:
            What tells whether it was lost; `None` when that is known: it was written, or counted.
        """
        if self.is_closed:
            self._books.drop("gone")
            return None
        rest: Rest | None = None
        if reply.plain and self._open and not self._writing and not self._queue:
            rest = self._start(reply.data)
            if rest is None:
                self._count(lost=self._lost)
                return None
        lost: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._held += 1
        lost.add_done_callback(self._written)
        if rest is None:
            self._enqueue(reply, lost)
        else:
            self._writing = True
            self._writer = self._spawn(self._write_rest(rest, lost))
            self._writer.add_done_callback(self._writer_ended)
        return lost

    def _written(self, lost: asyncio.Future[bool]) -> None:
        self._held -= 1
        self._count(lost=lost.result())

    def _count(self, *, lost: bool) -> None:
        if lost:
            self._books.drop("gone")
        else:
            self._books.delivered += 1

    async def _write_rest(self, rest: Rest, lost: asyncio.Future[bool]) -> None:
        written = False
        try:
            written = await self._finish(rest)
        finally:
            lost.set_result(not written)
            self._release()
            self._resume()


class RemoteWebSocket(WebSocket):
    """The life of one socket whose consumers run in another process.

    Args:
        interface: Of the node.
        node: The node.
        scope: The server's.
        receive: The server's.
        send: The server's.
    """

    __slots__ = ("_answers", "_deciding_all", "_early", "_interface", "_line", "_posted")

    _outbox: RemoteOutbox

    def __init__(
        self, interface: Interface, node: Node, scope: Scope, receive: Receive, send: Send
    ) -> None:
        super().__init__(node, scope, receive, send)
        self._interface = interface
        self._line: Line
        self._early: deque[Encoded] = deque()
        self._posted = 0
        self._answers: deque[tuple[Reply, int]] = deque()
        self._deciding_all = False

    def _make_outbox(self, send: Send) -> Outbox:
        node = self._node
        return RemoteOutbox(send, node.limits(None), node.layer.books, node.spawn, self.end)

    @property
    def pending(self) -> int:
        """Messages that were taken and are not written, or not handled."""
        return super().pending + len(self._early) + self._posted + len(self._answers)

    def deliver(self, message: Encoded, *, group: bool) -> bool:
        """Take a message from the layer, or an answer of the home."""
        if not group and message.is_list:
            self._line.answered(message)
            return True
        return super().deliver(message, group=group)

    def gap(self, groups: list[str], reason: str, since: float) -> None:
        """Have the home told of messages that were lost here; without its answers, end."""
        if reason == "unreadable" and not groups:
            self.end(1011)
            return
        content = {
            "reply_channel": self.channel_name,
            "path": self._path,
            "groups": groups,
            "reason": reason,
            "since": since,
        }
        found = self._node.dispatcher.find("websocket.gap", content)
        if found is not None and self._takes_events():
            self._put("websocket.gap", content)

    # What the home answers; see `achannels.asgi.line.Owner`.

    def answered(self, answer: list[Any]) -> None:
        """Do what the home says."""
        match answer:
            case ["reply", _, body]:
                self._answers.append((prepare(Encoded(body).decode()), len(body)))
                self._work_off()
            case ["end", term, code] if term == self._line.sequencer.term:
                self.end(code)
            case ["deny", term, status, reason, headers] if term == self._line.sequencer.term:
                self._node.run_beside(self._refused(status, reason, headers))
            case _:
                logger.debug("an answer of an earlier home of %s is dropped", self._path)

    def finished(self, event: Event, verdict: Verdict) -> None:
        """An event was handled, or lost with its home, or taken by nobody."""
        if event.kind == _EVENT:
            self._posted -= 1
            books = self._node.layer.books
            if verdict == "done":
                books.delivered += 1
            else:
                books.drop("gone")
        elif event.kind == "websocket.connect" and verdict in ("expired", "lost"):
            if verdict == "expired":
                logger.warning("WebSocket %s: no worker took its connect", self._path)
                self._line.sequencer.abandon()
            if self._handshake is not None:
                self.end(1006)
        if verdict == "unreadable":
            self.end(1011)

    def full(self, event: Event) -> bool:
        """A shared channel has no room: try again; the time for the handshake ends it."""
        return True

    def end(self, code: int, *, now: bool = False) -> None:
        """End the socket; with `now` the handler that runs is cancelled, where it runs."""
        if now:
            self._line.tell("cancel")
        super().end(code, now=now)

    # The life.

    def _attached(self) -> None:
        scope = pack_scope(self.scope)
        self._line = self._interface.open(self.channel_name, scope, self)

    async def _run(self, found: Found, channel: str, content: Content, attempt: int = 1) -> None:
        """Have the home call the consumer."""
        self._put(channel, content)
        if not self._line.has_room:
            self._idle = True
            await self._line.room()
            self._idle = False

    def _put(self, channel: str, content: Content) -> None:
        self._line.put(channel, encode(content, channel, 2**31).body)

    def _post(self, message: Encoded, *, group: bool) -> bool:
        books = self._node.layer.books
        if not self._takes_events():
            books.drop("gone")
            return True
        if self._posted + len(self._early) > self._outbox.capacity:  # one of them is in hand
            if group:
                books.drop("full")
            return group
        self._early.append(message)
        self._start_lane()
        return True

    def _start_lane(self) -> None:
        """Hand on the events that wait, once the socket was accepted."""
        while self._early and self._handshake is None:
            self._posted += 1
            self._line.put(_EVENT, self._early.popleft().body)

    def _work_off(self) -> None:
        """Write what the home has answered, in its order."""
        while self._answers and not self._deciding_all:
            if self._handshake is not None:
                self._deciding_all = True
                self._node.run_beside(self._decide_all())
                return
            self._write_answer(*self._answers.popleft())

    async def _decide_all(self) -> None:
        try:
            while self._answers:
                reply, size = self._answers[0]
                await self._decide(reply)
                self._answers.popleft()
                if self._denied:
                    self._node.layer.books.delivered += 1
                    self.end(1006)
                elif reply.data is not None or reply.close is not None:
                    self._write_answer(reply, size)
                else:
                    self._node.layer.books.delivered += 1
                    self._line.credit(size)
        finally:
            self._deciding_all = False

    def _write_answer(self, reply: Reply, size: int) -> None:
        if reply.close is not None:
            # The server says that the client has gone; one that does not is not waited for.
            self._node.loop.call_later(websocket._LAST_EVENT, self.end, 1006)
        written = self._outbox.answer(reply)
        if written is None or written.done():
            self._line.credit(size)
        else:
            written.add_done_callback(lambda done: self._line.credit(size))

    async def _refused(self, status: int, reason: str, headers: list[tuple[bytes, bytes]]) -> None:
        if self._handshake is None:
            self.end(4403)
            return
        await self._deny(status, reason, tuple((name, value) for name, value in headers))
        self.end(1006)

    # The end.

    async def _end_of_life(self, code: int) -> None:
        """Have the home run disconnect, and leave everything here."""
        node = self._node
        self._over = True
        node.handshakes.discard(self)
        log("DISCONNECT", self._path, code, self.scope)
        kind = "websocket.disconnect"
        content = disconnect_content(self.channel_name, self._path, self._order + 1, code)
        node.layer.books.drop("gone", len(self._early))
        self._early.clear()
        if self._task is not None and self._task.cancelling():
            self._line.tell("cancel")
        self._line.close(kind, encode(content, kind, 2**31).body)
        node.layer.detach(self.channel_name)
        if self._ending is None and self._outbox.stop() is None:
            self._leave()
        else:
            await asyncio.wait([node.spawn(self._part(code))])

    async def _part(self, code: int) -> None:
        try:
            if self._ending is not None:
                await self._farewell(code)
            await self._outbox.shut()
        finally:
            self._leave()

    def _leave(self) -> None:
        self._node.layer.books.drop("gone", self._posted)
        self._posted = 0
        self._line.let_go()
        super()._leave()


__all__ = ["RemoteOutbox", "RemoteWebSocket"]
