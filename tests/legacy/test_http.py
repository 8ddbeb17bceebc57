"""Requests of 1.x: their messages, answers in parts, late answers, the end, and views as consumers."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from http import HTTPStatus
from queue import SimpleQueue
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path, reverse

from achannels.asgi import Application, get_asgi_application
from achannels.legacy.channel import Channel, Group
from achannels.legacy.exceptions import ResponseLater
from achannels.legacy.handler import AsgiHandler
from achannels.legacy.message import Message
from achannels.legacy.routing import route
from achannels.testing import HttpClient, WebsocketClient
from achannels.types import Event

Serve = Callable[..., Application]

seen: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    seen.clear()


def keep(message: Message) -> None:
    seen.append({key: value for key, value in message.items() if key != "reply_channel"})
    message.reply_channel.send({"status": 200, "content": b"ok"})


# The message.


async def test_a_request_has_the_keys_of_1_x(serve: Serve) -> None:
    headers = [("X-A", "1"), ("X-A", "2"), ("X_Spoofed", "1")]
    async with HttpClient(serve(route("http.request", keep))) as client:
        answer = await client.post("/r%C3%BCm/?a=1", b"the body", headers=headers)
    assert answer.body == b"ok"
    (content,) = seen
    given = [tuple(pair) for pair in content.pop("headers")]
    for address in (content.pop("client"), content.pop("server")):
        assert [type(part) for part in address] == [str, int]
    assert [value for name, value in given if name == b"x-a"] == [b"1", b"2"]
    assert all(b"_" not in name for name, _ in given)
    assert content == {
        "path": "/rüm/",
        "method": "POST",
        "http_version": "1.1",
        "query_string": b"a=1",
        "root_path": "",
        "scheme": "http",
        "body": b"the body",
    }


async def test_a_body_may_be_large(serve: Serve, settings: Any) -> None:
    large = b"x" * 3_000_000
    async with HttpClient(serve(route("http.request", keep), max_size=1000)) as client:
        await client.post("/", large)
        assert len(seen[0]["body"]) == len(large)
    settings.CHANNELS_MAX_BODY = 10
    async with HttpClient(serve(route("http.request", keep))) as client:
        assert (await client.post("/", b"x" * 11)).status == 413


# The answer.


async def test_an_answer_in_parts(serve: Serve) -> None:
    def parts(message: Any) -> None:
        send = message.reply_channel.send
        send({"status": 201, "headers": [("X-A", "1")], "content": b"one ", "more_content": True})
        send({"content": b"two", "more_content": True})
        send({"more_content": False})

    async with HttpClient(serve(route("http.request", parts))) as client:
        answer = await client.get("/")
    assert (answer.status, answer.headers["x-a"], answer.body) == (201, "1", b"one two")


async def test_a_response_of_django(serve: Serve) -> None:
    def respond(message: Any) -> None:
        response = HttpResponse("hello")
        response.set_cookie("a", "b")
        for chunk in AsgiHandler.encode_response(response):
            message.reply_channel.send(chunk)

    async with HttpClient(serve(route("http.request", respond))) as client:
        answer = await client.get("/")
    assert (answer.text, answer.headers["set-cookie"]) == ("hello", "a=b; Path=/")


async def test_a_late_answer_from_anywhere(serve: Serve) -> None:
    waiting: SimpleQueue[str] = SimpleQueue()

    def wait(message: Any) -> None:
        Group("waiting").add(message.reply_channel)
        waiting.put(message.reply_channel.name)

    async with HttpClient(serve(route("http.request", wait))) as client:
        first, second = (asyncio.create_task(client.get("/")) for _ in range(2))
        name, _ = [await asyncio.to_thread(waiting.get, timeout=5) for _ in range(2)]
        await asyncio.to_thread(Channel(name).send, {"status": 200, "content": b"direct"})
        await asyncio.to_thread(Group("waiting").send, {"status": 200, "content": b"to all"})
        bodies = {(await first).body, (await second).body}
    assert bodies == {b"direct", b"to all"}


async def test_no_answer_in_time_is_503(serve: Serve) -> None:
    application = serve(route("http.request", lambda message: None), http_timeout=0.01)
    async with HttpClient(application) as client:
        assert (await client.get("/")).status == 503


async def test_a_consumer_that_raised_is_500_at_once(serve: Serve) -> None:
    def fail(message: Any) -> None:
        raise ValueError("no")

    async with HttpClient(serve(route("http.request", fail)), raise_errors=False) as client:
        assert (await client.get("/")).status == 500


async def test_what_it_answered_before_it_raised_is_the_answer(serve: Serve) -> None:
    def fail(message: Any) -> None:
        message.reply_channel.send({"status": 200, "content": b"done"})
        raise ValueError("no")

    async with HttpClient(serve(route("http.request", fail)), raise_errors=False) as client:
        assert (await client.get("/")).body == b"done"


# The end.


async def test_a_disconnect_follows_every_answer(serve: Serve) -> None:
    ended = threading.Event()

    def disconnect(message: Any) -> None:
        seen.append((message.channel.name, message["path"], set(message.keys())))
        ended.set()

    application = serve(route("http.request", keep), route("http.disconnect", disconnect))
    async with HttpClient(application) as client:
        await client.get("/page/")
        assert await asyncio.to_thread(ended.wait, 5)
    assert seen[1:] == [("http.disconnect", "/page/", {"reply_channel", "path"})]


# Views.


def index(request: Any) -> HttpResponse:
    Group("watching").send({"text": "kept"})
    Group("watching").send({"text": "at once"}, immediately=True)
    return HttpResponse(f"{request.message['path']} {type(request).__name__}")


def raising(request: HttpRequest) -> HttpResponse:
    raise ValueError("no")


def leaving(request: Any) -> HttpResponse:
    left.put(request.reply_channel.name)
    raise ResponseLater


left: SimpleQueue[str] = SimpleQueue()
go_on = threading.Event()


def streaming(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        Group("watching").send({"text": "kept until the end"})
        yield b"one "
        assert go_on.wait(5)
        yield b"two"

    return StreamingHttpResponse(parts())


closed = threading.Event()


def endless(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        try:
            while True:
                yield b"more "
        finally:
            closed.set()

    return StreamingHttpResponse(parts())


async def endless_async(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"more "
        finally:
            closed.set()

    return StreamingHttpResponse(parts())


class Created(HttpResponse):
    status_code = HTTPStatus.CREATED


def where(request: HttpRequest) -> JsonResponse:
    url = request.build_absolute_uri()
    return JsonResponse([request.path, request.path_info, url, reverse("where")], safe=False)


urlpatterns = [
    path("created/", lambda request: Created("new")),
    path("endless/", endless),
    path("endless/async/", endless_async),
    path("", index),
    path("raising/", raising),
    path("leaving/", leaving),
    path("streaming/", streaming),
    path("where/", where, name="where"),
]


def watch(message: Any) -> None:
    Group("watching").add(message.reply_channel)
    message.reply_channel.send({"accept": True})


@pytest.fixture
def site(old_ways: None, settings: Any) -> Application:
    """The application of a project of 1.x."""
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = []
    settings.CHANNEL_LAYERS = {"default": {"ROUTING": [route("websocket.connect", watch)]}}
    go_on.clear()
    closed.clear()
    return get_asgi_application()


async def test_the_sends_of_a_view_wait_for_its_response(site: Application) -> None:
    async with HttpClient(site) as client, WebsocketClient(site, "/") as ws:
        answer = await client.get("/")
        assert answer.text == "/ AsgiRequest"
        assert [await ws.receive(), await ws.receive()] == ["at once", "kept"]


async def test_each_part_of_a_stream_leaves_when_it_is_made(site: Application) -> None:
    async with HttpClient(site) as client, WebsocketClient(site, "/") as ws:
        async with client.stream("GET", "/streaming/") as exchange:
            assert await exchange.receive() == b"one "
            assert await ws.receive_nothing()
            go_on.set()
            assert await exchange.receive() == b"two"
            assert await exchange.receive() == b""
        assert await ws.receive() == "kept until the end"


@pytest.mark.parametrize("path", ["/endless/", "/endless/async/"])
async def test_a_stream_ends_when_its_client_leaves(site: Application, path: str) -> None:
    async with HttpClient(site) as client, client.stream("GET", path) as exchange:
        await exchange.receive()
        exchange.leave()
        assert await asyncio.to_thread(closed.wait, 5)


async def test_a_stream_ends_when_its_server_cancels_it(site: Application) -> None:
    started = asyncio.Event()

    async def receive() -> Event:
        if started.is_set():
            await asyncio.Event().wait()
        return {"type": "http.request"}

    async def send(event: Event) -> None:
        started.set()

    scope = {"type": "http", "method": "GET", "path": "/endless/", "headers": []}
    async with site:
        serving = asyncio.create_task(site(scope, receive, send))
        await started.wait()
        serving.cancel()
        await asyncio.wait([serving], timeout=5)
        assert serving.cancelled()
    assert closed.is_set()


async def test_a_stream_ends_when_its_server_stops(site: Application) -> None:
    async with HttpClient(site) as client, client.stream("GET", "/endless/") as exchange:
        await exchange.receive()
        assert site._node is not None
        for socket in site._node.sockets:
            socket.end(1012, now=True)
        assert await asyncio.to_thread(closed.wait, 5)


async def test_the_status_of_a_response_may_be_of_an_enum(site: Application) -> None:
    async with HttpClient(site) as client:
        assert (await client.get("/created/")).status == 201


async def test_a_view_can_leave_the_answer_to_others(site: Application) -> None:
    async with HttpClient(site) as client:
        waiting = asyncio.create_task(client.get("/leaving/"))
        name = await asyncio.to_thread(left.get, timeout=5)
        answer = {"status": 202, "content": b"someone else"}
        await asyncio.to_thread(Channel(name).send, answer)
        assert (await waiting).body == b"someone else"


async def test_an_error_in_a_view_is_500(site: Application) -> None:
    async with HttpClient(site) as client:
        assert (await client.get("/raising/")).status == 500
        assert (await client.get("/nowhere/")).status == 404


@pytest.mark.parametrize("views", ["consumer", "django"])
async def test_a_view_knows_where_the_site_is_mounted(
    site: Application, settings: Any, views: str
) -> None:
    settings.CHANNELS_VIEWS = views
    there = ["/app/where/", "/where/", "http://testserver/app/where/", "/app/where/"]
    async with HttpClient(get_asgi_application(), root_path="/app") as client:
        assert (await client.get("/where/")).json() == there
    settings.FORCE_SCRIPT_NAME = "/app"
    async with HttpClient(get_asgi_application()) as client:
        assert (await client.get("/app/where/")).json() == there


async def test_force_script_name_is_the_root_path_of_requests(serve: Serve, settings: Any) -> None:
    settings.FORCE_SCRIPT_NAME = "/app"
    for root in ("", "/other"):
        async with HttpClient(serve(route("http.request", keep)), root_path=root) as client:
            await client.get("/")
    assert [content["root_path"] for content in seen] == ["/app", "/other"]


async def test_views_can_be_djangos(site: Application, settings: Any) -> None:
    settings.CHANNELS_VIEWS = "django"
    application = get_asgi_application()
    assert not application.router.channels & {"http.request"}
