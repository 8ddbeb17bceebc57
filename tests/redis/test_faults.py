"""What the layer loses, repeats or reorders when its server or its network fails: counted.

Every test runs at 1 to 6 ms in each direction. The numbers in brackets are rows of the list of
faults that a release must pass.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from achannels.exceptions import ChannelFull, LayerUnavailable
from achannels.layers.redis import RedisLayer
from achannels.testing.layer_suite.base import Connection, check_books
from tests.bars import bar
from tests.redis.clock import ClockServer
from tests.redis.conftest import MakeLayer, Through
from tests.redis.servers import Server
from tests.redis.traffic import Member, Traffic

pytestmark = pytest.mark.timeout(60)

GROUPS = ("news", "sport")


@pytest.fixture
def _no_blocking_calls() -> None:
    """Not watched here: it would make each message cost a hundred times what it does."""


async def crowd(traffic: Traffic, *layers: RedisLayer, each: int = 4) -> list[str]:
    """Put sockets of each node into the groups; return everything that can be sent to."""
    targets = [f"#{group}" for group in GROUPS]
    for layer in layers:
        for number in range(each):
            inbox = traffic.inbox(layer)
            targets.append(inbox.channel)
            await traffic.join(GROUPS[number % 2], inbox)
    return targets


async def balanced(*layers: RedisLayer) -> dict[str, Any]:
    """Return the books of the site, which must balance."""
    books = await layers[0].statistics()
    check_books(books)
    return dict(books)


async def until(happened: Callable[[], Any], patience: float = 10.0) -> float:
    """Wait until something has happened; return how many seconds it took."""
    began = time.monotonic()
    async with asyncio.timeout(patience):
        while not happened():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    return time.monotonic() - began


async def until_accepted(layer: RedisLayer, group: str = "probe") -> float:
    """Send until a send is accepted; return how many seconds it took."""
    began = time.monotonic()
    async with asyncio.timeout(20):
        while True:
            try:
                await layer.group_send(group, {})
            except LayerUnavailable:
                continue
            return time.monotonic() - began


async def members(layer: RedisLayer, group: str) -> set[str] | None:
    """Return the names of a group's members, `None` while a node that has some is silent."""
    try:
        return await layer.group_channels(group)
    except LayerUnavailable:
        return None


def gaps(*inboxes: Connection) -> list[list[str]]:
    """Return the reasons of the gaps that each socket was told of."""
    return [[reason for _, reason in inbox.gaps] for inbox in inboxes]


async def test_without_faults_everything_arrives_once_and_in_order(
    server: Server, layer: MakeLayer, through: Through
) -> None:
    a, b, c = [await layer((await through(server, seed=seed)).url) for seed in range(3)]
    traffic = Traffic()
    targets = [*await crowd(traffic, a, b), "work"]
    async with traffic.worker(b, "work"):
        async with traffic.flowing(a, targets), traffic.flowing(c, targets, burst=5):
            await asyncio.sleep(2)
        account = await traffic.settle()
    assert account.wrong == (0, 0, 0, 0)
    assert account.sent.keys() == {"ok"}
    assert account.expected == account.delivered > 100
    await balanced(a, b, c)


async def test_connections_that_are_cut_lose_nothing(
    own_server: Server, layer: MakeLayer, through: Through
) -> None:
    """[2, 3] By the network, in the middle of a command or of an answer, and by the server."""
    proxies = [await through(own_server, seed=seed) for seed in range(3)]
    a, b, c = [await layer(proxy.url) for proxy in proxies]
    traffic = Traffic(1)
    targets = [*await crowd(traffic, a, b), "work"]
    async with traffic.worker(b, "work"):
        async with traffic.flowing(a, targets), traffic.flowing(c, targets, burst=5):
            for turn in range(20):
                await asyncio.sleep(0.15)
                proxy = proxies[turn % 3]
                if turn % 5 == 4:
                    for kind in ("normal", "pubsub"):
                        await asyncio.to_thread(own_server.call, "CLIENT", "KILL", "TYPE", kind)
                elif turn % 5 == 3:
                    proxy.cut()
                else:
                    size = traffic.random.randrange(1, 900)
                    proxy.cut_after(**{("to_server", "to_client")[turn % 2]: size})
        account = await traffic.settle()
    assert account.wrong == (0, 0, 0, 0)
    assert account.sent.keys() == {"ok"}
    assert sum(proxy.cuts for proxy in proxies) >= 20
    assert gaps(*traffic.inboxes.values()) == [[]] * len(traffic.inboxes)
    await balanced(a, b, c)


