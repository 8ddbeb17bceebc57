"""A named channel over Redis: one process sends, another receives."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from benchmarks.errors import MeasurementError
from benchmarks.measure import Together, cpu_turn
from benchmarks.model import Metric, Peer, Turn
from benchmarks.redis_case import RedisCase, Site

AT_ONCE = 100

CPU = Metric("cpu_us", "CPU µs per message, all processes")
PRODUCER = Metric("producer_us", "producer")
CONSUMER = Metric("consumer_us", "consumer")
REDIS = Metric("redis_us", "Redis")
RATE = Metric("rate", "messages/s", digits=0, lower_is_better=False)

PEERS = (
    Peer("redis-py lists", "benchmarks.apps.queues:Lists"),
    Peer("achannels", "benchmarks.apps.queues:Achannels"),
    Peer("channels_redis core", "benchmarks.apps.queues:Core"),
)


@asynccontextmanager
async def session(site: Site, peer: Peer, *, at_once: int) -> AsyncIterator[Turn]:
    """Start both ends, and have every message counted that was sent."""
    consumer = await site.actor(peer.app)
    producer = await site.actor(peer.app)
    await consumer.command("consume")
    before = 0

    async def run(seconds: float) -> int:
        nonlocal before
        sent = int((await producer.command("produce", seconds, at_once))["sent"])
        there = await consumer.command("complete", sent)
        if (there["received"], there["sum"]) != (sent, sent * (sent + 1) // 2):
            raise MeasurementError(f"{sent} messages were sent, others came: {there}")
        units, before = sent - before, sent
        return units

    everybody = Together(producer, consumer, site.redis)
    parts = {PRODUCER.key: producer, CONSUMER.key: consumer, REDIS.key: site.redis}

    async def turn(seconds: float) -> dict[str, float]:
        return await cpu_turn(everybody, run, seconds, parts)

    yield turn


def cases() -> list[RedisCase]:
    """Return the case with many sends at once, and the one with single sends."""
    return [
        RedisCase(
            name=name,
            title=f"one producer, one consumer, {what}, 64 bytes",
            metric=CPU,
            columns=(PRODUCER, CONSUMER, REDIS, RATE),
            peers=PEERS,
            session=partial(session, at_once=at_once),
        )
        for name, what, at_once in (
            ("redis queue", f"{AT_ONCE} sends at once", AT_ONCE),
            ("redis queue lone", "each send awaited alone", 1),
        )
    ]
