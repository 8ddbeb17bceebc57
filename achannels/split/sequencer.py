"""Sequencer: the events of one socket at its interface, each in exactly one place.

The interface is the authority: it numbers the events, keeps each until the home has finished it,
and counts the homes that the socket has had (the term). An event that a home may have begun is
never handed to another one: when that home dies the event is lost, and the next home is told.
"""

from collections import deque

from achannels.contracts import Home
from achannels.split.event import Event, Phase, Place, Verdict
from achannels.split.port import Port

WINDOW = 32
"""Events of one socket that are not finished, before its client is not read any more."""

WINDOW_BYTES = 256 * 1024
"""The same in bytes."""


class Sequencer:
    """The events of one socket, from the first to the one that ends it.

    Attributes:
        term: Rises whenever the socket loses its home.
        home: Who handles its events, if anyone does.
        phase: See `Phase`.
        gap: Events were lost, and no home has finished an event that it was told so with.
    """

    __slots__ = (
        "_backing",
        "_dead_at",
        "_events",
        "_gap_told_with",
        "_is_over",
        "_next",
        "_port",
        "_size",
        "gap",
        "home",
        "phase",
        "term",
    )

    def __init__(self, port: Port) -> None:
        self.term = 0
        self.home: Home | None = None
        self.phase = Phase.FREE
        self.gap = False
        self._port = port
        self._events: deque[Event] = deque()
        self._size = 0
        self._next = 0
        self._backing = False
        self._gap_told_with = -1
        self._is_over = False
        self._dead_at: int | None = None

    def __len__(self) -> int:
        return len(self._events)

    @property
    def has_room(self) -> bool:
        """Whether the client may be read: the window is not full."""
        return len(self._events) < WINDOW and self._size < WINDOW_BYTES

    @property
    def last(self) -> Event | None:
        """The event that ends the socket, if it is here."""
        last = self._events[-1] if self._events else None
        return last if last is not None and last.last else None

    @property
    def is_accepted(self) -> bool:
        """Whether the layer has every event, so that this node may go."""
        return all(
            event.place not in (Place.HERE, Place.OFFERING, Place.FLYING) for event in self._events
        )

    def find(self, number: int) -> Event | None:
        """Return an event that is not over."""
        first = self._events[0].number if self._events else self._next
        index = number - first
        return self._events[index] if 0 <= index < len(self._events) else None

    def put(self, kind: str, body: bytes, *, last: bool = False) -> Event:
        """Take the next event of the socket."""
        event = Event(self._next, kind, body, last=last)
        self._next += 1
        self._is_over = last
        self._events.append(event)
        self._size += event.size
        self.flow()
        return event

    def flow(self) -> None:
        """Send what can be sent now."""
        self._backing = False
        if self.phase is Phase.HOMED and self.home is not None:
            for event in list(self._events):
                if event.place is Place.HERE:
                    event.place = Place.FLYING
                    event.flight += 1
                    self._port.forward(self.home, event)
        elif self.phase is Phase.FREE and self._events:
            event = self._events[0]
            event.place = Place.OFFERING
            event.flight += 1
            self._gap_told_with = event.number
            self.phase = Phase.OFFERED
            self._port.offer(event)

    def abandon(self) -> None:
        """Drop everything: nobody has taken the first event, and nobody will."""
        self._trust()
        self.phase = Phase.FREE
        while self._events:
            self._remove(self._events[0], "expired")

    @property
    def waits_with(self) -> str | None:
        """Kind of the event on the shared channel that others wait behind."""
        event = self._waiting()
        return event.kind if event is not None and len(self._events) > 1 else None

    def only_last(self) -> None:
        """Give up the first event, that nobody has taken, and all but the last."""
        self._trust()
        while self._events and not self._events[0].last:
            self._remove(self._events[0], "lost")
        self._free()

    # What becomes of an offer.

    def offered(self, number: int, flight: int) -> None:
        """The shared channel has the event."""
        event = self.find(number)
        if event is not None and event.flight == flight and event.place is Place.OFFERING:
            event.place = Place.OFFERED

    def refused(self, number: int, flight: int) -> None:
        """The shared channel is full; the event is only here."""
        event = self.find(number)
        if event is None or event.flight != flight or event.place is not Place.OFFERING:
            return
        event.place = Place.HERE
        self._trust()
        self.phase = Phase.FREE
        self._port.later()

    def unknown(self, number: int, flight: int) -> None:
        """Nobody knows what became of the offer; somebody may have taken it."""
        event = self.find(number)
        if event is None or event.flight != flight or event.place is not Place.OFFERING:
            return
        event.place = Place.OFFERED
        if self.phase is Phase.OFFERED:
            self._suspect()

    def homed(self, term: int, number: int, home: Home) -> None:
        """The offered event was taken, and its taker is the home."""
        event = self._waiting()
        if event is None or term != self.term or number != event.number:
            if term != self.term:
                self._port.release(home, term)
            return
        self._trust()
        event.place = Place.TAKEN
        self._settle_at(home)

    def expired(self, term: int, number: int) -> None:
        """Nobody took the offered event within its expiry."""
        event = self._waiting()
        if event is None or term != self.term or number != event.number:
            return
        self._trust()
        self._remove(event, "expired")
        self._free()

    def unreadable(self, term: int, number: int) -> None:
        """The home cannot read the event that it took: only the last is offered once more."""
        if term == self.term and self.find(number) is not None:
            self._remove(self._events[0], "unreadable")
            for event in self._events:
                self._recall(event)
            self.only_last()

    # What becomes of a forward.

    def placed(self, number: int, flight: int, position: int) -> None:
        """The event is in the log of the home."""
        event = self._flown(number, flight)
        if event is not None:
            event.place = Place.PLACED
            event.position = position
            self._landed()

    def gone(self, number: int, flight: int) -> None:
        """The home is not alive in this incarnation; the event is only here."""
        event = self._flown(number, flight)
        if event is None:
            return
        event.place = Place.HERE
        if self.phase in (Phase.HOMED, Phase.HELD):
            self._suspect()
        self._landed()

    def draining(self, number: int, flight: int) -> None:
        """The home takes no more; the event is only here, and the home will hand the socket back."""
        event = self._flown(number, flight)
        if event is None:
            return
        event.place = Place.HERE
        if self.phase is Phase.HOMED:
            self.phase = Phase.HELD
        self._landed()

    def full(self, number: int, flight: int) -> None:
        """The log of the home is full; the event is only here.

        The home drops what came after it, since it takes the next number only.
        """
        event = self._flown(number, flight)
        if event is None:
            return
        event.place = Place.HERE
        if self.phase is Phase.HOMED:
            for later in self._events:
                if later.number > number and later.place in (Place.FLYING, Place.PLACED):
                    self._recall(later)
            if not self._backing:
                self._backing = True
                self._port.later()
        self._landed()

    def void(self, number: int, flight: int) -> None:
        """Nobody knows what became of the event; the home may have it."""
        event = self._flown(number, flight)
        if event is None:
            return
        event.place = Place.UNKNOWN
        if self.phase in (Phase.HOMED, Phase.HELD):
            self._suspect()
        self._landed()

    # What homes say.

    def done(self, term: int, number: int) -> None:
        """The home has finished all events up to this one."""
        if term == self.term:
            self._finish(number)

    def handback(self, home: Home, term: int, number: int) -> None:
        """The home leaves; it has finished what comes before `number`, and begun nothing else."""
        self._port.acknowledge(home, term)
        if term != self.term or self.phase in (Phase.FREE, Phase.SETTLING):
            return
        self._trust()
        self._finish(number - 1)
        for event in self._events:
            self._recall(event)
        self._free()

    def resume(self, home: Home, term: int, number: int, finished: int) -> None:
        """The home is registered anew, has all events before `number`, and finished so many."""
        if term != self.term or self.phase in (Phase.FREE, Phase.SETTLING):
            self._port.release(home, term)
            return
        self._port.acknowledge(home, term)
        self._finish(finished)
        if home == self.home and self.phase is not Phase.SUSPECT:
            return
        self._trust()
        for event in self._events:
            if event.number >= number:
                self._recall(event)
            else:
                event.place = Place.TAKEN
        self._settle_at(home)

    # What the layer says.

    def down(self, home: Home, position: int) -> None:
        """The home is dead, and has taken nothing beyond this position of its log."""
        if home != self.home:
            return
        self._trust()
        self._bury(position)

    def reset(self) -> None:
        """The server lost its data: what was offered or placed and not taken is gone."""
        if self.phase in (Phase.HOMED, Phase.HELD, Phase.OFFERED):
            self._suspect()

    def give_up(self) -> None:
        """Patience is over: whatever the home may have is lost."""
        if self.phase is not Phase.SUSPECT:
            return
        if self.home is not None:
            self._port.release(self.home, self.term)
        event = self._waiting()
        if event is not None:
            event.place = Place.HERE if event.last else Place.UNKNOWN
        self._bury(None)

    def fenced(self) -> bool:
        """This node was declared dead: the home knows, and runs the disconnect if it has none.

        Returns:
            Whether the disconnect has not left this node, so that it may be claimed and put.
        """
        self._trust()
        last = self.last
        while self._events:
            self._remove(self._events[-1], "lost")
        self.home = None
        self.phase = Phase.FREE
        self.term += 1
        return last.place is Place.HERE if last is not None else not self._is_over

    def _waiting(self) -> Event | None:
        """Return the event on the shared channel; only the first can be there."""
        event = self._events[0] if self._events else None
        if event is not None and event.place in (Place.OFFERING, Place.OFFERED):
            return event
        return None

    def _flown(self, number: int, flight: int) -> Event | None:
        event = self.find(number)
        if event is None or event.flight != flight or event.place is not Place.FLYING:
            return None
        return event

    def _recall(self, event: Event) -> None:
        """Have an event that the home has not begun, and never will, only here."""
        event.place = Place.HERE
        event.flight += 1

    def _settle_at(self, home: Home) -> None:
        self.home = home
        self.phase = Phase.HOMED
        self.flow()

    def _suspect(self) -> None:
        self.phase = Phase.SUSPECT
        self._port.suspect()

    def _trust(self) -> None:
        if self.phase is Phase.SUSPECT:
            self._port.trust()

    def _finish(self, number: int) -> None:
        while self._events and self._events[0].number <= number:
            self._remove(self._events[0], "done")

    def _remove(self, event: Event, verdict: Verdict) -> None:
        self._events.remove(event)
        self._size -= event.size
        if verdict != "done":
            self.gap = True
        elif event.number == self._gap_told_with:
            self.gap = False
        self._port.over(event, verdict)

    def _bury(self, position: int | None) -> None:
        self.phase = Phase.SETTLING
        self._dead_at = position
        self._landed()

    def _landed(self) -> None:
        """Leave a dead home, once all outcomes are known."""
        if self.phase is not Phase.SETTLING:
            return
        if any(event.place is Place.FLYING for event in self._events):
            return
        while self._events and self._may_be_begun(self._events[0]):
            self._remove(self._events[0], "lost")
        for event in self._events:
            self._recall(event)
        self._free()

    def _may_be_begun(self, event: Event) -> bool:
        """Return whether a dead home may have begun an event; if not, then none after it either."""
        if event.place is Place.PLACED:
            return self._dead_at is None or event.position <= self._dead_at
        return event.place is not Place.HERE

    def _free(self) -> None:
        """The socket has no home: the next term begins."""
        self.home = None
        self.phase = Phase.FREE
        self.term += 1
        self.flow()


__all__ = ["WINDOW", "WINDOW_BYTES", "Sequencer"]
