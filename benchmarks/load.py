"""Closed loops: as much work as the server takes, for a time, and nothing left behind."""

import asyncio
from collections.abc import Iterable
from typing import Protocol

from benchmarks.errors import MeasurementError

GRACE = 30.0


class Worker(Protocol):
    """Does one unit of work after another, each when the one before is answered."""

    def start(self) -> None:
        """Begin one unit; `ClosedLoop.answered` is called when it is done and right."""


class ClosedLoop:
    """Keeps workers busy for a while and counts the units they finish.

    Attributes:
        units: What was finished since `run` began.
        running: Whether more is to be begun.
    """

    def __init__(self, workers: Iterable[Worker] = ()) -> None:
        self.workers = list(workers)
        self.units = 0
        self.running = False
        self._in_flight = 0
        self._done: asyncio.Future[None] | None = None
        self._problem = ""

    async def run(self, seconds: float) -> int:
        """Work for some time, wait until nothing is in flight and return the units done.

        Raises:
            MeasurementError: An answer was wrong, did not come, or came without a question.
        """
        if self._problem:
            raise MeasurementError(self._problem)
        loop = asyncio.get_running_loop()
        self.units = 0
        self.running = True
        self._in_flight = len(self.workers)
        self._done = loop.create_future()
        stop = loop.call_later(seconds, self._stop)
        try:
            for worker in self.workers:
                worker.start()
            async with asyncio.timeout(seconds + GRACE):
                await self._done
        except TimeoutError as exc:
            raise MeasurementError(
                f"{self._in_flight} answers did not come within {GRACE:g} s"
            ) from exc
        finally:
            stop.cancel()
            self._done = None
        return self.units

    def answered(self, worker: Worker) -> None:
        """Count one unit, and let its worker go on or rest."""
        self.units += 1
        if self.running:
            worker.start()
        else:
            self.rested()

    def rested(self) -> None:
        """Note that a worker has nothing in flight any more."""
        self._in_flight -= 1
        if not self._in_flight and self._done is not None and not self._done.done():
            self._done.set_result(None)

    def fail(self, problem: str) -> None:
        """End the run, and any later one: something was wrong or lost."""
        self.running = False
        self._problem = problem
        if self._done is not None and not self._done.done():
            self._done.set_exception(MeasurementError(problem))

    def _stop(self) -> None:
        self.running = False
