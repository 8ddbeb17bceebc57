"""A hub for the processes of one machine: it holds their queues and groups; each layer connects to it.

    python -m tests.layers.thirdparty.hub /run/mysite/hub.sock

A frame is its length in 4 bytes, then a list. A layer says `[site, node, sockets]` first, then
`[token, operation, arguments...]`; it hears `[token, kind, arguments...]`. What one layer asks for
takes effect in the order of its asking, and it hears what follows from it in that order.
"""

import asyncio
import heapq
import itertools
import math
import signal
import sys
from collections import deque
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple

from achannels.codec import Encoded, pack
from achannels.contracts import Statistics
from achannels.layers.counters import Counters
from achannels.names import node_of

UNREAD = 16_777_216
"""Bytes that may wait for one layer; one that reads no more is cut off, and comes back."""


def frame(*parts: object) -> bytes:
    body = pack(parts).body
    return len(body).to_bytes(4, "big") + body


async def read(reader: asyncio.StreamReader) -> Any:
    size = int.from_bytes(await reader.readexactly(4), "big")
    return Encoded(await reader.readexactly(size)).decode()


def is_socket(channel: str) -> bool:
    """Whether a channel is that of a socket; one of `new_channel` has a dot after the mark."""
    return "!" in channel and "." not in channel.partition("!")[2]


class Entry(NamedTuple):
    expires: float
    body: bytes


class Queue:
    def __init__(self, served: int) -> None:
        self.ready: deque[Entry] = deque()
        self.later: list[tuple[float, int, bytes]] = []
        self.served = served

    @property
    def length(self) -> int:
        return len(self.ready) + len(self.later)


class Peer:
    """A layer as the hub sees it: its sockets with their groups, and what is on its way to it."""

    def __init__(self, node: str, writer: asyncio.StreamWriter) -> None:
        self.node = node
        self.sockets: dict[str, set[str]] = {}
        self.given: dict[int, tuple[str, Entry]] = {}
        self.relayed: dict[int, tuple[Peer, int]] = {}
        self._writer = writer

    def tell(self, token: int, kind: str, *arguments: object) -> None:
        if self._writer.transport.get_write_buffer_size() > UNREAD:
            self._writer.transport.abort()
        else:
            self._writer.write(frame(token, kind, *arguments))


