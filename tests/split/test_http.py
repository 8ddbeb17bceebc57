"""Requests that workers answer: bodies, streams, clients that leave, workers that do not come."""

import asyncio
from typing import Any

import pytest

from achannels import Channel, Message, consumer, route
from achannels.asgi import Application
from achannels.exceptions import ChannelFull, RequestAborted
from achannels.layers.memory import MemoryLayer
from achannels.testing import HttpClient
from achannels.types import Receive, Scope, Send
from tests.split.layer import World
from tests.split.nodes import Site, site


async def hello(message: Message) -> None:
    await message.reply_channel.send({"status": 201, "content": b"hello"})


async def size(message: Message) -> None:
    body = await message.body()
    await message.reply_channel.send({"content": b"%d %d" % (len(body), sum(body[:10]))})


class Pages:
    """An ASGI application that answers what no consumer is routed for."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.waits = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["path"]:
            case "/upload/":
                total = 0
                while (event := await receive())["more_body"]:
                    total += len(event["body"])
                total += len(event["body"])
                await self._answer(send, b"%d" % total)
            case "/stream/":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                for number in range(50):
                    part = b"%d," % number + b"x" * 10_000
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                await send({"type": "http.response.body", "body": b"end"})
            case "/endless/":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"0", "more_body": True})
                while (await receive())["type"] != "http.disconnect":
                    pass
                self.left.set()
            case "/wait/":
                await receive()
                self.waits.set()
                assert (await receive())["type"] == "http.disconnect"
                self.left.set()
            case "/broken/":
                raise ValueError("a view that raises")
            case _:
                await self._answer(send, scope["method"].encode())

    async def _answer(self, send: Send, body: bytes) -> None:
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def test_a_worker_answers() -> None:
    async with site([route("http.request", hello)]) as made:
        response = await HttpClient(made.interface).get("/")
        assert (response.status, response.body) == (201, b"hello")


async def test_large_and_small_bodies_arrive_whole() -> None:
    async with site([route("http.request", size)], max_size=10_000_000) as made:
        client = HttpClient(made.interface)
        for length in (0, 10, 64 * 1024, 64 * 1024 + 1, 3_000_000):
            headers = {"content-length": str(length)}
            response = await client.post("/", body=b"a" * length, headers=headers)
            assert response.body == b"%d %d" % (length, 97 * min(length, 10))


async def test_a_large_body_is_read_only_as_it_is_asked_for() -> None:
    asked = asyncio.Event()

    async def later(message: Message) -> None:
        await asked.wait()
        await message.reply_channel.send({"content": b"%d" % len(await message.body())})

    async with site([route("http.request", later)], max_size=10_000_000) as made:
        async with HttpClient(made.interface).stream("POST", "/") as exchange:
            for _ in range(20):
                await exchange.send(b"x" * 100_000)
            await asyncio.sleep(0.05)
            unread = exchange._requests.qsize()
            asked.set()
            await exchange.send(b"", more=False)
            assert (await exchange.response()).body == b"2000000"
        assert unread >= 19


async def test_a_client_that_leaves_during_its_upload_aborts_the_consumer() -> None:
    raised: asyncio.Queue[str] = asyncio.Queue()

    async def upload(message: Message) -> None:
        try:
            await message.body()
        except RequestAborted as error:
            raised.put_nowait(str(error))
            raise

    async with (
        site([route("http.request", upload)]) as made,
        HttpClient(made.interface).stream("POST", "/") as exchange,
    ):
        await exchange.send(b"x" * 10)
        await asyncio.sleep(0.05)
        exchange.leave()
        assert "left" in await raised.get()


async def test_disconnect_comes_to_the_worker_of_a_client_that_left() -> None:
    paths: asyncio.Queue[str] = asyncio.Queue()
    waits = asyncio.Event()

    async def wait(message: Message) -> None:
        waits.set()

    async def disconnect(message: Message) -> None:
        paths.put_nowait(message["path"])

    routing = [route("http.request", wait), route("http.disconnect", disconnect)]
    async with site(routing, workers=2) as made:
        async with HttpClient(made.interface).stream("GET", "/poll/") as exchange:
            await waits.wait()
            exchange.leave()
            assert await paths.get() == "/poll/"
        while any(len(worker.homes) for worker in made.workers):  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_an_application_beside_the_consumers_runs_in_the_worker() -> None:
    pages = Pages()
    async with site([route("http.request", hello, path="hello/")], http=pages) as made:
        client = HttpClient(made.interface)
        assert (await client.get("/hello/")).body == b"hello"
        response = await client.request("PUT", "/else/")
        assert (response.status, response.body) == (200, b"PUT")
        assert response.headers["content-type"] == "text/plain"
        upload = await client.post("/upload/", body=[b"x" * 70_000] * 5)
        assert upload.body == b"350000"
        streamed = (await client.get("/stream/")).body
        assert streamed.startswith(b"0,")
        assert streamed.endswith(b"end")
        assert [part.split(b",")[0] for part in streamed.split(b"x" * 10_000)][:50] == [
            b"%d" % number for number in range(50)
        ]


async def test_an_application_hears_that_its_client_left() -> None:
    pages = Pages()
    async with (
        site([], http=pages) as made,
        HttpClient(made.interface).stream("GET", "/wait/") as exchange,
    ):
        await pages.waits.wait()
        exchange.leave()
        await pages.left.wait()


async def test_an_application_that_raises_is_500() -> None:
    async with site([], http=Pages()) as made:
        assert (await HttpClient(made.interface).get("/broken/")).status == 500


async def test_no_worker_is_504() -> None:
    async with site([route("http.request", hello)], workers=0, http_timeout=0.05) as made:
        response = await HttpClient(made.interface).get("/")
        assert (response.status, response.text) == (504, "no worker took the request in time")


async def test_a_request_that_expired_is_504() -> None:
    async with (
        site([route("http.request", hello)], workers=0) as made,
        HttpClient(made.interface).stream("GET", "/") as exchange,
    ):
        await asyncio.sleep(0.02)
        made.world.server.expire("http.request")
        assert await exchange.started() == 504


async def test_a_full_channel_is_503_at_once() -> None:
    world = World(capacity=1)
    async with site([route("http.request", hello)], workers=0, world=world) as made:
        client = HttpClient(made.interface)
        async with client.stream("GET", "/") as first:
            await asyncio.sleep(0.02)
            response = await client.get("/")
            assert (response.status, response.text) == (503, "too many requests wait for a worker")
            await made.start_worker()
            assert await first.started() == 201


async def test_a_worker_that_dies_with_a_request_is_503() -> None:
    began = asyncio.Event()

    async def hang(message: Message) -> None:
        began.set()
        await asyncio.Event().wait()

    async with (
        site([route("http.request", hang)]) as made,
        HttpClient(made.interface).stream("GET", "/") as exchange,
    ):
        await began.wait()
        await made.workers[0].kill()
        assert await exchange.started() == 503


async def test_a_slow_client_makes_the_stream_wait_and_loses_nothing() -> None:
    sent: list[int] = []

    async def stream(message: Message) -> None:
        for number in range(40):
            await message.reply_channel.send({"content": b"x" * 50_000, "more_content": True})
            sent.append(number)
        await message.reply_channel.send({"content": b"end"})

    async with site([route("http.request", stream)], stall_timeout=5.0) as made:
        gate, parts = asyncio.Event(), []
        got = asyncio.Event()

        async def receive() -> Any:
            if got.is_set():
                await asyncio.Event().wait()
            got.set()
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(event: Any) -> None:
            await gate.wait()
            parts.append(event.get("body", b""))

        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
        serving = asyncio.create_task(made.interface(scope, receive, send))
        await got.wait()
        await asyncio.sleep(0.1)
        assert len(sent) < 10
        gate.set()
        await serving
        assert sum(map(len, parts)) == 40 * 50_000 + 3
    assert len(sent) == 40


async def test_an_answer_to_a_socket_that_never_reads_raises_channel_full() -> None:
    raised: asyncio.Queue[ChannelFull] = asyncio.Queue()

    @consumer()
    async def stream(message: Message) -> None:
        try:
            while True:
                await message.reply_channel.send({"content": b"x" * 50_000, "more_content": True})
        except ChannelFull as error:
            raised.put_nowait(error)

    async with site([route("http.request", stream)], stall_timeout=0.05) as made:
        made.workers[0].application.dispatcher.send_timeout = 0.05
        never, got = asyncio.Event(), asyncio.Event()

        async def receive() -> Any:
            if got.is_set():
                await never.wait()
                return {"type": "http.disconnect"}
            got.set()
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(event: Any) -> None:
            await never.wait()

        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
        serving = asyncio.create_task(made.interface(scope, receive, send))
        assert (await raised.get()).capacity == 64
        never.set()
        await serving


async def test_requests_answered_late_come_from_anywhere() -> None:
    names: asyncio.Queue[str] = asyncio.Queue()

    async def wait(message: Message) -> None:
        names.put_nowait(message.reply_channel.name)

    async with (
        site([route("http.request", wait)], workers=2) as made,
        HttpClient(made.interface).stream("GET", "/") as exchange,
    ):
        name = await names.get()
        other = Site([], world=made.world)
        await other.layer.open()
        await Channel(name, channel_layer=other.layer).send({"content": b"late"})
        assert (await exchange.response()).body == b"late"
        await other.layer.leave()


async def in_three(message: Message) -> None:
    headers = [[b"x-first", b"1"]]
    first = {"status": 201, "headers": headers, "content": b"A", "more_content": True}
    await message.reply_channel.send(first)
    await message.reply_channel.send({"content": b"B", "more_content": True})
    await message.reply_channel.send({"content": b"C"})


async def test_an_answer_whose_beginning_is_lost_is_503() -> None:
    async with site([route("http.request", in_three)]) as made:
        made.world.lost = {1}
        response = await HttpClient(made.interface).get("/")
        assert (response.status, response.text) == (503, "a part of the answer was lost")


async def test_an_answer_with_a_hole_is_never_complete() -> None:
    async with site([route("http.request", in_three)]) as made:
        made.world.lost = {2}
        async with HttpClient(made.interface).stream("GET", "/") as exchange:
            assert await exchange.started() == 201
            with pytest.raises(AssertionError, match="no complete answer came, and the app"):
                await exchange.response()
            assert b"C" not in exchange._parts


async def test_a_consumer_hears_of_an_answer_that_was_broken_off() -> None:
    ended: asyncio.Queue[str] = asyncio.Queue()

    async def disconnect(message: Message) -> None:
        ended.put_nowait(message["path"])

    routing = [route("http.request", in_three), route("http.disconnect", disconnect)]
    async with site(routing) as made:
        made.world.lost = {2}
        async with HttpClient(made.interface).stream("GET", "/") as exchange:
            assert await exchange.started() == 201
            assert await ended.get() == "/"


async def test_data_that_is_lost_during_an_upload_is_503() -> None:
    raised: asyncio.Queue[str] = asyncio.Queue()
    began = asyncio.Event()

    async def upload(message: Message) -> None:
        began.set()
        try:
            await message.body()
        except RequestAborted as error:
            raised.put_nowait(str(error))
            raise

    async with (
        site([route("http.request", upload)]) as made,
        HttpClient(made.interface).stream("POST", "/", None) as exchange,
    ):
        await began.wait()
        made.world.lose_data()
        assert await exchange.started() == 503
        assert "lost" in await raised.get()


async def test_data_that_is_lost_during_an_answer_ends_it() -> None:
    pages = Pages()
    async with (
        site([], http=pages) as made,
        HttpClient(made.interface).stream("GET", "/endless/") as exchange,
    ):
        assert await exchange.receive() == b"0"
        made.world.lose_data()
        with pytest.raises(AssertionError, match="no complete answer came, and the app"):
            await exchange.response()
        await pages.left.wait()


async def test_an_answer_that_cannot_be_read_is_not_waited_for() -> None:
    """It came with a key that this process has not: nothing else will come."""
    names: asyncio.Queue[str] = asyncio.Queue()

    async def wait(message: Message) -> None:
        names.put_nowait(message.reply_channel.name)

    layer = MemoryLayer()
    application = Application([route("http.request", wait)], layer=layer)
    async with HttpClient(application).stream("GET", "/") as exchange:
        layer._attached[await names.get()].gap([], "unreadable", 0.5)
        response = await exchange.response()
        assert (response.status, response.text) == (503, "a part of the answer was lost")


async def test_a_late_answer_after_lost_data_has_to_be_whole() -> None:
    names: asyncio.Queue[str] = asyncio.Queue()

    async def wait(message: Message) -> None:
        names.put_nowait(message.reply_channel.name)

    layer = MemoryLayer()
    application = Application([route("http.request", wait)], layer=layer)
    answers: list[tuple[dict[str, Any], int]] = [
        ({"content": b"x"}, 503),
        ({"status": 200, "content": b"x"}, 200),
    ]
    for content, status in answers:
        async with HttpClient(application).stream("GET", "/") as exchange:
            name = await names.get()
            layer._attached[name].gap([], "layer_reset", 1.0)
            await Channel(name, channel_layer=layer).send(content)
            assert await exchange.started() == status
