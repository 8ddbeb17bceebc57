"""Requests of split mode over a real server: whole and right, or broken so that the client sees it."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import pytest

from achannels import Message, route
from achannels.asgi import Application
from achannels.home.node import WorkerNode
from achannels.home.running import channels_of
from achannels.testing import ConnectionDenied, HttpClient, WebsocketClient
from tests.redis.conftest import MakeLayer, Through
from tests.redis.servers import Server
from tests.redis.test_split import die, until

PATIENCE = 20.0
BROKEN_OFF = "no complete answer came, and the application ended"
OLD, NEW = "old-" * 8, "new-" * 8


@pytest.fixture
def _no_blocking_calls() -> None:
    """Not watched here: it would make each message cost a hundred times what it does."""


class Site:
    """An interface and its workers, each with a layer of its own."""

    def __init__(self, make: MakeLayer, routing: list[Any], url: str, **options: Any) -> None:
        self._make = make
        self._routing = routing
        self._url = url
        self._options = options
        self._stack = AsyncExitStack()
        self.interface: Application
        self.workers: list[Application] = []

    async def start(self, **config: Any) -> None:
        layer = await self._make(self._url, **config)
        options = {**self._options, "mode": "interface"}
        self.interface = Application(self._routing, layer=layer, **options)
        self.interface._layer = layer
        await self._stack.enter_async_context(self.interface)

    async def start_worker(self, **config: Any) -> AsyncExitStack:
        """Start a worker; returns what stops it before the rest."""
        layer = await self._make(self._url, **config)
        application = Application(self._routing, layer=layer, **self._options)
        application._layer = layer
        application.node_class = partial(
            WorkerNode, channels=channels_of(application), concurrency=64
        )
        self.workers.append(application)
        stack = await self._stack.enter_async_context(AsyncExitStack())
        await stack.enter_async_context(application)
        return stack

    async def close(self) -> None:
        await self._stack.aclose()


@asynccontextmanager
async def running(
    make: MakeLayer,
    routing: list[Any],
    url: str,
    *,
    workers: int = 1,
    config: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Site]:
    site = Site(make, routing, url, **options)
    try:
        await site.start(**config or {})
        for _ in range(workers):
            await site.start_worker(**config or {})
        yield site
    finally:
        await site.close()


async def echo(message: Message) -> None:
    """Answer with the body, in parts."""
    body = await message.body()
    for at in range(0, len(body), 40_000):
        part = body[at : at + 40_000]
        await message.reply_channel.send({"content": part, "more_content": True})
    await message.reply_channel.send({"content": b"!"})


ECHO = [route("http.request", echo)]


def body_of(length: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(length)


async def test_bodies_and_streams_at_a_distance(
    server: Server, layer: MakeLayer, through: Through
) -> None:
    """A body over the window, in parts there and in parts back."""
    proxy = await through(server)
    body = body_of(300_000)
    async with running(layer, ECHO, proxy.url, workers=2) as site:
        client = HttpClient(site.interface, timeout=PATIENCE)
        parts = [body[at : at + 30_000] for at in range(0, len(body), 30_000)]
        for given in (body, parts, b"", b"x"):
            response = await client.post("/", given)
            whole = given if isinstance(given, bytes) else body
            assert (response.status, response.body) == (200, whole + b"!")


async def test_a_client_that_leaves_is_told_to_its_consumer(
    server: Server, layer: MakeLayer, through: Through
) -> None:
    began, paths = asyncio.Event(), asyncio.Queue[str]()

    async def poll(message: Message) -> None:
        await message.reply_channel.send({"content": b"1", "more_content": True})
        began.set()

    async def disconnect(message: Message) -> None:
        paths.put_nowait(message["path"])

    proxy = await through(server)
    routing = [route("http.request", poll), route("http.disconnect", disconnect)]
    async with (
        running(layer, routing, proxy.url, workers=2) as site,
        HttpClient(site.interface).stream("GET", "/poll/") as exchange,
    ):
        assert await exchange.receive(PATIENCE) == b"1"
        await began.wait()
        exchange.leave()
        assert await asyncio.wait_for(paths.get(), PATIENCE) == "/poll/"
    assert paths.empty()


async def test_a_full_channel_is_503_at_once(
    server: Server, layer: MakeLayer, through: Through
) -> None:
    proxy = await through(server)
    config = {"channel_capacity": {"http.request": 1}}
    async with running(layer, ECHO, proxy.url, workers=0, config=config) as site:
        client = HttpClient(site.interface, timeout=PATIENCE)
        async with client.stream("GET", "/") as first, client.stream("GET", "/") as second:
            await until(lambda: first.status + second.status == 503, [])
            await site.start_worker(**config)
            waits = first if second.status else second
            assert await waits.started(PATIENCE) == 200


async def test_without_a_worker_it_is_504(
    server: Server, layer: MakeLayer, through: Through
) -> None:
    proxy = await through(server)
    async with running(layer, ECHO, proxy.url, workers=0, http_timeout=0.2) as site:
        response = await HttpClient(site.interface).get("/")
        assert (response.status, response.text) == (504, "no worker took the request in time")


@pytest.mark.parametrize("begun", [False, True], ids=["before", "within"])
async def test_a_worker_that_dies_takes_no_client_along(
    server: Server, layer: MakeLayer, begun: bool
) -> None:
    """Its answer is 503, or ends without its last part."""
    hangs = asyncio.Event()

    async def hang(message: Message) -> None:
        if begun:
            await message.reply_channel.send({"content": b"A", "more_content": True})
        hangs.set()
        await asyncio.Event().wait()

    routing = [route("http.request", hang)]
    async with running(
        layer, routing, server.url, workers=2, config={"lease": 1.0}, drain_timeout=0.5
    ) as site:
        client = HttpClient(site.interface, timeout=PATIENCE)
        async with client.stream("GET", "/") as exchange:
            await hangs.wait()
            if begun:
                assert await exchange.receive(PATIENCE) == b"A"
            busy = next(each for each in site.workers if _homes(each))
            await die(busy)
            if begun:
                with pytest.raises(AssertionError, match="no complete answer came, and the app"):
                    await exchange.response(PATIENCE)
            else:
                assert await exchange.started(PATIENCE) == 503


def _homes(application: Application) -> int:
    node = application._node
    assert isinstance(node, WorkerNode)
    assert node._homes is not None
    return len(node._homes)


async def test_a_server_that_loses_its_data_corrupts_nothing(
    own_server: Server, layer: MakeLayer
) -> None:
    """Whole and right, or refused, or an end without a last part; and right again afterwards.

    500 is the answer of a consumer that does not catch the error of its send.
    """
    outcomes: Counter[str] = Counter()
    over = asyncio.Event()

    async def talk(client: HttpClient, number: int) -> None:
        body = body_of(300_000, number)
        while not over.is_set():
            try:
                response = await client.post("/", [body[:100_000], body[100_000:]])
            except AssertionError as error:
                outcomes[str(error).partition(".")[0]] += 1
                continue
            outcomes[str(response.status)] += 1
            if response.status == 200:
                assert response.body == body + b"!"

    async def eight_more(talks: list[asyncio.Task[None]]) -> None:
        enough = outcomes["200"] + 8
        await until(lambda: outcomes["200"] >= enough, talks)

    async with running(layer, ECHO, own_server.url, workers=2) as site:
        client = HttpClient(site.interface, timeout=PATIENCE, raise_errors=False)
        talks = [asyncio.create_task(talk(client, number)) for number in range(4)]
        await eight_more(talks)
        for _ in range(3):
            await asyncio.to_thread(own_server.call, "FLUSHALL")
            await eight_more(talks)
        over.set()
        await asyncio.gather(*talks)
    assert outcomes.keys() <= {"200", "500", "503", BROKEN_OFF}
    assert len(outcomes) > 1


async def test_a_worker_without_the_key_is_500(server: Server, layer: MakeLayer) -> None:
    """For requests and for handshakes; nobody waits for an answer that cannot come."""

    async def connect(message: Message) -> None:
        await message.reply_channel.send({"accept": True})

    routing = [*ECHO, route("websocket.connect", connect)]
    site = Site(layer, routing, server.url)
    try:
        await site.start(symmetric_encryption_keys=[NEW, OLD])
        await site.start_worker(symmetric_encryption_keys=[OLD])
        response = await HttpClient(site.interface).get("/")
        assert (response.status, response.text) == (500, "the worker has another key")
        with pytest.raises(ConnectionDenied) as denied:
            async with WebsocketClient(site.interface, "/"):
                pass
        assert denied.value.status == 500
        await _nothing_left(site)
    finally:
        await site.close()


async def test_an_open_socket_whose_next_worker_lacks_the_key_is_closed(
    server: Server, layer: MakeLayer
) -> None:
    """With 1011; its disconnect, that only this worker takes, is counted as well."""

    async def connect(message: Message) -> None:
        await message.reply_channel.send({"accept": True})

    async def receive(message: Message) -> None:
        await message.reply_channel.send({"text": message["text"]})

    routing = [route("websocket.connect", connect), route("websocket.receive", receive)]
    site = Site(layer, routing, server.url)
    try:
        await site.start(symmetric_encryption_keys=[NEW, OLD])
        first = await site.start_worker(symmetric_encryption_keys=[NEW, OLD])
        async with WebsocketClient(site.interface, "/") as ws:
            await ws.send("a")
            assert await ws.receive() == "a"
            await first.aclose()
            await site.start_worker(symmetric_encryption_keys=[OLD])
            await ws.send("b")
            assert await ws.wait_closed() == 1011
        await _nothing_left(site)
        books = await site.workers[-1].layer.statistics()
        assert books["dropped"]["rejected"] == 2
    finally:
        await site.close()


async def test_an_interface_without_the_key_is_500_and_503(
    server: Server, layer: MakeLayer
) -> None:
    """It cannot read the answers: nobody waits for one."""

    async def connect(message: Message) -> None:
        await message.reply_channel.send({"accept": True})

    routing = [*ECHO, route("websocket.connect", connect)]
    site = Site(layer, routing, server.url)
    try:
        await site.start(symmetric_encryption_keys=[OLD])
        await site.start_worker(symmetric_encryption_keys=[NEW, OLD])
        response = await HttpClient(site.interface).get("/")
        assert (response.status, response.text) == (503, "a part of the answer was lost")
        with pytest.raises(ConnectionDenied) as denied:
            async with WebsocketClient(site.interface, "/"):
                pass
        assert denied.value.status == 500
        await _nothing_left(site)
    finally:
        await site.close()


async def test_an_open_socket_that_cannot_read_its_answers_is_closed(
    server: Server, layer: MakeLayer
) -> None:
    """With 1011, and its disconnect is run."""
    ended: list[int] = []

    async def connect(message: Message) -> None:
        await message.reply_channel.send({"accept": True})

    async def receive(message: Message) -> None:
        await message.reply_channel.send({"text": message["text"]})

    async def disconnect(message: Message) -> None:
        ended.append(message["code"])

    routing = [
        route("websocket.connect", connect),
        route("websocket.receive", receive),
        route("websocket.disconnect", disconnect),
    ]
    site = Site(layer, routing, server.url)
    try:
        await site.start(symmetric_encryption_keys=[OLD])
        first = await site.start_worker(symmetric_encryption_keys=[OLD])
        async with WebsocketClient(site.interface, "/") as ws:
            await ws.send("a")
            assert await ws.receive() == "a"
            await first.aclose()
            await site.start_worker(symmetric_encryption_keys=[NEW, OLD])
            await ws.send("b")
            assert await ws.wait_closed() == 1011
        await _nothing_left(site)
        assert ended == [1011]
    finally:
        await site.close()


async def test_a_socket_that_only_listens_to_its_client_is_closed_too(
    server: Server, layer: MakeLayer
) -> None:
    """Its interface cannot read that its events were handled, and has no answer to miss."""
    received: list[str] = []

    async def receive(message: Message) -> None:
        received.append(message["text"])

    site = Site(layer, [route("websocket.receive", receive)], server.url)
    try:
        await site.start(symmetric_encryption_keys=[OLD])
        await site.start_worker(symmetric_encryption_keys=[NEW, OLD])
        async with WebsocketClient(site.interface, "/") as ws:
            await ws.send("a")
            assert await ws.wait_closed(PATIENCE) == 1011
        await _nothing_left(site)
        assert received == ["a"]
    finally:
        await site.close()


async def _nothing_left(site: Site) -> None:
    """Wait until the interface keeps no socket and no request."""
    interface = (await site.interface.node()).interface
    assert interface is not None
    await until(lambda: not len(interface), [])
