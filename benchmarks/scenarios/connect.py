"""Connections: the cost of coming and going, and a crowd that comes at once."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from benchmarks.client import CLOSE, WebSocket, client_frame, open_websocket
from benchmarks.errors import MeasurementError
from benchmarks.measure import CLIENT, cpu_turn
from benchmarks.model import Case, Metric, Peer, Turn
from benchmarks.process import ServerProcess
from benchmarks.scenarios import fanout

CONCURRENT = 16
CROWD = 1000
CLOSE_TIMEOUT = 10.0
NORMAL = 1000

CPU = Metric("cpu_us", "CPU µs per cycle", digits=0)
RATE = Metric("rate", "cycles/s", digits=0, lower_is_better=False)
ACCEPTED = Metric("accepted", "accepted at the first try", digits=0, lower_is_better=False)
ELAPSED = Metric("elapsed_s", "all answered after s", digits=2)

PEERS = (fanout.BARE, fanout.OURS, fanout.CHANNELS)
CLOSE_FRAME = client_frame(CLOSE, NORMAL.to_bytes(2))


class PassingSocket(WebSocket):
    """A socket that is closed soon after it was opened."""

    def __init__(self) -> None:
        super().__init__()
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def text_received(self, text: bytes) -> None:
        """Take what nobody sent for a wrong end."""
        self.closed(f"received {text!r}")

    def closed(self, reason: str) -> None:
        """Keep the first word about the end."""
        if not self._ended.done():
            self._ended.set_result(reason)

    async def close(self) -> None:
        """Close in order and wait for the server's answer.

        Raises:
            MeasurementError: It was another answer, or none.
        """
        self.send(CLOSE_FRAME)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                reason = await self._ended
        except TimeoutError as exc:
            raise MeasurementError(f"no answer to close within {CLOSE_TIMEOUT:g} s") from exc
        finally:
            self.abort()
        if reason != f"closed with {NORMAL}":
            raise MeasurementError(f"close was answered by: {reason}")


async def cycles(seconds: float, *, port: int, deflate: bool) -> int:
    """Open and close sockets for some time, a few at once; return how many."""
    end = time.perf_counter() + seconds

    async def visitor() -> int:
        count = 0
        while time.perf_counter() < end:
            socket = PassingSocket()
            await open_websocket(port, fanout.MEMBER_PATH, socket, deflate=deflate)
            await socket.close()
            count += 1
        return count

    return sum(await asyncio.gather(*(visitor() for _ in range(CONCURRENT))))


@asynccontextmanager
async def cycle_session(
    server: ServerProcess, _peer: Peer, *, deflate: bool
) -> AsyncIterator[Turn]:
    """Measure cycles of connect, join and close."""
    run = partial(cycles, port=server.port, deflate=deflate)
    yield lambda seconds: cpu_turn(server, run, seconds)


@asynccontextmanager
async def crowd_session(server: ServerProcess, _peer: Peer) -> AsyncIterator[Turn]:
    """Let many connect in the same moment, each trying once."""

    async def turn(_seconds: float) -> dict[str, float]:
        sockets = [PassingSocket() for _ in range(CROWD)]
        started = time.perf_counter()
        outcomes = await asyncio.gather(
            *(open_websocket(server.port, fanout.MEMBER_PATH, s, deflate=False) for s in sockets),
            return_exceptions=True,
        )
        elapsed = time.perf_counter() - started
        accepted = [s for s, outcome in zip(sockets, outcomes, strict=True) if outcome is None]
        await asyncio.gather(*(socket.close() for socket in accepted))
        return {"accepted": len(accepted), "elapsed_s": elapsed}

    yield turn


def cases() -> list[Case]:
    """Return the cycles without and with compression, and the crowd."""
    measured = [
        Case(
            name=name,
            title=f"connect, join a group, close; {CONCURRENT} at once, "
            f"permessage-deflate {'on' if deflate else 'off'}",
            metric=CPU,
            columns=(RATE, CLIENT),
            peers=PEERS,
            session=partial(cycle_session, deflate=deflate),
            deflate=deflate,
        )
        for name, deflate in (("connect", False), ("connect deflate", True))
    ]
    crowd = Case(
        name="crowd",
        title=f"{CROWD} connects at once",
        metric=ACCEPTED,
        columns=(ELAPSED,),
        peers=PEERS,
        session=crowd_session,
        once=True,
    )
    return [*measured, crowd]
