"""Sockets and workers on different nodes over a real server, through a network that misbehaves.

Each socket counts up; each worker notes what it began. The numbers are compared at the end: nothing
twice, nothing out of order, and lost only what the fault may lose.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import pytest
from redis.crc import key_slot

from achannels import Group, Message, route
from achannels.asgi import Application
from achannels.exceptions import LayerUnavailable
from achannels.home.node import WorkerNode
from achannels.home.running import channels_of
from achannels.layers.redis import RedisLayer
from achannels.testing import WebsocketClient
from tests.redis.conftest import MakeLayer, Through
from tests.redis.deployments import Cluster, Sentinels
from tests.redis.servers import Server
from tests.redis.test_deployments import moving

pytestmark = pytest.mark.timeout(120)

SOCKETS = 8


@pytest.fixture
def _no_blocking_calls() -> None:
    """Not watched here: it would make each message cost a hundred times what it does."""


class Site:
    """An interface and workers in this process, each with a layer of its own.

    Attributes:
        begun: The numbers that workers began to handle, by path.
        reasons: Gaps that consumers were told of.
        ended: Disconnects, by path.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self.begun: dict[str, list[int]] = {}
        self.reasons: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.stack = AsyncExitStack()
        self.workers: list[tuple[Application, AsyncExitStack]] = []
        self.interface: Application

    @property
    def routing(self) -> list[Any]:
        return [
            route("websocket.connect", self._connect),
            route("websocket.receive", self._receive),
            route("websocket.disconnect", self._disconnect),
            route("websocket.gap", self._gap),
        ]

    async def _connect(self, message: Message) -> None:
        await Group("all", channel_layer=message.channel_layer).add(message.reply_channel)
        await message.reply_channel.send({"accept": True})

    async def _receive(self, message: Message) -> None:
        self.begun.setdefault(message["path"], []).append(int(message["text"]))
        await message.reply_channel.send({"text": message["text"]})

    async def _disconnect(self, message: Message) -> None:
        self.ended[message["path"]] += 1

    async def _gap(self, message: Message) -> None:
        self.reasons[message["reason"]] += 1

    async def start(self) -> None:
        layer = await self._make()
        self.interface = Application(self.routing, layer=layer, mode="interface")
        self.interface._layer = layer
        await self.stack.enter_async_context(self.interface)

    async def start_worker(self) -> None:
        """Start a worker; one whose first connection is cut ends, and is started again."""
        while True:
            try:
                return await self._start_worker()
            except LayerUnavailable:
                continue

    async def _start_worker(self) -> None:
        layer = await self._make()
        application = Application(self.routing, layer=layer)
        application._layer = layer
        application.node_class = partial(
            WorkerNode, channels=channels_of(application), concurrency=64
        )
        stack = AsyncExitStack()
        await stack.enter_async_context(application)
        self.workers.append((application, stack))

    async def stop_worker(self) -> None:
        """Stop the oldest worker, as a deploy does."""
        _, stack = self.workers.pop(0)
        await stack.aclose()

    async def restart(self) -> None:
        """Restart all workers, one after the other."""
        for _ in range(len(self.workers)):
            await self.start_worker()
            await self.stop_worker()

    async def close(self) -> None:
        while self.workers:
            await self.stop_worker()
        await self.stack.aclose()

    async def talk(
        self, path: str, over: asyncio.Event, *, ahead: int = 5
    ) -> tuple[int, list[int]]:
        """Count up until it is over; return how far, and the answers."""
        answers: list[int] = []
        sent = 0
        async with WebsocketClient(self.interface, path, timeout=30) as ws:
            while not over.is_set():
                while sent < (answers[-1] if answers else 0) + ahead:
                    sent += 1
                    await ws.send(str(sent))
                answers.append(int(await ws.receive(timeout=30)))
            while not answers or answers[-1] < sent:
                answers.append(int(await ws.receive(timeout=30)))
        return sent, answers

    def check(self, results: list[tuple[int, list[int]]], *, lost: int = 0) -> None:
        """Check that everything was handled once and in order, but for so many that may be lost."""
        missing = 0
        for number, (sent, answers) in enumerate(results):
            begun = self.begun[f"/{number}/"]
            assert begun == sorted(set(begun)), "twice or out of order"
            assert answers == sorted(set(answers)), "answers twice or out of order"
            missing += sent - len(begun)
        total = sum(sent for sent, _ in results)
        print(f"{total} sent, {missing} lost, gaps {dict(self.reasons)}")  # noqa: T201
        assert missing <= lost


@asynccontextmanager
async def running(make: Callable[[], Any], *, workers: int = 2) -> AsyncIterator[Site]:
    site = Site(make)
    await site.start()
    for _ in range(workers):
        await site.start_worker()
    try:
        yield site
    finally:
        await site.close()


async def under_load(site: Site, fault: Callable[[], Any]) -> list[tuple[int, list[int]]]:
    """Have sockets count up while a fault happens, and a while after it."""
    over = asyncio.Event()
    talks = [asyncio.create_task(site.talk(f"/{number}/", over)) for number in range(SOCKETS)]
    await until(lambda: sum(map(len, site.begun.values())) > 5 * SOCKETS, talks)
    await fault()
    after = sum(map(len, site.begun.values())) + 5 * SOCKETS
    await until(lambda: sum(map(len, site.begun.values())) > after, talks)
    over.set()
    return await asyncio.gather(*talks)


async def until(happened: Callable[[], bool], tasks: list[asyncio.Task[Any]]) -> None:
    async with asyncio.timeout(45):
        while not happened():
            done = [task for task in tasks if task.done()]
            for task in done:
                task.result()
            await asyncio.sleep(0.01)  # nobody tells


