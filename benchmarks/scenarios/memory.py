"""Memory: what an idle socket in one group adds to the server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from benchmarks.client import WebSocket, open_all
from benchmarks.errors import MeasurementError
from benchmarks.model import Case, Metric, Peer, Turn
from benchmarks.process import ServerProcess
from benchmarks.scenarios import fanout

SOCKETS = 2000
WARM_UP_SOCKETS = 20

PER_SOCKET = Metric("kib", "KiB per socket", digits=2)
BASE = Metric("base_mib", "MiB before")


class IdleSocket(WebSocket):
    """A socket on which nothing happens."""

    lost = ""

    def text_received(self, text: bytes) -> None:
        """Note what nobody sent."""
        self.lost = f"received {text!r}"

    def closed(self, reason: str) -> None:
        """Note the end."""
        self.lost = reason


@asynccontextmanager
async def session(server: ServerProcess, _peer: Peer, *, deflate: bool) -> AsyncIterator[Turn]:
    """Let a few sockets touch the code first, then weigh many."""

    async def resident_kib() -> int:
        await server.command("collect")
        return server.resident_kib()

    async def turn(_seconds: float) -> dict[str, float]:
        await open_all(server.port, fanout.MEMBER_PATH, [*first], deflate=deflate)
        before = await resident_kib()
        await open_all(server.port, fanout.MEMBER_PATH, [*many], deflate=deflate)
        after = await resident_kib()
        if lost := [socket.lost for socket in (*first, *many) if socket.lost]:
            raise MeasurementError(f"{len(lost)} sockets did not stay idle: {lost[0]}")
        return {"kib": (after - before) / SOCKETS, "base_mib": before / 1024}

    first = [IdleSocket() for _ in range(WARM_UP_SOCKETS)]
    many = [IdleSocket() for _ in range(SOCKETS)]
    yield turn
    for socket in (*first, *many):
        socket.abort()


def cases() -> list[Case]:
    """Return the case without and the case with compression."""
    return [
        Case(
            name=name,
            title=f"{SOCKETS} sockets in one group, permessage-deflate {'on' if deflate else 'off'}",
            metric=PER_SOCKET,
            columns=(BASE,),
            peers=(fanout.BARE, fanout.OURS, fanout.CHANNELS),
            session=partial(session, deflate=deflate),
            deflate=deflate,
            once=True,
            alone=True,
        )
        for name, deflate in (("memory", False), ("memory deflate", True))
    ]
