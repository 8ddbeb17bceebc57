"""The layer over each way to run servers: what changes there under traffic loses nothing it need not."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from redis.crc import key_slot

from achannels.exceptions import LayerUnavailable
from achannels.layers.redis import RedisLayer
from achannels.testing.layer_suite.base import Connection
from tests.redis.conftest import MakeLayer, Through
from tests.redis.deployments import Cluster, Sentinels
from tests.redis.proxy import Proxy
from tests.redis.servers import Server, TlsServer, UserServer, execute
from tests.redis.test_faults import balanced, crowd, gaps, members, until, until_accepted
from tests.redis.traffic import Traffic

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def _no_blocking_calls() -> None:
    """Not watched here: it would make each message cost a hundred times what it does."""


async def everything_works(a: RedisLayer, b: RedisLayer) -> None:
    """Groups, sockets, named and durable channels, delays and books."""
    traffic = Traffic()
    targets = [*await crowd(traffic, a, b, each=2), "work"]
    async with traffic.worker(b, "work"):
        for target in targets:
            await traffic.burst(a, "s", target, 5)
        account = await traffic.settle()
    assert account.wrong == (0, 0, 0, 0)
    assert account.sent == {"ok": 5 * len(targets)}
    await a.send("jobs", {"x": 1}, durable=True)
    await a.send("jobs", {"x": 2}, delay=0.05)
    for number in (1, 2):
        taken = await b.take(["jobs"], durable=["jobs"])
        assert taken.content == {"x": number}
        await b.settle(taken)
    books = await balanced(a, b)
    assert books["pending"] == 0


async def test_a_unix_socket(server: Server, layer: MakeLayer) -> None:
    url = f"unix://{server.socket}?db=3"
    await everything_works(await layer(url), await layer(url))


async def test_an_acl_user(user_server: UserServer, layer: MakeLayer) -> None:
    """With the rights that the documentation names, and no others."""
    url = f"redis://{user_server.access}@127.0.0.1:{user_server.port}"
    a, b = [await layer(url, prefix="achannels") for _ in range(2)]
    await everything_works(a, b)


async def test_tls(tls_server: TlsServer, layer: MakeLayer) -> None:
    url = (
        f"rediss://127.0.0.1:{tls_server.tls_port}?ssl_ca_certs={tls_server.ca}"
        f"&ssl_certfile={tls_server.certificate}&ssl_keyfile={tls_server.key}"
    )
    await everything_works(await layer(url), await layer(url))


def raw(server: Server, *command: Any) -> Any:
    """Run one command; answers are bytes."""
    with server.client(decode_responses=False) as client:
        return execute(client, *command)


async def test_encrypted_contents_while_the_key_is_changed(
    server: Server, layer: MakeLayer, through: Through, prefix: str
) -> None:
    """Two nodes, one of which has the new key first; the server sees no content."""
    old, new = "o" * 32, "n" * 32
    url = (await through(server)).url
    a = await layer(url, symmetric_encryption_keys=[old, new])
    b = await layer(url, symmetric_encryption_keys=[new, old])
    await everything_works(a, b)
    await everything_works(b, a)
    await a.send("secret", {"text": "very visible text"})
    kept = await asyncio.to_thread(raw, server, "LRANGE", f"{{{prefix}:0}}:q:secret", 0, -1)
    assert len(kept) == 1
    assert b"visible" not in kept[0]
    assert await b.receive("secret") == {"text": "very visible text"}


async def test_a_message_that_no_key_opens_is_counted_and_hurts_nobody(
    server: Server, layer: MakeLayer, through: Through
) -> None:
    url = (await through(server)).url
    a = await layer(url, symmetric_encryption_keys=["o" * 32])
    b = await layer(url, symmetric_encryption_keys=["n" * 32])
    inbox = Connection(b)
    await b.group_add("news", inbox.channel)
    await a.group_send("news", {"x": 1})
    await a.send(inbox.channel, {"x": 2})
    await b.send(inbox.channel, {"x": 3})
    await until(lambda: inbox.received == [{"x": 3}])
    await a.send("work", {"x": 4})
    await b.send("work", {"x": 5})
    assert await b.receive("work") == {"x": 5}
    books = await balanced(b, a)
    assert books["dropped"]["rejected"] == 3


async def test_sites_that_share_a_server_do_not_see_each_other(
    server: Server, layer: MakeLayer, through: Through
) -> None:
    url = (await through(server)).url
    a, b = await layer(url, prefix="site-one"), await layer(url, prefix="site-two")
    mine, theirs = Connection(a), Connection(b)
    await a.group_add("news", mine.channel)
    await b.group_add("news", theirs.channel)
    await a.group_send("news", {"x": 1})
    await b.group_send("news", {"x": 2})
    await a.send("work", {"x": 3})
    await b.send("work", {"x": 4})
    await until(lambda: mine.received and theirs.received)
    assert (mine.received, theirs.received) == ([{"x": 1}], [{"x": 2}])
    assert await b.receive("work") == {"x": 4}
    assert await a.receive("work") == {"x": 3}
    assert await a.group_channels("news") == {mine.channel}


async def shards(
    through: Through, servers: list[Server], layer: MakeLayer, **config: Any
) -> tuple[RedisLayer, RedisLayer, list[Proxy]]:
    """Return two nodes that share servers, and the proxies of the second node."""
    ours = [await through(each, seed=number) for number, each in enumerate(servers)]
    theirs = [await through(each, seed=number + 9) for number, each in enumerate(servers)]
    a = await layer(*(each.url for each in ours), **config)
    b = await layer(*(each.url for each in theirs), **config)
    return a, b, theirs


def by_shard(layer: RedisLayer, count: int) -> list[list[str]]:
    """Return names that live in each shard."""
    names = [f"name{number}" for number in range(60)]
    return [[n for n in names if layer._shard_of(n).index == index][:5] for index in range(count)]


async def test_several_shards(
    server: Server, own_server: Server, layer: MakeLayer, through: Through
) -> None:
    a, b, _ = await shards(through, [server, own_server], layer)
    await everything_works(a, b)
    traffic = Traffic(1)
    names = [name for shard in by_shard(a, 2) for name in shard]
    inboxes = [traffic.inbox(each) for each in (a, a, b, b)]
    for name in names:
        for inbox in inboxes:
            await traffic.join(name, inbox)
    targets = [*(f"#{name}" for name in names), *(each.channel for each in inboxes)]
    async with traffic.flowing(a, targets, burst=3), traffic.flowing(b, targets, burst=3):
        await asyncio.sleep(1.5)
    account = await traffic.settle()
    assert account.wrong == (0, 0, 0, 0)
    assert account.sent.keys() == {"ok"}
    for each in (server, own_server):
        info = await asyncio.to_thread(each.call, "DBSIZE")
        assert info > 0
    await balanced(a, b)


async def test_a_layer_that_finds_one_shard_down_leaves_the_others(
    server: Server, own_server: Server, layer: MakeLayer, through: Through, prefix: str
) -> None:
    """Also one that was about to answer; what failed can be opened later."""
    late = await through(server, delay=(0.05, 0.05))
    await asyncio.to_thread(own_server.kill)
    a = RedisLayer([late.url, own_server.url], prefix=prefix)
    before = asyncio.all_tasks()
    for _ in range(2):
        with pytest.raises(LayerUnavailable, match="cannot use"):
            await a.open()
        ours = [each for each in asyncio.all_tasks() - before if "achannels" in repr(each)]
        assert ours == []
    await asyncio.to_thread(own_server.start)
    await a.open()
    b = await layer(server.url, own_server.url)
    await everything_works(a, b)
    await a.aclose()


async def test_a_layer_can_be_opened_while_slots_move(cluster: Cluster, layer: MakeLayer) -> None:
    """As a worker that is started meanwhile does."""
    first = await layer(f"{cluster.url}?shards=2", send_timeout=8)
    slots = [key_slot(tag.encode()) for tag, _ in first._places]
    over = asyncio.create_task(moving(cluster, slots, cluster.move_by_key, 2))
    opened = 0
    while not over.done():
        found = await layer(f"{cluster.url}?shards=2", send_timeout=8)
        await found.aclose()
        opened += 1
    await over
    assert opened > 2


async def test_a_shard_that_is_down_takes_only_its_own_names_with_it(
    server: Server, own_server: Server, layer: MakeLayer, through: Through
) -> None:
    a, b, _ = await shards(through, [server, own_server], layer, send_timeout=0.5)
    alive, (*dead, probe) = by_shard(a, 2)
    traffic = Traffic(2)
    inbox = traffic.inbox(b)
    for name in (*alive, *dead):
        await traffic.join(name, inbox)
    await asyncio.to_thread(own_server.kill)
    for name in alive:
        assert (await traffic.send(a, "s", f"#{name}")).outcome == "ok"
    for name in dead[:2]:
        with pytest.raises(LayerUnavailable):
            await a.group_send(name, {})
    await until(lambda: len(inbox.received) == len(alive))
    assert inbox.gaps == []
    await asyncio.to_thread(own_server.start)
    await until_accepted(a, probe)
    await until(lambda: inbox.gaps)
    assert inbox.gaps == [(sorted(dead), "layer_reset")]
    for name in (*alive, *dead):
        assert (await traffic.send(a, "t", f"#{name}")).outcome == "ok"
    account = await traffic.settle()
    assert account.wrong == (0, 0, 0, 0)
    await balanced(a, b)


async def test_a_node_that_one_shard_has_fenced_lives_on_in_the_other(
    server: Server, own_server: Server, layer: MakeLayer, through: Through
) -> None:
    a, b, theirs = await shards(through, [server, own_server], layer, lease=1.0)
    alive, fenced = by_shard(a, 2)
    traffic = Traffic(3)
    inbox = traffic.inbox(b)
    for name in (alive[0], fenced[0]):
        await traffic.join(name, inbox)
    theirs[1].refuse()
    async with asyncio.timeout(8):
        while await members(a, fenced[0]) != set():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
    await traffic.burst(a, "s", f"#{alive[0]}", 5)
    await until(lambda: len(inbox.received) == 5)
    assert inbox.gaps == []
    theirs[1].accept()
    await until(lambda: inbox.gaps)
    assert inbox.gaps == [([fenced[0]], "lease_lost")]
    await traffic.burst(a, "t", f"#{fenced[0]}", 5)
    await until(lambda: len(inbox.received) == 10)
    account = await traffic.settle(1)
    assert account.wrong == (0, 0, 0, 0)


async def moving(
    cluster: Cluster, slots: list[int], move: Callable[[int, Server], None], times: int
) -> None:
    """Move slots to one master after the other, in a thread, so often."""
    for turn in range(times):
        for slot in slots:
            owner = await asyncio.to_thread(cluster.owner, slot)
            target = next(
                each for each in cluster.masters[turn % 3 :] + cluster.masters if each is not owner
            )
            await asyncio.to_thread(move, slot, target)
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("how", ["by key", "at once"])
async def test_slots_of_a_cluster_move_under_traffic(
    cluster: Cluster, layer: MakeLayer, prefix: str, how: str
) -> None:
    """Senders only wait: nothing is lost, repeated or reordered, and nobody is told of a gap."""
    if how == "at once" and cluster.masters[0].kind != "valkey-9":
        pytest.skip("CLUSTER MIGRATESLOTS came with Valkey 9")
    a, b, c = [await layer(f"{cluster.url}?shards=2", send_timeout=8) for _ in range(3)]
    await everything_works(a, b)
    traffic = Traffic(4)
    targets = [*await crowd(traffic, a, b), "work"]
    slots = [key_slot(tag.encode()) for tag, _ in a._places]
    move = cluster.move_at_once if how == "at once" else cluster.move_by_key
    async with traffic.worker(b, "work"):
        async with traffic.flowing(a, targets), traffic.flowing(c, targets, burst=3):
            await moving(cluster, slots, move, 3)
        account = await traffic.settle()
    assert account.wrong == (0, 0, 0, 0)
    assert account.sent.keys() == {"ok"}
    assert gaps(*traffic.inboxes.values()) == [[]] * len(traffic.inboxes)
    assert account.delivered > 100
    await balanced(a, b, c)


async def test_a_master_of_a_cluster_dies(
    own_cluster: Cluster, layer: MakeLayer, prefix: str
) -> None:
    """Its replica takes over; what it had not copied yet is lost, and each socket is told of it."""
    a, b = [await layer(own_cluster.url) for _ in range(2)]
    slot = key_slot(a._places[0][0].encode())
    if await asyncio.to_thread(own_cluster.owner, slot) is not own_cluster.masters[0]:
        await asyncio.to_thread(own_cluster.move_by_key, slot, own_cluster.masters[0])
    await failing_over(a, b, own_cluster.fail_over)


async def test_sentinels_fail_over(sentinels: Sentinels, layer: MakeLayer) -> None:
    a, b = [await layer(sentinels.url) for _ in range(2)]
    await everything_works(a, b)
    await failing_over(a, b, sentinels.fail_over)


async def failing_over(a: RedisLayer, b: RedisLayer, fail_over: Callable[[], Server]) -> None:
    """Kill the master under traffic; nothing comes twice or out of order, and the new one serves."""
    traffic = Traffic(5)
    targets = await crowd(traffic, a, b)
    loop = asyncio.get_running_loop()
    async with traffic.flowing(a, targets), traffic.flowing(b, targets):
        await asyncio.sleep(0.5)
        killed = loop.time()
        await asyncio.to_thread(fail_over)
        began = time.monotonic()
        await until_accepted(a)
        await until_accepted(b)
        print(f"accepted {time.monotonic() - began:.2f} s after the failover")  # noqa: T201
        await asyncio.sleep(1)
    account = await traffic.settle(3)
    told = gaps(*traffic.inboxes.values())
    assert account.wrong[1:] == (0, 0, 0)
    assert [sent for sent in account.losses if sent.began > killed] == []
    assert all(each in ([], ["layer_reset"]) for each in told)
    if account.lost:
        assert told == [["layer_reset"]] * len(told)
    assert any(sent.outcome == "ok" and sent.began > killed for sent in traffic.sends.values())
    await balanced(a, b)


async def test_a_master_that_hangs_is_left_for_the_new_one(
    sentinels: Sentinels, layer: MakeLayer
) -> None:
    """It wakes up later and still takes itself for the master; nobody is there any more."""
    a, b = [await layer(sentinels.url, send_timeout=1) for _ in range(2)]
    old, new = sentinels.data
    traffic = Traffic(6)
    targets = await crowd(traffic, a, b)
    loop = asyncio.get_running_loop()
    async with traffic.flowing(a, targets), traffic.flowing(b, targets):
        await asyncio.sleep(0.5)
        old.pause()
        hung = loop.time()
        await asyncio.to_thread(sentinels.wait_for, new)
        await until_accepted(a)
        await until_accepted(b)
        old.resume()
        awake = loop.time()
        await asyncio.sleep(1.5)
    account = await traffic.settle(3)
    assert account.wrong[1:] == (0, 0, 0)
    assert [sent for sent in account.losses if sent.began > hung] == []
    assert any(sent.outcome == "ok" and sent.began > awake for sent in traffic.sends.values())
    assert await asyncio.to_thread(new.call, "DBSIZE") > 0
    await balanced(a, b)
