"""What is measured: metrics, peers, cases and the samples they give."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from benchmarks.process import ServerProcess, running_server

Turn = Callable[[float], Awaitable[dict[str, float]]]
"""Measures for about so many seconds and returns values by metric key."""


@dataclass(frozen=True)
class Metric:
    """One measured quantity.

    Attributes:
        key: Its name in samples and goals.
        label: Its name in the table.
        digits: Digits after the point in the table.
        lower_is_better: Whether the lowest sample is the best.
    """

    key: str
    label: str
    digits: int = 1
    lower_is_better: bool = True


@dataclass(frozen=True)
class Peer:
    """One server application in a comparison.

    Attributes:
        name: Its name in the table and in the goals.
        app: Import string of the ASGI application.
        path: Where the scenario's clients connect.
    """

    name: str
    app: str
    path: str = "/"


@dataclass(frozen=True)
class Options:
    """How much is measured, and where.

    Attributes:
        rounds: How often every server is started afresh.
        turns: How often the peers of a round take turns.
        seconds: How long a turn lasts.
        ws: uvicorn's WebSocket implementation, for all peers.
        server_core: The core of the servers, if the machine has one to spare.
        client_core: The core of this process.
    """

    rounds: int
    turns: int
    seconds: float
    ws: str
    server_core: int | None
    client_core: int | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One table: the peers that do the same work.

    Attributes:
        name: Its name in the goals.
        title: What is done.
        metric: What the peers are compared by.
        columns: Other metrics worth a column; their medians are shown.
        peers: Who takes part, in the order of the turns.
        once: One turn per round is enough: repeating it in the same process tells nothing new.
        alone: Only one peer's servers and clients at a time, for a case with very many sockets.
    """

    name: str
    title: str
    metric: Metric
    columns: tuple[Metric, ...]
    peers: tuple[Peer, ...]
    once: bool = False
    alone: bool = False

    def open(self, peer: Peer, options: Options) -> AbstractAsyncContextManager[Turn]:
        """Start a peer's processes and clients, and give the turn to repeat."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Case(Comparison):
    """A comparison of peers that have one server each.

    Attributes:
        session: Opens the clients of a peer on its running server and gives the turn to repeat.
        deflate: Whether permessage-deflate is in use.
    """

    session: Callable[[ServerProcess, Peer], AbstractAsyncContextManager[Turn]]
    deflate: bool = False

    @asynccontextmanager
    async def open(self, peer: Peer, options: Options) -> AsyncIterator[Turn]:
        """Start a peer's server and clients, and give the turn to repeat."""
        async with (
            running_server(
                peer.app, ws=options.ws, deflate=self.deflate, core=options.server_core
            ) as server,
            self.session(server, peer) as turn,
        ):
            yield turn


@dataclass(frozen=True)
class Sample:
    """The values of one turn."""

    case: str
    peer: str
    round: int
    values: dict[str, float]


@dataclass(frozen=True)
class CaseResult:
    """All samples of a case, and what kept peers from giving more."""

    case: Comparison
    samples: tuple[Sample, ...]
    failures: dict[str, str]

    def values(self, peer: str, metric: str) -> list[float]:
        """Return a peer's values of one metric, in the order they were measured."""
        return [
            sample.values[metric]
            for sample in self.samples
            if sample.peer == peer and metric in sample.values
        ]
