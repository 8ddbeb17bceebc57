"""Lifespan: start the node, hand the events on to the applications beside it, stop in reverse."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Protocol

from achannels.types import ASGIApplication, Event, Receive, Scope, Send

logger = logging.getLogger("achannels.server")

_PATIENCE = 1.0
"""Seconds that another application may take to return after its last answer."""


class Context(Protocol):
    """Something that is entered and left."""

    async def __aenter__(self) -> Any: ...

    async def __aexit__(self, *exc_info: object) -> Any: ...


async def serve(
    context: Context, others: Sequence[ASGIApplication], scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer a server's lifespan events.

    Args:
        context: What is open between startup and shutdown.
        others: Applications that get the events too; one that knows no lifespan is left alone.
        scope: The lifespan scope.
        receive: The server's.
        send: The server's.
    """
    await receive()
    async with AsyncExitStack() as stack:
        try:
            for other in others:
                await stack.enter_async_context(_Other(other, scope))
            await stack.enter_async_context(context)
        except Exception as error:
            logger.exception("the application did not start")
            await stack.aclose()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        try:
            await stack.aclose()
        except Exception as error:
            logger.exception("the application did not stop cleanly")
            await send({"type": "lifespan.shutdown.failed", "message": str(error)})
            return
    await send({"type": "lifespan.shutdown.complete"})


class _Other:
    """The lifespan of another application, entered and left."""

    def __init__(self, app: ASGIApplication, scope: Scope) -> None:
        self._app = app
        self._scope = scope
        self._to_app: asyncio.Queue[Event] = asyncio.Queue()
        self._from_app: asyncio.Queue[Event] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())
        answer = await self._ask("lifespan.startup")
        if answer is not None and answer["type"] == "lifespan.startup.failed":
            await self._end(self._task)
            raise RuntimeError(answer.get("message") or "an inner application did not start")

    async def __aexit__(self, *exc_info: object) -> None:
        answer = await self._ask("lifespan.shutdown")
        if self._task is not None:
            await self._end(self._task)
        if answer is not None and answer["type"] == "lifespan.shutdown.failed":
            raise RuntimeError(answer.get("message") or "an inner application did not stop cleanly")

    async def _end(self, task: asyncio.Task[None]) -> None:
        await asyncio.wait([task], timeout=_PATIENCE)
        task.cancel()
        await asyncio.wait([task])

    async def _run(self) -> None:
        await self._app(self._scope, self._to_app.get, self._from_app.put)

    async def _ask(self, type_: str) -> Event | None:
        """Send an event and return the answer; `None` from an application without lifespan."""
        task = self._task
        if task is None or task.done():
            return None
        self._to_app.put_nowait({"type": type_})
        getting = asyncio.get_running_loop().create_task(self._from_app.get())
        await asyncio.wait({task, getting}, return_when=asyncio.FIRST_COMPLETED)
        if getting.done():
            return getting.result()
        getting.cancel()
        await asyncio.wait({getting})
        if not task.cancelled() and task.exception() is not None:
            logger.debug("an inner application knows no lifespan: %r", task.exception())
        return None


__all__ = ["Context", "serve"]
