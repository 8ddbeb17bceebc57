"""What the page on HTTP says, and its snippets."""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest
from django.http import HttpResponse

from achannels import Channel, Group, Message, get_channel_layer, route, sync
from achannels.asgi import Application
from achannels.django.handler import CHUNK, encode_response
from achannels.exceptions import (
    ChannelFull,
    ConsumeLater,
    DenyConnection,
    InvalidContent,
    Reject,
    StopConsumer,
)
from achannels.layers.memory import MemoryLayer
from achannels.testing import HttpClient
from achannels.types import Event
from tests.docs.snippets import file

PAGE = "docs/guide/http.md"


async def members(group: str, count: int) -> None:
    """Wait until a group has so many members."""
    while len(await get_channel_layer().group_channels(group)) != count:  # noqa: ASYNC110
        await asyncio.sleep(0)


# The message and its body.


async def test_an_upload(page: Any) -> None:
    application = Application(file("files.consumers").channel_routing)
    async with HttpClient(application) as client:
        answer = await client.post("/upload/", b"x" * 1_500_000)
        assert (answer.status, answer.text) == (201, "1500000 bytes")
        assert answer.headers["content-type"] == "text/plain"
        assert (await client.post("/upload/", b"x" * (10 * 1024 * 1024 + 1))).status == 413
        assert (await client.get("/upload/")).status == 404


async def test_the_message_has_the_keys_of_the_page() -> None:
    seen: list[dict[str, Any]] = []

    def look(message: sync.Message) -> None:
        seen.append({**message.content, "body": message.body(), "again": message.body()})
        message.reply_channel.send({"status": 204})

    application = Application([route("http.request", look)])
    async with HttpClient(application, root_path="/live") as client:
        assert (
            await client.request("put", "/a/?b=c", b"body", headers={"X-One": "1"})
        ).status == 204
    (message,) = seen
    assert message.keys() == {
        "method", "path", "query_string", "headers", "scheme", "http_version", "client", "server",
        "reply_channel", "root_path", "body", "again",
    }  # fmt: skip
    assert (message["method"], message["path"], message["root_path"]) == ("PUT", "/a/", "/live")
    assert (message["query_string"], message["body"], message["again"]) == (
        b"b=c",
        b"body",
        b"body",
    )
    assert [b"x-one", b"1"] in message["headers"]


# The answer.


@pytest.mark.parametrize(
    "part",
    [
        {"text": "hi"},
        {"status": 99},
        {"status": "200"},
        {"content": "hi"},
        {"headers": [("a", "b")]},
    ],
)
async def test_a_wrong_part(part: dict[str, Any]) -> None:
    async def answer(message: Message) -> None:
        with pytest.raises(InvalidContent):
            await message.reply_channel.send(part)
        await message.reply_channel.send({"content": b"right"})

    async with HttpClient(Application([route("http.request", answer)])) as client:
        response = await client.get("/")
    assert (response.status, list(response.headers), response.text) == (200, [], "right")


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (ValueError("no"), 500),
        (ConsumeLater(1), 500),
        (DenyConnection("no", status=403), 403),
        (Reject("no"), 503),
        (StopConsumer(), 503),
        (None, 503),
    ],
    ids=repr,
)
async def test_what_the_client_gets(raised: Exception | None, status: int) -> None:
    async def answer(message: Message) -> None:
        if message["path"] == "/begun/":
            await message.reply_channel.send({"content": b"begun", "more_content": True})
        if raised is not None:
            raise raised

    application = Application([route("http.request", answer)], http_timeout=0.02)
    async with HttpClient(application, raise_errors=False) as client:
        assert (await client.get("/")).status == status
        async with client.stream("GET", "/begun/") as exchange:
            assert await exchange.started() == 200
            assert await exchange.receive() == b"begun"
            with pytest.raises(AssertionError, match="the application ended"):
                await exchange.receive()


# Responses of Django, streams.


