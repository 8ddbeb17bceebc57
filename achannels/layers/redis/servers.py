"""Where the data of each shard lives, and how to get a connection there."""

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol

from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from achannels.exceptions import ConfigurationError
from achannels.layers.redis.cluster import Cluster, ClusterShard, spread
from achannels.layers.redis.connector import CONNECT_TIMEOUT, Connector, greet, late
from achannels.layers.redis.hosts import Host, read_hosts
from achannels.layers.redis.sentinel import SentinelMaster


class Place(Protocol):
    """Where the data of one shard lives; which server that is may change.

    Attributes:
        name: For logs and error texts: its URL without user and password.
    """

    name: str

    @property
    def generation(self) -> int:
        """Goes up whenever `connect` has found another server than the time before."""

    async def connect(self) -> AbstractConnection:
        """Return a new connection to the master that holds the shard.

        It is authenticated, speaks protocol 2, returns bytes and has no timeout and no retry of
        its own. A cancelled or failed call leaves nothing open.

        Raises:
            redis.exceptions.ConnectionError: No such server, no access, or no master yet.
            redis.exceptions.TimeoutError: It took longer than the place's limit.
        """
        ...

    def forget(self) -> None:
        """Look the master up again at the next `connect`: what is known of it is out of date."""
        ...


def places(
    hosts: Iterable[Any] | None, prefix: str, *, timeout: float = CONNECT_TIMEOUT
) -> list[tuple[str, Place]]:
    """Return the hash tag and the place of each shard, in the order of `hosts`.

    All keys of a shard begin with its tag in braces, so that a cluster keeps them together.

    Args:
        hosts: URLs and the old spellings; see `achannels.layers.redis.hosts.read_hosts`.
        prefix: Begins each tag.
        timeout: Seconds that one `connect` may take, the look-up included.

    Raises:
        ConfigurationError: It has the URL without its password, what is wrong and what is allowed.
    """
    if any(brace in prefix for brace in "{}"):
        raise ConfigurationError(
            f"CONFIG 'prefix' is {prefix!r}; braces mark a hash tag in it. Leave them out."
        )
    found: list[tuple[str, Place]] = []
    for host in read_hosts(hosts):
        tags = spread(prefix, len(found), host.shards)
        found += zip(tags, _places(host, tags, timeout), strict=True)
    return found


def _places(host: Host, tags: list[str], timeout: float) -> Iterable[Place]:
    if host.kind == "cluster":
        cluster = Cluster(host, timeout)
        return [ClusterShard(cluster, tag) for tag in tags]
    if host.kind == "sentinel":
        return [SentinelMaster(host, timeout)]
    return [Server(host, timeout)]


class Server:
    """One server that stays where it is: TCP, TLS or a unix socket.

    Args:
        host: An entry of `hosts` of the kind `server` or `unix`.
        timeout: Seconds that one `connect` may take.
    """

    generation = 0

    def __init__(self, host: Host, timeout: float) -> None:
        self.name = host.name
        self._address = host.addresses[0]
        self._timeout = timeout
        self._connector = Connector(host.access, timeout)

    async def connect(self) -> AbstractConnection:
        """Return a new connection; see `Place.connect`."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._connector.connect(self._address, self._verify)
        except TimeoutError:
            raise late(self.name, self._timeout) from None

    def forget(self) -> None:
        """Do nothing: there is one address."""

    async def _verify(self, connection: AbstractConnection) -> None:
        greeting = await greet(connection)
        if greeting.mode == "cluster":
            raise exceptions.ConnectionError(
                f"{self.name} is part of a cluster. Write cluster://host:port."
            )
        if greeting.mode == "sentinel":
            raise exceptions.ConnectionError(
                f"{self.name} is a Sentinel. Write sentinel://host:port/name-of-the-master."
            )
        if greeting.role not in {"", "master"}:
            raise exceptions.ConnectionError(
                f"{self.name} is a replica, which takes no writes. Give its master, or Sentinels."
            )


__all__ = ["Place", "Server", "places"]
