"""A fresh Django project under every server: the same sockets, the same views."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.e2e.server import Server
from tests.e2e.site import add_modules, change_the_import, install, start_project

pytestmark = pytest.mark.e2e

ASGI = "mysite.asgi:application"
UVICORN = ("-m", "uvicorn", ASGI, "--port", "{port}")
SERVERS = {
    "runserver": ("manage.py", "runserver", "--noreload", "127.0.0.1:{port}"),
    "uvicorn": UVICORN,
    "uvicorn-websockets": (*UVICORN, "--ws", "websockets"),
    "uvicorn-websockets-sansio": (*UVICORN, "--ws", "websockets-sansio"),
    "uvicorn-wsproto": (*UVICORN, "--ws", "wsproto"),
    "uvicorn-without-lifespan": (*UVICORN, "--lifespan", "off", "--loop", "asyncio"),
    "mounted": ("-m", "uvicorn", "mysite.mounted:application", "--port", "{port}"),
    "hypercorn": ("-m", "hypercorn", ASGI, "--bind", "127.0.0.1:{port}"),
    "granian": ("-m", "granian", "--interface", "asgi", "--port", "{port}", ASGI),
    "daphne": ("-m", "daphne", "--port", "{port}", ASGI),
}
ENVIRONMENT = {"DJANGO_SETTINGS_MODULE": "mysite.settings", "PYTHONWARNINGS": "ignore"}


class Site:
    """A served project.

    Attributes:
        name: One of `SERVERS`.
        server: Its process.
    """

    def __init__(self, name: str, server: Server) -> None:
        self.name = name
        self.server = server
        self.prefix = "/live" if name == "mounted" else ""

    def open(self, path: str, origin: str | None = None, **options: object) -> connect:
        """Connect to a path."""
        address = f"ws://127.0.0.1:{self.server.port}{self.prefix}{path}"
        return connect(address, origin=origin, proxy=None, **options)  # type: ignore[arg-type]

    async def get(self, path: str) -> httpx.Response:
        """Get a page."""
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            return await client.get(f"{self.server.url}{self.prefix}{path}")

    async def refusal(self, path: str, origin: str | None = None) -> tuple[int, str]:
        """Return status and text of the answer to a socket that is refused."""
        with pytest.raises(InvalidStatus) as refused:
            async with self.open(path, origin):
                pass
        response = refused.value.response
        return response.status_code, (response.body or b"").decode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    start_project(folder)
    install(folder)
    add_modules(folder)
    change_the_import(folder)
    return folder


@pytest.fixture(scope="module", params=list(SERVERS))
def site(request: pytest.FixtureRequest, folder: Path) -> Iterator[Site]:
    name = request.param
    with Server(*SERVERS[name], folder=folder, more=ENVIRONMENT, calm=False) as server:
        server.wait_until_it_listens()
        yield Site(name, server)


async def closed(socket: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as error:
        await socket.recv()
    assert error.value.rcvd is not None
    return error.value.rcvd.code, error.value.rcvd.reason


@pytest.mark.parametrize("path", ["/echo/", "/def/"])
async def test_frames_come_and_go(site: Site, path: str) -> None:
    async with site.open(path) as socket:
        for text in ("hi", "Grüße 👋", "x" * 300_000, ""):
            if not text and site.name == "daphne":
                break  # it sends no empty frames
            await socket.send(text)
            assert await socket.recv() == text


async def test_bytes_stay_bytes(site: Site) -> None:
    async with site.open("/echo/") as socket:
        await socket.send(b"\x00\xff")
        assert await socket.recv() == b"\x00\xff"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/blocking/", "from a sync view"),
        ("/channels-4/", "as in Channels 4"),
        ("/awaiting/", "background: from an async view"),
    ],
)
async def test_a_view_reaches_sockets(site: Site, path: str, text: str) -> None:
    async with site.open("/news/") as anna, site.open("/news/") as bert:
        for _ in range(2):
            assert (await site.get(path)).text == "sent"
            assert [await anna.recv(), await bert.recv()] == [text, text]


async def test_a_refusal_is_readable(site: Site) -> None:
    if site.name == "daphne":  # it can refuse with 403 alone
        assert await site.refusal("/members/") == (403, "")
        assert await site.refusal("/nothing/") == (403, "")
    else:
        assert await site.refusal("/members/") == (401, "members only")
        assert await site.refusal("/nothing/") == (404, "there is nothing at this path")
    assert "without completing handshake" not in await asyncio.to_thread(lambda: site.server.output)


async def test_a_foreign_origin_is_refused_and_the_own_is_not(site: Site) -> None:
    assert (await site.refusal("/echo/", origin="http://elsewhere.example"))[0] == 403
    assert (await site.refusal("/echo/", origin="null"))[0] == 403
    async with site.open("/echo/", origin=site.server.url) as socket:
        await socket.send("hi")
        assert await socket.recv() == "hi"


async def test_a_consumer_that_raises_ends_its_socket_and_no_other(site: Site) -> None:
    async with site.open("/echo/") as other, site.open("/broken/") as socket:
        await socket.send("hi")
        # daphne sends only codes from 3000, and 1000
        assert (await closed(socket))[0] == (4011 if site.name == "daphne" else 1011)
        await other.send("hi")
        assert await other.recv() == "hi"
    line = r"mysite\.routing\.fail raised on websocket\.receive at /broken/"
    await asyncio.to_thread(site.server.wait_for, line)


async def test_a_consumer_closes_with_its_code_and_reason(site: Site) -> None:
    async with site.open("/closing/") as socket:
        await socket.send("hi")
        assert await socket.recv() == "bye"
        reason = "" if site.name == "daphne" else "you said so"
        assert await closed(socket) == (4000, reason)


async def test_disconnect_gets_the_code_of_the_peer(site: Site) -> None:
    async with site.open("/news/") as news:
        async with site.open("/leaving/") as socket:
            await socket.close(4001)
        code = 1006 if site.name == "hypercorn" else 4001  # hypercorn tells no code
        assert await news.recv() == f"somebody left with {code}"
        async with site.open("/leaving/") as socket:
            socket.transport.abort()
            assert await news.recv() == "somebody left with 1006"


async def test_a_subprotocol_is_agreed_on(site: Site) -> None:
    offered = ["chat.v1", "chat.v2"]
    async with site.open("/protocols/", subprotocols=offered) as socket:
        assert socket.subprotocol == "chat.v2"
