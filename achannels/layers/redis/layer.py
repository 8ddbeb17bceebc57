"""RedisLayer: channels and groups between processes and machines, over Redis or Valkey."""

import asyncio
import secrets
import time
from collections.abc import Mapping
from typing import Any

from achannels.codec import encode
from achannels.contracts import Receiver
from achannels.exceptions import ChannelFull, LayerUnavailable
from achannels.layers import check_wait
from achannels.layers.redis.relaying import RedisRelay
from achannels.layers.redis.shard import Shard
from achannels.names import check_channel, check_group


class RedisLayer(RedisRelay):
    """A layer between processes and machines, over Redis (from 7.0) or Valkey (from 7.2).

    It keeps `ChannelLayer`, `WorkLayer` and `RelayLayer` with the promises of
    `docs/concepts/delivery-guarantees.md`. It needs three connections per process and shard,
    however many sockets the process has.

    Args:
        hosts: URLs `redis:// rediss:// unix:// sentinel:// cluster://`; each is a shard.
        prefix: Begins all keys; sites that share a server have one each.
        capacity: Messages that may wait in a channel, delayed ones included; for a socket, until
            its process has read them.
        channel_capacity: The same by pattern or compiled regular expression, the first match wins:
            `{"mail.*": 20}`. A name with a `!` is matched by the part after it.
        expiry: Seconds that a message may wait, by the server's clock; durable and delayed messages
            do not expire.
        channel_expiry: The same by pattern.
        group_expiry: Seconds that an ordinary channel stays in a group; a socket while it lives.
        message_size: Bytes of an encoded message, at most.
        symmetric_encryption_keys: The first encrypts contents, all decrypt. Names are not encrypted.
        lease: Seconds after which a process that is silent is forgotten.
        send_timeout: Seconds that a call waits for the server.
        log_capacity: Messages that may wait for one process; beyond, it misses group messages and
            its consumers get a gap event.
        log_bytes: Their size.

    Raises:
        ConfigurationError: It names the key, the value and what is allowed.
    """

    # Sending.

    async def send(
        self,
        channel: str,
        content: Mapping[str, Any],
        *,
        delay: float = 0.0,
        durable: bool = False,
    ) -> None:
        """Send to a channel; see `achannels.contracts.ChannelLayer.send`."""
        if self._closed:
            self._refuse(f"nothing was sent to channel {channel!r}")
        check_channel(channel)
        body = encode(content, channel, self.message_size).body
        if delay or durable:
            check_wait(channel, delay)
        if self._is_open and asyncio.get_running_loop() is self._home.loop:
            await self._send(channel, body, delay, durable)
        else:
            await self._run(lambda: self._send(channel, body, delay, durable))

    async def _send(self, channel: str, body: bytes, delay: float, durable: bool) -> None:
        node, mark, local = channel.partition("!")
        capacity = self._capacity[channel]
        if mark and "." not in local:
            if node == self.node and not self._has_room(channel):
                return
            head = b"D%s %d\n" % (local.encode(), self._milliseconds(channel))
            result = await self._shard_of(local).submit(
                "D", node, local, capacity, head + self._encrypt(body)
            )
        else:
            result = await self._shard_of(channel).submit(
                "Q",
                channel,
                capacity,
                self._milliseconds(channel),
                int(delay * 1000),
                int(durable),
                "",
                self._encrypt(body),
            )
        if result == b"FULL":
            raise ChannelFull(channel, capacity)

    def _has_room(self, channel: str) -> bool:
        """Return whether a socket of this node exists; it may know already that it is full.

        Raises:
            ChannelFull: It is full.
        """
        receiver = self._attached.get(channel)
        if receiver is None:
            self.books.accepted += 1
            self.books.drop("gone")
            return False
        if receiver.pending >= receiver.capacity:
            raise ChannelFull(channel, receiver.capacity)
        return True

    # Groups.

    async def group_add(self, group: str, channel: str) -> None:
        """Make a channel a member; see `achannels.contracts.ChannelLayer.group_add`.

        A reply channel whose node is gone, or that is not attached to it, joins nothing.
        """
        check_group(group)
        check_channel(channel)
        if self._is_open and asyncio.get_running_loop() is self._home.loop:
            await self._group_add(group, channel)
        else:
            await self._run(lambda: self._group_add(group, channel))

    async def _group_add(self, group: str, channel: str) -> None:
        node, mark, local = channel.partition("!")
        if not mark or "." in local:
            await self._join_channel(group, channel, self._group_expiry)
            self._remember_join(group, channel)
        elif node == self.node:
            receiver = self._attached.get(channel)
            if receiver is not None:
                await self._groups.add(group, channel, receiver)
        else:
            await self._far_memberships.join(self._shard_of(group), group, node, local)

    def _remember_join(self, group: str, channel: str) -> None:
        """Remember what must be joined again should the server lose its data."""
        now = time.monotonic()
        joined = self._joined
        joined.pop((group, channel), None)
        joined[group, channel] = now + self._group_expiry
        while joined[first := next(iter(joined))] <= now:
            del joined[first]

    def _join_channel(self, group: str, channel: str, lasts: float) -> asyncio.Future[Any]:
        return self._shard_of(group).submit(
            "M",
            group,
            channel,
            int(lasts * 1000),
            self._capacity[channel],
            self._milliseconds(channel),
            self._timing.group_ttl,
        )

    async def group_discard(self, group: str, channel: str) -> None:
        """End a membership; see `achannels.contracts.ChannelLayer.group_discard`."""
        check_group(group)
        check_channel(channel)
        await self._run(lambda: self._group_discard(group, channel))

    async def _group_discard(self, group: str, channel: str) -> None:
        node, mark, local = channel.partition("!")
        if not mark or "." in local:
            self._joined.pop((group, channel), None)
            await self._shard_of(group).submit("R", group, channel)
        elif node == self.node:
            await self._groups.leave(group, channel)
        else:
            await self._far_memberships.leave(self._shard_of(group), group, node, local)

    async def group_send(self, group: str, content: Mapping[str, Any]) -> None:
        """Send to every member; see `achannels.contracts.ChannelLayer.group_send`.

        One command for the group's shard, whatever the number of members: it costs as much as the
        group has nodes.
        """
        if self._closed:
            self._refuse(f"nothing was sent to group {group!r}")
        check_group(group)
        body = encode(content, group, self.message_size).body
        if self._is_open and asyncio.get_running_loop() is self._home.loop:
            await self._group_send(group, body)
        else:
            await self._run(lambda: self._group_send(group, body))

    async def _group_send(self, group: str, body: bytes) -> None:
        head = b"G%s %d\n" % (group.encode(), int(self._expiry.default * 1000))
        await self._shard_of(group).submit("G", group, head, self._encrypt(body))

    async def group_channels(self, group: str) -> set[str]:
        """Return the names of the members.

        Raises:
            LayerUnavailable: A node that has members does not answer.
        """
        check_group(group)
        return await self._run(lambda: self._group_channels(group))

    async def _group_channels(self, group: str) -> set[str]:
        shard = self._shard_of(group)
        found: set[str] = set()
        waiting = []
        for each in await shard.submit("C", group):
            member = each.decode()
            if member.startswith("#"):
                found.add(member[1:])
            elif member == self.node:
                found |= self._members_here(group)
            else:
                waiting.append(self._ask_who(shard, member, group))
        for names in await asyncio.gather(*waiting):
            found |= names
        return found

    def _members_here(self, group: str) -> set[str]:
        members = self._membership.find(group, 0.0)
        return set(members.receivers) if members is not None else set()

    async def _ask_who(self, shard: Shard, node: str, group: str) -> set[str]:
        token = secrets.token_hex(8)
        answer = self._answers[token] = asyncio.get_running_loop().create_future()
        try:
            if await shard.submit("W", node, f"W{group} {self.node} {token}\n") == b"GONE":
                return set()
            async with asyncio.timeout(self._timing.send_timeout):
                return {f"{node}!{local}" for local in await answer}
        except TimeoutError:
            raise LayerUnavailable(
                f"node {node} has members in group {group!r} and did not name them within "
                f"{self._timing.send_timeout} s. Ask again.",
                outcome="unknown",
            ) from None
        finally:
            self._answers.pop(token, None)

    def _answer_who(self, shard: Shard, group: str, asker: str, token: str) -> None:
        names = " ".join(name.partition("!")[2] for name in self._members_here(group))
        answer = shard.submit("W", asker, f"A{token}\n{names}")
        answer.add_done_callback(_retrieve)

    # Reply channels.

    def attach(self, receiver: Receiver) -> str:
        """Open a reply channel of this process and return its name.

        Raises:
            ConfigurationError: Called on another loop than the layer's.
            LayerClosed: The layer was closed.
        """
        if self._closed:
            self._refuse("it opens no reply channel")
        self._check_home()
        return self._receivers.attach(self.node, receiver)

    def detach(self, channel: str) -> None:
        """Close a reply channel: it is in no group any more, and what is sent to it is `gone`."""
        self._soon(self._detach, channel)

    def _detach(self, channel: str) -> None:
        if channel in self._attached:
            self._receivers.detach(channel)
            if self._is_open:
                self._groups.detach(channel)
            else:
                self._membership.detach(channel)

    # The layer as a whole.

    async def flush(self) -> None:
        """Drop all messages that wait, counted as `rejected`, all dead letters and memberships.

        Of all nodes. What a worker or a socket has in hand stays with it.
        """
        await self._run(self._flush)

    async def _flush(self) -> None:
        ends = await asyncio.gather(*(shard.submit("F") for shard in self._shards))
        self.books.drop("rejected", self._queues.forget())
        self._joined.clear()
        await asyncio.gather(
            *(
                shard.reader.read_past(int(end.partition(b"-")[2]))
                for shard, end in zip(self._shards, ends, strict=True)
            )
        )


def _retrieve(done: asyncio.Future[Any]) -> None:
    if not done.cancelled():
        done.exception()


__all__ = ["RedisLayer"]
