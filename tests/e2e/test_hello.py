"""`examples/hello`: one file under a real server."""

import ast
import asyncio
import re
from collections.abc import Iterator

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from tests.e2e.server import HELLO, ROOT, Server

pytestmark = pytest.mark.e2e


@pytest.fixture
def hello() -> Iterator[Server]:
    with Server("-m", "uvicorn", "hello:application", "--port", "{port}", folder=HELLO) as server:
        yield server


async def test_everybody_hears_what_one_says(hello: Server) -> None:
    address = f"ws://127.0.0.1:{hello.port}/"
    async with connect(address) as anna, connect(f"{address}any/path") as bert:
        await anna.send("hi")
        assert [await anna.recv(), await anna.recv()] == ["echo: hi", "someone said hi"]
        await bert.send("Grüße 👋")
        while (heard := await bert.recv()) == "someone said hi":
            pass  # only if it was in the group before anna spoke
        assert [heard, await bert.recv()] == ["echo: Grüße 👋", "someone said Grüße 👋"]
        assert await anna.recv() == "someone said Grüße 👋"
        await anna.send("bye")
        assert await bert.recv() == "someone said bye"


async def test_a_socket_that_left_is_in_no_group(hello: Server) -> None:
    address = f"ws://127.0.0.1:{hello.port}/"
    async with connect(address) as anna:
        await anna.send("first")
        assert [await anna.recv(), await anna.recv()] == ["echo: first", "someone said first"]
        async with connect(address) as bert:
            await bert.send("bye")
            assert await anna.recv() == "someone said bye"
        await anna.send("alone")
        assert [await anna.recv(), await anna.recv()] == ["echo: alone", "someone said alone"]


async def test_a_server_that_stops_says_so(hello: Server) -> None:
    async with connect(f"ws://127.0.0.1:{hello.port}/") as anna:
        stopping = asyncio.create_task(asyncio.to_thread(hello.stop))
        with pytest.raises(ConnectionClosedError) as closed:
            await anna.recv()
        await stopping
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012


def test_the_file_is_the_one_that_the_readme_shows() -> None:
    (shown,) = re.findall(
        r"```python\n(# hello\.py\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )
    assert ast.dump(ast.parse(shown)) == ast.dump(ast.parse((HELLO / "hello.py").read_text()))
