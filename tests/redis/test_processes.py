"""Nodes that are processes: killed, paused beyond their lease, ended in order. What is left of them."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from achannels.layers.redis import RedisLayer
from achannels.testing.layer_suite.base import Connection
from tests.bars import bar
from tests.redis.clock import ClockServer
from tests.redis.conftest import MakeLayer, Through
from tests.redis.node import Process, process
from tests.redis.servers import Server
from tests.redis.test_faults import balanced, members, until

pytestmark = pytest.mark.timeout(60)

LEASE = 1.5

Spawn = Callable[..., Awaitable[Process]]


@pytest.fixture
def _no_blocking_calls() -> None:
    """Not watched here: processes are started."""


@pytest.fixture
async def spawn(prefix: str, through: Through) -> AsyncIterator[Spawn]:
    """Starts node processes of the test's site: `await spawn(url, **config)`."""
    async with AsyncExitStack() as stack:

        async def start(url: str, **config: Any) -> Process:
            options = {"hosts": [url], "prefix": prefix, "lease": LEASE, **config}
            return await stack.enter_async_context(process(**options))

        yield start


async def until_members(layer: RedisLayer, group: str, names: set[str]) -> float:
    """Wait until a group has exactly these members; return how many seconds it took."""
    began = time.monotonic()
    async with asyncio.timeout(20):
        while await members(layer, group) != names:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)
    return time.monotonic() - began


async def until_finished(count: int, *workers: Process) -> None:
    """Wait until workers have handled so many messages together."""
    await until(lambda: len({each for w in workers for each in w.finished}) >= count, 30)


def judge(sent: int, *workers: Process) -> tuple[int, int]:
    """Return how many messages were lost, and how many handled again; print both."""
    counts = Counter(each for worker in workers for each in worker.finished)
    lost, twice = sent - len(counts), sum(count - 1 for count in counts.values())
    print(f"lost {lost}, handled again {twice}")  # noqa: T201 - for whoever reads the run
    return lost, twice


async def keys_of(server: Server, prefix: str) -> set[str]:
    """Return the keys of a site, without its hash tag."""
    tag = f"{{{prefix}:0}}:"
    found = await asyncio.to_thread(server.call, "KEYS", f"{tag}*")
    return {key.removeprefix(tag) for key in found}


async def test_processes_that_are_killed_are_out_of_every_group_within_their_lease(
    server: Server, layer: MakeLayer, through: Through, spawn: Spawn, prefix: str
) -> None:
    """[13] A lease, a renewal and a check after it; nothing of them is left, and all are told."""
    a = await layer((await through(server)).url, lease=LEASE)
    dead = [await spawn((await through(server, seed=seed)).url) for seed in (1, 2)]
    living = await spawn((await through(server, seed=3)).url)
    mine = Connection(a)
    await a.group_add("news", mine.channel)
    theirs = [name for each in dead for name in await each.do("attach", groups=["news"], count=50)]
    (other,) = await living.do("attach", groups=["news"])
    assert len(await a.group_channels("news")) == 102
    for each in dead:
        await each.end()
    await a.send(theirs[0], {"x": 1})
    took = await until_members(a, "news", {mine.channel, other})
    print(f"out of every group after {took:.2f} s")  # noqa: T201 - for whoever reads the run
    assert took < bar(LEASE * 20 / 15) + 0.3  # answers under way, and the next look
    await a.group_send("news", {"x": 2})
    await a.send(theirs[0], {"x": 3})
    await until(lambda: mine.received == [{"x": 2}])
    left = await keys_of(server, prefix)
    assert not [key for key in left if any(each.name in key for each in dead)]
    books = await balanced(a)
    assert books["dropped"]["gone"] == 2


async def test_a_process_that_was_paused_beyond_its_lease_is_fenced_and_comes_back(
    server: Server, layer: MakeLayer, through: Through, spawn: Spawn
) -> None:
    """Its sockets are members again, are told, and get nothing of what was sent meanwhile."""
    a = await layer((await through(server)).url, lease=LEASE)
    zombie = await spawn((await through(server, seed=1)).url)
    mine = Connection(a)
    await a.group_add("news", mine.channel)
    (its,) = await zombie.do("attach", groups=["news"])
    await a.group_send("news", {"number": 1})
    zombie.pause()
    await until_members(a, "news", {mine.channel})
    await a.group_send("news", {"number": 2})
    zombie.resume()
    await until_members(a, "news", {mine.channel, its})
    assert await zombie.do("group_send", group="news", content={"number": 3}) == "ok"
    await until(lambda: len(mine.received) == 3)
    await asyncio.sleep(0.2)
    ((got, gaps),) = [(each["got"], each["gaps"]) for each in await zombie.do("received")]
    assert [each["number"] for each in got if each["number"] != 1] == [3]
    assert gaps == ["lease_lost"]
    assert mine.gaps == []
    await balanced(a)


