"""What a layer over Redis does with the entries of its node's log."""

import asyncio
import logging
from collections.abc import Awaitable

from achannels.codec import Encoded
from achannels.contracts import Receiver
from achannels.layers.redis.core import RedisCore
from achannels.layers.redis.encryption import Undecipherable
from achannels.layers.redis.reader import Entry
from achannels.layers.redis.shard import Shard

logger = logging.getLogger("achannels.layer")


class RedisIntake(RedisCore):
    """The part of `RedisLayer` that delivers; see there."""

    def take_entry(self, shard: Shard, entry: Entry) -> Awaitable[None] | None:
        """Handle an entry of the node's log."""
        match entry.kind:
            case b"D":
                self._deliver(shard, entry)
            case b"G":
                return self._fan_out(shard, entry)
            case b"P":
                self._queues.poke(shard, entry.head[0])
            case b"J":
                receiver = self._attached.get(f"{self.node}!{entry.head[1]}")
                self._groups.take_join(entry, receiver)
            case b"L":
                self._groups.take_leave(entry)
            case _:
                if not (self._take_question(shard, entry) or self._hear_entry(shard, entry)):
                    logger.error("an entry of unknown kind %r was skipped", entry.kind)
        return None

    def _take_question(self, shard: Shard, entry: Entry) -> bool:
        """Handle an entry that concerns the layer itself; return whether it is one."""
        match entry.kind:
            case b"W":
                self._answer_who(shard, *entry.head)
            case b"A":
                waiter = self._answers.pop(entry.head[0], None)
                if waiter is not None and not waiter.done():
                    waiter.set_result(entry.body.decode().split())
            case b"R":
                asker, token = entry.head
                shard.submit("W", asker, f"A{token}\n").add_done_callback(_ignore)
            case b"F":
                self._groups.forget()
            case _:
                return False
        return True

    def missed(self, shard: Shard, count: int, since: float) -> None:
        """So many group messages found the log full."""
        logger.warning(
            "%d group messages from %s were missed: this process did not read its log for %.1f s, "
            "and CONFIG 'log_capacity' is %d",
            count,
            shard.name,
            since,
            self._log_capacity,
        )
        self._tell_gap(shard, "log_full", since)

    def _deliver(self, shard: Shard, entry: Entry) -> None:
        local, expiry = entry.head
        receiver = self._attached.get(f"{self.node}!{local}")
        message = self._readable(entry)
        if message is None:
            if receiver is not None:
                _tell(receiver, [], "unreadable", shard.reader.behind)
            return
        self.books.accepted += 1
        if receiver is None:
            self.books.drop("gone")
        elif not shard.reader.is_fresh(entry, int(expiry) / 1000):
            self.books.expired += 1
        elif not receiver.deliver(message, group=False):
            self.books.drop("full")

    def _fan_out(self, shard: Shard, entry: Entry) -> Awaitable[None] | None:
        group, expiry = entry.head
        members = self._membership.find(group, 0.0)
        if members is None:
            return None
        message = self._readable(entry)
        if message is None:
            for receiver in list(members.receivers.values()):
                _tell(receiver, [group], "unreadable", shard.reader.behind)
            return None
        if not shard.reader.is_fresh(entry, int(expiry) / 1000):
            self.books.accepted += len(members.receivers)
            self.books.expired += len(members.receivers)
            return None
        return self._membership.send(group, message, 0.0)

    def _tell_gap(self, shard: Shard, reason: str, since: float) -> None:
        for channel, receiver in list(self._attached.items()):
            groups = sorted(
                group
                for group in self._membership.groups_of(channel)
                if self._shard_of(group) is shard
            )
            if groups or reason != "log_full":
                _tell(receiver, groups, reason, since)

    def _readable(self, entry: Entry) -> Encoded | None:
        """Return the message of an entry; one that no key opens is counted and not delivered."""
        try:
            return Encoded(self._decrypt(entry.body))
        except Undecipherable as error:
            logger.error("a message was written with another key: %s", error)
            self.books.accepted += 1
            self.books.drop("rejected")
            return None

    # What other parts of the layer add.

    def _answer_who(self, shard: Shard, group: str, asker: str, token: str) -> None:
        raise NotImplementedError

    def _hear_entry(self, shard: Shard, entry: Entry) -> bool:
        raise NotImplementedError


def _tell(receiver: Receiver, groups: list[str], reason: str, since: float) -> None:
    try:
        receiver.gap(groups, reason, since)
    except Exception:
        logger.exception("%r could not be told that it may have missed messages", receiver)


def _ignore(done: asyncio.Future[object]) -> None:
    """Who asked does not wait for ever."""
    if not done.cancelled():
        done.exception()


__all__ = ["RedisIntake"]