async def test_lost_answers_repeat_nothing(
    server: Server, layer: MakeLayer, through: Through
) -> None:
    """[29] What was done and not answered is not done again."""
    proxies = [await through(server, seed=seed) for seed in range(2)]
    a, b = [await layer(proxy.url, capacity=10_000) for proxy in proxies]
    traffic = Traffic(2)
    targets = [*await crowd(traffic, a, b), "work"]
    async with traffic.worker(b, "work"):
        async with traffic.flowing(a, targets, burst=5), traffic.flowing(b, targets, burst=5):
            for turn in range(30):
                await asyncio.sleep(0.1)
                proxies[turn % 2].swallow()
        account = await traffic.settle()
    assert account.wrong == (0, 0, 0, 0)
    assert account.sent.keys() == {"ok"}
    assert sum(proxy.swallowed for proxy in proxies) > 1000
    await balanced(a, b)


async def test_joins_and_leaves_take_effect_when_they_return(
    server: Server, layer: MakeLayer, through: Through
) -> None:
    """By the socket's own node and by another, while connections are cut and answers lost."""
    proxies = [await through(server, seed=seed) for seed in range(3)]
    a, b, c = [await layer(proxy.url) for proxy in proxies]
    traffic = Traffic(3)

    async def wander(inbox: Connection, group: str) -> None:
        for _ in range(8):
            member: Member = await traffic.join(group, inbox, traffic.random.choice([a, b, c]))
            await asyncio.sleep(traffic.random.uniform(0, 0.2))
            await traffic.arrived(member)
            await traffic.leave(member, traffic.random.choice([a, b, c]))

    async def disturb() -> None:
        while True:
            await asyncio.sleep(0.2)
            proxy = traffic.random.choice(proxies)
            traffic.random.choice([proxy.cut, proxy.swallow])()

    disturbing = asyncio.create_task(disturb())
    targets = [f"#{group}" for group in GROUPS]
    async with (
        traffic.flowing(c, targets, rate=60),
        traffic.flowing(a, targets, rate=60),
        asyncio.TaskGroup() as group,
    ):
        for owner in (a, a, b, b):
            for name in GROUPS:
                group.create_task(wander(traffic.inbox(owner), name))
    disturbing.cancel()
    await asyncio.wait([disturbing])
    account = await traffic.settle()
    assert account.wrong == (0, 0, 0, 0)
    assert account.sent.keys() == {"ok"}
    assert account.delivered > 100
    for name in GROUPS:
        assert await c.group_channels(name) == set()


async def test_a_server_that_hangs_for_less_than_the_deadline_is_waited_for(
    own_server: Server, layer: MakeLayer, through: Through
) -> None:
    a, b = [await layer((await through(own_server, seed=seed)).url) for seed in range(2)]
    traffic = Traffic(4)
    targets = [*await crowd(traffic, a, b), "work"]
    async with traffic.worker(b, "work"):
        async with traffic.flowing(a, targets), traffic.flowing(b, targets):
            await asyncio.sleep(0.5)
            own_server.pause()
            await asyncio.sleep(1)
            own_server.resume()
            await asyncio.sleep(0.5)
        account = await traffic.settle()
    assert account.wrong == (0, 0, 0, 0)
    assert account.sent.keys() == {"ok"}
    await balanced(a, b)


async def test_a_server_that_hangs_for_longer_costs_the_deadline_and_is_told(
    own_server: Server, layer: MakeLayer, through: Through
) -> None:
    """[4] Refused is never delivered, unknown once at most; nothing accepted is lost."""
    urls = [(await through(own_server, seed=seed)).url for seed in range(2)]
    a, b = [await layer(url, send_timeout=0.7) for url in urls]
    traffic = Traffic(5)
    targets = [*await crowd(traffic, a, b), "work"]
    async with traffic.worker(b, "work"):
        async with traffic.flowing(a, targets), traffic.flowing(b, targets):
            await asyncio.sleep(0.5)
            own_server.pause()
            await asyncio.sleep(3)
            own_server.resume()
            recovered = await until_accepted(a)
            await asyncio.sleep(0.5)
        account = await traffic.settle()
    print(f"recovered after {recovered:.2f} s")  # noqa: T201 - for whoever reads the run
    assert account.wrong == (0, 0, 0, 0)
    assert account.sent["refused"] > 10
    assert account.slowest < bar(0.7 + 0.2)
    assert recovered < bar(0.5)
    assert gaps(*traffic.inboxes.values()) == [[]] * len(traffic.inboxes)
    await balanced(a, b)