async def test_restarting_all_workers_at_a_distance(
    server: Server, layer: MakeLayer, through: Through
) -> None:
    """Nothing lost, twice or out of order, at 1 to 6 ms in each direction."""
    proxy = await through(server)
    async with running(lambda: layer(proxy.url)) as site:
        results = await under_load(site, site.restart)
        site.check(results)
    assert not site.reasons
    assert site.ended == Counter({f"/{number}/": 1 for number in range(SOCKETS)})


async def test_connections_that_are_cut(server: Server, layer: MakeLayer, through: Through) -> None:
    """Ten times; each second time an answer of the server is lost with them."""
    proxy = await through(server)

    async def cut() -> None:
        for turn in range(10):
            await asyncio.sleep(0.1)
            if turn % 2:
                proxy.swallow()
            else:
                proxy.cut()

    async with running(lambda: layer(proxy.url)) as site:
        site.check(await under_load(site, cut))
        assert proxy.cuts > 15
        assert proxy.swallowed
    assert not site.reasons


async def test_restarting_workers_while_connections_are_cut(
    server: Server, layer: MakeLayer, through: Through
) -> None:
    proxy = await through(server)

    async def both() -> None:
        async def cut() -> None:
            while True:
                await asyncio.sleep(0.1)
                proxy.cut()

        cutting = asyncio.create_task(cut())
        try:
            await site.restart()
        finally:
            cutting.cancel()
            await asyncio.wait([cutting])

    async with running(lambda: layer(proxy.url)) as site:
        site.check(await under_load(site, both))
    assert not site.reasons


async def test_a_server_that_loses_its_data(own_server: Server, layer: MakeLayer) -> None:
    """No event of a living home is lost: the interface keeps them until they are handled."""

    async def lose() -> None:
        for _ in range(2):
            await asyncio.to_thread(own_server.call, "FLUSHALL")
            await asyncio.sleep(2.0)

    async with running(lambda: layer(own_server.url)) as site:
        results = await under_load(site, lose)
        site.check(results)


async def test_several_shards(server: Server, layer: MakeLayer) -> None:
    """The named channel is in one, the sockets are in both."""
    urls = (server.url, f"{server.url[:-1]}1")

    async with running(lambda: layer(*urls)) as site:
        results = await under_load(site, site.restart)
        site.check(results)
    assert not site.reasons


async def test_slots_of_a_cluster_that_move(cluster: Cluster, layer: MakeLayer) -> None:
    """Workers restart at the same time; nothing is lost, twice or out of order."""
    async with running(lambda: layer(f"{cluster.url}?shards=2", send_timeout=8)) as site:
        found = site.interface.layer
        assert isinstance(found, RedisLayer)
        slots = [key_slot(tag.encode()) for tag, _ in found._places]

        async def both() -> None:
            await asyncio.gather(moving(cluster, slots, cluster.move_by_key, 2), site.restart())

        site.check(await under_load(site, both))
    assert not site.reasons


async def test_a_failover_of_sentinels(sentinels: Sentinels, layer: MakeLayer) -> None:
    """No event of a living home is lost, though the new master has not all that the old one had."""
    async with running(lambda: layer(sentinels.url, send_timeout=8)) as site:
        site.check(await under_load(site, partial(asyncio.to_thread, sentinels.fail_over)))
    assert set(site.reasons) <= {"layer_reset"}


async def test_a_worker_that_dies(server: Server, layer: MakeLayer) -> None:
    """What it had taken is lost and told; the rest goes on within the lease and its checks."""
    async with running(lambda: layer(server.url, lease=1.0)) as site:

        async def kill() -> None:
            application, _ = site.workers.pop(0)
            await die(application)

        results = await under_load(site, kill)
        site.check(results, lost=5 * SOCKETS)
    assert set(site.reasons) <= {"worker_lost"}


async def test_an_interface_that_dies(server: Server, layer: MakeLayer) -> None:
    """Each home runs the disconnects of its sockets, once, and keeps nothing of them."""
    async with running(lambda: layer(server.url, lease=1.0)) as site:
        clients = [
            WebsocketClient(site.interface, f"/{number}/", timeout=30) for number in range(SOCKETS)
        ]
        for client in clients:
            await client.__aenter__()
            await client.send("1")
            await client.receive(timeout=30)
        interface = site.interface.layer
        assert isinstance(interface, RedisLayer)
        for shard in interface._shards:
            await shard._end_tasks()
        await until(lambda: site.ended.total() == SOCKETS, [])
        await asyncio.sleep(0.1)
        for application, _ in site.workers:
            node = application._node
            assert isinstance(node, WorkerNode)
            assert node._homes is not None
            assert len(node._homes) == 0
        for task in [client._connection.task for client in clients]:
            assert task is not None
            task.cancel()
            await asyncio.wait([task])
        node_of_interface = await site.interface.node()
        assert node_of_interface.interface is not None
        node_of_interface.interface.close()
        node_of_interface.stopped = True
    assert site.ended == Counter({f"/{number}/": 1 for number in range(SOCKETS)})


async def die(application: Application) -> None:
    """End a worker as SIGKILL would: nothing it has reaches anyone."""
    node, layer = application._node, application.layer
    assert isinstance(node, WorkerNode)
    assert isinstance(layer, RedisLayer)
    for shard in layer._shards:
        await shard._end_tasks()
    await node._end_running()
    assert node._homes is not None
    await node._homes.close()
    assert node.worker is not None
    await node.worker.stop(0.0)
    node.stopped = True
