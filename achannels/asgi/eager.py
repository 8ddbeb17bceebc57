"""Run an awaitable up to its first suspension, here and now, without a task.

An ASGI `send` seldom suspends: the server writes to the transport and returns. A task per member
of a fan-out would cost more than the write. So the first step runs in the caller, and only what
suspends (a client that reads slowly) is given to a task to finish.

During that first step `asyncio.current_task()` is the caller's task, not one of the socket's own.
"""

from collections.abc import Awaitable, Generator
from types import CoroutineType
from typing import Any


class Rest:
    """What is left of an awaitable that suspended; await it exactly once."""

    __slots__ = ("_first", "_steps")

    def __init__(self, steps: Any, first: Any) -> None:
        self._steps = steps
        self._first = first

    def __await__(self) -> Generator[Any, Any, None]:
        steps, waiting_for = self._steps, self._first
        while True:
            try:
                sent = yield waiting_for
            except BaseException as error:  # noqa: BLE001 - belongs to the awaitable, as in `yield from`
                try:
                    waiting_for = steps.throw(error)
                except StopIteration:
                    return
            else:
                try:
                    waiting_for = steps.send(sent)
                except StopIteration:
                    return


def start(awaitable: Awaitable[None]) -> Rest | None:
    """Run the first step; return the rest, or `None` when there is none.

    Raises:
        BaseException: What the awaitable raises in its first step.
    """
    steps: Any = awaitable if type(awaitable) is CoroutineType else _steps(awaitable)
    try:
        first = steps.send(None)
    except StopIteration:
        return None
    return Rest(steps, first)


async def _steps(awaitable: Awaitable[None]) -> None:
    """Make a coroutine of an awaitable of another kind."""
    await awaitable


__all__ = ["Rest", "start"]
