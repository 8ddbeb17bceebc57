"""When what a change of a model leads to is sent: not before the change is there for others."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connections, transaction


class _Waits:
    enabled = True


def when_committed(callback: Callable[[], None], using: str) -> None:
    """Call back when the transaction of a database has been committed; now if there is none.

    After a commit an exception is logged by Django and not raised: the change is there, and the
    other callbacks have to run.
    """
    if _Waits.enabled and connections[using].in_atomic_block:
        transaction.on_commit(callback, using=using, robust=True)
    else:
        callback()


@contextmanager
def at_once() -> Iterator[None]:
    """Have nothing wait inside the block: a test's transaction is never committed."""
    before, _Waits.enabled = _Waits.enabled, False
    try:
        yield
    finally:
        _Waits.enabled = before


__all__ = ["at_once", "when_committed"]
