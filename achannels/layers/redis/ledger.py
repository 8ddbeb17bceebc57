"""The books of a layer over Redis: what the shards know, and what the nodes know.

A message that waits in a shard is in the shard's books; when a node reads it, it moves into the
node's. So each part balances, and so does their sum.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from achannels.contracts import Statistics
from achannels.layers.counters import REASONS, Counters
from achannels.layers.redis.link import Argument

_SUMS = ("accepted", "delivered", "expired", "pending")


class Ledger:
    """Publishes a node's books to its shards, and adds up everyone's.

    Args:
        books: Of the node.
        pending: Returns how many messages the node has in hand.
    """

    def __init__(self, books: Counters, pending: Callable[[], int]) -> None:
        self._books = books
        self._pending = pending
        self._base: dict[str, int] = {}
        self._published: dict[str, int] = {}
        self._offered: dict[str, int] = {}

    def begin_anew(self) -> None:
        """The shards have forgotten this node: what it has in hand counts as just accepted."""
        pending = self._pending()
        self._base = self._count()
        self._base["pending"] = 0
        self._base["accepted"] -= pending
        self._published = {}

    def to_publish(self) -> list[Argument]:
        """Return names and numbers, if they have changed since they last arrived."""
        self._offered = self._mine()
        if self._offered == self._published:
            return []
        return [
            each
            for name, number in self._offered.items()
            for each in (name, number)
            if number or self._published.get(name)
        ]

    def published(self) -> None:
        """What was offered has arrived."""
        self._published = self._offered

    def add_up(self, answers: Iterable[tuple[Sequence[Any], int]]) -> Statistics:
        """Return the books of the whole layer.

        Args:
            answers: Of each shard, with the number of direct messages that this node has handled
                and the shard still counts as waiting.
        """
        totals = dict.fromkeys(_SUMS, 0)
        dropped = dict.fromkeys(REASONS, 0)
        for answer, uncommitted in answers:
            totals["accepted"] -= uncommitted
            totals["pending"] += answer[1] - uncommitted
            names = (each.decode() for each in answer[2::2])
            for name, number in zip(names, map(int, answer[3::2]), strict=True):
                _add(name, number, totals, dropped)
        for name, number in self._mine().items():
            _add(f"past:{name}", number, totals, dropped)
        return {
            "accepted": totals["accepted"],
            "delivered": totals["delivered"],
            "expired": totals["expired"],
            "dropped": dropped,
            "pending": totals["pending"],
        }

    def _mine(self) -> dict[str, int]:
        return {name: number - self._base.get(name, 0) for name, number in self._count().items()}

    def _count(self) -> dict[str, int]:
        books = self._books
        counted = {
            "accepted": books.accepted + books.replies,
            "delivered": books.delivered + books.replies,
            "expired": books.expired,
            "pending": self._pending(),
        }
        for reason, number in books.dropped.items():
            counted[f"d:{reason}"] = number
        return counted


def _add(name: str, number: int, totals: dict[str, int], dropped: dict[str, int]) -> None:
    """Add a line of the books: of a shard, or (`past:`) of a node."""
    if name.startswith("past:d:"):
        reason = name.removeprefix("past:d:")
        dropped[reason] = dropped.get(reason, 0) + number
    elif name.startswith("past:"):
        totals[name.removeprefix("past:")] += number
    elif name == "taken":
        totals["accepted"] -= number
    elif name in ("accepted", "delivered", "expired"):
        totals[name] += number
    elif name in dropped:
        dropped[name] += number


__all__ = ["Ledger"]
