"""Plain consumers of Channels 1.x in a worker, their sockets in another process, over Redis."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.client import open_all
from benchmarks.load import ClosedLoop
from benchmarks.measure import CLIENT, Together, cpu_turn
from benchmarks.model import Metric, Peer, Turn
from benchmarks.redis_case import RedisCase, Site
from benchmarks.scenarios.echo import RATE, SIZE, SOCKETS, EchoSocket

CPU = Metric("cpu_us", "CPU µs per echo, all processes")
INTERFACE = Metric("interface_us", "interface")
WORKER = Metric("worker_us", "worker")
REDIS = Metric("redis_us", "Redis")

APPLICATION = "benchmarks.apps.legacy_interface:echo"

PEERS = (
    Peer("1.x def", APPLICATION, "/plain/"),
    Peer("1.x channel_session", APPLICATION, "/session/"),
)


@asynccontextmanager
async def session(site: Site, peer: Peer) -> AsyncIterator[Turn]:
    """Echo on all sockets in each turn."""
    worker = await site.actor("benchmarks.apps.legacy_split:Worker")
    interface = await site.server(peer.app)
    load = ClosedLoop()
    sockets = [EchoSocket(load, number, deflate=False) for number in range(SOCKETS)]
    load.workers.extend(sockets)
    await open_all(interface.port, peer.path, [*sockets], deflate=False)
    everybody = Together(interface, worker, site.redis)
    parts = {INTERFACE.key: interface, WORKER.key: worker, REDIS.key: site.redis}
    yield lambda seconds: cpu_turn(everybody, load.run, seconds, parts)
    for socket in sockets:
        socket.abort()


def cases() -> list[RedisCase]:
    """Return the one case."""
    return [
        RedisCase(
            name="legacy split",
            title=f"{SOCKETS} sockets, {SIZE} bytes, consumers of Channels 1.x in a worker",
            metric=CPU,
            columns=(INTERFACE, WORKER, REDIS, RATE, CLIENT),
            peers=PEERS,
            session=session,
        )
    ]
