"""Event: one event of a socket, where it is, and what its socket waits for."""

from enum import Enum, auto
from typing import Literal

_OVERHEAD = 64


class Place(Enum):
    """Where an event is.

    `HERE`: at the interface alone. `OFFERING`: on its way to the shared channel. `OFFERED`: on it.
    `FLYING`: on its way to the home. `PLACED`: in the log of the home. `TAKEN`: the home has it.
    `UNKNOWN`: sent to a home, and nobody can say whether it arrived.
    """

    HERE = auto()
    OFFERING = auto()
    OFFERED = auto()
    FLYING = auto()
    PLACED = auto()
    TAKEN = auto()
    UNKNOWN = auto()


class Phase(Enum):
    """What a socket has: no home, an event offered, a home; or what it waits for.

    `HELD`: the home drains, its word is on the way. `SUSPECT`: the home is gone, or the server lost
    its data; `resume`, `down` or the end of patience will come. `SETTLING`: the home is dead, and
    the outcomes of what flew to it are not all there.
    """

    FREE = auto()
    OFFERED = auto()
    HOMED = auto()
    HELD = auto()
    SUSPECT = auto()
    SETTLING = auto()


Verdict = Literal["done", "lost", "expired", "unreadable"]
"""What became of an event.

Finished by a home; perhaps begun by one that died; never taken; taken by one without the key.
"""


class Event:
    """One event of a socket.

    Attributes:
        number: Events of a socket count by one.
        kind: The channel whose message it is.
        body: Its encoded content.
        last: The socket is over with it, and its disconnect is never given up.
        place: Where it is.
        position: In the log of the home, once it is placed.
        flight: Tells the outcome of the last sending from those of earlier ones.
    """

    __slots__ = ("body", "flight", "kind", "last", "number", "place", "position")

    def __init__(self, number: int, kind: str, body: bytes, *, last: bool = False) -> None:
        self.number = number
        self.kind = kind
        self.body = body
        self.last = last
        self.place = Place.HERE
        self.position = -1
        self.flight = 0

    @property
    def size(self) -> int:
        """Bytes that it counts for."""
        return len(self.body) + _OVERHEAD


__all__ = ["Event", "Phase", "Place", "Verdict"]
