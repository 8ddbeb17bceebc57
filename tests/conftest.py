"""What every test of this repository gets: the kit's fixtures, no blocking calls, no leaks."""

import inspect
import logging
from collections.abc import AsyncIterator, Iterator

import pytest
from blockbuster import BlockBuster
from django.db import connections
from hypothesis import settings

from achannels.testing import plugin
from achannels.testing.leaks import no_leaks

settings.register_profile("achannels", deadline=None)  # a busy machine is no mistake
settings.load_profile("achannels")


def pytest_configure(config: pytest.Config) -> None:
    """Load the plugin also where the package is not installed; take slow steps as they come.

    The debug mode of asyncio warns of a step that takes 0.1 s, which on a busy machine is nobody's
    mistake, and would fail the tests that expect no warning.
    """
    logging.getLogger("asyncio").addFilter(
        lambda record: record.msg != "Executing %s took %.3f seconds"
    )
    if not config.pluginmanager.is_registered(plugin):
        config.pluginmanager.register(plugin, "achannels")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have every coroutine test checked for leaks, and give properties time for their examples."""
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker(pytest.mark.timeout(300))  # ten times what they take alone
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.fixturenames.insert(0, "_no_leaks")


@pytest.fixture
async def _no_leaks() -> AsyncIterator[None]:
    async with no_leaks():
        yield


@pytest.fixture(autouse=True)
def _close_connections() -> Iterator[None]:
    """Close the database in this thread, so that it does not matter which test came before."""
    yield
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:  # of a class of tests that goes on
            connection.close()


@pytest.fixture(autouse=True)
def _no_blocking_calls() -> Iterator[None]:
    """A call that blocks the event loop fails the test."""
    blockbuster = BlockBuster()
    acquire = blockbuster.functions["threading.Lock.acquire"]
    acquire.can_block_in("coverage/collector.py", {"lock_data"})
    acquire.can_block_in("asgiref/sync.py", {"__aexit__"})  # old versions end a thread there
    blockbuster.activate()
    yield
    blockbuster.deactivate()
