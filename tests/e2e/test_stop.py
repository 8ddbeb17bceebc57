"""Plain uvicorn, ended by a signal: every disconnect runs, and it ends in time."""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus

from tests.bars import bar
from tests.e2e.server import SEES_SLOW_CLIENTS, Server

APPS = Path(__file__).parent / "apps"
COMMAND = ("-m", "uvicorn", "stopping:application", "--port", "{port}", "--ws", "websockets-sansio")
SOCKETS = 300


@pytest.fixture
def running(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The application with a deadline for its end."""
    with Server(*COMMAND, folder=APPS, more={"DRAIN": str(request.param)}, patience=30.0) as found:
        yield found


def deadline(seconds: float) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("running", [seconds], indirect=True)


async def come(port: int, count: int) -> list[ClientConnection]:
    found: list[ClientConnection] = []
    for start in range(0, count, 50):
        some = range(start, min(start + 50, count))
        found += await asyncio.gather(*(connect(f"ws://127.0.0.1:{port}/") for _ in some))
    return found


async def codes(sockets: list[ClientConnection]) -> set[int | None]:
    await asyncio.gather(*(socket.wait_closed() for socket in sockets))
    return {socket.close_code for socket in sockets}


@deadline(10)
async def test_sigterm_runs_every_disconnect_and_closes_with_1012(running: Server) -> None:
    sockets = await come(running.port, SOCKETS)
    output, found = await asyncio.gather(asyncio.to_thread(running.stop), codes(sockets))
    assert found == {1012}
    assert output.count("disconnect 1012\n") == output.count("disconnect") == SOCKETS


@deadline(1)
@pytest.mark.parametrize("how", ["hang", "block"])
async def test_a_handler_that_hangs_holds_nobody_up_beyond_the_deadline(
    running: Server, how: str
) -> None:
    """Neither an `async def`, which is cancelled, nor a thread."""
    running.calm = how != "block"  # the socket's consumer failed
    sockets = await come(running.port, 20)
    await sockets[0].send(how)
    assert await sockets[0].recv() == "heard"
    began = time.monotonic()
    output, found = await asyncio.gather(asyncio.to_thread(running.stop), codes(sockets))
    took = time.monotonic() - began
    assert found == {1012}
    assert output.count("disconnect 1012\n") == 20
    assert 0.75 <= took < 1 + bar(0.5)


@SEES_SLOW_CLIENTS
@deadline(1)
@pytest.mark.parametrize("when", ["closed before", "closed by the stop"])
async def test_a_client_that_does_not_read_holds_nobody_up_beyond_the_deadline(
    running: Server, when: str
) -> None:
    socket = await connect(f"ws://127.0.0.1:{running.port}/", compression=None)
    socket.transport.pause_reading()
    if when == "closed before":
        await socket.send("flood")
        await asyncio.to_thread(running.wait_for, "disconnect 1013")
    else:
        await socket.send("slow")
        await asyncio.to_thread(running.wait_for, "sends")
    began = time.monotonic()
    output = await asyncio.to_thread(running.stop)
    took = time.monotonic() - began
    socket.transport.abort()
    await socket.wait_closed()
    assert output.count("disconnect") == 1
    assert took < 1 + bar(0.8)


@deadline(3600)
async def test_a_second_signal_ends_the_wait(running: Server) -> None:
    running.calm = False  # asyncio tells what was cut off
    (socket,) = await come(running.port, 1)
    await socket.send("hang")
    assert await socket.recv() == "heard"
    process = running._process
    assert process is not None
    process.terminate()
    async with asyncio.timeout(20):
        while (status := await refused(running.port)) != 503:
            assert status is None
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(20):
        while await listens(running.port):
            pass
    await asyncio.to_thread(running.stop, signal.SIGINT)


async def listens(port: int) -> bool:
    try:
        await refused(port)
    except (OSError, InvalidHandshake):
        return False
    return True


async def refused(port: int) -> int | None:
    """Return the status with which a new socket is refused, if it is."""
    try:
        async with connect(f"ws://127.0.0.1:{port}/"):
            return None
    except InvalidStatus as error:
        return error.response.status_code
