"""The books of a layer: what became of each message, who has it in hand, what was given up."""

import itertools
import math
from collections import OrderedDict
from datetime import UTC, datetime

from achannels.codec import Encoded
from achannels.contracts import DeadLetter, Statistics, Taken
from achannels.exceptions import ConfigurationError

DEAD_LETTERS = 1_000
"""Dead letters that are kept per channel; beyond, the oldest is forgotten."""

_REASON = 1_024
"""Bytes that are kept of why a message was given up."""

REASONS = ("full", "gone", "no_handler", "no_route", "overflow", "rejected")
"""Why a message that was accepted is never delivered.

`full`: no room for a member of a group. `gone`: its socket has ended. `no_handler`: the consumer
has no method for its `type`. `no_route`: no route takes it. `overflow`: the policy of a full outbox.
`rejected`: given up by its consumer, or flushed.
"""


def readable(reason: str) -> str:
    """Return why a message was given up as it is kept: cut, and without what has no encoding."""
    return reason.encode(errors="backslashreplace")[:_REASON].decode(errors="ignore")


def check_limit(limit: int) -> int:
    """Return how many dead letters are asked for, at most.

    Raises:
        ConfigurationError: It is no number from 1.
    """
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise ConfigurationError(f"'limit' is {limit!r}; it must be a whole number from 1.")
    return limit


class Counters:
    """Counts messages; a layer and the receivers attached to it share one.

    At every moment `accepted == delivered + expired + sum(dropped) + pending`, where pending is
    what the layer and its receivers hold.

    Attributes:
        accepted: Messages taken by the layer; a group send counts once per member.
        delivered: Messages handed to their listener.
        expired: Messages that nobody took in time.
        replies: Answers of consumers to their own sockets; they count as accepted and delivered.
        dropped: By reason; all of `REASONS` are there.
    """

    __slots__ = ("accepted", "delivered", "dropped", "expired", "replies")

    def __init__(self) -> None:
        self.accepted = 0
        self.delivered = 0
        self.expired = 0
        self.replies = 0
        self.dropped = dict.fromkeys(REASONS, 0)

    def drop(self, reason: str, count: int = 1) -> None:
        """Count messages that were accepted and will never be delivered."""
        self.dropped[reason] = self.dropped.get(reason, 0) + count

    def statistics(self, pending: int) -> Statistics:
        """Return the books as a layer shows them.

        Args:
            pending: Messages held at this moment.
        """
        return {
            "accepted": self.accepted + self.replies,
            "delivered": self.delivered + self.replies,
            "expired": self.expired,
            "dropped": dict(self.dropped),
            "pending": pending,
        }


class Letter:
    """A message in a mailbox.

    Attributes:
        message: Its content.
        expires: When it expires; infinity for durable and delayed messages.
        durable: It was sent with `durable=True`.
        attempt: How often it was taken, and once more.
        id: Its name within the layer, given when a worker takes it for the first time.
    """

    __slots__ = ("attempt", "durable", "expires", "id", "message")

    def __init__(
        self, message: Encoded, expires: float = math.inf, *, durable: bool = False
    ) -> None:
        self.message = message
        self.expires = expires
        self.durable = durable
        self.attempt = 1
        self.id = ""


class Work:
    """The messages in the hands of workers, and those that were given up.

    Args:
        books: Of the layer.
    """

    __slots__ = ("_books", "_dead", "_ids", "_in_flight")

    def __init__(self, books: Counters) -> None:
        self._books = books
        self._in_flight: dict[str, Letter] = {}
        self._dead: dict[str, OrderedDict[str, tuple[Letter, datetime, str]]] = {}
        self._ids = itertools.count(1)

    @property
    def pending(self) -> int:
        """Messages that were taken and are not settled."""
        return len(self._in_flight)

    def take(self, letter: Letter) -> None:
        """Hand a message to a worker."""
        if not letter.id:
            letter.id = str(next(self._ids))
        self._in_flight[letter.id] = letter

    def untake(self, letter: Letter) -> None:
        """Take back a message that no worker has seen."""
        del self._in_flight[letter.id]

    def settle(self, taken: Taken, *, again: bool, dead: str | None) -> Letter | None:
        """Do the books of a message.

        Returns:
            The message, if it shall be tried again.
        """
        letter = self._in_flight.pop(taken.id, None)
        if letter is None:
            return None
        letter.durable = taken.durable
        if again:
            letter.attempt += 1
            return letter
        if dead is None:
            self._books.delivered += 1
            return None
        self._books.drop(dead if dead in ("no_handler", "no_route") else "rejected")
        if letter.durable:
            letters = self._dead.setdefault(taken.channel, OrderedDict())
            letters[letter.id] = (letter, datetime.now(UTC), readable(dead))
            if len(letters) > DEAD_LETTERS:
                letters.popitem(last=False)
        return None

    def dead_letters(self, channel: str, limit: int) -> list[DeadLetter]:
        """Return the dead letters of a channel, oldest first."""
        return [
            DeadLetter(id, letter.message.decode(), letter.attempt, failed_at, reason)
            for id, (letter, failed_at, reason) in itertools.islice(
                self._dead.get(channel, {}).items(), limit
            )
        ]

    def find(self, channel: str, id: str) -> Encoded | None:
        """Return the message of a dead letter."""
        letters = self._dead.get(channel)
        return letters[id][0].message if letters and id in letters else None

    def drop(self, channel: str, id: str) -> bool:
        """Forget a dead letter; `False` if there is none of that id."""
        letters = self._dead.get(channel)
        return letters is not None and letters.pop(id, None) is not None

    def clear(self) -> None:
        """Forget all dead letters."""
        self._dead.clear()


__all__ = ["DEAD_LETTERS", "REASONS", "Counters", "Letter", "Work"]
