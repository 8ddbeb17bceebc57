"""HTTP: a trivial Django view."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from benchmarks.load import ClosedLoop
from benchmarks.measure import CLIENT, cpu_turn
from benchmarks.model import Case, Metric, Peer, Turn
from benchmarks.process import ServerProcess

CONNECTIONS = 16
BODY = b"hello"

CPU = Metric("cpu_us", "CPU µs per request", digits=0)
RATE = Metric("rate", "requests/s", digits=0, lower_is_better=False)


class HttpConnection(asyncio.Protocol):
    """A kept-alive connection that asks for one path again and again."""

    def __init__(self, load: ClosedLoop, path: str) -> None:
        self._load = load
        self._request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        self._received = b""

    async def open(self, port: int) -> None:
        """Connect on the loopback interface."""
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; nothing is asked before `start`."""
        self._transport = cast("asyncio.Transport", transport)

    def start(self) -> None:
        """Send a request."""
        self._received = b""
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Take the answer, whole or in pieces, and check it."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < len(BODY):
            return
        if head.startswith(b"HTTP/1.1 200 ") and body == BODY:
            self._load.answered(self)
        else:
            self._load.fail(f"answered {self._received[:80]!r}")

    def connection_lost(self, exc: Exception | None) -> None:
        """End the run: a connection that is to stay has gone."""
        self._load.fail(f"connection lost: {exc}")

    def abort(self) -> None:
        """End the connection at once."""
        self._transport.abort()


@asynccontextmanager
async def session(server: ServerProcess, peer: Peer) -> AsyncIterator[Turn]:
    """Open the connections and ask on all of them in each turn."""
    load = ClosedLoop()
    connections = [HttpConnection(load, peer.path) for _ in range(CONNECTIONS)]
    load.workers.extend(connections)
    for connection in connections:
        await connection.open(server.port)
    yield lambda seconds: cpu_turn(server, load.run, seconds)
    for connection in connections:
        connection.abort()


def cases() -> list[Case]:
    """Return the case with an `async def` view and the case with a `def` view."""
    return [
        Case(
            name=name,
            title=f"{CONNECTIONS} connections, trivial `{kind}` view",
            metric=CPU,
            columns=(RATE, CLIENT),
            peers=(
                Peer("plain Django", "benchmarks.apps.django_plain:application", path),
                Peer("achannels", "benchmarks.apps.django_ours:application", path),
                Peer("Channels 4.3", "benchmarks.apps.django_channels4:application", path),
            ),
            session=session,
        )
        for name, kind, path in (("http", "async def", "/async/"), ("http def", "def", "/def/"))
    ]
