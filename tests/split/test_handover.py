"""Homes that come and go: what becomes of sockets, their order, their state."""

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from achannels import Message, route, route_class
from achannels.consumers import AsyncWebsocketConsumer
from achannels.exceptions import LayerUnavailable
from achannels.sessions import channel_session
from achannels.testing import ConnectionDenied, WebsocketClient
from tests.split.nodes import Site, site


async def until(ready: Callable[[], bool]) -> None:
    while not ready():  # noqa: ASYNC110 - counters tell nobody
        await asyncio.sleep(0.001)


class Log:
    """Function consumers that note what they handle, and in which worker's context."""

    def __init__(self) -> None:
        self.seen: dict[str, list[str]] = {}
        self.disconnects: list[str] = []
        self.gaps: list[str] = []
        self.slow: asyncio.Event | None = None
        self.began = asyncio.Event()

    @property
    def routing(self) -> list[Any]:
        return [
            route("websocket.connect", self.connect),
            route("websocket.receive", self.receive),
            route("websocket.disconnect", self.disconnect),
            route("websocket.gap", self.gap),
        ]

    async def connect(self, message: Message) -> None:
        await message.reply_channel.send({"accept": True})

    async def receive(self, message: Message) -> None:
        text = message["text"]
        self.seen.setdefault(message["path"], []).append(text)
        self.began.set()
        if text == "slow" and self.slow is not None:
            await self.slow.wait()
        await message.reply_channel.send({"text": text})

    async def disconnect(self, message: Message) -> None:
        self.disconnects.append(message["path"])

    async def gap(self, message: Message) -> None:
        self.gaps.append(message["reason"])


async def restart(made: Site) -> None:
    """Start a new worker, and stop the oldest."""
    await made.start_worker()
    old = next(worker for worker in made.workers if worker.is_running)
    await old.stop()


async def test_restarting_workers_under_load_drops_and_reorders_nothing() -> None:
    log, frames, sockets = Log(), 25, 5
    async with site(log.routing, workers=2) as made:

        async def talk(number: int) -> list[str | bytes]:
            async with WebsocketClient(made.interface, f"/{number}/") as ws:
                for frame in range(frames):
                    await ws.send(str(frame))
                    await asyncio.sleep(0.002)
                return [await ws.receive(timeout=5) for _ in range(frames)]

        async with asyncio.TaskGroup() as tasks:
            talks = [tasks.create_task(talk(number)) for number in range(sockets)]
            for _ in range(4):
                await asyncio.sleep(0.01)
                await restart(made)
        expected = [str(frame) for frame in range(frames)]
        assert [task.result() for task in talks] == [expected] * sockets
        assert log.seen == {f"/{number}/": expected for number in range(sockets)}
        await until(lambda: len(log.disconnects) == sockets)
    assert sorted(log.disconnects) == sorted(f"/{number}/" for number in range(sockets))
    assert log.gaps == []


async def test_a_draining_worker_finishes_its_handler_and_hands_back_what_waits() -> None:
    log = Log()
    log.slow = asyncio.Event()
    async with site(log.routing) as made, WebsocketClient(made.interface, "/") as ws:
        for text in ("slow", "1", "2"):
            await ws.send(text)
        await log.began.wait()
        stopping = asyncio.create_task(made.workers[0].stop())
        await asyncio.sleep(0.01)
        await ws.send("3")
        await made.start_worker()
        assert log.seen == {"/": ["slow"]}
        log.slow.set()
        await stopping
        assert [await ws.receive() for _ in range(4)] == ["slow", "1", "2", "3"]
    assert log.seen == {"/": ["slow", "1", "2", "3"]}
    assert log.gaps == []


async def test_a_handler_that_hangs_is_cancelled_at_the_end_of_the_drain() -> None:
    log = Log()
    log.slow = asyncio.Event()
    async with (
        site(log.routing, drain_timeout=0.1) as made,
        WebsocketClient(made.interface, "/") as ws,
    ):
        await ws.send("slow")
        await ws.send("1")
        await log.began.wait()
        await asyncio.wait_for(made.workers[0].stop(), 2.0)
        await made.start_worker()
        assert await ws.receive() == "1"
    assert log.seen == {"/": ["slow", "1"]}


