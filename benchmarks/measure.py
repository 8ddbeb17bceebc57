"""The order of a measurement: rounds of fresh processes, and turns that alternate."""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.errors import MeasurementError
from benchmarks.model import CaseResult, Comparison, Metric, Options, Peer, Sample, Turn

WARM_UP = 0.15
"""Part of the turn's time that is spent on unmeasured work before it."""

CLIENT = Metric("client_percent", "client busy %", digits=0)


class Clock(Protocol):
    """What has used CPU time: a process, or several together."""

    def cpu_seconds(self) -> float:
        """Return the CPU time so far."""


class Together:
    """Several processes as one.

    Args:
        *parts: The processes.
    """

    def __init__(self, *parts: Clock) -> None:
        self._parts = parts

    def cpu_seconds(self) -> float:
        """Return the CPU time of all of them so far."""
        return sum(part.cpu_seconds() for part in self._parts)


async def cpu_turn(
    server: Clock,
    run: Callable[[float], Awaitable[int]],
    seconds: float,
    others: Mapping[str, Clock] | None = None,
) -> dict[str, float]:
    """Measure what a unit of work costs the server.

    Nothing is in flight when the clocks are read, so each unit's whole cost is counted.

    Args:
        server: The server that does the work.
        run: Drives the work for some time, waits until it is all done and returns its units.
        seconds: How long.
        others: What else is measured in the same way, by the keys of the result.

    Returns:
        The server's CPU time per unit in microseconds, the rate, and how busy this process was.
    """
    await run(seconds * WARM_UP)
    clocks = {"cpu_us": server, **(others or {})}
    started, client = time.perf_counter(), time.process_time()
    before = {key: clock.cpu_seconds() for key, clock in clocks.items()}
    units = await run(seconds)
    after = {key: clock.cpu_seconds() for key, clock in clocks.items()}
    client = time.process_time() - client
    elapsed = time.perf_counter() - started
    return {key: (after[key] - before[key]) / units * 1e6 for key in clocks} | {
        "rate": units / elapsed,
        CLIENT.key: client / elapsed * 100,
    }


@dataclass
class CaseRun:
    """One case in the course of being measured."""

    case: Comparison
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
                        opening = self.case.open(peer, self.options)
                        turns[peer] = await stack.enter_async_context(opening)
                    except MeasurementError as exc:
                        self.failures[peer.name] = str(exc)
            for _ in range(1 if self.case.once else self.options.turns):
                for peer, turn in turns.items():
                    if peer.name not in self.failures:
                        await self._turn(number, peer, turn)

    async def _turn(self, number: int, peer: Peer, turn: Turn) -> None:
        try:
            values = await turn(self.options.seconds)
        except MeasurementError as exc:
            self.failures[peer.name] = str(exc)
        else:
            self.samples.append(Sample(self.case.name, peer.name, number, values))
