"""Port: what an interface node does for the sequencer of a socket."""

from typing import Protocol

from achannels.contracts import Home
from achannels.split.event import Event, Verdict


class Port(Protocol):
    """What a sequencer has done; each call returns at once."""

    def offer(self, event: Event) -> None:
        """Put the event onto a shared channel; the outcome comes as `offered` or `refused`."""

    def forward(self, home: Home, event: Event) -> None:
        """Put the event into the log of the home; the outcome comes with its `flight`."""

    def acknowledge(self, home: Home, term: int) -> None:
        """Tell a home that its `handback` or `resume` has arrived."""

    def release(self, home: Home, term: int) -> None:
        """Tell a home that it is not that in this term any more, if it still thinks so."""

    def suspect(self) -> None:
        """Call `give_up` after the layer's patience, unless `trust` is called before."""

    def trust(self) -> None:
        """Forget the last `suspect`."""

    def later(self) -> None:
        """Call `flow` in a moment: something was full."""

    def over(self, event: Event, verdict: Verdict) -> None:
        """The event has left the sequencer."""


__all__ = ["Port"]
