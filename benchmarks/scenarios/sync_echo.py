"""Plain `def` consumers: their throughput, and whether a slow one holds up the others."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from benchmarks.client import open_all
from benchmarks.load import ClosedLoop
from benchmarks.measure import CLIENT
from benchmarks.model import Case, Metric, Peer, Turn
from benchmarks.process import ServerProcess
from benchmarks.scenarios import echo

BLOCKED = 5
PACE = 0.01

RATE = Metric("rate", "echoes/s", digits=0, lower_is_better=False)
CPU = Metric("cpu_us", "CPU µs per echo")
FINISHED = Metric("finished_s", "all finished after s", digits=2)
LATENCY = Metric("latency_ms", "slowest async answer, ms")

OURS = Peer("achannels", "benchmarks.apps.ours:sync_echo", "/def/")
CHANNELS = Peer("Channels 4.3", "benchmarks.apps.channels4:sync_echo", "/def/")

ASYNC_PATH = "/async/"
BLOCKING_PATH = "/blocking/"


@asynccontextmanager
async def blocking_session(server: ServerProcess, _peer: Peer) -> AsyncIterator[Turn]:
    """Open the sockets whose consumers block, and one beside them whose consumer awaits."""
    slow = ClosedLoop()
    slow_sockets = [echo.EchoSocket(slow, number, deflate=False) for number in range(BLOCKED)]
    slow.workers.extend(slow_sockets)
    quick = ClosedLoop()
    quick_socket = echo.EchoSocket(quick, BLOCKED, deflate=False)
    quick.workers.append(quick_socket)
    await open_all(server.port, BLOCKING_PATH, [*slow_sockets], deflate=False)
    await open_all(server.port, ASYNC_PATH, [quick_socket], deflate=False)

    async def turn(_seconds: float) -> dict[str, float]:
        await quick.run(0)
        started = time.perf_counter()
        blocking = asyncio.create_task(slow.run(0))
        slowest = 0.0
        try:
            while not blocking.done():
                await asyncio.sleep(PACE)
                asked = time.perf_counter()
                await quick.run(0)
                slowest = max(slowest, time.perf_counter() - asked)
            await blocking
        finally:
            blocking.cancel()
        return {"finished_s": time.perf_counter() - started, "latency_ms": slowest * 1e3}

    yield turn
    for socket in (*slow_sockets, quick_socket):
        socket.abort()


def cases() -> list[Case]:
    """Return the throughput case and the case with blocking consumers."""
    return [
        Case(
            name="sync_echo",
            title=f"{echo.SOCKETS} sockets, {echo.SIZE} bytes, `def` consumer",
            metric=RATE,
            columns=(CPU, CLIENT),
            peers=(OURS, CHANNELS),
            session=partial(echo.session, deflate=False),
        ),
        Case(
            name="blocking",
            title=f"{BLOCKED} sockets each in a `def` that blocks for 0.5 s, one `async def` beside them",
            metric=FINISHED,
            columns=(LATENCY,),
            peers=(OURS, CHANNELS),
            session=blocking_session,
            once=True,
        ),
    ]
