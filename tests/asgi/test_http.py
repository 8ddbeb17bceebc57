"""Requests that consumers answer: body in, answers whole, in parts, late, or not at all."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import pytest

from achannels import Channel, Group, Message, consumer, route, sync
from achannels.asgi import Application
from achannels.channel import ReplyChannel
from achannels.exceptions import ChannelFull, DenyConnection, InvalidContent, Reject, RequestAborted
from achannels.layers.memory import MemoryLayer
from achannels.testing import HttpClient
from achannels.types import Receive, Scope, Send
from tests.doubles import BrokenSend, RecordingSend, ScriptedReceive, errors


async def upload(message: Message) -> None:
    body = await message.body()
    await message.reply_channel.send(
        {
            "status": 201,
            "headers": [(b"content-type", b"text/plain")],
            "content": f"{len(body)} bytes".encode(),
        }
    )


async def wait(message: Message) -> None:
    await Group("waiting").add(message.reply_channel)


def application(*routes: Any, **settings: Any) -> Application:
    return Application(list(routes), **settings)


def http_scope(path: str = "/", method: str = "GET") -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"testserver")],
    }


async def answered(app: Application, send: Send | None = None) -> RecordingSend:
    """Serve a request whose client stays, and return what was sent to it."""
    recording = RecordingSend()
    receive = ScriptedReceive({"type": "http.request", "body": b""})
    async with app:
        await app(http_scope(), receive, send or recording)
    return recording


async def member(layer: MemoryLayer) -> Channel:
    """Return the channel of the request that waits."""
    while not (names := await layer.group_channels("waiting")):  # noqa: ASYNC110
        await asyncio.sleep(0)
    [name] = names
    return Channel(name)


# Answers.


async def test_a_body_in_parts_arrives_joined() -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 1000

    async with HttpClient(application(route("http.request", upload, path="upload/"))) as client:
        response = await client.post("/upload/", parts())
    assert (response.status, response.text) == (201, "3000 bytes")
    assert response.headers["content-type"] == "text/plain"


async def test_filters_decide_and_what_no_route_takes_is_404() -> None:
    app = application(route("http.request", upload, method="^POST$", path="upload/"))
    async with HttpClient(app) as client:
        assert (await client.post("/upload/", b"ab")).text == "2 bytes"
        assert (await client.get("/upload/")).status == 404
        assert (await client.post("/nothing/")).status == 404


async def test_what_no_route_takes_goes_to_the_other_application() -> None:
    async def other(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    app = application(route("http.request", upload, path="upload/"), http=other)
    async with HttpClient(app) as client:
        assert (await client.get("/teapot")).status == 418
        assert (await client.post("/upload/")).status == 201


async def test_the_message_carries_the_request() -> None:
    async def show(message: Message) -> None:
        content = {key: value for key, value in message.items() if key != "reply_channel"}
        await message.reply_channel.send({"content": repr(content).encode()})

    async with HttpClient(application(route("http.request", show))) as client:
        response = await client.request("PUT", "/a%20b?x=1", headers={"X-Token": "t"})
    content = eval(response.text)
    assert (content["method"], content["path"]) == ("PUT", "/a b")
    assert content["query_string"] == b"x=1"
    assert [b"x-token", b"t"] in content["headers"]


async def test_an_answer_in_parts_is_streamed() -> None:
    go_on = asyncio.Event()

    async def stream(message: Message) -> None:
        await message.reply_channel.send({"status": 200, "content": b"1", "more_content": True})
        await go_on.wait()
        await message.reply_channel.send({"content": b"2", "more_content": True})
        await message.reply_channel.send({"content": b"3"})

    client = HttpClient(application(route("http.request", stream)))
    async with client, client.stream("GET", "/") as exchange:
        assert await exchange.started() == 200
        assert await exchange.receive() == b"1"
        go_on.set()
        assert [part async for part in exchange] == [b"2", b"3"]


async def test_the_default_status_is_200() -> None:
    async def short(message: Message) -> None:
        await message.reply_channel.send({"content": b"short"})

    async with HttpClient(application(route("http.request", short))) as client:
        assert (await client.get("/")).status == 200


async def test_a_status_may_be_of_an_enum() -> None:
    async def created(message: Message) -> None:
        await message.reply_channel.send({"status": HTTPStatus.CREATED})

    sent = await answered(application(route("http.request", created)))
    status = sent.events[0]["status"]
    assert (status, type(status)) == (201, int)


async def test_a_client_that_leaves_while_parts_are_made_is_heard() -> None:
    left: list[str] = []
    over = asyncio.Event()

    async def stream(message: Message) -> None:
        assert isinstance(message.reply_channel, ReplyChannel)
        await message.body()
        while not message.reply_channel.socket.is_over:
            await message.reply_channel.send({"content": b"more ", "more_content": True})
            await asyncio.sleep(0)
        over.set()

    async def disconnect(message: Message) -> None:
        left.append(message["path"])

    routes = route("http.request", stream), route("http.disconnect", disconnect)
    async with (
        HttpClient(application(*routes)) as client,
        client.stream("GET", "/news/") as exchange,
    ):
        await exchange.receive()
        exchange.leave()
        await over.wait()
    assert left == ["/news/"]


async def test_a_second_status_is_ignored_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def twice(message: Message) -> None:
        await message.reply_channel.send({"status": 200, "content": b"1", "more_content": True})
        await message.reply_channel.send({"status": 500, "content": b"2"})

    async with HttpClient(application(route("http.request", twice))) as client:
        response = await client.get("/")
    assert (response.status, response.body) == (200, b"12")
    assert len(errors(caplog.records, "achannels.server")) == 1


async def test_a_part_after_the_end_is_counted_and_not_raised(channel_layer: MemoryLayer) -> None:
    async def twice(message: Message) -> None:
        await message.reply_channel.send({"content": b"1"})
        await message.reply_channel.send({"content": b"2"})

    async with HttpClient(application(route("http.request", twice))) as client:
        assert (await client.get("/")).body == b"1"
    assert channel_layer.books.dropped["gone"] == 1


async def test_a_plain_function_reads_the_body_and_answers() -> None:
    def shout(message: sync.Message) -> None:
        message.reply_channel.send({"content": message.body().upper()})

    async with HttpClient(application(route("http.request", shout))) as client:
        assert (await client.post("/", b"hello")).body == b"HELLO"


# Late answers.


async def test_a_group_answers_everyone_who_waits(channel_layer: MemoryLayer) -> None:
    client = HttpClient(application(route("http.request", wait)))
    async with client, client.stream("GET", "/") as one, client.stream("GET", "/") as two:
        while len(await channel_layer.group_channels("waiting")) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await Group("waiting").send({"status": 202, "content": b'{"news": 1}'})
        for exchange in (one, two):
            response = await exchange.response()
            assert (response.status, response.json()) == (202, {"news": 1})
    assert await channel_layer.group_channels("waiting") == set()


async def test_a_late_answer_comes_in_order_from_elsewhere() -> None:
    names: asyncio.Queue[str] = asyncio.Queue()

    async def later(message: Message) -> None:
        names.put_nowait(message.reply_channel.name)

    client = HttpClient(application(route("http.request", later)))
    async with client, client.stream("GET", "/") as exchange:
        reply = Channel(await names.get())
        for number in range(9):
            await reply.send({"content": str(number).encode(), "more_content": number < 8})
        assert (await exchange.response()).body == b"012345678"


async def test_no_answer_in_time_is_503() -> None:
    client = HttpClient(application(route("http.request", wait), http_timeout=0.02))
    async with client:
        assert (await client.get("/")).status == 503


async def test_a_stream_that_goes_on_is_not_cut_by_the_timeout() -> None:
    names: asyncio.Queue[str] = asyncio.Queue()

    async def later(message: Message) -> None:
        names.put_nowait(message.reply_channel.name)

    client = HttpClient(application(route("http.request", later), http_timeout=0.6))
    async with client, client.stream("GET", "/") as exchange:
        reply = Channel(await names.get())
        for _ in range(4):
            await reply.send({"content": b".", "more_content": True})
            assert await exchange.receive() == b"."
            await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.2)
        await reply.send({"content": b"!"})
        assert await exchange.receive() == b"!"


async def test_a_direct_answer_with_a_wrong_key_is_dropped_and_logged(
    caplog: pytest.LogCaptureFixture, channel_layer: MemoryLayer
) -> None:
    names: asyncio.Queue[str] = asyncio.Queue()

    async def later(message: Message) -> None:
        names.put_nowait(message.reply_channel.name)

    client = HttpClient(application(route("http.request", later)))
    async with client, client.stream("GET", "/") as exchange:
        reply = Channel(await names.get())
        await reply.send({"text": "this is for sockets"})
        await reply.send({"content": b"right"})
        assert (await exchange.response()).body == b"right"
    assert channel_layer.books.dropped["rejected"] == 1
    assert len(errors(caplog.records, "achannels.server")) == 1


# What goes wrong.


@pytest.mark.parametrize(("size", "status"), [(10, 201), (11, 413)])
async def test_a_body_over_max_size_is_413(size: int, status: int) -> None:
    async def read(message: Message) -> None:
        await upload(message)

    app = application(route("http.request", consumer(max_size=10)(read)))
    async with HttpClient(app) as client:
        assert (await client.post("/", b"x" * size)).status == status


async def test_a_body_over_max_size_can_be_answered_by_the_consumer() -> None:
    @consumer(max_size=10)
    async def polite(message: Message) -> None:
        try:
            await message.body()
        except RequestAborted:
            await message.reply_channel.send({"status": 400, "content": b"shorter, please"})

    async with HttpClient(application(route("http.request", polite))) as client:
        assert (await client.post("/", b"x" * 11)).status == 400


async def test_a_body_that_does_not_come_is_408() -> None:
    client = HttpClient(application(route("http.request", upload), http_timeout=0.02))
    async with client, client.stream("POST", "/", body=None) as exchange:
        await exchange.send(b"half")
        assert await exchange.started() == 408


async def test_a_consumer_that_raises_is_500_and_one_record(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(message: Message) -> None:
        raise ValueError("broken")

    app = application(route("http.request", broken))
    async with HttpClient(app, raise_errors=False) as client:
        assert (await client.get("/shop/")).status == 500
    [record] = errors(caplog.records, "achannels.consumer")
    assert record.__dict__["path"] == "/shop/"
    assert record.__dict__["channel"] == "http.request"
    assert record.__dict__["consumer"].endswith("broken")


async def test_a_plain_function_that_raises_is_500_unless_it_answered() -> None:
    def broken(message: sync.Message) -> None:
        if message["path"] == "/answered/":
            message.reply_channel.send({"status": 200, "content": b"answered"})
        raise ValueError("broken")

    async with HttpClient(application(route("http.request", broken)), raise_errors=False) as client:
        assert (await client.get("/")).status == 500
        response = await client.get("/answered/")
    assert (response.status, response.body) == (200, b"answered")


async def test_a_denial_is_its_status() -> None:
    async def closed(message: Message) -> None:
        raise DenyConnection("closed today", status=451, headers=[(b"x-why", b"law")])

    async with HttpClient(application(route("http.request", closed))) as client:
        response = await client.get("/")
    assert (response.status, response.text) == (451, "closed today")
    assert response.headers["x-why"] == "law"


async def test_a_rejected_request_is_503() -> None:
    async def reject(message: Message) -> None:
        raise Reject("not now")

    async with HttpClient(application(route("http.request", reject))) as client:
        assert (await client.get("/")).status == 503


# The client leaves.


async def test_a_client_that_leaves_is_disconnected_and_in_no_group(
    channel_layer: MemoryLayer,
) -> None:
    left: list[dict[str, Any]] = []

    async def disconnect(message: Message) -> None:
        left.append(message.content)

    client = HttpClient(
        application(route("http.request", wait), route("http.disconnect", disconnect))
    )
    async with client:
        async with client.stream("GET", "/wait/"):
            while not await channel_layer.group_channels("waiting"):  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert await channel_layer.group_channels("waiting") == set()
        await Group("waiting").send({"content": b"nobody"})
    assert [content["path"] for content in left] == ["/wait/"]


async def test_an_answered_request_has_no_disconnect() -> None:
    left = []

    async def disconnect(message: Message) -> None:
        left.append(message)

    app = application(route("http.request", upload), route("http.disconnect", disconnect))
    async with HttpClient(app) as client:
        await client.post("/")
    assert not left


async def test_a_request_that_was_answered_late_has_no_disconnect(
    channel_layer: MemoryLayer,
) -> None:
    left = []

    async def disconnect(message: Message) -> None:
        left.append(message)

    app = application(route("http.request", wait), route("http.disconnect", disconnect))
    client = HttpClient(app)
    async with client, client.stream("GET", "/") as exchange:
        while not await channel_layer.group_channels("waiting"):  # noqa: ASYNC110
            await asyncio.sleep(0)
        await Group("waiting").send({"content": b"late"})
        assert (await exchange.response()).body == b"late"
    assert not left


async def test_a_client_that_left_is_disconnected_also_when_the_consumer_raises() -> None:
    left = []

    async def stubborn(message: Message) -> None:
        with pytest.raises(RequestAborted):
            await message.body()
        raise ValueError("no body")

    async def disconnect(message: Message) -> None:
        left.append(message)

    app = application(route("http.request", stubborn), route("http.disconnect", disconnect))
    client = HttpClient(app, raise_errors=False)
    async with client, client.stream("POST", "/", body=None) as exchange:
        await exchange.send(b"half")
    assert len(left) == 1


async def test_a_client_that_leaves_while_its_body_is_read_aborts_the_consumer() -> None:
    raised, left = [], []

    async def read(message: Message) -> None:
        try:
            await message.body()
        except RequestAborted as error:
            raised.append(error)
            raise

    async def disconnect(message: Message) -> None:
        left.append(message)

    client = HttpClient(
        application(route("http.request", read), route("http.disconnect", disconnect))
    )
    async with client, client.stream("POST", "/", body=None) as exchange:
        await exchange.send(b"half")
    assert len(raised) == len(left) == 1


async def test_a_send_that_raises_counts_as_a_client_that_left(channel_layer: MemoryLayer) -> None:
    left = []

    async def answer(message: Message) -> None:
        await message.reply_channel.send({"content": b"1", "more_content": True})
        await message.reply_channel.send({"content": b"2"})

    async def disconnect(message: Message) -> None:
        left.append(message)

    app = application(route("http.request", answer), route("http.disconnect", disconnect))
    receive = ScriptedReceive({"type": "http.request", "body": b""})
    async with app:
        await app(http_scope(), receive, BrokenSend(after=1))
    assert len(left) == 1
    assert channel_layer.books.dropped["gone"] == 2


async def test_a_cancelled_request_is_disconnected_and_in_no_group(
    channel_layer: MemoryLayer,
) -> None:
    left = []

    async def disconnect(message: Message) -> None:
        left.append(message)

    app = application(route("http.request", wait), route("http.disconnect", disconnect))
    receive = ScriptedReceive({"type": "http.request", "body": b""})
    async with app:
        serving = asyncio.create_task(app(http_scope(), receive, RecordingSend()))
        while not await channel_layer.group_channels("waiting"):  # noqa: ASYNC110
            await asyncio.sleep(0)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert await channel_layer.group_channels("waiting") == set()
    assert len(left) == 1


async def test_a_thread_that_reads_a_body_hears_that_the_client_left() -> None:
    raised, reading = [], threading.Event()

    def read(message: sync.Message) -> None:
        reading.set()
        try:
            message.body()
        except RequestAborted as error:
            raised.append(error)

    client = HttpClient(application(route("http.request", read)))
    async with client, client.stream("POST", "/", body=None) as exchange:
        await exchange.send(b"half")
        while not reading.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert len(raised) == 1


async def test_nothing_of_a_request_is_logged_above_info(caplog: pytest.LogCaptureFixture) -> None:
    async with HttpClient(application(route("http.request", upload))) as client:
        response = await client.post("/", json={"a": 1})
    assert response.text == f"{len(json.dumps({'a': 1}))} bytes"
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


# Parts.


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (
            {"body": b"typo"},
            (
                "content has the key 'body', which a request has no use for; it takes status, headers, "
                "content and more_content."
            ),
        ),
        *[
            ({"status": status}, f"content['status'] is {status!r}; it is an HTTP status.")
            for status in (99, 600, "200", True, 2.0)
        ],
        (
            {"content": "text"},
            "content['content'] is of type str; it is bytes. Send text.encode().",
        ),
        (
            {"headers": [("x", "y")]},
            "content['headers'] is [('x', 'y')]; it is a list of (name, value), both bytes.",
        ),
    ],
)
async def test_a_part_that_no_response_has_is_refused_at_its_line(
    part: dict[str, Any], text: str
) -> None:
    async def wrong(message: Message) -> None:
        with pytest.raises(InvalidContent) as error:
            await message.reply_channel.send(part)
        assert str(error.value) == text
        await message.reply_channel.send({"content": bytearray(b"right"), "headers": None})

    sent = await answered(application(route("http.request", wrong)))
    assert [event.get("status") for event in sent.events] == [200, None]
    assert sent.events[1]["body"] == b"right"


async def test_a_body_is_read_once_and_told_twice() -> None:
    async def twice(message: Message) -> None:
        both = await message.body() + await message.body()
        await message.reply_channel.send({"content": both})

    async with HttpClient(application(route("http.request", twice))) as client:
        assert (await client.post("/", b"ab")).body == b"abab"


async def test_a_consumer_that_gives_up_reading_can_answer() -> None:
    async def impatient(message: Message) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(message.body(), 0.01)
        await message.reply_channel.send({"status": 408, "content": b"too slow"})

    client = HttpClient(application(route("http.request", impatient)))
    async with client, client.stream("POST", "/", body=None) as exchange:
        await exchange.send(b"half")
        await exchange.started()
        assert exchange.status == 408


async def test_what_is_sent_to_an_answered_request_is_gone(channel_layer: MemoryLayer) -> None:
    async def answer(message: Message) -> None:
        await message.reply_channel.send({"content": b"done"})
        await Channel(message.reply_channel.name).send({"content": b"late"})

    await answered(application(route("http.request", answer)))
    assert channel_layer.books.dropped["gone"] == 1


async def test_parts_of_a_request_that_wait_are_bounded(channel_layer: MemoryLayer) -> None:
    app = application(route("http.request", wait), outbox_capacity=1)
    async with HttpClient(app) as client:
        asking = asyncio.create_task(client.get("/"))
        channel = await member(channel_layer)
        await channel.send({"content": b"1", "more_content": True})
        with pytest.raises(ChannelFull) as error:
            await channel.send({"content": b"2"})
        assert (error.value.channel, error.value.capacity) == (channel.name, 1)
        await Group("waiting").send({"content": b"3"})
        await asyncio.sleep(0)
        await channel.send({"content": b"4"})
        assert (await asking).body == b"14"
    assert channel_layer.books.dropped["full"] == 1


async def test_a_late_part_that_the_server_refuses_is_counted(
    channel_layer: MemoryLayer, caplog: pytest.LogCaptureFixture
) -> None:
    app = application(route("http.request", wait), http_timeout=0.5)
    serving = asyncio.create_task(answered(app, BrokenSend(error=ValueError)))
    channel = await member(channel_layer)
    await channel.send({"content": b"1"})
    await serving
    assert channel_layer.books.dropped["gone"] == 1
    [record] = errors(caplog.records, "achannels.server")
    assert record.getMessage() == "a task of the node failed"


# Answers that end otherwise.


async def test_a_stream_that_stops_is_left_at_the_timeout() -> None:
    async def begin(message: Message) -> None:
        await message.reply_channel.send({"content": b"1", "more_content": True})

    sent = await answered(application(route("http.request", begin), http_timeout=0.02))
    assert sent.types == ["http.response.start", "http.response.body"]
    assert sent.events[1]["more_body"] is True


async def test_a_stream_may_end_while_the_node_stops() -> None:
    began, go = asyncio.Event(), asyncio.Event()

    async def stream(message: Message) -> None:
        await message.reply_channel.send({"content": b"1", "more_content": True})
        began.set()
        await go.wait()
        await message.reply_channel.send({"content": b"2"})

    app = application(route("http.request", stream))
    receive, send = ScriptedReceive({"type": "http.request", "body": b""}), RecordingSend()
    async with app:
        serving = asyncio.create_task(app(http_scope(), receive, send))
        await began.wait()
        stopping = asyncio.create_task((await app.node()).stop())
        await asyncio.sleep(0)
        go.set()
        await stopping
        await serving
    assert [event["body"] for event in send.events[1:]] == [b"1", b"2"]


async def test_a_disconnect_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def disconnect(message: Message) -> None:
        raise ValueError("broken")

    app = application(route("http.request", wait), route("http.disconnect", disconnect))
    receive = ScriptedReceive({"type": "http.request", "body": b""}, {"type": "http.disconnect"})
    async with app:
        await app(http_scope("/shop/"), receive, RecordingSend())
    [record] = errors(caplog.records, "achannels.consumer")
    assert record.getMessage().endswith("disconnect raised on http.disconnect at /shop/")
