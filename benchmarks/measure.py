"""The order of a measurement: rounds of fresh processes, and turns that alternate."""

import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from benchmarks.errors import MeasurementError
from benchmarks.model import Case, CaseResult, Metric, Peer, Sample, Turn
from benchmarks.process import ServerProcess, running_server

WARM_UP = 0.15
"""Part of the turn's time that is spent on unmeasured work before it."""

CLIENT = Metric("client_percent", "client busy %", digits=0)


@dataclass(frozen=True)
class Options:
    """How much is measured.

    Attributes:
        rounds: How often every server is started afresh.
        turns: How often the peers of a round take turns.
        seconds: How long a turn lasts.
        ws: uvicorn's WebSocket implementation, for all peers.
        server_core: The core of the servers, if the machine has one to spare.
    """

    rounds: int
    turns: int
    seconds: float
    ws: str
    server_core: int | None


async def cpu_turn(
    server: ServerProcess, run: Callable[[float], Awaitable[int]], seconds: float
) -> dict[str, float]:
    """Measure what a unit of work costs the server.

    Nothing is in flight when the clocks are read, so each unit's whole cost is counted.

    Args:
        server: The server that does the work.
        run: Drives the work for some time, waits until it is all done and returns its units.
        seconds: How long.

    Returns:
        The server's CPU time per unit in microseconds, the rate, and how busy this process was.
    """
    await run(seconds * WARM_UP)
    started, cpu, client = time.perf_counter(), server.cpu_seconds(), time.process_time()
    units = await run(seconds)
    cpu = server.cpu_seconds() - cpu
    client = time.process_time() - client
    elapsed = time.perf_counter() - started
    return {
        "cpu_us": cpu / units * 1e6,
        "rate": units / elapsed,
        CLIENT.key: client / elapsed * 100,
    }


@dataclass
class CaseRun:
    """One case in the course of being measured."""

    case: Case
    options: Options
    samples: list[Sample] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    async def measure(self) -> CaseResult:
        """Measure all rounds; a peer that fails is left out from then on."""
        for number in range(self.options.rounds):
            if self.case.alone:
                for peer in self.case.peers:
                    await self._round(number, (peer,))
            else:
                await self._round(number, self.case.peers)
        return CaseResult(self.case, tuple(self.samples), self.failures)

    async def _round(self, number: int, peers: tuple[Peer, ...]) -> None:
        async with AsyncExitStack() as stack:
            turns: dict[Peer, Turn] = {}
            for peer in peers:
                if peer.name not in self.failures:
                    try:
                        turns[peer] = await self._open(stack, peer)
                    except MeasurementError as exc:
                        self.failures[peer.name] = str(exc)
            for _ in range(1 if self.case.once else self.options.turns):
                for peer, turn in turns.items():
                    if peer.name not in self.failures:
                        await self._turn(number, peer, turn)

    async def _open(self, stack: AsyncExitStack, peer: Peer) -> Turn:
        server = await stack.enter_async_context(
            running_server(
                peer.app,
                ws=self.options.ws,
                deflate=self.case.deflate,
                core=self.options.server_core,
            )
        )
        return await stack.enter_async_context(self.case.session(server, peer))

    async def _turn(self, number: int, peer: Peer, turn: Turn) -> None:
        try:
            values = await turn(self.options.seconds)
        except MeasurementError as exc:
            self.failures[peer.name] = str(exc)
        else:
            self.samples.append(Sample(self.case.name, peer.name, number, values))
