"""The bridge to `def` consumers: a bounded pool of threads, one socket's calls in order.

The pool is our own because `concurrent.futures` costs twice the whole hand-over: its future has a
lock, and is chained to one of the loop. Here a job goes through one queue, and its result comes
back with one `call_soon_threadsafe`.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any

from achannels.sync import Call, Collected, collected

logger = logging.getLogger("achannels.consumer")

Runner = Callable[[Callable[[], Any]], Awaitable[Any]]

_Outcome = Exception | None
_Steps = Sequence[Callable[[], None]]

_FRESH = 1.0
"""Seconds in which what was called after a consumer need not be called before the next one."""


class _Hygiene:
    """What surrounds each call in a thread; Django's app fills it in."""

    around: _Steps = ()
    runner: Runner | None = None


def set_hygiene(*around: Callable[[], None]) -> None:
    """Say what is called in the thread before and after each `def` consumer.

    Not before one that follows another in its thread within a second.
    """
    _Hygiene.around = around


def set_runner(runner: Runner | None) -> Runner | None:
    """Have `runner` run `def` consumers instead of the pool, and return the one before.

    For tests that share one database connection.
    """
    before = _Hygiene.runner
    _Hygiene.runner = runner
    return before


class Threads:
    """Runs plain functions beside the loop; used from one loop at a time.

    Args:
        limit: How many run at once, at most. Threads are started as they are needed.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._started = 0
        self._running = 0
        self._waiting: set[_Job] = set()

    async def run(
        self, function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> tuple[list[Call], Exception | None]:
        """Call a function in a thread and collect what it sends; see `call`.

        Returns:
            The collected sends in order, and the exception that it raised, if any.
        """
        sends = Collected()
        error = await self._outcome(sends, function, *args, **kwargs)
        return sends.calls, error

    async def call(
        self, sends: Collected, function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> None:
        """Call a function in a thread.

        A caller that is cancelled waits for the thread all the same, since a thread cannot be
        stopped and the next event of its socket must not overtake it; unless it is abandoned.

        Args:
            sends: Gets what the function sends, in order.
            function: The function.
            *args: For the function.
            **kwargs: For the function.

        Raises:
            Exception: What it raised.
        """
        error = await self._outcome(sends, function, *args, **kwargs)
        if error is not None:
            raise error

    async def _outcome(
        self, sends: Collected, function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> _Outcome:
        around = _Hygiene.around

        def call(before: _Steps) -> _Outcome:
            collected.set(sends)
            try:
                for step in before:
                    step()
                function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - it is the caller's to raise
                return error
            except BaseException as error:  # noqa: BLE001 - sys.exit() ends a consumer, not the node
                return RuntimeError(f"a consumer raised {error!r}")
            finally:
                for step in around:
                    step()
            return None

        context = copy_context()
        runner = _Hygiene.runner
        if runner is not None:
            outcome: _Outcome = await runner(lambda: context.run(call, around))
            return outcome
        self._running += 1
        try:
            return await self._to_the_end(sends, _Job(context, call, around))
        finally:
            self._running -= 1

    def close(self) -> None:
        """Let the threads end when they have nothing to do."""
        for _ in range(self._started):
            self._jobs.put(None)
        self._started = 0

    def abandon(self) -> None:
        """Have nobody wait any longer for a thread that hangs: its call fails now.

        The thread goes on. It is a daemon, so it does not keep the process from ending.
        """
        error = RuntimeError("it did not return in time; its thread goes on")
        for job in self._waiting:
            job.answer(error)

    async def _to_the_end(self, sends: Collected, job: "_Job") -> _Outcome:
        if self._running > self._started and self._started < self.limit:
            self._started += 1
            threading.Thread(
                target=_work, args=(self._jobs,), name="achannels-consumer", daemon=True
            ).start()
        self._waiting.add(job)
        self._jobs.put(job)
        try:
            return await job.future
        except asyncio.CancelledError:
            sends.is_cancelled = True
            while not job.has_ended:
                job.future = job.loop.create_future()
                with suppress(asyncio.CancelledError):  # it was told already
                    await job.future
            raise
        finally:
            self._waiting.discard(job)


class _Job:
    """A call that a thread makes.

    Attributes:
        future: Who waits for its outcome; another one after a cancellation.
        has_ended: It has an outcome, or nobody waits for it.
    """

    __slots__ = ("around", "call", "context", "future", "has_ended", "loop")

    def __init__(
        self, context: Context, call: Callable[[_Steps], _Outcome], around: _Steps
    ) -> None:
        self.context = context
        self.call = call
        self.around = around
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[_Outcome] = self.loop.create_future()
        self.has_ended = False

    def answer(self, outcome: _Outcome) -> None:
        """Give the outcome to who waits; the first one counts."""
        if not self.has_ended:
            self.has_ended = True
            if not self.future.done():
                self.future.set_result(outcome)


def _work(jobs: SimpleQueue[_Job | None]) -> None:
    last: _Steps = ()
    ended = 0.0
    while (job := jobs.get()) is not None:
        is_fresh = job.around is last and time.monotonic() - ended < _FRESH
        try:
            outcome = job.context.run(job.call, () if is_fresh else job.around)
            last, ended = job.around, time.monotonic()
        except Exception as error:  # noqa: BLE001 - of what surrounds the call
            outcome, last = error, ()
        try:
            job.loop.call_soon_threadsafe(job.answer, outcome)
        except RuntimeError:
            logger.warning("a consumer returned after its event loop was closed")
        del job, outcome


__all__ = ["Runner", "Threads", "set_hygiene", "set_runner"]