async def test_a_process_that_was_paused_for_less_than_its_lease_misses_nothing(
    server: Server, layer: MakeLayer, through: Through, spawn: Spawn
) -> None:
    a = await layer((await through(server)).url, lease=8)
    paused = await spawn((await through(server, seed=1)).url, lease=8)
    (its,) = await paused.do("attach", groups=["news"])
    paused.pause()
    for number in range(200):
        await (
            a.group_send("news", {"number": number})
            if number % 2
            else a.send(its, {"number": number})
        )
        if number % 20 == 19:
            await asyncio.sleep(0.05)
    paused.resume()
    async with asyncio.timeout(5):
        while len((await paused.do("received"))[0]["got"]) < 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    ((got, gaps),) = [(each["got"], each["gaps"]) for each in await paused.do("received")]
    assert [each["number"] for each in got] == list(range(200))
    assert gaps == []


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "at most once"])
async def test_workers_that_are_killed_lose_what_they_had_in_hand_or_nothing(
    server: Server, layer: MakeLayer, through: Through, spawn: Spawn, durable: bool
) -> None:
    """[14] Three workers with one slot each, killed one after the other; a fourth does the rest."""
    a = await layer((await through(server)).url, lease=LEASE, capacity=1000)
    urls = [(await through(server, seed=seed)).url for seed in range(1, 5)]
    *killed, last = await asyncio.gather(*(spawn(url) for url in urls))
    for number in range(200):
        await a.send("work", {"number": number}, durable=durable)
    for worker in killed:
        await worker.do("work", channel="work", slots=1, takes=0.005, durable=durable)
        await until_finished(40, worker)
        await worker.end()
    await last.do("work", channel="work", slots=4, takes=0.001, durable=durable)
    await until_finished(200 if durable else 197, *killed, last)
    await asyncio.sleep(LEASE if durable else 0.3)
    lost, twice = judge(200, *killed, last)
    assert lost <= (0 if durable else 3)
    assert twice <= (3 if durable else 0)


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "at most once"])
async def test_workers_that_are_ended_in_order_lose_nothing(
    server: Server, layer: MakeLayer, through: Through, spawn: Spawn, durable: bool
) -> None:
    """[15] What they took and had not begun is there for the next, at once and not a lease later.

    These break off the message that they are in; a real worker finishes it.
    """
    a = await layer((await through(server)).url, capacity=1000, lease=30)
    urls = [(await through(server, seed=seed)).url for seed in range(1, 4)]
    *ended, last = await asyncio.gather(*(spawn(url, lease=30) for url in urls))
    for number in range(150):
        await a.send("work", {"number": number}, durable=durable)
    for worker in ended:
        await worker.do("work", channel="work", slots=10, takes=0.005, durable=durable)
        await until_finished(40, worker)
        assert await worker.end(signal.SIGTERM) == 0
    await last.do("work", channel="work", slots=4, takes=0.0, durable=durable)
    await until_finished(148, *ended, last)
    await asyncio.sleep(0.3)
    lost, twice = judge(150, *ended, last)
    assert lost <= 2
    assert twice == 0
    assert (await balanced(a))["pending"] <= (2 if durable else 0)


async def test_a_process_that_ends_in_order_leaves_nothing(
    server: Server, layer: MakeLayer, through: Through, spawn: Spawn, prefix: str
) -> None:
    """[11] Neither membership nor key, without a lease that has to run out."""
    a = await layer((await through(server)).url, lease=30)
    ended = await spawn((await through(server, seed=1)).url, lease=30)
    await ended.do("attach", groups=["news", "sport"], count=100)
    assert len(await a.group_channels("news")) == 100
    assert await ended.end(signal.SIGTERM) == 0
    assert await a.group_channels("news") == set()
    assert not [key for key in await keys_of(server, prefix) if ended.name in key]


async def test_keys_go_by_themselves_when_every_node_has_died(
    clock_server: ClockServer, through: Through, spawn: Spawn, layer: MakeLayer, prefix: str
) -> None:
    """A day later what they had is gone; the first that starts forgets the rest."""
    lease = 0.5
    urls = [(await through(clock_server, seed=seed)).url for seed in range(2)]
    nodes = await asyncio.gather(*(spawn(url, lease=lease) for url in urls))
    for each in nodes:
        await each.do("attach", groups=["news"], count=3)
        await each.do("send", channel="work", content={})
    await asyncio.sleep(lease)  # a renewal has seen all keys
    await asyncio.gather(*(each.end() for each in nodes))
    mortal = ("g:", "n:", "log:", "cap:", "ng:", "nw:", "b:")
    clock_server.step(80_000)
    left = await keys_of(clock_server, prefix)
    assert len([key for key in left if key.startswith("n:")]) == 2
    clock_server.step(7_000)
    async with asyncio.timeout(10):
        while any(key.startswith(mortal) for key in left):
            await asyncio.sleep(0.05)
            left = await keys_of(clock_server, prefix)
    assert left <= {"meta", "hb", "q:work", "chs", "w:work"}
    a = await layer((await through(clock_server)).url, lease=lease)
    async with asyncio.timeout(10):
        heartbeats = ("HLEN", f"{{{prefix}:0}}:hb")
        while await asyncio.to_thread(clock_server.call, *heartbeats) != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await balanced(a)