class Hub:
    """The queues and groups of one site.

    The methods in `OPERATIONS` are what a layer may ask for; what they return is the answer, unless
    it is `None`.
    """

    OPERATIONS = (
        *("attach", "detach", "send", "reply", "take", "took", "cancel"),
        *("add", "discard", "group_send", "members", "flush", "books"),
    )

    def __init__(self) -> None:
        self._books = Counters()
        self._peers: dict[str, Peer] = {}
        self._queues: dict[str, Queue] = {}
        self._takes: dict[tuple[Peer, int], tuple[str, ...]] = {}
        self._groups: dict[str, dict[str, tuple[float, list[Any]]]] = {}
        self._numbers = itertools.count(1)

    # Layers come and go.

    def join(self, peer: Peer, sockets: dict[str, list[str]]) -> None:
        if peer.node in self._peers:
            self.leave(self._peers[peer.node])
        self._peers[peer.node] = peer
        for channel, groups in sockets.items():
            self.attach(peer, 0, channel)
            for group in groups:
                self.add(peer, 0, group, channel, 0.0, [])

    def leave(self, peer: Peer) -> None:
        if self._peers.get(peer.node) is not peer:
            return  # it has come back, on another connection
        del self._peers[peer.node]
        for channel in list(peer.sockets):
            self.detach(peer, 0, channel)
        for key in [each for each in self._takes if each[0] is peer]:
            del self._takes[key]
        self._books.drop("gone", len(peer.given))  # whether they were handed on is not known
        for sender, token in peer.relayed.values():
            sender.tell(token, "answer", self._count_gone())

    def attach(self, peer: Peer, token: int, channel: str) -> None:
        peer.sockets[channel] = set()

    def detach(self, peer: Peer, token: int, channel: str) -> None:
        for group in peer.sockets.pop(channel, ()):
            self._groups.get(group, {}).pop(channel, None)

    # Messages.

    def send(
        self, peer: Peer, token: int, channel: str, limits: list[Any], delay: float, body: bytes
    ) -> int | None:
        """Take a message. The answer is 0, or the capacity if that is used up."""
        if not is_socket(channel):
            return 0 if self._put(channel, limits, delay, body) else int(limits[0])
        owner = self._owner(channel)
        if owner is None:
            return self._count_gone()
        number = next(self._numbers)
        owner.relayed[number] = (peer, token)
        owner.tell(number, "direct", channel, body)
        return None

    def reply(self, peer: Peer, number: int, full: int) -> None:
        """A socket of the peer has taken a message, or its capacity is used up."""
        sender, token = peer.relayed.pop(number)
        sender.tell(token, "answer", full)

    def take(self, peer: Peer, token: int, *channels: str) -> None:
        """Give a message as soon as one of the channels has one; they take turns."""
        self._takes[peer, token] = channels
        ready = [each for each in channels if self._look(each).ready]
        if ready:
            self._give(peer, token, min(ready, key=lambda each: self._queues[each].served))

    def took(self, peer: Peer, token: int) -> None:
        """What was given has reached its listener."""
        del peer.given[token]
        self._books.delivered += 1

    def cancel(self, peer: Peer, token: int) -> None:
        """The listener has gone: what it was given, if anything, goes to the next."""
        self._takes.pop((peer, token), None)
        if token in peer.given:
            channel, entry = peer.given.pop(token)
            self._look(channel, keep=True).ready.appendleft(entry)
            self._serve(channel)

    # Groups.

    def add(
        self, peer: Peer, token: int, group: str, channel: str, lasts: float, limits: list[Any]
    ) -> int:
        lapses, owner = monotonic() + lasts, self._owner(channel)
        if owner is not None:
            lapses = math.inf
            owner.sockets[channel].add(group)
            owner.tell(0, "joined", channel, group)
        if owner is not None or not is_socket(channel):
            self._groups.setdefault(group, {})[channel] = (lapses, limits)
        return 0

    def discard(self, peer: Peer, token: int, group: str, channel: str) -> int:
        owner = self._owner(channel)
        if self._groups.get(group, {}).pop(channel, None) and owner is not None:
            owner.sockets[channel].discard(group)
            owner.tell(0, "left", channel, group)
        return 0

    def group_send(self, peer: Peer, token: int, group: str, body: bytes) -> int:
        sockets: dict[Peer, list[str]] = {}
        for channel in self.members(peer, token, group):
            owner = self._owner(channel)
            if owner is not None:
                sockets.setdefault(owner, []).append(channel)
            elif not self._put(channel, self._groups[group][channel][1], 0.0, body):
                self._books.accepted += 1
                self._books.drop("full")
        for owner, channels in sockets.items():
            owner.tell(0, "group", channels, body)
        return 0

    def members(self, peer: Peer, token: int, group: str) -> list[str]:
        now = monotonic()
        members = {k: v for k, v in self._groups.pop(group, {}).items() if v[0] > now}
        if members:
            self._groups[group] = members
        return list(members)

    # The whole.

    def flush(self, peer: Peer, token: int) -> int:
        for channel in list(self._queues):
            self._books.drop("rejected", self._look(channel).length)
        self._queues.clear()
        self._groups.clear()
        for each in self._peers.values():
            each.sockets = {channel: set() for channel in each.sockets}
            each.tell(0, "forget")
        return 0

    def books(self, peer: Peer, token: int) -> Statistics:
        waiting = sum(self._look(channel).length for channel in list(self._queues))
        return self._books.statistics(waiting + sum(len(p.given) for p in self._peers.values()))

    def _owner(self, channel: str) -> Peer | None:
        owner = self._peers.get(node_of(channel) or "")
        return owner if owner is not None and channel in owner.sockets else None

    def _count_gone(self) -> int:
        self._books.accepted += 1
        self._books.drop("gone")
        return 0

    def _put(self, channel: str, limits: list[Any], delay: float, body: bytes) -> bool:
        capacity, expiry = limits
        if self._look(channel).length >= capacity:
            return False
        self._books.accepted += 1
        queue = self._look(channel, keep=True)
        if delay:
            heapq.heappush(queue.later, (monotonic() + delay, next(self._numbers), body))
            asyncio.get_running_loop().call_later(delay, self._serve, channel)
        else:
            queue.ready.append(Entry(monotonic() + expiry, body))
            self._serve(channel)
        return True

    def _look(self, channel: str, *, keep: bool = False) -> Queue:
        """Return a queue as it is now; an empty one is forgotten, unless it is to be kept."""
        queue, now = self._queues.pop(channel, None) or Queue(next(self._numbers)), monotonic()
        while queue.later and queue.later[0][0] <= now:
            queue.ready.append(Entry(math.inf, heapq.heappop(queue.later)[2]))
        fresh = deque(each for each in queue.ready if each.expires > now)
        self._books.expired += len(queue.ready) - len(fresh)
        queue.ready = fresh
        if queue.length or keep:
            self._queues[channel] = queue
        return queue

    def _serve(self, channel: str) -> None:
        """Give what is there to those who wait."""
        waiting = [key for key, channels in self._takes.items() if channel in channels]
        for peer, token in waiting[: len(self._look(channel).ready)]:
            self._give(peer, token, channel)

    def _give(self, peer: Peer, token: int, channel: str) -> None:
        del self._takes[peer, token]
        queue = self._queues[channel]
        queue.served = next(self._numbers)
        entry = queue.ready.popleft()
        peer.given[token] = (channel, entry)
        peer.tell(token, "answer", (channel, entry.body))


async def serve(
    hubs: dict[str, Hub], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Do what one layer asks for, until it goes."""
    site, node, sockets = await read(reader)
    hub, peer = hubs.setdefault(site, Hub()), Peer(node, writer)
    hub.join(peer, sockets)
    try:
        with suppress(OSError, asyncio.IncompleteReadError):  # it has gone
            while True:
                token, operation, *arguments = await read(reader)
                if operation in hub.OPERATIONS:
                    answer = getattr(hub, operation)(peer, token, *arguments)
                    if answer is not None:
                        peer.tell(token, "answer", answer)
    finally:
        hub.leave(peer)
        writer.close()


async def main(path: str) -> None:
    hubs: dict[str, Hub] = {}
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with await asyncio.start_unix_server(lambda r, w: serve(hubs, r, w), path):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
