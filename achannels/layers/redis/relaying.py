"""Split mode over Redis: events of sockets travel to their home, and answers back."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from achannels.codec import Encoded
from achannels.contracts import Home, Origin, Taken
from achannels.exceptions import ChannelFull, ConfigurationError
from achannels.layers.redis.reader import Entry
from achannels.layers.redis.registration import Loss
from achannels.layers.redis.shard import Shard
from achannels.layers.redis.work import RedisWork
from achannels.relay import HomeDraining, HomeGone, RelayListener

logger = logging.getLogger("achannels.layer")

T = TypeVar("T")

_RENEWALS = 4
"""Renewals after its lease for which a home that is gone is waited for."""

_CLAIM = 3_600_000
"""Milliseconds that a claim stands."""


class RedisRelay(RedisWork):
    """The part of `RedisLayer` that split mode needs; see `achannels.relay.RelayLayer`."""

    def _start_over(self) -> None:
        super()._start_over()
        self._listener: RelayListener | None = None
        self._drains = False

    @property
    def send_timeout(self) -> float:
        """Seconds that a call waits for the server."""
        return self._timing.send_timeout

    @property
    def patience(self) -> float:
        """Seconds after which a home that is gone is given up."""
        return self._timing.lease * (1 + _RENEWALS / 3)

    def listen(self, listener: RelayListener | None) -> None:
        """Say who hears what this node is told; `None` for nobody.

        Raises:
            ConfigurationError: Somebody does already.
        """
        if listener is not None and self._listener not in (None, listener):
            raise ConfigurationError(
                "this layer has a listener. Give each application in split mode its own layer."
            )
        self._listener = listener

    def home(self, shard: int) -> Home:
        """Return this node as it is registered now in a shard."""
        return Home(self.node, int(self._shards[shard].registration.incarnation))

    def shard(self, channel: str) -> int:
        """Return the shard that the events and answers of a reply channel travel through."""
        return self._shard_of(channel.partition("!")[2]).index

    def offer(
        self, channel: str, message: Encoded, origin: Origin, *, expires: bool = True
    ) -> asyncio.Future[None]:
        """Put one event on a shared named channel; see `achannels.relay.RelayLayer.offer`."""
        shard = self._shard_of(channel)
        local = origin.channel.partition("!")[2]
        registration = shard.registration
        capacity = self._capacity[channel]
        putting = shard.submit(
            "Q",
            channel,
            capacity,
            self._milliseconds(channel) if expires else "",
            0,
            0,
            f"{self.node} {registration.incarnation} {registration.epoch} "
            f"{local} {origin.term} {origin.number}",
            self._encrypt(message.body),
            patient=True,
        )
        return _then(putting, partial(_accepted, channel, capacity))

    def forward(self, home: Home, channel: str, message: Encoded) -> asyncio.Future[int]:
        """Put one event into the log of a home; see `achannels.relay.RelayLayer.forward`."""
        shard = self._shard_of(channel.partition("!")[2])
        entry = b"E\n" + self._encrypt(message.body)
        putting = shard.submit("E", home.node, home.incarnation, entry, patient=True)

        def position(result: Any) -> int:
            if result == b"GONE":
                raise HomeGone(f"{home.node} is not alive in its incarnation {home.incarnation}.")
            if result == b"DRAIN":
                raise HomeDraining(f"{home.node} is about to leave.")
            _accepted(channel, self._log_capacity, result)
            return _sequence(result[0])

        return _then(putting, position)

    def answer(self, channel: str, message: Encoded) -> asyncio.Future[None]:
        """Send an encoded message to a reply channel; see `achannels.relay.RelayLayer.answer`."""
        node, _, local = channel.partition("!")
        capacity = self._capacity[channel]
        head = b"D%s %d\n" % (local.encode(), self._milliseconds(channel))
        entry = head + self._encrypt(message.body)
        sending = self._shard_of(local).submit("D", node, local, capacity, entry, patient=True)
        return _then(sending, partial(_accepted, channel, capacity))

    def tell(self, node: str, shard: int, message: Encoded) -> asyncio.Future[None]:
        """Put a message into the log of a node; see `achannels.relay.RelayLayer.tell`."""
        entry = b"T%s\n" % self.node.encode() + self._encrypt(message.body)
        telling = self._shards[shard].submit("W", node, entry, patient=True)

        def arrived(result: Any) -> None:
            if result == b"GONE":
                raise HomeGone(f"{node} is not alive.")

        return _then(telling, arrived)

    async def drain(self) -> list[Taken]:
        """Take no more events; see `achannels.relay.RelayLayer.drain`."""
        self._drains = True
        self._queues.wake_all()
        ends = await asyncio.gather(*(shard.submit("H", patient=True) for shard in self._shards))
        await asyncio.gather(
            *(
                shard.reader.read_past(_sequence(end))
                for shard, end in zip(self._shards, ends, strict=True)
            )
        )
        letters = self._queues.take_homed()
        for letter in letters:
            self._remember(letter)
        return [self._as_taken(letter) for letter in letters]

    async def claim(self, channel: str) -> bool:
        """Return `True` to one caller only; see `achannels.relay.RelayLayer.claim`."""
        shard = self._shard_of(channel.partition("!")[2])
        return bool(await shard.submit("K", channel, _CLAIM))

    def holds_lease(self, shard: int) -> bool:
        """Return whether this node is alive by its own clock."""
        return self._shards[shard].registration.holds

    # What is heard.

    def registered(self, shard: Shard, loss: Loss | None) -> None:
        """The node has registered in a shard."""
        super().registered(shard, loss)
        if self._drains:
            _ = shard.submit("H", patient=True)
        if loss is not None and loss.lease:
            self._hear(lambda listener: listener.fenced(shard.index))
        elif loss is not None:
            self._hear(lambda listener: listener.reset(shard.index))

    def take_event(self, shard: Shard, entry: Entry) -> None:
        """Handle an event of a socket that has its home here."""
        message = self._readable(entry)
        if message is not None:
            self._hear(lambda listener: listener.event(message))

    def _hear_entry(self, shard: Shard, entry: Entry) -> bool:
        """Handle an entry of split mode; return whether it is one."""
        match entry.kind:
            case b"H":
                local, term, number, taker, incarnations = entry.head
                origin = Origin(f"{self.node}!{local}", int(term), int(number))
                home = Home(taker, int(incarnations.split(",")[self.shard(origin.channel)]))
                self._hear(lambda listener: listener.homed(origin, home))
            case b"X" | b"N":
                local, term, number = entry.head
                origin = Origin(f"{self.node}!{local}", int(term), int(number))
                if entry.kind == b"X":
                    self._hear(lambda listener: listener.expired(origin))
                else:
                    self._hear(lambda listener: listener.unreadable(origin))
            case b"T":
                message = self._readable(entry)
                if message is not None:
                    self._hear(lambda listener: listener.told(shard.index, message))
                else:
                    self._hear(lambda listener: listener.unheard(shard.index, entry.head[0]))
            case b"-":
                node, incarnation, position = entry.head
                home = Home(node, int(incarnation))
                sequence = _sequence(position.encode())
                self._hear(lambda listener: listener.down(shard.index, home, sequence))
            case _:
                return False
        return True

    def _hear(self, call: Callable[[RelayListener], None]) -> None:
        if self._listener is None:
            return
        try:
            call(self._listener)
        except Exception:
            logger.exception("the listener of the layer failed")


def _accepted(channel: str, capacity: int, result: Any) -> None:
    if result == b"FULL":
        raise ChannelFull(channel, capacity)


def _sequence(id: bytes) -> int:
    return int(id.partition(b"-")[2])


def _then(future: asyncio.Future[Any], change: Callable[[Any], T]) -> asyncio.Future[T]:
    """Return a future of what a function makes of a result."""
    changed: asyncio.Future[T] = future.get_loop().create_future()

    def finish(done: asyncio.Future[Any]) -> None:
        if changed.done():
            done.exception()
            return
        try:
            changed.set_result(change(done.result()))
        except Exception as error:  # noqa: BLE001 - it goes to whoever awaits the future
            changed.set_exception(error)

    future.add_done_callback(finish)
    return changed


__all__ = ["RedisRelay"]
