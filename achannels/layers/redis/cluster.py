"""A cluster: each shard is one hash tag, and its connections go to the master of the tag's slot.

`MOVED` is followed while connecting; `ASK` never, neither here nor later. A script that runs at the
target of a slot that moves key by key would take keys that have not moved yet for missing.
"""

import asyncio
from typing import Any

from redis import exceptions
from redis.asyncio.connection import AbstractConnection
from redis.crc import key_slot

from achannels.layers.redis.connector import Connector, ask, late
from achannels.layers.redis.hosts import Address, Host

SLOTS = 16384

_HOPS = 5
"""`MOVED` answers that are followed in one go."""


def spread(prefix: str, first: int, count: int) -> list[str]:
    """Return hash tags whose slots lie in `count` equal parts of all slots, one in each.

    They depend on the arguments alone, so each node of each process finds the same.

    Args:
        prefix: Begins each tag.
        first: Number of the first shard.
        count: How many tags.
    """
    return [_tag(f"{prefix}:{first + part}", part, count) for part in range(count)]


def _tag(base: str, part: int, count: int) -> str:
    tag, attempt = base, 0
    while key_slot(tag.encode()) * count // SLOTS != part:
        attempt += 1
        tag = f"{base}.{attempt}"
    return tag


class Cluster:
    """The nodes of one cluster as far as they are known, shared by its shards.

    Args:
        host: An entry of `hosts` of the kind `cluster`.
        timeout: Seconds that one `connect` may take.
    """

    def __init__(self, host: Host, timeout: float) -> None:
        self.name = host.name
        self.timeout = timeout
        self.connector = Connector(host.access, timeout)
        self._seeds = host.addresses
        self._nodes = list(host.addresses)

    def nodes(self, first: Address | None) -> list[Address]:
        """Return the known nodes, those that failed last at the end, `first` before all."""
        others = [node for node in self._nodes if node != first]
        return others if first is None else [first, *others]

    def failed(self, node: Address) -> None:
        """Ask this node last from now on."""
        if node in self._nodes:
            self._nodes.remove(node)
            self._nodes.append(node)

    async def learn(self, connection: AbstractConnection) -> None:
        """Ask a node which others there are."""
        try:
            ranges = await ask(connection, "CLUSTER", "SLOTS")
        except exceptions.ResponseError:  # a user who may not ask: the nodes of `hosts` must do
            return
        found = [_address(node) for each in ranges for node in each[2:]]
        known = dict.fromkeys([*(node for node in found if node), *self._seeds])
        self._nodes = [node for node in self._nodes if node in known]
        self._nodes += [node for node in known if node not in self._nodes]


class ClusterShard:
    """The master of the slot of one hash tag.

    Args:
        cluster: Where it is looked for.
        tag: All keys of the shard begin with it, in braces.
    """

    def __init__(self, cluster: Cluster, tag: str) -> None:
        self.name = cluster.name
        self._cluster = cluster
        self._probe_key = f"{{{tag}}}:probe"
        self._master: Address | None = None
        self._found: Address | None = None
        self.generation = 0

    async def connect(self) -> AbstractConnection:
        """Return a new connection; see `achannels.layers.redis.servers.Place.connect`."""
        problem: Exception | None = None
        try:
            async with asyncio.timeout(self._cluster.timeout):
                for node in self._cluster.nodes(self._master):
                    try:
                        return await self._connect_from(node)
                    except (exceptions.RedisError, OSError) as error:
                        problem = error
                        self.forget()
        except TimeoutError:
            self.forget()
            raise late(self.name, self._cluster.timeout) from None
        raise exceptions.ConnectionError(f"no node of {self.name} leads to the shard: {problem}")

    def forget(self) -> None:
        """Ask any node for the master at the next `connect`."""
        self._master = None

    async def _connect_from(self, node: Address) -> AbstractConnection:
        """Begin at a node and go where it sends us, for at most half of the time."""
        patience = self._cluster.timeout / 2
        generation = self.generation
        try:
            async with asyncio.timeout(patience):
                master, connection = await self._follow(node)
                try:
                    await self._cluster.learn(connection)
                except BaseException:
                    await connection.disconnect(nowait=True)
                    raise
        except TimeoutError:
            self._cluster.failed(node)
            raise late(f"{node[0]}:{node[1]}", patience) from None
        except BaseException:
            self._cluster.failed(node)
            raise
        if master != self._found and self.generation != generation:
            await connection.disconnect(nowait=True)
            raise exceptions.ConnectionError(f"another master of {self.name} was found meanwhile")
        self._master = master
        if master != self._found:
            self._found = master
            self.generation += 1
        return connection

    async def _follow(self, node: Address) -> tuple[Address, AbstractConnection]:
        for _ in range(_HOPS):
            try:
                return node, await self._cluster.connector.connect(node, self._probe)
            except exceptions.MovedError as moved:
                node = (moved.host or str(node[0]), moved.port)
        raise exceptions.ConnectionError(f"the nodes send each other's way {_HOPS} times")

    async def _probe(self, connection: AbstractConnection) -> None:
        """Raise `MovedError` unless the slot is served here; while it leaves, it still is."""
        try:
            await ask(connection, "EXISTS", self._probe_key)
        except exceptions.MovedError:
            raise
        except (exceptions.AskError, exceptions.TryAgainError):
            return
        except exceptions.ResponseError as error:
            raise exceptions.ConnectionError(str(error)) from error


def _address(node: Any) -> Address | None:
    """Return the address that a node gives of another, `None` if it does not know it."""
    host = node[0]
    return (host.decode(), node[1]) if host and host != b"?" else None


__all__ = ["SLOTS", "Cluster", "ClusterShard", "spread"]