@pytest.mark.django_db
async def test_a_response_of_django(page: Any) -> None:
    async with HttpClient(Application([page.status_route])) as client:
        answer = await client.get("/status/")
    assert answer.json() == {"path": "/status/"}
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.django_db
async def test_a_large_response_comes_in_parts_that_every_layer_carries() -> None:
    parts = [part async for part in encode_response(HttpResponse(b"x" * (CHUNK + 1)))]
    assert [len(part["content"]) for part in parts] == [512 * 1024, 1]


async def test_a_consumer_streams(page: Any) -> None:
    client = HttpClient(Application([page.count_route]))
    async with client, client.stream("GET", "/count/") as exchange:
        assert [part async for part in exchange] == [b"1\n", b"2\n", b"3\n"]
        assert exchange.headers["content-type"] == "text/plain"


async def test_an_event_stream(page: Any) -> None:
    news = file("news.consumers")
    client = HttpClient(Application(news.channel_routing))
    async with client, client.stream("GET", "/news/") as one, client.stream("GET", "/news/") as two:
        await members("news", 2)
        await news.publish("it works")
        for exchange in (one, two):
            assert await exchange.started() == 200
            assert exchange.headers["content-type"] == "text/event-stream"
            assert await exchange.receive() == b": hello\n\n"
            assert await exchange.receive() == b"data: it works\n\n"
    await members("news", 0)


async def test_a_slow_client_of_a_stream(channel_layer: MemoryLayer) -> None:
    names: asyncio.Queue[str] = asyncio.Queue()
    go_on, part = asyncio.Event(), {"content": b".", "more_content": True}

    async def slow(message: Message) -> None:
        names.put_nowait(message.reply_channel.name)
        await Group("slow").add(message.reply_channel)

    async def send(event: Event) -> None:
        await go_on.wait()

    left: asyncio.Queue[Event] = asyncio.Queue()
    application = Application([route("http.request", slow)], outbox_capacity=2)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    async with application:
        serving = asyncio.create_task(application(scope, left.get, send))
        name = await names.get()
        await members("slow", 1)
        for _ in range(2):
            await Channel(name).send(part)
        with pytest.raises(ChannelFull):
            await Channel(name).send(part)
        await Group("slow").send(part)
        assert channel_layer.books.dropped["full"] == 1
        go_on.set()
        left.put_nowait({"type": "http.request"})
        left.put_nowait({"type": "http.disconnect"})
        await serving


# Late answers, and clients that leave.


async def test_everyone_who_waits_is_answered(page: Any) -> None:
    client = HttpClient(Application([page.wait_route]))
    async with client, client.stream("GET", "/wait/") as one, client.stream("GET", "/wait/") as two:
        await members("waiting", 2)
        await page.answer_everyone({"is": "here"})
        for exchange in (one, two):
            assert json.loads((await exchange.response()).body) == {"is": "here"}
    await members("waiting", 0)


async def test_a_background_consumer_answers() -> None:
    async def ask(message: Message) -> None:
        await Channel("work").send({"reply_channel": message.reply_channel.name})

    async def work(message: Message) -> None:
        await message.reply_channel.send({"content": b"done"})

    application = Application([route("http.request", ask), route("work", work)])
    async with HttpClient(application) as client:
        assert (await client.get("/")).text == "done"


async def test_a_client_that_leaves(page: Any) -> None:
    client = HttpClient(Application([page.wait_route, page.left_route]))
    async with client:
        async with client.stream("GET", "/wait/"):
            await members("waiting", 1)
        await members("waiting", 0)
        assert page.gone == ["/wait/"]
        async with client.stream("GET", "/wait/") as exchange:
            await members("waiting", 1)
            await page.answer_everyone({})
            await exchange.response()
    assert page.gone == ["/wait/"]


async def test_a_stop_answers_what_is_open(page: Any) -> None:
    application = Application([page.wait_route])
    client = HttpClient(application)
    async with client, AsyncExitStack() as running:
        await running.enter_async_context(application)
        async with client.stream("GET", "/wait/") as exchange:
            await members("waiting", 1)
            await running.aclose()
            assert (await exchange.response()).status == 503