@pytest.mark.parametrize("how", ["hangs", "cannot be reached"])
async def test_an_outage_longer_than_the_lease_costs_nobody_its_membership(
    own_server: Server, layer: MakeLayer, through: Through, how: str
) -> None:
    """No node could renew, so none is taken for dead by the first that can."""
    proxies = [await through(own_server, seed=seed) for seed in range(4)]
    nodes = [await layer(proxy.url, lease=1.5) for proxy in proxies]
    traffic = Traffic(14)
    await crowd(traffic, *nodes, each=2)
    await traffic.burst(nodes[0], "s", "#news", 5)
    for outage in (True, False):
        if how == "hangs":
            (own_server.pause if outage else own_server.resume)()
        else:
            for proxy in proxies:
                (proxy.refuse if outage else proxy.accept)()
        await asyncio.sleep(4)
    await traffic.burst(nodes[1], "t", "#news", 5)
    account = await traffic.settle()
    assert account.wrong == (0, 0, 0, 0)
    assert account.delivered == 40
    assert gaps(*traffic.inboxes.values()) == [[]] * len(traffic.inboxes)


@pytest.mark.parametrize("outage", [0.0, 3.0], ids=["at once", "after 3 s"])
async def test_a_server_that_comes_back_empty_is_noticed_by_everyone(
    own_server: Server, layer: MakeLayer, through: Through, outage: float
) -> None:
    """[1] Sockets stay, memberships are back, and each socket is told once that it may have missed."""
    proxies = [await through(own_server, seed=seed) for seed in range(3)]
    a, b, c = [await layer(proxy.url) for proxy in proxies]
    traffic = Traffic(6)
    targets = [*await crowd(traffic, a, b), "work"]
    remote = await traffic.join("news", traffic.inbox(a), by=c)
    loop = asyncio.get_running_loop()
    async with traffic.worker(b, "work"):
        async with traffic.flowing(a, targets), traffic.flowing(c, targets):
            await asyncio.sleep(1)
            killed = loop.time()
            await asyncio.to_thread(own_server.kill)
            await asyncio.sleep(outage)
            await asyncio.to_thread(own_server.start)
            back = loop.time()
            recovered = await until_accepted(c)
            assert await asyncio.to_thread(own_server.call, "PING")
            await asyncio.sleep(1)
        account = await traffic.settle(2)
    print(f"recovered after {recovered:.2f} s")  # noqa: T201 - for whoever reads the run
    assert account.wrong[1:] == (0, 0, 0)
    assert [sent for sent in account.losses if sent.began > killed] == []
    assert account.lost < 100
    assert recovered < bar(1.0)
    assert gaps(*traffic.inboxes.values()) == [["layer_reset"]] * len(traffic.inboxes)
    assert [sent for sent in traffic.sends.values() if sent.outcome == "ok" and sent.began > back]
    assert remote.inbox.channel in await a.group_channels("news")
    assert account.slowest < bar(2.2)
    await balanced(a, b, c)


async def test_a_blocked_loop_is_no_silent_server(server: Server, layer: MakeLayer) -> None:
    """What the server answered meanwhile is read, however late."""
    a = await layer(server.url, send_timeout=0.3)
    loop = asyncio.get_running_loop()
    await a.group_send("all", {})
    for _ in range(3):
        sending = asyncio.create_task(a.group_send("all", {}))
        for _ in range(10):
            await asyncio.sleep(0)
        blocked = loop.time() + 0.8
        while loop.time() < blocked:
            pass
        await sending


async def test_ordinary_channels_are_in_their_groups_again(
    own_server: Server, layer: MakeLayer, through: Through
) -> None:
    """Those that a node made members it makes members again, unless it has ended that since."""
    a, b = [await layer((await through(own_server, seed=seed)).url) for seed in range(2)]
    for channel in ("work", "left"):
        await a.group_add("all", channel)
    await a.group_discard("all", "left")
    await asyncio.to_thread(own_server.restart_empty)
    await until_accepted(a)
    await until_accepted(b)
    assert await b.group_channels("all") == {"work"}
    await b.group_send("all", {"x": 1})
    assert await a.receive("work") == {"x": 1}


