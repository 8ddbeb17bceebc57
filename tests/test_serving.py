"""uvicorn run from code: the listening socket, the start, the stop."""

import asyncio
import logging
import socket
import sys
import threading
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from achannels import Message, route
from achannels.asgi import Application
from achannels.exceptions import ConfigurationError
from achannels.serving import USER_TIMEOUT, NotStarted, Server, listen
from achannels.types import Receive, Scope, Send


async def echo(message: Message) -> None:
    await message.reply_channel.send({"text": message["text"]})


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"a page"})


@contextmanager
def served(application: Application, **options: object) -> Iterator[Server]:
    """Serve in a thread until the end of the block."""
    started = threading.Event()
    with listen("127.0.0.1", 0) as listening:
        server = Server(application, listening, on_start=started.set, **options)  # type: ignore[arg-type]
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            assert started.wait(10)
            yield server
        finally:
            server.stop()
            assert server.wait(10)
            thread.join()


def test_pages_and_sockets() -> None:
    application = Application([route("websocket.receive", echo, path="echo/")], http=page)
    with served(application) as server:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/") as response:
            assert response.read() == b"a page"
        with connect(f"ws://127.0.0.1:{server.port}/echo/", proxy=None) as client:
            client.send("hi")
            assert client.recv(timeout=5) == "hi"


def test_a_stop_closes_sockets_and_runs_their_disconnects_before_the_lifespan_ends() -> None:
    seen: list[object] = []

    async def disconnect(message: Message) -> None:
        seen.append(message["code"])

    @asynccontextmanager
    async def around(application: Application) -> AsyncIterator[None]:
        yield
        seen.append("end of the lifespan")

    routing = [
        route("websocket.receive", echo, path="echo/"),
        route("websocket.disconnect", disconnect, path="echo/"),
    ]
    application = Application(routing, lifespan=around)
    with served(application) as server:
        client = connect(f"ws://127.0.0.1:{server.port}/echo/", proxy=None).__enter__()
        server.stop()
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=10)
        client.close()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    assert seen == [1012, "end of the lifespan"]


def test_a_stop_without_patience_waits_for_nobody() -> None:
    entered, cancelled = threading.Event(), threading.Event()

    async def hang(message: Message) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    routing = [route("websocket.receive", hang, path="hang/")]
    with served(Application(routing, drain_timeout=60.0), patience=60.0) as server:
        client = connect(f"ws://127.0.0.1:{server.port}/hang/", proxy=None).__enter__()
        client.send("hi")
        assert entered.wait(10)
        server.stop()
        server.stop(now=True)
        assert server.wait(10)
        assert cancelled.wait(10)
        client.close()


def test_a_start_that_fails_says_why() -> None:
    @asynccontextmanager
    async def around(application: Application) -> AsyncIterator[None]:
        if not application.router.routes:
            raise ValueError("no routes")
        yield

    listening = listen("127.0.0.1", 0)
    server = Server(Application([], lifespan=around), listening)
    with pytest.raises(NotStarted, match=r"the application did not start: .*no routes"):
        server.run()
    assert listening.fileno() == -1
    assert server.wait(0)


def test_a_refusal_is_no_complaint_of_uvicorn(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.INFO, "uvicorn"),
        served(Application([])) as server,
        pytest.raises(InvalidStatus) as refused,
    ):
        connect(f"ws://127.0.0.1:{server.port}/", proxy=None).__enter__()
    assert refused.value.response.status_code == 404
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def test_a_listening_socket_gives_up_clients_that_vanished() -> None:
    with listen("127.0.0.1", 0) as listening:
        option = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert option == USER_TIMEOUT * 1000
        assert listening.getsockname()[0] == "127.0.0.1"


def test_a_name_can_mean_an_ipv6_address() -> None:
    with listen("::1", 0) as listening:
        assert listening.family == socket.AF_INET6
        assert listening.getsockname()[0] == "::1"
        port = listening.getsockname()[1]
        with listen("127.0.0.1", port):
            """An IPv6 socket leaves the port of IPv4 alone."""


def test_a_port_that_is_taken() -> None:
    with listen("127.0.0.1", 0) as listening, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", listening.getsockname()[1])


@pytest.mark.parametrize("port", [-1, 65536, 99999])
def test_a_port_that_there_is_not(port: int) -> None:
    with pytest.raises(OSError, match=f"The port {port} is not one of 0 to 65535"):
        listen("127.0.0.1", port)


def test_without_uvicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with (
        listen("127.0.0.1", 0) as listening,
        pytest.raises(ConfigurationError, match=r"uvicorn is not installed.*achannels\[server\]"),
    ):
        Server(Application([]), listening)


def test_without_a_library_for_websockets(monkeypatch: pytest.MonkeyPatch) -> None:
    from uvicorn.protocols.websockets import auto

    monkeypatch.setattr(auto, "AutoWebSocketsProtocol", None)
    with (
        listen("127.0.0.1", 0) as listening,
        pytest.raises(ConfigurationError, match="no library for WebSockets is installed"),
    ):
        Server(Application([]), listening)
