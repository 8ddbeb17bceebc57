"""What may wait for one client."""

from dataclasses import dataclass

from achannels.options import Overflow


@dataclass(frozen=True, slots=True)
class Limits:
    """What may wait for one client.

    Attributes:
        capacity: Messages.
        size: Bytes.
        overflow: What a group send does to a full outbox.
        stall: Seconds that one write may take before the client counts as stalled.
    """

    capacity: int
    size: int
    overflow: Overflow
    stall: float


__all__ = ["Limits"]
