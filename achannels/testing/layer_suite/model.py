"""Channels and sockets as the model of `achannels.testing.layer_model` sees them."""

from dataclasses import dataclass, field

from achannels.testing.layer_suite.base import Connection


@dataclass
class ModelLetter:
    """A message of the model."""

    n: int
    expires: float
    durable: bool = False
    attempt: int = 1


@dataclass
class ModelBox:
    """A channel of the model."""

    ready: list[ModelLetter] = field(default_factory=list)
    delayed: list[tuple[float, ModelLetter]] = field(default_factory=list)

    @property
    def pending(self) -> int:
        """Messages that wait."""
        return len(self.ready) + len(self.delayed)

    def look(self, now: float) -> int:
        """Move what is due, drop what has expired, and return how many have."""
        self.delayed.sort(key=lambda each: each[0])
        while self.delayed and self.delayed[0][0] <= now:
            self.ready.append(self.delayed.pop(0)[1])
        fresh = [each for each in self.ready if each.expires > now]
        expired = len(self.ready) - len(fresh)
        self.ready = fresh
        return expired


@dataclass
class ModelSocket:
    """A reply channel of the model."""

    connection: Connection
    expected: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)


__all__ = ["ModelBox", "ModelLetter", "ModelSocket"]
