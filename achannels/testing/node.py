"""Node: an application with its lifespan and its worker, in the process of the test."""

import asyncio
import logging
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from achannels.testing.connection import Connection, check_event, close_failed, where
from achannels.testing.leaks import check_tasks, keep, nodes, return_nodes
from achannels.types import ASGIApplication, Event

if TYPE_CHECKING:
    from achannels.asgi import node as core

_TURNS = 10
"""Turns of the loop without any change after which a node counts as idle."""

_POLL = 0.001
"""Seconds between two looks at handlers that run."""


class Node:
    """Runs an application's lifespan, and with it its worker, as an async context manager.

    Background messages are handled while it is entered. Sockets and requests that clients open
    meanwhile are this node's.

    Args:
        application: Any ASGI application that answers lifespan events, for example an
            `Application`.
        timeout: Seconds to wait for start and stop.

    Raises:
        Exception: On entering: what kept the application from starting. On leaving: what a
            background consumer raised that no test was told yet.
        AssertionError: The application does not answer lifespan events, or leaves tasks behind.
    """

    def __init__(self, application: ASGIApplication, *, timeout: float = 5.0) -> None:
        self.timeout = timeout
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        self._connection = Connection(application, scope, _is_of_node)
        self._to_application: asyncio.Queue[Event] = asyncio.Queue()
        self._answers: list[Event] = []
        self._nodes: set[core.Node] = set()

    async def __aenter__(self) -> Self:
        before = nodes()
        connection = self._connection
        connection.start(self._to_application.get, self._take)
        answer = await self._ask("lifespan.startup")
        self._nodes = keep(before)
        if answer is not None and answer["type"] == "lifespan.startup.complete":
            return self
        error: BaseException = connection.failure("the application does not answer lifespan events")
        if answer is not None:
            error = error.__cause__ or RuntimeError(answer.get("message") or "it did not start")
        await connection.end(self.timeout)
        raise error

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        failed: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connection = self._connection
        errors: list[BaseException | None] = [
            await check_tasks(node) for node in self._nodes if not node.sockets and not node.stopped
        ]
        answer = await self._ask("lifespan.shutdown")
        stuck = await connection.end(self.timeout)
        errors[:0] = [connection.take_error(), stuck]
        if answer is not None and answer["type"] == "lifespan.shutdown.failed":
            errors.append(AssertionError(f"the application did not stop: {answer.get('message')}"))
        errors.append(await return_nodes())
        close_failed(failed, errors)

    async def idle(self, timeout: float = 5.0) -> None:
        """Wait until everything due was handled: no message waits for the worker, no consumer runs.

        Messages whose time has not come are not waited for; see `Clock.advance`.

        Raises:
            Exception: What a background consumer raised since the last call.
            AssertionError: Consumers still run after `timeout` seconds; it says where.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        quiet, seen = 0, self._seen()
        while quiet < _TURNS:
            busy = self._is_busy()
            if busy and loop.time() > deadline:
                raise self._busy_error(timeout)
            await asyncio.sleep(_POLL if busy else 0)
            before, seen = seen, self._seen()
            quiet = 0 if busy or seen != before else quiet + 1
        if error := self._connection.take_error():
            raise error

    def _seen(self) -> list[tuple[int, ...]]:
        """Return numbers that change with every message."""
        return [
            (books.accepted, books.delivered, books.expired, books.replies, node.tasks)
            for node in self._nodes
            for books in [node.layer.books]
        ]

    def _is_busy(self) -> bool:
        return any(
            node.tasks or any(not getattr(socket, "_idle", True) for socket in node.sockets)
            for node in self._nodes
        )

    def _busy_error(self, timeout: float) -> AssertionError:
        tasks = {task for node in self._nodes for task in node._tasks}
        tasks |= {
            task for node in self._nodes if node.worker is not None for task in node.worker._tasks
        }
        places = "\n".join(f"{task.get_name()}:\n{where(task)}" for task in tasks)
        return AssertionError(f"the node is not idle after {timeout} s:\n{places}")

    async def _ask(self, kind: str) -> Event | None:
        """Send a lifespan event; `None` if the application ends or says nothing."""
        connection, answers = self._connection, self._answers
        answers.clear()
        self._to_application.put_nowait({"type": kind})
        await connection.until(lambda: bool(answers) or connection.ended, self.timeout)
        return answers[0] if answers else None

    async def _take(self, event: Event) -> None:
        check_event(
            event,
            [f"lifespan.{step}.{end}" for step in ("startup", "shutdown") for end in _ENDS],
        )
        self._answers.append(event)
        self._connection.changed()


_ENDS = ("complete", "failed")


def _is_of_node(record: logging.LogRecord) -> bool:
    """Whether a record is about no socket or request: the lifespan's, or a background message's."""
    extra: dict[str, Any] = record.__dict__
    return extra.get("path") is None


__all__ = ["Node"]
