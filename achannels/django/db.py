"""Database connections of code that runs beside the loop: closed as Django closes them."""

import asyncio
import contextvars
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import wraps
from typing import Any, ParamSpec, TypeVar, overload

from asgiref.sync import SyncToAsync, sync_to_async
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

P = ParamSpec("P")
R = TypeVar("R")

LOOK = 1.0
"""Seconds between two looks at a shared connection."""


@overload
def database_sync_to_async(
    function: Callable[P, R], *, thread_sensitive: bool = True, executor: Any = None
) -> Callable[P, Awaitable[R]]: ...


@overload
def database_sync_to_async(
    *, thread_sensitive: bool = True, executor: Any = None
) -> Callable[[Callable[P, R]], Callable[P, Awaitable[R]]]: ...


def database_sync_to_async(
    function: Callable[..., Any] | None = None,
    *,
    thread_sensitive: bool = True,
    executor: Any = None,
) -> Any:
    """Make a function that uses the ORM callable from `async def` code.

    As `asgiref.sync.sync_to_async`, and around each call the connections of its thread are closed
    that are broken or past their `CONN_MAX_AGE`, as Django does around a request. Also a decorator.

    Args:
        function: A plain function or method.
        thread_sensitive: Run in the one thread for such code; `False`: in any of a pool.
        executor: The pool, with `thread_sensitive=False`; `None` takes the loop's own.
    """
    if function is None:
        return lambda function: database_sync_to_async(
            function, thread_sensitive=thread_sensitive, executor=executor
        )
    inner = function

    @wraps(inner)
    def clean(*args: Any, **kwargs: Any) -> Any:
        close_old_connections()
        try:
            return inner(*args, **kwargs)
        finally:
            close_old_connections()

    if executor is not None:
        return sync_to_async(clean, thread_sensitive=thread_sensitive, executor=executor)
    return sync_to_async(clean, thread_sensitive=thread_sensitive)


def close_old_connections() -> None:
    """Close the connections of this thread that are broken or past their `CONN_MAX_AGE`.

    As Django's function of this name, but one with an open transaction stays: it is the one of a
    test case, or of a caller further out.
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


def on_commit(callback: Callable[[], None], alias: str | None) -> None:
    """Call back when the transaction of a database has been committed; now if there is none."""
    transaction.on_commit(callback, using=alias)


def heal_shared_connections() -> None:
    """Have connections looked after that no request and no `def` consumer closes.

    What `async def` consumers ask of the ORM runs in one thread of the process, and its connection
    has no end of a request. When an error has occurred on it, and it is of no use any more, it is
    closed within `LOOK` seconds, so a database that was restarted breaks no socket for good. One
    that works stays open: an async iteration may be in the middle of it. With `CONN_HEALTH_CHECKS`
    it is checked before its next use.
    """
    connection_created.connect(_created, dispatch_uid="achannels")


def _created(*, connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    loop = getattr(SyncToAsync.threadlocal, "main_event_loop", None)
    if loop is None or SyncToAsync.thread_sensitive_context.get(None) is not None:
        return  # no thread of async code, or one that ends with its request
    with suppress(RuntimeError):  # that loop is closed: a connection of another life of the thread
        loop.call_soon_threadsafe(_Watch(loop, connection).wait, context=contextvars.Context())


class _Watch:
    """Looks at one connection from the loop as long as it is open."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: BaseDatabaseWrapper) -> None:
        self._loop = loop
        self._connection = weakref.ref(connection)
        self._task: asyncio.Task[None] | None = None

    def wait(self) -> None:
        self._loop.call_later(LOOK, self._look)

    def _look(self) -> None:
        connection = self._connection()
        if connection is None or connection.connection is None:
            return
        connection.health_check_done = False  # type: ignore[attr-defined]
        if connection.errors_occurred:
            self._task = self._loop.create_task(sync_to_async(close_broken_connections)())
        self.wait()


def close_broken_connections() -> None:
    """Close the connections of this thread on which errors occurred and that are of no use."""
    for connection in connections.all(initialized_only=True):
        if connection.connection is None or not connection.errors_occurred:
            continue
        if connection.is_usable():
            connection.errors_occurred = False
        else:
            connection.close()


__all__ = [
    "close_broken_connections",
    "close_old_connections",
    "database_sync_to_async",
    "heal_shared_connections",
    "on_commit",
]