async def test_sockets_stay_while_there_is_no_worker() -> None:
    log = Log()
    async with site(log.routing) as made, WebsocketClient(made.interface, "/") as ws:
        await made.workers[0].stop()
        await ws.send("1")
        await ws.send("2")
        assert await ws.receive_nothing()
        await made.start_worker()
        assert [await ws.receive(), await ws.receive()] == ["1", "2"]


async def test_a_class_consumer_keeps_its_instance_at_its_home() -> None:
    class Counter(AsyncWebsocketConsumer):
        made: ClassVar[list["Counter"]] = []

        async def connect(self) -> None:
            Counter.made.append(self)
            self.count = 0
            await self.accept()

        async def receive(self, text_data: str) -> None:
            self.count += 1
            await self.send(text_data=f"{self.count}")

    async with (
        site([route_class(Counter)], workers=3) as made,
        WebsocketClient(made.interface, "/") as ws,
    ):
        for number in range(1, 6):
            await ws.send("x")
            assert await ws.receive() == str(number)
    assert len(Counter.made) == 1


async def test_a_channel_session_survives_its_home_without_a_database() -> None:
    @channel_session
    async def connect(message: Message) -> None:
        message.channel_session["name"] = "anna"
        await message.reply_channel.send({"accept": True})

    @channel_session
    async def receive(message: Message) -> None:
        session = message.channel_session
        session["count"] = session.get("count", 0) + 1
        await message.reply_channel.send({"text": f"{session['name']} {session['count']}"})

    routing = [route("websocket.connect", connect), route("websocket.receive", receive)]
    async with site(routing) as made, WebsocketClient(made.interface, "/") as ws:
        for number in range(1, 4):
            await ws.send("x")
            assert await ws.receive() == f"anna {number}"
            await restart(made)
        await made.workers[-1].kill()
        await made.start_worker()
        await ws.send("x")
        assert await ws.receive() == "anna 4"


async def test_a_worker_that_dies_loses_what_it_had_begun_and_the_next_is_told() -> None:
    log = Log()
    log.slow = asyncio.Event()
    async with site(log.routing) as made, WebsocketClient(made.interface, "/") as ws:
        await ws.send("slow")
        await ws.send("taken")
        await log.began.wait()
        await asyncio.sleep(0.01)
        await made.workers[0].kill()
        await ws.send("after")
        await made.start_worker()
        assert await ws.receive() == "after"
        assert log.gaps == ["worker_lost"]
        log.slow.set()
    assert log.seen == {"/": ["slow", "after"]}


async def test_a_worker_that_dies_in_connect_leaves_a_refusal() -> None:
    log, connecting = Log(), asyncio.Event()

    async def connect(message: Message) -> None:
        connecting.set()
        await asyncio.Event().wait()

    routing = [route("websocket.connect", connect), *log.routing[1:]]
    async with site(routing, handshake_timeout=2.0) as made:
        client = WebsocketClient(made.interface, "/")
        entering = asyncio.create_task(client.__aenter__())
        await connecting.wait()
        await made.workers[0].kill()
        await made.start_worker()
        error = (await asyncio.gather(entering, return_exceptions=True))[0]
        assert getattr(error, "status", None) == 503
        await until(lambda: log.disconnects == ["/"])


async def test_a_server_that_loses_its_data_loses_no_event_of_a_living_home() -> None:
    log, frames = Log(), 30
    async with site(log.routing, workers=2) as made, WebsocketClient(made.interface, "/") as ws:
        for number in range(frames):
            await ws.send(str(number))
            if number % 10 == 5:
                await asyncio.sleep(0.002)
                made.world.lose_data()
        received = [await ws.receive(timeout=5) for _ in range(frames)]
    assert received == [str(number) for number in range(frames)]
    assert log.seen["/"] == received


