"""Inbox: the events of one socket at its home, handled one at a time in the order of their numbers.

A home takes exactly the next number of the current term and drops everything else, so whatever
travels twice or too late does no harm. What it has not begun it hands back when it leaves.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from achannels.contracts import Home


class Arrival(NamedTuple):
    """An event as it reaches the home.

    Attributes:
        number: Events of a socket count by one.
        kind: The channel whose message it is.
        body: Its encoded content.
        last: The socket is over with it.
        orphan: Made here since the interface is dead, or taken after that: others may have it too,
            and whoever claims the socket handles it.
    """

    number: int
    kind: str
    body: bytes
    last: bool = False
    orphan: bool = False


class Inbox:
    """The events of one socket.

    Attributes:
        channel: The reply channel.
        interface: The node that holds the socket, as it was registered when it offered the event.
        shard: Of the socket.
        term: Of this home.
        expected: Number of the next event.
        finished: Number of the last event that was handled.
        in_hand: The event that is being handled.
        is_leaving: It was handed back, and the interface has not said that it knows.
        is_over: This node is not its home any more; a handler may still run.
        is_orphan: The interface is dead, so nobody is there to hand the socket back to.
        before: The inbox of an earlier term whose handler still runs.
        kept: What the node keeps for the socket.
    """

    __slots__ = (
        "_waiting",
        "before",
        "channel",
        "expected",
        "finished",
        "in_hand",
        "interface",
        "is_leaving",
        "is_orphan",
        "is_over",
        "kept",
        "shard",
        "term",
    )

    def __init__(self, channel: str, shard: int, interface: Home, term: int, number: int) -> None:
        self.channel = channel
        self.interface = interface
        self.shard = shard
        self.term = term
        self.expected = number
        self.finished = number - 1
        self.in_hand: Arrival | None = None
        self.is_leaving = False
        self.is_over = False
        self.is_orphan = False
        self.before: Inbox | None = None
        self.kept: Any = None
        self._waiting: deque[Arrival] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def first_unbegun(self) -> int:
        """Number of the first event that was not begun."""
        return self._waiting[0].number if self._waiting else self.expected

    @property
    def has_last(self) -> bool:
        """Whether the event that ends the socket is here."""
        return any(each.last for each in (*self._waiting, self.in_hand) if each is not None)

    @property
    def is_idle(self) -> bool:
        """Whether no handler runs, of this term or an earlier one."""
        return self.in_hand is None and (self.before is None or self.before.is_idle)

    def put(self, arrival: Arrival) -> bool:
        """Take the next event; `False` if it is another one."""
        if arrival.number != self.expected or self.is_leaving or self.is_over:
            return False
        self._waiting.append(arrival)
        self.expected += 1
        return True

    def begin(self) -> Arrival | None:
        """Take the next event in hand; `None` while another one is, or none waits."""
        if not self._waiting or self.is_leaving or not self.is_idle:
            return None
        self.before = None
        self.in_hand = self._waiting.popleft()
        return self.in_hand

    def leave(self) -> None:
        """Take nothing more: what waits is not begun here."""
        self.is_over = True
        self._waiting.clear()


class Port(Protocol):
    """What a node does for its inboxes; each call returns at once."""

    def may_begin(self, shard: int) -> bool:
        """Return whether handlers may be started for sockets of the shard: the lease holds."""

    def begin(self, inbox: Inbox, arrival: Arrival) -> None:
        """Start the handler; `Inboxes.end` is called when it has ended."""

    def done(self, inbox: Inbox) -> None:
        """Tell the interface, soon, what is finished."""

    def handback(self, inbox: Inbox) -> None:
        """Tell the interface, until it knows, that the socket is handed back."""

    def resume(self, inbox: Inbox) -> None:
        """Tell the interface, until it knows, where this home is now and what it has."""

    def last_word(self, inbox: Inbox) -> Arrival:
        """Return the event that ends a socket whose interface is dead."""

    def forget(self, inbox: Inbox) -> None:
        """Drop what is kept for the socket."""


class Inboxes:
    """The sockets whose home is this node.

    Args:
        port: Of the node.
    """

    def __init__(self, port: Port) -> None:
        self._port = port
        self._inboxes: dict[str, Inbox] = {}
        self._early: dict[tuple[str, int], list[Arrival]] = {}
        self._earlier: dict[tuple[str, int], list[Arrival]] = {}
        self._dead: set[Home] = set()
        self._longer_dead: set[Home] = set()
        self._paused = False
        self._draining = False

    def __len__(self) -> int:
        return len(self._inboxes)

    def __iter__(self) -> Iterator[Inbox]:
        return iter(list(self._inboxes.values()))

    def find(self, channel: str, term: int) -> Inbox | None:
        """Return the inbox of a socket, if this is its home in that term."""
        inbox = self._inboxes.get(channel)
        return inbox if inbox is not None and inbox.term == term else None

    def take(self, inbox: Inbox, arrival: Arrival) -> None:
        """This node took an event from the shared channel: it is the socket's home."""
        channel, term = inbox.channel, inbox.term
        before = self._inboxes.pop(channel, None)
        if before is not None:
            inbox.before = None if before.is_idle else before
            self._end(before)
        self._inboxes[channel] = inbox
        inbox.is_orphan = arrival.orphan
        for each in (arrival, *self._take_early(channel, term)):
            inbox.put(each)
        self._go_on(inbox)
        for home in self._dead | self._longer_dead:
            self._hear_of(home, inbox)

    def put(self, channel: str, term: int, arrival: Arrival) -> bool:
        """An event was forwarded to this node; `False` if it is dropped.

        It may overtake the event that made this node the home, and waits for that then.
        """
        inbox = self._inboxes.get(channel)
        if inbox is None or inbox.term < term:
            self._early.setdefault((channel, term), []).append(arrival)
            return True
        if inbox.term > term or not inbox.put(arrival):
            return False
        self._go_on(inbox)
        return True

    def end(self, inbox: Inbox) -> None:
        """The handler in hand has ended."""
        arrival, inbox.in_hand = inbox.in_hand, None
        if inbox.is_over or arrival is None:
            after = self._inboxes.get(inbox.channel)
            if after is not None:
                self._go_on(after)
            return
        inbox.finished = arrival.number
        self._port.done(inbox)
        if arrival.last:
            del self._inboxes[inbox.channel]
            self._end(inbox)
        else:
            self._go_on(inbox)

    def go_on(self) -> None:
        """Begin what may be begun now; called when the lease holds again."""
        for inbox in self:
            self._go_on(inbox)

    def sweep(self) -> None:
        """Forget what overtook the event that made this the home, from before the last call."""
        self._earlier, self._early = self._early, {}
        self._longer_dead, self._dead = self._dead, set()

    # Leaving.

    def pause(self) -> None:
        """Begin no handler more: this node is about to drain."""
        self._paused = True

    def drain(self) -> None:
        """Hand back every socket whose handler does not run, and the others as they end.

        Called when no event can arrive any more.
        """
        self._paused = self._draining = True
        self.go_on()

    def acknowledged(self, channel: str, term: int) -> None:
        """The interface knows of the handback."""
        inbox = self.find(channel, term)
        if inbox is not None and inbox.is_leaving:
            self._drop(inbox)

    def released(self, channel: str, term: int) -> None:
        """The interface does not regard this node as the home any more."""
        inbox = self.find(channel, term)
        if inbox is not None:
            self._drop(inbox)

    # What the layer says.

    def down(self, shard: int, home: Home) -> None:
        """An interface is dead: each of its sockets gets the disconnect that it cannot send."""
        self._dead.add(home)
        for inbox in self:
            if inbox.shard == shard:
                self._hear_of(home, inbox)

    def lost(self, inbox: Inbox) -> None:
        """The interface has answered nothing for longer than its lease: it is dead."""
        inbox.is_leaving = False
        inbox.is_orphan = True
        if not inbox.has_last:
            inbox.put(self._port.last_word(inbox))
        self._go_on(inbox)

    def reset(self, shard: int) -> None:
        """The server lost its data: say again what the interfaces must know."""
        for inbox in self:
            if inbox.shard == shard:
                if inbox.is_leaving:
                    self._port.handback(inbox)
                else:
                    self._port.resume(inbox)

    def fenced(self, shard: int) -> None:
        """This node was declared dead: its sockets have other homes."""
        for inbox in self:
            if inbox.shard == shard:
                self._drop(inbox)

    def _hear_of(self, dead: Home, inbox: Inbox) -> None:
        if inbox.interface == dead:
            self.lost(inbox)
        elif inbox.interface.node == dead.node and not inbox.is_over:
            self._port.resume(inbox)  # it was registered again, before or after: its answer tells

    def _take_early(self, channel: str, term: int) -> list[Arrival]:
        key = channel, term
        return self._earlier.pop(key, []) + self._early.pop(key, [])

    def _go_on(self, inbox: Inbox) -> None:
        if self._paused and not inbox.is_orphan:
            if self._draining and inbox.is_idle and not inbox.is_leaving:
                inbox.is_leaving = True
                self._port.handback(inbox)
            return
        if len(inbox) and inbox.is_idle and self._port.may_begin(inbox.shard):
            arrival = inbox.begin()
            if arrival is not None:
                self._port.begin(inbox, arrival)

    def _drop(self, inbox: Inbox) -> None:
        del self._inboxes[inbox.channel]
        self._end(inbox)

    def _end(self, inbox: Inbox) -> None:
        inbox.leave()
        self._port.forget(inbox)


__all__ = ["Arrival", "Inbox", "Inboxes", "Port"]