async def test_a_node_whose_connections_have_died_still_leaves_at_once(
    server: Server, layer: MakeLayer, through: Through
) -> None:
    a = await layer((await through(server)).url)
    proxy = await through(server, seed=1)
    b = await layer(proxy.url)
    inbox = Connection(b)
    await b.group_add("news", inbox.channel)
    proxy.cut()
    await b.aclose()
    assert await a.group_channels("news") == set()


async def test_a_close_that_is_cancelled_ends_all_the_same(
    server: Server, layer: MakeLayer, through: Through
) -> None:
    a = await layer(server.url)
    b = await layer((await through(server)).url)
    await b.group_add("news", Connection(b).channel)
    closing = asyncio.create_task(b.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await b.aclose()
    assert await a.group_channels("news") == set()


async def test_a_server_that_comes_back_with_old_data_is_noticed_by_everyone(
    own_server: Server, layer: MakeLayer, through: Through
) -> None:
    """Neither the memberships of then nor what the nodes have read since come back."""
    a, b, c = [await layer((await through(own_server, seed=seed)).url) for seed in range(3)]
    traffic = Traffic(7)
    targets = await crowd(traffic, a, b)
    loop = asyncio.get_running_loop()
    gone = await traffic.join("news", traffic.inbox(a))
    async with traffic.flowing(a, targets), traffic.flowing(c, targets):
        await asyncio.sleep(0.5)
        old = await asyncio.to_thread(own_server.snapshot)
        await traffic.leave(gone)
        await asyncio.sleep(0.5)
        killed = loop.time()
        await asyncio.to_thread(own_server.restart_from, old)
        await until_accepted(c)
        await asyncio.sleep(1)
    account = await traffic.settle(2)
    assert account.wrong[1:] == (0, 0, 0)
    assert [sent for sent in account.losses if sent.began > killed] == []
    assert account.lost < 100
    assert gaps(*traffic.inboxes.values()) == [["layer_reset"]] * len(traffic.inboxes)
    assert gone.inbox.channel not in await b.group_channels("news")
    await balanced(a, b, c)


async def test_named_channels_of_a_server_that_comes_back_with_old_data(
    own_server: Server, layer: MakeLayer, through: Through
) -> None:
    """What waited then waits again, and is all that can come twice."""
    a, b = [await layer((await through(own_server, seed=seed)).url) for seed in range(2)]
    traffic = Traffic(12)
    await traffic.burst(a, "early", "work", 20)
    old = await asyncio.to_thread(own_server.snapshot)
    async with traffic.worker(b, "work"):
        await until(lambda: len(traffic.taken) == 20)
        await traffic.burst(a, "late", "work", 20)
        await until(lambda: len(traffic.taken) == 40)
        await asyncio.to_thread(own_server.restart_from, old)
        await until_accepted(a)
        await until(lambda: len(traffic.taken) == 60)
        account = await traffic.settle()
    assert (account.lost, account.duplicated) == (0, 20)
    assert traffic.taken[40:] == [("early", number) for number in range(1, 21)]
    await balanced(a, b)


async def test_a_node_that_does_not_read_misses_what_its_log_cannot_hold_and_is_told(
    server: Server, layer: MakeLayer, through: Through
) -> None:
    """[5] Others miss nothing, and what was held arrives."""
    stalled = await through(server)
    config = {"log_capacity": 200}
    a = await layer((await through(server, seed=1)).url, **config)
    b = await layer(stalled.url, **config)
    traffic = Traffic(8)
    await crowd(traffic, a, b)
    mine = [each for each in traffic.inboxes.values() if each.layer is a]
    its = [each for each in traffic.inboxes.values() if each.layer is b]
    stalled.stall()
    for _ in range(9):
        await traffic.burst(a, "s", "#news", 50)
    stalled.flow()
    await until(lambda: all(gaps(*its)))
    account = await traffic.settle(2)
    missed = 450 - len(its[0].received)
    assert 195 <= len(its[0].received) <= 200
    assert account.lost == missed * 2
    assert account.wrong[1:] == (0, 0, 0)
    assert account.sent == {"ok": 450}
    assert [len(each.received) for each in mine] == [450, 0, 450, 0]
    assert [each.gaps for each in its] == [[([group], "log_full")] for group in (*GROUPS, *GROUPS)]
    await traffic.send(a, "s", "#news")
    await until(lambda: len(its[0].received) == 451 - missed)
    books = await balanced(a, b)
    assert books["dropped"]["full"] == missed


async def test_the_log_of_a_node_is_bounded_in_bytes(
    own_server: Server, layer: MakeLayer, through: Through, prefix: str
) -> None:
    """[5] The server's memory for a node that does not read stays at the limit."""
    stalled = await through(own_server)
    config = {"log_bytes": 500_000}
    a = await layer((await through(own_server, seed=1)).url, **config)
    b = await layer(stalled.url, **config)
    inbox = Connection(b)
    await b.group_add("news", inbox.channel)
    stalled.stall()
    for _ in range(10):
        await asyncio.gather(*(a.group_send("news", {"x": b"x" * 10_000}) for _ in range(20)))
    log = f"{{{prefix}:0}}:log:{b.node}"
    length = await asyncio.to_thread(own_server.call, "XLEN", log)
    size = await asyncio.to_thread(own_server.call, "MEMORY", "USAGE", log, "SAMPLES", 0)
    assert 49 <= length <= 52
    assert size < 650_000
    with pytest.raises(ChannelFull):
        await a.send(inbox.channel, {"x": 1})
    stalled.flow()
    await until(lambda: inbox.gaps)
    assert inbox.gaps == [(["news"], "log_full")]
    assert abs(len(inbox.received) - length) <= 2
    await a.send(inbox.channel, {"x": 1})
    await until(lambda: inbox.received[-1] == {"x": 1})
    await balanced(a, b)


async def test_each_socket_of_a_node_that_does_not_read_has_its_own_capacity(
    server: Server, layer: MakeLayer, through: Through
) -> None:
    """[24] Exactly so many are accepted, the sender is told of each other one, and all arrive."""
    stalled = await through(server)
    a = await layer((await through(server, seed=1)).url, capacity=100)
    b = await layer(stalled.url, capacity=100)
    traffic = Traffic(9)
    first, second = traffic.inbox(b), traffic.inbox(b)
    stalled.stall()
    for inbox in (first, second):
        await traffic.burst(a, "s", inbox.channel, 150)
    assert traffic.account().sent == {"ok": 200, "full": 100}
    stalled.flow()
    account = await traffic.settle()
    assert account.wrong == (0, 0, 0, 0)
    assert [len(each.received) for each in (first, second)] == [100, 100]
    await until(lambda: b._shards[0].registration.committed == b._shards[0].reader.last)
    assert (await traffic.send(a, "s", first.channel)).outcome == "ok"
    await balanced(a, b)


async def test_a_named_channel_takes_its_capacity(
    server: Server, layer: MakeLayer, through: Through
) -> None:
    """[24] A group send to a full channel is counted and not raised."""
    a = await layer((await through(server)).url, capacity=100)
    traffic = Traffic(10)
    await a.group_add("all", "work")
    await traffic.burst(a, "s", "work", 150)
    assert traffic.account().sent == {"ok": 100, "full": 50}
    await a.group_send("all", {})
    books = await balanced(a)
    assert books["dropped"]["full"] == 1
    async with traffic.worker(a, "work"):
        account = await traffic.settle()
    assert account.wrong == (0, 0, 0, 0)


async def test_receives_that_are_cancelled_lose_nothing(
    server: Server, layer: MakeLayer, through: Through
) -> None:
    """[26] A thousand of them, over three hundred messages."""
    proxy = await through(server)
    a, b = await layer(proxy.url, capacity=1000), await layer(proxy.url)
    got: list[int] = []
    numbers = iter(range(300))

    async def receive() -> None:
        got.append((await b.receive("work"))["number"])

    for turn in range(200):
        tasks = [asyncio.create_task(receive()) for _ in range(5)]
        for number in [next(numbers, None), next(numbers, None)]:
            if number is not None:
                await a.send("work", {"number": number})
        await asyncio.sleep(0.012 * (turn % 3))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    while len(got) < 300:
        async with asyncio.timeout(10):
            await receive()
    assert sorted(got) == list(range(300))
    await balanced(a, b)


async def test_a_thousand_sockets_at_once_need_three_connections(
    server: Server, layer: MakeLayer, through: Through
) -> None:
    """[28]"""
    proxy = await through(server)
    a = await layer(proxy.url)
    inboxes = [Connection(a) for _ in range(1000)]
    began = time.monotonic()
    await asyncio.gather(
        *(a.group_add(f"g{number % 50}", each.channel) for number, each in enumerate(inboxes))
    )
    took = time.monotonic() - began
    print(f"1000 joins in {took:.2f} s")  # noqa: T201 - for whoever reads the run
    assert proxy.opened == 3
    await a.group_send("g7", {})
    await until(lambda: sum(len(each.received) for each in inboxes) == 20)


async def test_a_layer_that_is_idle_stays_connected(
    server: Server, layer: MakeLayer, through: Through
) -> None:
    """[7] Longer than any default of the client library, with half a lease to renew."""
    proxy = await through(server)
    a = await layer(proxy.url, lease=3)
    await a.group_send("news", {})
    await asyncio.sleep(6.5)
    assert (proxy.opened, proxy.open) == (3, 3)
    await a.group_send("news", {})


async def test_a_socket_stays_in_its_groups_for_as_long_as_it_lives(
    clock_server: ClockServer, layer: MakeLayer, through: Through
) -> None:
    """Many times longer than the keys of a group live if nobody renews them."""
    a = await layer((await through(clock_server)).url, lease=0.6)
    inbox = Connection(a)
    await asyncio.gather(*(a.group_add(f"g{number}", inbox.channel) for number in range(1200)))
    for _ in range(4):
        clock_server.step(50_000)
        a._groups._renew_at.clear()
        await a._shards[0].registration.renew()
        await a.group_send("elsewhere", {})
    await asyncio.gather(*(a.group_send(f"g{number}", {}) for number in range(1200)))
    await until(lambda: len(inbox.received) == 1200)
    assert inbox.gaps == []


async def test_a_node_that_was_cut_off_for_its_lease_comes_back_and_is_told(
    server: Server, layer: MakeLayer, through: Through
) -> None:
    """The others forget it; what it is sent meanwhile is counted; then it is in its groups again."""
    cut_off = await through(server)
    a = await layer((await through(server, seed=1)).url, lease=1)
    b = await layer(cut_off.url, lease=1)
    traffic = Traffic(11)
    await crowd(traffic, a, b)
    mine = [each for each in traffic.inboxes.values() if each.layer is a]
    its = [each for each in traffic.inboxes.values() if each.layer is b]
    await traffic.burst(a, "s", "#news", 5)
    await until(lambda: len(its[0].received) == 5)
    cut_off.refuse()
    began = time.monotonic()
    async with asyncio.timeout(5):
        while await members(a, "news") != {each.channel for each in mine[::2]}:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    print(f"forgotten after {time.monotonic() - began:.2f} s")  # noqa: T201 - as above
    await a.send(its[0].channel, {"x": 1})
    assert (await balanced(a))["dropped"]["gone"] == 1
    cut_off.accept()
    await until(lambda: all(gaps(*its)))
    assert gaps(*its) == [["lease_lost"]] * 4
    await traffic.burst(a, "t", "#news", 5)
    await until(lambda: len(its[0].received) == 10)
    account = await traffic.settle(1)
    assert account.wrong == (0, 0, 0, 0)
    await balanced(a, b)


@pytest.mark.parametrize(
    "steps", [(-1, 1, 1, -1), (3600, -3600, -1800, 1800)], ids=["1 s", "an hour"]
)
async def test_steps_of_the_servers_clock_lose_repeat_and_reorder_nothing(
    clock_server: ClockServer, layer: MakeLayer, through: Through, steps: tuple[int, ...]
) -> None:
    """[25] Nobody is fenced for them either."""
    urls = [(await through(clock_server, seed=seed)).url for seed in range(2)]
    a, b = [await layer(url, lease=1.5, capacity=10_000) for url in urls]
    traffic = Traffic(13)
    targets = [*await crowd(traffic, a, b), "work"]
    async with traffic.worker(b, "work"):
        async with traffic.flowing(a, targets), traffic.flowing(b, targets):
            for step in steps:
                await asyncio.sleep(0.7)
                clock_server.step(step)
            stamp, _ = await asyncio.to_thread(clock_server.call, "TIME")
            assert abs(int(stamp) - time.time()) < 2
            await asyncio.sleep(0.7)
        account = await traffic.settle()
    assert account.wrong[1:] == (0, 0, 0)
    assert gaps(*traffic.inboxes.values()) == [[]] * len(traffic.inboxes)
    assert [sent for sent in account.losses if sent.target != "work"] == []
    assert account.sent["ok"] > 200
    books = await balanced(a, b)
    assert books["expired"] == account.lost
