"""A real server on a real port, in the loop of the test or in a thread."""

import asyncio
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from achannels import Group, Message, route, route_class, sync
from achannels.asgi import Application
from achannels.consumers import AsyncWebsocketConsumer
from achannels.testing import ConnectionDenied, LiveServer


class Echo(AsyncWebsocketConsumer):
    groups = ("room",)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data == "close":
            await self.close(4000, "enough")
        elif text_data == "who":
            await self.send(text_data=str(self.scope.get("user")))
        else:
            await self.send(text_data, bytes_data)


async def answer(message: Message) -> None:
    await message.reply_channel.send({"content": b"answered"})


def application() -> Application:
    return Application([route_class(Echo, path="echo/"), route("http.request", answer)])


def get(url: str) -> tuple[int, bytes]:
    with urllib.request.urlopen(url, timeout=5) as response:
        return response.status, response.read()


async def fail() -> None:
    raise LookupError("no database")


async def talk(server: LiveServer) -> None:
    async with server.websocket("/echo/?q=1", user="anna") as ws:
        await ws.send("text")
        await ws.send(b"bytes")
        await ws.send_json([1])
        assert await ws.receive() == "text"
        assert await ws.receive() == b"bytes"
        assert await ws.receive_json() == [1]
        assert await ws.receive_nothing()
        await ws.send("who")
        assert await ws.receive() == "anna"
    async with server.websocket("/echo/") as ws:
        await ws.send("who")
        assert await ws.receive() == "None"
        await ws.send("close")
        assert await ws.wait_closed() == 4000
        with pytest.raises(AssertionError, match=r"no frame came: .*4000"):
            await ws.receive()


async def test_it_serves_in_the_loop_of_the_test() -> None:
    async with LiveServer(application()) as server:
        assert server.url == f"http://127.0.0.1:{server.port}"
        await talk(server)
        assert await asyncio.to_thread(get, server.url) == (200, b"answered")
        async with server.websocket("/echo/") as ws:
            await Group("room").send({"text": "from the test"})
            assert await ws.receive() == "from the test"


def test_it_serves_from_a_thread() -> None:
    with LiveServer(application()) as server:
        assert get(server.url) == (200, b"answered")
        asyncio.run(talk(server))
        threads = {thread.name for thread in threading.enumerate()}
        assert "achannels live server" in threads
    assert "achannels live server" not in {thread.name for thread in threading.enumerate()}


def test_sync_code_sends_to_its_sockets() -> None:
    async def listen(server: LiveServer, connected: threading.Event) -> str | bytes:
        async with server.websocket("/echo/") as ws:
            connected.set()
            return await ws.receive(timeout=5)

    with LiveServer(application()) as server:
        connected, frames = threading.Event(), []
        listener = threading.Thread(
            target=lambda: frames.append(asyncio.run(listen(server, connected)))
        )
        listener.start()
        assert connected.wait(5)
        sync.Group("room").send({"text": "from a view"})
        listener.join(5)
        assert frames == ["from a view"]


async def test_a_refusal_is_the_same_error_as_in_process() -> None:
    async with LiveServer(application()) as server:
        with pytest.raises(ConnectionDenied) as denied:
            async with server.websocket("/nothing/"):
                pass
        assert (denied.value.status, denied.value.reason) == (404, "there is nothing at this path")
        with pytest.raises(ConnectionDenied) as denied:
            async with server.websocket("/echo/", origin="http://evil.example"):
                pass
        assert denied.value.status == 403
        async with server.websocket("/echo/", origin=server.url):
            pass


async def test_waits_that_end_are_assertion_errors() -> None:
    async with LiveServer(application()) as server, server.websocket("/echo/") as ws:
        with pytest.raises(AssertionError, match="no frame came within"):
            await ws.receive(timeout=0.01)
        await ws.send("still here")
        with pytest.raises(AssertionError, match=r"was not closed within .*'still here'"):
            await ws.wait_closed(timeout=0.2)
        assert await ws.receive() == "still here"


async def test_its_lifespan_is_the_applications() -> None:
    steps = []

    @asynccontextmanager
    async def around(app: Application) -> AsyncIterator[None]:
        steps.append("start")
        yield
        steps.append("stop")

    async with LiveServer(Application([], lifespan=around)):
        assert steps == ["start"]
    assert steps == ["start", "stop"]


@pytest.mark.parametrize("in_thread", [True, False])
async def test_an_application_that_does_not_start_is_an_error(in_thread: bool) -> None:
    @asynccontextmanager
    async def around(app: Application) -> AsyncIterator[None]:
        await fail()
        yield

    server = LiveServer(Application([], lifespan=around))
    if in_thread:
        with pytest.raises(RuntimeError, match="no database"):
            await asyncio.to_thread(server.__enter__)
    else:
        with pytest.raises(RuntimeError, match="no database"):
            await server.__aenter__()


async def test_a_socket_has_to_be_entered() -> None:
    server = LiveServer(application())
    with pytest.raises(RuntimeError, match="enter it with"):
        await server.websocket("/echo/").send("a")


async def test_subprotocols_and_headers_of_the_accept() -> None:
    class Accepts(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept("v1", headers=[(b"x-hello", b"you")])

    async with (
        LiveServer(Application([route_class(Accepts)])) as server,
        server.websocket("/", subprotocols=["v1"], headers={"X-A": "b"}) as ws,
    ):
        assert ws.subprotocol == "v1"
        assert ws.headers["X-Hello"] == "you"
