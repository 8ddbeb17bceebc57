"""What a group send puts on the wire, with one member and with thousands."""

import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.errors import MeasurementError
from benchmarks.model import Metric, Peer, Turn
from benchmarks.redis_case import RedisCase, Site
from benchmarks.wire import counting_wire

MANY = 5000
SENDS = 60

COMMANDS = Metric("commands", "commands per send", digits=0)
SENT = Metric("sent_bytes", "bytes to Redis", digits=0)
RECEIVED = Metric("received_bytes", "bytes back", digits=0)

ONE_MEMBER = Peer("1 member", "benchmarks.apps.nodes:Members")
MANY_MEMBERS = Peer(f"{MANY} members", "benchmarks.apps.nodes:Members")


@asynccontextmanager
async def session(site: Site, peer: Peer) -> AsyncIterator[Turn]:
    """Send from a node of its own, whose connections are counted."""
    members = MANY if peer is MANY_MEMBERS else 1
    node = await site.actor(peer.app)
    await node.command("join", members)
    async with counting_wire(site.redis.port) as wire:
        sender = await site.actor("benchmarks.apps.nodes:Sender", url=wire.url)

        async def turn(_seconds: float) -> dict[str, float]:
            passed = []
            for number in range(1, SENDS + 1):
                before = wire.counts()
                await sender.command("send")
                passed.append([a - b for a, b in zip(wire.counts(), before, strict=True)])
                there = await node.command("complete", number * members)
                if there["received"] != number * members:
                    raise MeasurementError(f"{there['received']:.0f} deliveries after {number}")
            # The sender's lease and its wait for its own log pass now and then, too.
            commands, sent, received = map(statistics.median, zip(*passed, strict=True))
            return {COMMANDS.key: commands, SENT.key: sent, RECEIVED.key: received}

        yield turn


def cases() -> list[RedisCase]:
    """Return the one case."""
    return [
        RedisCase(
            name="redis members",
            title="one group send to members in another process",
            metric=COMMANDS,
            columns=(SENT, RECEIVED),
            peers=(ONE_MEMBER, MANY_MEMBERS),
            session=session,
            once=True,
        )
    ]
