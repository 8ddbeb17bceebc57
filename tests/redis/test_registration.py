"""When a node renews its lease, and when it takes another for dead."""

import asyncio
import random
from typing import Any, cast

import pytest

from achannels.layers.redis import registration
from achannels.layers.redis.lua import FENCE, REGISTER, Script
from achannels.layers.redis.registration import Registration, Timing

LEASE = 15.0


class World:
    """A clock, a server that answers at once, and a node that spoke last at 0."""

    def __init__(self) -> None:
        self.now = 0.0
        self.own = 0
        self.forgotten = asyncio.Event()

    async def call(self, script: Script, key: str, arguments: Any) -> list[Any]:
        if script is REGISTER:
            return [b"OK", b"epoch", b"1", b"1-1", b"1000"]
        if script is FENCE:
            self.forgotten.set()
            return [b"OK", 1]
        self.own += 1
        return [b"OK", b"1000", b"1", b"me", b"%d" % self.own, b"silent", b"7"]

    async def sleep(self, seconds: float) -> None:
        if self.forgotten.is_set():
            await asyncio.Event().wait()
        self.now += seconds


@pytest.mark.parametrize("seed", range(50))
async def test_a_silent_node_is_forgotten_after_its_lease_and_before_another_third(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    monkeypatch.setattr(registration, "now", lambda: world.now)
    monkeypatch.setattr(registration, "random", random.Random(seed))
    node = Registration(
        "me",
        "tag",
        cast("Any", world),
        Timing(LEASE, 2.0, 60.0),
        list,
        lambda last, loss: None,
        lambda: None,
    )
    await node.register()
    real = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", world.sleep)
    alive = asyncio.create_task(node.keep_alive())
    await world.forgotten.wait()
    alive.cancel()
    monkeypatch.setattr(asyncio, "sleep", real)
    assert LEASE < world.now < LEASE * 4 / 3
