"""Echo: every socket sends a text and waits for it to come back."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from benchmarks.client import Message, WebSocket, open_all
from benchmarks.load import ClosedLoop
from benchmarks.measure import CLIENT, cpu_turn
from benchmarks.model import Case, Metric, Peer, Turn
from benchmarks.process import ServerProcess

SOCKETS = 50
SIZE = 64
TEXTS = 8

CPU = Metric("cpu_us", "CPU µs per echo")
RATE = Metric("rate", "echoes/s", digits=0, lower_is_better=False)

PEERS = (
    Peer("bare ASGI", "benchmarks.apps.bare:echo"),
    Peer("achannels function", "benchmarks.apps.ours:function_echo"),
    Peer("achannels class", "benchmarks.apps.ours:class_echo"),
    Peer("Channels 4.3", "benchmarks.apps.channels4:echo"),
)


class EchoSocket(WebSocket):
    """Sends its texts in turn and checks that each comes back."""

    def __init__(self, load: ClosedLoop, number: int, *, deflate: bool) -> None:
        super().__init__()
        self._load = load
        texts = (f"socket {number} says {index} ".ljust(SIZE, "=") for index in range(TEXTS))
        self._messages = itertools.cycle([Message.of(text, deflate=deflate) for text in texts])
        self._current = next(self._messages)

    def start(self) -> None:
        """Send the next text."""
        self._current = next(self._messages)
        self.transport.write(self._current.request)

    def data_received(self, data: bytes) -> None:
        """Take the answer, at once when it is one uncompressed frame."""
        if data == self._current.reply:
            self._load.answered(self)
        else:
            super().data_received(data)

    def text_received(self, text: bytes) -> None:
        """Take an answer that had to be parsed."""
        if text == self._current.text:
            self._load.answered(self)
        else:
            self._load.fail(f"sent {self._current.text!r}, came back {text!r}")

    def closed(self, reason: str) -> None:
        """End the run: a socket that is to stay has gone."""
        self._load.fail(reason)


@asynccontextmanager
async def session(server: ServerProcess, peer: Peer, *, deflate: bool) -> AsyncIterator[Turn]:
    """Open the sockets and echo on all of them in each turn."""
    load = ClosedLoop()
    sockets = [EchoSocket(load, number, deflate=deflate) for number in range(SOCKETS)]
    load.workers.extend(sockets)
    await open_all(server.port, peer.path, [*sockets], deflate=deflate)
    yield lambda seconds: cpu_turn(server, load.run, seconds)
    for socket in sockets:
        socket.abort()


def cases() -> list[Case]:
    """Return the case without and the case with compression."""
    return [
        Case(
            name=name,
            title=f"{SOCKETS} sockets, {SIZE} bytes, permessage-deflate {'on' if deflate else 'off'}",
            metric=CPU,
            columns=(RATE, CLIENT),
            peers=PEERS,
            session=partial(session, deflate=deflate),
            deflate=deflate,
        )
        for name, deflate in (("echo", False), ("echo deflate", True))
    ]
