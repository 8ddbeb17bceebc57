"""What a layer over Redis is made of: its shards, its members, its books, and how they begin and end."""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar
from zlib import crc32

from achannels.contracts import Statistics
from achannels.exceptions import ConfigurationError, LayerClosed
from achannels.layers import BaseLayer
from achannels.layers.counters import Counters
from achannels.layers.mailbox import ByChannel, check_count, check_seconds
from achannels.layers.membership import Membership, Receivers
from achannels.layers.redis.encryption import Cipher, check_plain
from achannels.layers.redis.far import FarMemberships
from achannels.layers.redis.groups import Groups
from achannels.layers.redis.inspection import Problem, inspect
from achannels.layers.redis.ledger import Ledger
from achannels.layers.redis.link import Argument
from achannels.layers.redis.queues import Queues
from achannels.layers.redis.reader import Entry
from achannels.layers.redis.registration import Loss, Timing
from achannels.layers.redis.servers import places
from achannels.layers.redis.shard import Shard

logger = logging.getLogger("achannels.layer")

T = TypeVar("T")

_PUBLISH = 1.0
"""Seconds between two publications of a node's books."""

_inherited: list[Any] = []
"""Connections of the parent process: closing one here would disturb the parent's event loop."""


class RedisCore(BaseLayer):
    """The part of `RedisLayer` that does not depend on what is sent; see there."""

    def __init__(
        self,
        hosts: Sequence[Any] | None = None,
        *,
        prefix: str = "achannels",
        capacity: int = 100,
        channel_capacity: Mapping[Any, int] | None = None,
        expiry: float = 60.0,
        channel_expiry: Mapping[Any, float] | None = None,
        group_expiry: float = 86_400.0,
        message_size: int = 1_048_576,
        symmetric_encryption_keys: Sequence[str | bytes] = (),
        lease: float = 15.0,
        send_timeout: float = 2.0,
        log_capacity: int = 10_000,
        log_bytes: int = 67_108_864,
    ) -> None:
        self._capacity = ByChannel("capacity", capacity, channel_capacity, check_count)
        self._expiry = ByChannel("expiry", expiry, channel_expiry, check_seconds)
        self._group_expiry = check_seconds("'group_expiry'", group_expiry)
        self.message_size = check_count("'message_size'", message_size)
        self._log_capacity = check_count("'log_capacity'", log_capacity)
        self._log_bytes = check_count("'log_bytes'", log_bytes)
        self._timing = Timing(
            check_seconds("'lease'", lease),
            check_seconds("'send_timeout'", send_timeout),
            self._group_expiry,
        )
        if not isinstance(prefix, str) or not prefix:
            raise ConfigurationError(
                f"CONFIG 'prefix' is {prefix!r}; it must be a str that is not empty."
            )
        self._cipher = Cipher(symmetric_encryption_keys) if symmetric_encryption_keys else None
        self._places = places(hosts, prefix, timeout=self._timing.send_timeout)
        super().__init__()

    @property
    def hosts(self) -> list[str]:
        """Where the shards live, without users and passwords."""
        return [place.name for _, place in self._places]

    async def problems(self) -> list[Problem]:
        """Connect to the servers and return what is wrong with them; nothing is written there."""
        return await inspect(self._places)

    def _begin(self) -> None:
        if hasattr(self, "_shards"):
            _inherited.extend(each for shard in self._shards for each in shard.abandon())
        self.node = secrets.token_urlsafe(16)
        self.books = Counters()
        self._membership = Membership(self.books)
        self._receivers = Receivers()
        self._attached = self._receivers.attached
        self._start_over()

    def _start_over(self) -> None:
        """Make what lives on one event loop."""
        self._shards: list[Shard] = []
        self._opening: asyncio.Task[None] | None = None
        self._is_open = False
        self._groups = Groups(
            self.node, self._membership, self._attached.__contains__, self._shard_of
        )
        self._queues = Queues(
            self.books, self._shard_of, self._timing.lease, self._incarnations, self._decrypt
        )
        self._ledger = Ledger(self.books, self._in_hand)
        self._publish_at = 0.0
        self._answers: dict[str, asyncio.Future[list[str]]] = {}
        self._far_memberships = FarMemberships(self.node, self._answers)
        self._joined: dict[tuple[str, str], float] = {}

    # The life of the layer.

    async def open(self) -> None:
        """Make the running loop the layer's home and register with all shards. Idempotent.

        Raises:
            ConfigurationError: Another running loop of this process has receivers or listeners on
                the layer.
            LayerUnavailable: A server does not answer within `send_timeout`, or refuses.
            LayerClosed: The layer was closed.
        """
        await super().open()
        await self._run(_nothing)

    async def _run(
        self, make: Callable[[], Coroutine[Any, Any, T]], undo: Callable[[T], object] | None = None
    ) -> T:
        """Run a coroutine on the home loop, the layer being open."""
        if self._closed:
            self._refuse("nothing was done")
        if asyncio.get_running_loop() is self._home.loop or self._home.is_here():
            if not self._is_open:
                await self._open()
            return await make()

        async def opened() -> T:
            if not self._is_open:
                await self._open()
            return await make()

        return await self._home.call(opened, undo)

    async def _open(self) -> None:
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open_shards())
        opening = self._opening
        try:
            await asyncio.shield(opening)
        finally:
            if opening.done() and self._opening is opening:
                self._opening = None

    async def _open_shards(self) -> None:
        self._shards = [
            Shard(
                index,
                tag,
                place,
                self.node,
                self._timing,
                self._log_capacity,
                self._log_bytes,
                self,
            )
            for index, (tag, place) in enumerate(self._places)
        ]
        loop = asyncio.get_running_loop()
        opening = [loop.create_task(shard.open()) for shard in self._shards]
        try:
            await asyncio.gather(*opening)
        except BaseException:
            for each in opening:
                each.cancel()
            await asyncio.wait(opening)
            for shard in self._shards:
                await shard.close(self._closed_error)
            raise
        self._is_open = True

    async def _close(self) -> None:
        self._queues.wake_all()
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if not self._is_open:
            return
        self._queues.give_all_back()
        await asyncio.gather(
            *(shard.submit("O", 1) for shard in self._shards), return_exceptions=True
        )
        self._is_open = False
        for shard in self._shards:
            await shard.close(self._closed_error)

    async def leave(self) -> None:
        """Leave all shards, unless receivers or listeners are on the layer; the next use comes back."""
        if self._is_open and not self._closed:
            await self._home.call(self._leave)

    async def _leave(self) -> None:
        if self._is_open and not self._attached and not self._queues.has_waiters:
            await self._let_go()

    async def _let_go(self) -> None:
        """Leave the shards, before another loop joins them."""
        await self._close()
        self._start_over()

    def _closed_error(self) -> LayerClosed:
        return LayerClosed(f"this {type(self).__name__} was closed while the call waited.")

    def _moved(self, home: asyncio.AbstractEventLoop) -> None:
        """The loop of the layer has stopped, and another takes its place."""
        _inherited.extend(each for shard in self._shards for each in shard.abandon())
        self.books.drop("gone", self._queues.forget())
        loop = self._receivers.loop
        if loop is not None and loop.is_closed():
            for channel in self._attached:
                self._membership.detach(channel)
            self.books.drop("gone", self._receivers.clear())
        self._start_over()

    def _check_free(self) -> None:
        if self._attached or self._queues.has_waiters:
            raise ConfigurationError(
                f"this {type(self).__name__} is in use on another running event loop of the "
                "process, which has receivers or listeners on it. Run both on one loop, or give "
                "each its own layer."
            )

    # Where things are.

    def _shard_of(self, name: str) -> Shard:
        """Return the shard of a name: of the local part, for a reply channel."""
        shards = self._shards
        if len(shards) == 1:
            return shards[0]
        return shards[crc32(name.encode()) % len(shards)]

    def _incarnations(self) -> str:
        return ",".join(shard.registration.incarnation for shard in self._shards)

    def _encrypt(self, body: bytes) -> bytes:
        return self._cipher.encrypt(body) if self._cipher is not None else body

    def _decrypt(self, body: bytes) -> bytes:
        return self._cipher.decrypt(body) if self._cipher is not None else check_plain(body)

    def _milliseconds(self, channel: str) -> int:
        return int(self._expiry[channel] * 1000)

    # What the shards hand over; see `achannels.layers.redis.shard.Keeper`.

    def groups_in(self, shard: Shard) -> list[str]:
        """Return the groups of a shard that have members here."""
        return [
            group
            for group in self._groups
            if group in self._membership and self._shard_of(group) is shard
        ]

    def registered(self, shard: Shard, loss: Loss | None) -> None:
        """The node has registered in a shard."""
        if loss is None:
            return
        self._groups.registered(shard)
        if shard.index == 0:
            self._ledger.begin_anew()
        if loss.data:
            self._far_memberships.repeat(shard)
        now = time.monotonic()
        for (group, channel), ends in self._joined.items():
            if loss.data and ends > now and self._shard_of(group) is shard:
                _ = self._join_channel(group, channel, ends - now)
        reason = "layer_reset" if loss.data else "lease_lost"
        self._tell_gap(shard, reason, self._timing.lease)

    def renewed(self, shard: Shard) -> None:
        """The lease was renewed: what depends on the node's life goes on too."""
        self._groups.renew(shard)

    def books_to_publish(self, shard: Shard) -> list[Argument]:
        """Return the node's books, if they have changed and it is time."""
        now = time.monotonic()
        if shard.index or now < self._publish_at:
            return []
        self._publish_at = now + _PUBLISH
        return self._ledger.to_publish()

    def books_published(self, shard: Shard) -> None:
        """The books have arrived."""
        self._ledger.published()

    # What other parts of the layer add.

    def take_entry(self, shard: Shard, entry: Entry) -> Awaitable[None] | None:
        """Handle an entry of the node's log."""
        raise NotImplementedError

    def take_event(self, shard: Shard, entry: Entry) -> None:
        """Handle an event of a socket that has its home here."""
        raise NotImplementedError

    def missed(self, shard: Shard, count: int, since: float) -> None:
        """So many group messages found the log full."""
        raise NotImplementedError

    def _tell_gap(self, shard: Shard, reason: str, since: float) -> None:
        raise NotImplementedError

    def _join_channel(self, group: str, channel: str, lasts: float) -> asyncio.Future[Any]:
        raise NotImplementedError

    def _in_hand(self) -> int:
        raise NotImplementedError

    async def statistics(self) -> Statistics:
        """Return the books of the whole layer, of all nodes, at this moment.

        What this node has done is exact; what other nodes have done is as of a second ago.
        """
        return await self._run(self._statistics)

    async def _statistics(self) -> Statistics:
        answers = await asyncio.gather(*(shard.submit("S") for shard in self._shards))
        uncommitted = [
            shard.reader.uncommitted(answer[0].decode())
            for shard, answer in zip(self._shards, answers, strict=True)
        ]
        return self._ledger.add_up(zip(answers, uncommitted, strict=True))


async def _nothing() -> None:
    pass


__all__ = ["RedisCore"]
