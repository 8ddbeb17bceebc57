"""The page on other ASGI applications: its applications serve."""

from typing import Any

import pytest

from achannels import Group
from achannels.testing import ConnectionDenied, HttpClient, Node, WebsocketClient

PAGE = "docs/guide/other-asgi.md"


async def test_mounted_in_starlette(page: Any) -> None:
    async with (
        Node(page.api),
        WebsocketClient(page.api, "/live/chat/lobby/") as socket,
        HttpClient(page.api) as client,
    ):
        await socket.send("hi")
        assert await socket.receive() == "hi"
        assert (await client.post("/notify")).json() == {"sent": True}
        assert await socket.receive() == "news"


async def test_the_lifespan_of_the_host_drains(page: Any) -> None:
    socket = WebsocketClient(page.api, "/live/chat/lobby/")
    async with Node(page.api):
        await socket.__aenter__()
    assert await socket.wait_closed() == 1012
    await socket.__aexit__(None, None, None)


async def test_without_lifespan_it_starts_with_the_first_connection(page: Any) -> None:
    async with WebsocketClient(page.api, "/live/chat/lobby/") as socket:
        await Group("chat-lobby").send({"text": "news"})
        assert await socket.receive() == "news"


async def test_around_starlette(page: Any, capsys: pytest.CaptureFixture[str]) -> None:
    application = page.application
    async with Node(application):
        assert capsys.readouterr().out == "layer open, worker about to start\n"
        async with WebsocketClient(application, "/echo/") as socket:
            await socket.send("hi")
            assert await socket.receive() == "hi"
        async with (
            WebsocketClient(application, "/live/chat/lobby/") as socket,
            HttpClient(application) as client,
        ):
            assert (await client.post("/notify")).json() == {"sent": True}
            assert await socket.receive() == "news"
            assert (await client.get("/nothing")).status == 404
    assert capsys.readouterr().out == "sockets and worker done, layer still open\n"


async def test_a_socket_that_nobody_takes_is_the_other_applications_to_refuse(page: Any) -> None:
    with pytest.raises(ConnectionDenied):
        async with WebsocketClient(page.application, "/nothing/"):
            pass


async def test_the_user_of_a_token(page: Any) -> None:
    async with WebsocketClient(page.users, "/", headers={"X-Token": "anna"}) as socket:
        await socket.send("")
        assert await socket.receive() == "anna"


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        ("https://example.org", True),
        ("http://localhost:3000", True),
        ("http://testserver", False),
        (None, True),
    ],
)
async def test_pages_of_other_hosts(page: Any, origin: str | None, may: bool) -> None:
    client = WebsocketClient(page.public, "/", origin=origin)
    if may:
        async with client:
            return
    with pytest.raises(ConnectionDenied) as denied:
        await client.__aenter__()
    assert denied.value.status == 403
