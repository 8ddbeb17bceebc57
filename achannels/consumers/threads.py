"""The bridge to `def` consumers: a bounded pool of threads, one socket's calls in order."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from achannels.sync import Call, Collected, collected

Runner = Callable[[Callable[[], Any]], Awaitable[Any]]


class _Hygiene:
    """What surrounds each call in a thread; Django's app fills it in."""

    around: Sequence[Callable[[], None]] = ()
    runner: Runner | None = None


def set_hygiene(*around: Callable[[], None]) -> None:
    """Say what is called in the thread before and after each `def` consumer."""
    _Hygiene.around = around


def set_runner(runner: Runner | None) -> Runner | None:
    """Have `runner` run `def` consumers instead of the pool, and return the one before.

    For tests that share one database connection.
    """
    before = _Hygiene.runner
    _Hygiene.runner = runner
    return before


class Threads:
    """Runs plain functions beside the loop.

    Args:
        limit: How many run at once, at most.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._pool: ThreadPoolExecutor | None = None

    async def run(
        self, function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> tuple[list[Call], BaseException | None]:
        """Call a function in a thread and collect what it sends.

        A caller that is cancelled waits for the thread all the same, since a thread cannot be
        stopped and the next event of its socket must not overtake it.

        Returns:
            The collected sends in order, and the exception that it raised, if any.
        """
        sends = Collected()
        around = _Hygiene.around

        def call() -> BaseException | None:
            collected.set(sends)
            for step in around:
                step()
            try:
                function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - it is the caller's to raise
                return error
            finally:
                for step in around:
                    step()
            return None

        context = copy_context()
        runner = _Hygiene.runner
        if runner is not None:
            error = await runner(lambda: context.run(call))
        else:
            loop = asyncio.get_running_loop()
            error = await _to_the_end(loop.run_in_executor(self._executor(), context.run, call))
        return sends.calls, error

    def close(self) -> None:
        """Let the threads end when they are idle."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)
            self._pool = None

    def _executor(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.limit, thread_name_prefix="achannels")
        return self._pool


async def _to_the_end(future: asyncio.Future[Any]) -> Any:
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if not future.done():
            await asyncio.wait([future])
        raise


__all__ = ["Runner", "Threads", "set_hygiene", "set_runner"]
