"""Line: what an interface node keeps for one socket or request whose consumers run elsewhere."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any, Protocol

from achannels.asgi.courier import Courier
from achannels.asgi.deadlines import Deadlines
from achannels.codec import Encoded, pack
from achannels.contracts import Books, Home, Origin
from achannels.exceptions import ChannelFull, LayerUnavailable
from achannels.relay import HomeDraining, HomeGone, RelayLayer
from achannels.split.event import Event, Verdict
from achannels.split.sequencer import Sequencer

REPLIES = 64
"""Answers of a home that may be on their way to a client."""

REPLY_BYTES = 256 * 1024
"""The same in bytes."""


class Owner(Protocol):
    """The socket or request itself."""

    def answered(self, answer: list[Any]) -> None:
        """A home has answered; see `achannels.home.tenant`."""

    def finished(self, event: Event, verdict: Verdict) -> None:
        """One of its events is over."""

    def full(self, event: Event) -> bool:
        """A shared channel has no room for its event; return whether to try again."""

    def gap(self, groups: list[str], reason: str, since: float) -> None:
        """Messages to it were lost; see `achannels.contracts.Receiver`."""

    def end(self, code: int, *, now: bool = False) -> None:
        """End it; see `achannels.asgi.node.Ending`."""


class Switchboard(Protocol):
    """What a line needs of its node; see `achannels.asgi.interface`."""

    relay: RelayLayer
    books: Books
    courier: Courier
    suspects: Deadlines

    def shared(self, kind: str) -> str:
        """Return the channel on which an event is offered."""

    def look_at(self, line: "Line") -> None:
        """Something has changed for a line."""

    def try_later(self, line: "Line") -> None:
        """Have a line try again in a moment."""

    def claim(self, line: "Line", then: Callable[[], None]) -> None:
        """Call `then` if nobody else runs the disconnect of the socket."""


class Line:
    """The events of one socket, on their way to its home.

    Args:
        interface: Of the node.
        channel: The reply channel.
        scope: What the home needs of the ASGI scope, encoded.
        owner: The socket or request; let go when it is over, though its events may not be.

    Attributes:
        is_fenced: The node was declared dead since; others may run its disconnect.
        is_claiming: It is being found out who does.
    """

    __slots__ = (
        "_answered",
        "_answered_bytes",
        "_credited",
        "_credited_bytes",
        "_interface",
        "_owner",
        "_roomy",
        "_scope",
        "_session",
        "_term",
        "_unheard",
        "_unsent",
        "channel",
        "is_claiming",
        "is_fenced",
        "sequencer",
        "shard",
    )

    def __init__(self, interface: Switchboard, channel: str, scope: bytes, owner: Owner) -> None:
        self.channel = channel
        self.shard = interface.relay.shard(channel)
        self.sequencer = Sequencer(self)
        self.is_fenced = False
        self.is_claiming = False
        self._unsent = True
        self._unheard: Home | None = None
        self._interface = interface
        self._scope = scope
        self._owner: Owner | None = owner
        self._roomy: asyncio.Future[None] | None = None
        self._session = b""
        self._term = 0
        self._answered = self._answered_bytes = 0
        self._credited = self._credited_bytes = 0

    @property
    def has_room(self) -> bool:
        """Whether the client may be read."""
        return self.sequencer.has_room

    async def room(self) -> None:
        """Wait until the client may be read."""
        while not self.sequencer.has_room:
            self._roomy = asyncio.get_running_loop().create_future()
            await self._roomy

    def put(self, kind: str, body: bytes) -> None:
        """Have an event handled by the home."""
        self.sequencer.put(kind, body)

    def close(self, kind: str, body: bytes) -> None:
        """Put the last event; not where nobody has heard of the socket, or its home runs it."""
        if self.is_fenced:
            if self._unsent:
                self.is_claiming = True
                self._interface.claim(self, lambda: self._close(kind, body))
        else:
            self._close(kind, body)

    def _close(self, kind: str, body: bytes) -> None:
        self.sequencer.put(kind, body, last=True)

    def leave(self) -> None:
        """This node goes, and nobody has taken what was offered: only a disconnect is left."""
        kind = self.sequencer.waits_with
        if kind in ("websocket.connect", "http.request"):
            self.sequencer.abandon()
        elif kind is not None:
            self.sequencer.only_last()

    def let_go(self) -> None:
        """The socket or request is over; its events go on."""
        self._owner = None
        if self._unheard is not None:
            self.unheard(self._unheard)
        self._interface.look_at(self)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left of it."""
        return self._owner is None and not len(self.sequencer)

    def tell(self, word: str, *more: Any) -> None:
        """Tell the home something beside the events."""
        home = self.sequencer.home
        if home is not None:
            self._tell(home.node, word, self.sequencer.term, *more)

    def credit(self, size: int) -> None:
        """An answer of the home was written: it may send more, and is told so now and then."""
        self._answered += 1
        self._answered_bytes += size
        messages = self._answered - self._credited
        size = self._answered_bytes - self._credited_bytes
        if messages * 2 >= REPLIES or size * 4 >= REPLY_BYTES:
            self._credited, self._credited_bytes = self._answered, self._answered_bytes
            if self._term == self.sequencer.term:
                self.tell("credit", self._answered, self._answered_bytes)

    def answered(self, message: Encoded) -> None:
        """Take an answer of a home."""
        answer: Any = message.decode()
        if self._term != answer[1]:  # each home counts from nothing
            self._term = answer[1]
            self._answered = self._answered_bytes = 0
            self._credited = self._credited_bytes = 0
        books = self._interface.books
        if answer[0] == "reply" and self._owner is None:
            books.drop("gone")
            return
        if answer[0] != "reply":
            books.delivered += 1
        if answer[0] == "session":
            self._session = answer[2]
        elif self._owner is not None:
            self._owner.answered(answer)

    def unheard(self, home: Home) -> None:
        """The word of the home cannot be read: the socket ends, and the home is not waited for."""
        if self._owner is not None:
            self._unheard = home
            self._owner.gap([], "unreadable", 0.0)
        else:
            self.sequencer.down(home, sys.maxsize)

    def fenced(self) -> None:
        """This node was declared dead: the socket ends, and its disconnect is claimed before."""
        last = self.sequencer.last
        self.is_fenced = True
        self._unsent = self.sequencer.fenced()
        if self._owner is not None:
            self._owner.end(1012)
        elif self._unsent and last is not None:
            self.close(last.kind, last.body)

    # What the sequencer does; see `achannels.split.port.Port`.

    def offer(self, event: Event) -> None:
        """Put the event onto a shared channel."""
        relay, sequencer = self._interface.relay, self.sequencer
        number, flight = event.number, event.flight
        message = pack(
            {
                "kind": event.kind,
                "body": event.body,
                "last": event.last,
                "gap": sequencer.gap,
                "scope": self._scope,
                "session": self._session,
                "from": list(relay.home(self.shard)),
            }
        )
        offering = relay.offer(
            self._interface.shared(event.kind),
            message,
            Origin(self.channel, sequencer.term, number),
            expires=not event.last,
        )

        def done(offered: asyncio.Future[None]) -> None:
            match _error(offered):
                case None:
                    sequencer.offered(number, flight)
                case ChannelFull():
                    if self._owner is None or self._owner.full(event):
                        sequencer.refused(number, flight)
                    else:
                        sequencer.abandon()
                case LayerUnavailable(outcome="refused"):
                    sequencer.refused(number, flight)
                case _:
                    sequencer.unknown(number, flight)
            self._interface.look_at(self)

        offering.add_done_callback(done)

    def forward(self, home: Home, event: Event) -> None:
        """Put the event into the log of the home."""
        sequencer, number, flight = self.sequencer, event.number, event.flight
        message = pack([self.channel, sequencer.term, number, event.kind, event.body, event.last])
        forwarding = self._interface.relay.forward(home, self.channel, message)

        def done(forwarded: asyncio.Future[int]) -> None:
            match _error(forwarded):
                case None:
                    sequencer.placed(number, flight, forwarded.result())
                case HomeGone():
                    sequencer.gone(number, flight)
                case HomeDraining():
                    sequencer.draining(number, flight)
                case ChannelFull() | LayerUnavailable(outcome="refused"):
                    sequencer.full(number, flight)
                case _:
                    sequencer.void(number, flight)
            self._interface.look_at(self)

        forwarding.add_done_callback(done)

    def acknowledge(self, home: Home, term: int) -> None:
        """Tell a home that its `handback` or `resume` has arrived."""
        self._tell(home.node, "ack", term, home.incarnation)

    def release(self, home: Home, term: int) -> None:
        """Tell a home that it is not that any more."""
        self._tell(home.node, "release", term)

    def suspect(self) -> None:
        """Wait for word of the home, so long."""
        self._interface.suspects.add(self)

    def trust(self) -> None:
        """Wait no more for word of the home."""
        self._interface.suspects.discard(self)

    def too_late(self) -> None:
        """No word of the home has come."""
        self.sequencer.give_up()

    def later(self) -> None:
        """Try again in a moment."""
        self._interface.try_later(self)

    def over(self, event: Event, verdict: Verdict) -> None:
        """The event has left the sequencer."""
        if self._owner is not None:
            self._owner.finished(event, verdict)
        if self._roomy is not None and not self._roomy.done() and self.sequencer.has_room:
            self._roomy.set_result(None)
        self._interface.look_at(self)

    def _tell(self, node: str, word: str, term: int, *more: Any) -> None:
        self._interface.courier.tell(node, self.shard, [word, self.channel, term, *more])


def _error(done: "asyncio.Future[Any]") -> BaseException | None:
    return asyncio.CancelledError() if done.cancelled() else done.exception()


__all__ = ["REPLIES", "REPLY_BYTES", "Line", "Owner", "Switchboard"]
