"""The master of a shard's slot in a cluster, also while slots and masters change."""

import asyncio
from typing import Any

import pytest
from redis import exceptions
from redis.asyncio.connection import AbstractConnection
from redis.crc import key_slot

from achannels.layers.redis.cluster import ClusterShard
from achannels.layers.redis.hosts import Address
from achannels.layers.redis.servers import Place, places
from tests.redis.deployments import Cluster
from tests.redis.servers import Server, free_port
from tests.redis.test_sentinel import port_in_time, port_of
from tests.redis.test_servers import answer, place_of

pytestmark = pytest.mark.timeout(60)


def slot_of(tag: str) -> int:
    """Return the slot of a shard's keys."""
    return key_slot(f"{{{tag}}}:x".encode())


def shard_of(url: str, prefix: str) -> tuple[int, Place]:
    """Return slot and place of the one shard of a cluster."""
    ((tag, place),) = places([url], prefix, timeout=10.0)
    return slot_of(tag), place


def other(cluster: Cluster, server: Server) -> Server:
    """Return another master."""
    return next(each for each in cluster.masters if each is not server)


async def test_each_shard_is_on_a_master_of_its_own(cluster: Cluster, prefix: str) -> None:
    found = places([f"{cluster.url}?shards=3"], prefix)
    ports = [await port_of(place) for _, place in found]
    owners = [await asyncio.to_thread(cluster.owner, slot_of(tag)) for tag, _ in found]
    assert ports == [server.port for server in owners]
    assert len(set(ports)) == 3


async def test_any_node_leads_to_the_master(cluster: Cluster, prefix: str) -> None:
    for seed in cluster.masters:
        slot, place = shard_of(f"cluster://127.0.0.1:{seed.port}", prefix)
        assert await port_of(place) == (await asyncio.to_thread(cluster.owner, slot)).port


@pytest.mark.parametrize("how", ["by key", "at once"])
async def test_a_slot_that_moved_is_followed(cluster: Cluster, prefix: str, how: str) -> None:
    if how == "at once" and cluster.masters[0].kind != "valkey-9":
        pytest.skip("CLUSTER MIGRATESLOTS came with Valkey 9")
    slot, place = shard_of(cluster.url, prefix)
    source = await asyncio.to_thread(cluster.owner, slot)
    assert await port_of(place) == source.port
    target = other(cluster, source)
    move = cluster.move_at_once if how == "at once" else cluster.move_by_key
    await asyncio.to_thread(move, slot, target)
    found = place.generation
    assert await port_of(place) == target.port
    place.forget()
    assert await port_of(place) == target.port
    assert place.generation == found + 1


async def test_while_a_slot_moves_its_old_master_is_the_place(
    cluster: Cluster, prefix: str
) -> None:
    """A key that is not there is `ASK`ed for at the target, which must not be believed yet."""
    slot, place = shard_of(cluster.url, prefix)
    source = await asyncio.to_thread(cluster.owner, slot)
    target = other(cluster, source)
    seen: list[int] = []
    loop = asyncio.get_running_loop()

    def look() -> None:
        place.forget()
        seen.append(asyncio.run_coroutine_threadsafe(port_of(place), loop).result(10))

    await answer(place, "SET", f"{{{prefix}:0}}:x", "1")
    await asyncio.to_thread(cluster.move_by_key, slot, target, look)
    assert seen == [source.port] * len(seen)
    assert len(seen) >= 2
    assert await port_of(place) == target.port


async def test_a_node_that_was_asked_once_need_not_live(own_cluster: Cluster, prefix: str) -> None:
    """The others are known from it, and the replica takes its place."""
    slot, place = shard_of(own_cluster.url, prefix)
    seed, target = own_cluster.masters[0], own_cluster.masters[1]
    if await asyncio.to_thread(own_cluster.owner, slot) is not target:
        await asyncio.to_thread(own_cluster.move_by_key, slot, target)
    assert await port_of(place) == target.port
    await asyncio.to_thread(own_cluster.move_by_key, slot, seed)
    assert await port_of(place) == seed.port
    replica = await asyncio.to_thread(own_cluster.fail_over)
    assert await port_in_time(place) == replica.port


async def test_a_connection_that_is_late_does_not_lead_back_to_the_old_master(
    cluster: Cluster, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one has found the new master meanwhile; the late one follows it."""
    slot, place = shard_of(cluster.url, prefix)
    assert isinstance(place, ClusterShard)
    source = await asyncio.to_thread(cluster.owner, slot)
    target = other(cluster, source)
    assert await port_of(place) == source.port
    follow, reached, moved = place._follow, asyncio.Event(), asyncio.Event()

    async def follow_late(node: Address) -> tuple[Address, AbstractConnection]:
        monkeypatch.undo()
        found = await follow(node)
        reached.set()
        await moved.wait()
        return found

    monkeypatch.setattr(place, "_follow", follow_late)
    late = asyncio.create_task(place.connect())
    await reached.wait()
    await asyncio.to_thread(cluster.move_by_key, slot, target)
    place.forget()
    assert await port_of(place) == target.port
    found = place.generation
    moved.set()
    await (await late).disconnect()
    assert place.generation == found
    assert await port_of(place) == target.port


async def test_a_seed_that_hangs_costs_half_of_the_time(cluster: Cluster, prefix: str) -> None:
    hanging, alive, owner = cluster.masters
    url = f"cluster://127.0.0.1:{hanging.port},127.0.0.1:{alive.port}"
    ((tag, place),) = places([url], prefix, timeout=0.8)
    if await asyncio.to_thread(cluster.owner, slot_of(tag)) is not owner:
        await asyncio.to_thread(cluster.move_by_key, slot_of(tag), owner)
    hanging.pause()
    try:
        assert await port_of(place) == owner.port
        place.forget()
        assert await port_of(place) == owner.port
    finally:
        hanging.resume()


async def test_a_replica_leads_to_the_master(cluster: Cluster, prefix: str) -> None:
    slot, place = shard_of(f"cluster://127.0.0.1:{cluster.servers[3].port}", prefix)
    assert await port_of(place) == (await asyncio.to_thread(cluster.owner, slot)).port


async def test_no_node_answers(prefix: str) -> None:
    place = place_of(f"cluster://127.0.0.1:{free_port()},127.0.0.1:{free_port()}")
    with pytest.raises(exceptions.ConnectionError, match=r"no node of cluster://127.0.0.1"):
        await place.connect()


async def test_all_nodes_hang(cluster: Cluster, prefix: str) -> None:
    ((_, place),) = places([cluster.url], prefix, timeout=0.4)
    await answer(place, "PING")
    for server in cluster.servers:
        server.pause()
    try:
        expected = (exceptions.TimeoutError, exceptions.ConnectionError)
        with pytest.raises(expected, match=r"no connection to|within 0\.2 s"):
            await place.connect()
    finally:
        for server in cluster.servers:
            server.resume()


async def test_a_user_who_may_not_ask_for_the_nodes(cluster: Cluster, prefix: str) -> None:
    rules: Any = ("on", ">pw", "~*", "+@all", "-cluster")
    for server in cluster.servers:
        await asyncio.to_thread(server.call, "ACL", "SETUSER", "shy", *rules)
    slot, place = shard_of(cluster.url.replace("//", "//shy:pw@"), prefix)
    owner = await asyncio.to_thread(cluster.owner, slot)
    assert int((await answer(place, "CONFIG", "GET", "port"))[1]) == owner.port