async def test_a_dead_interface_is_disconnected_by_the_homes() -> None:
    log = Log()
    async with site(log.routing, workers=2) as made:
        world = made.world
        other = Site(log.routing, world=world)
        await other.interface.__aenter__()
        clients = [WebsocketClient(other.interface, f"/{number}/") for number in range(5)]
        for client in clients:
            await client.__aenter__()
        world.kill(other.layer)
        await until(lambda: len(log.disconnects) == 5)
        tasks = [client._connection.task for client in clients if client._connection.task]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        node = await other.interface.node()
        assert node.interface is not None
        node.interface.close()
        node.stopped = True
    assert sorted(log.disconnects) == [f"/{number}/" for number in range(5)]


async def test_an_interface_that_was_declared_dead_closes_its_sockets_once() -> None:
    log = Log()
    async with site(log.routing) as made, WebsocketClient(made.interface, "/") as ws:
        await ws.send("1")
        assert await ws.receive() == "1"
        made.world.server.fence(made.layer.node)
        made.layer._step_soon()
        assert await ws.wait_closed() == 1012
        await until(lambda: log.disconnects == ["/"])
        await asyncio.sleep(0.05)
    assert log.disconnects == ["/"]


async def test_a_worker_that_was_declared_dead_says_nothing_more_to_its_sockets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = Log()
    log.slow = asyncio.Event()
    async with site(log.routing, workers=2) as made, WebsocketClient(made.interface, "/") as ws:
        await ws.send("slow")
        await log.began.wait()
        home = next(worker for worker in made.workers if worker.homes.busy)
        made.world.server.fence(home.layer.node)
        home.layer._step_soon()
        [zombie] = home.homes._desk.running
        await ws.send("after")
        assert await ws.receive() == "after"
        log.slow.set()
        await asyncio.wait([zombie])
        ws._connection.errors.clear()
        assert await ws.receive_nothing()
    assert log.gaps == ["worker_lost"]
    [record] = [each for each in caplog.records if each.name == "achannels.consumer"]
    assert record.exc_info is not None
    error = record.exc_info[1]
    assert isinstance(error, LayerUnavailable)
    assert error.outcome == "refused"
    assert "not the home" in str(error)


async def test_the_interface_stops_with_all_disconnects_accepted() -> None:
    log, sockets = Log(), 50
    made = Site(log.routing, drain_timeout=5.0)
    worker = await made.start_worker()
    async with made.interface:
        clients = [WebsocketClient(made.interface, f"/{number}/") for number in range(sockets)]
        for client in clients:
            await client.__aenter__()
        await (await made.interface.node()).stop()
        assert [await client.wait_closed() for client in clients] == [1012] * sockets
    await until(lambda: len(log.disconnects) == sockets)
    for client in clients:
        await client.__aexit__(None, None, None)
    await worker.stop()
    assert sorted(log.disconnects) == sorted(f"/{number}/" for number in range(sockets))


async def test_the_interface_stops_though_no_worker_takes_anything() -> None:
    log = Log()
    made = Site(log.routing, drain_timeout=5.0)
    worker = await made.start_worker()
    loop = asyncio.get_running_loop()
    async with made.interface:
        one, two = WebsocketClient(made.interface, "/1/"), WebsocketClient(made.interface, "/2/")
        await one.__aenter__()
        await worker.stop()
        await one.send("nobody takes this")
        connecting = asyncio.create_task(two.__aenter__())
        await asyncio.sleep(0.02)
        began = loop.time()
        await (await made.interface.node()).stop()
        assert loop.time() - began < 3.0
        with pytest.raises(ConnectionDenied):
            await connecting
        await one.__aexit__(None, None, None)
    worker = await made.start_worker()
    await until(lambda: bool(log.disconnects))
    await worker.stop()
    assert log.disconnects == ["/1/"]
    assert log.seen == {}
