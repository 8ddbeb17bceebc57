"""uvicorn gets its signal when the node has stopped, once, and with a limit of time."""

import asyncio
import signal
from collections.abc import Iterator

import pytest
import uvicorn

from achannels.asgi.signals import Signals


async def nothing(scope: object, receive: object, send: object) -> None:
    """An application that is not called."""


@pytest.fixture
def server() -> Iterator[uvicorn.Server]:
    """A server that would hear signals, and does not run."""
    found = uvicorn.Server(uvicorn.Config(nothing, log_config=None))
    before = signal.signal(signal.SIGINT, found.handle_exit)
    yield found
    signal.signal(signal.SIGINT, before)


class Stopping:
    """A node that stops when it is let."""

    def __init__(self) -> None:
        self.begun, self.let = asyncio.Event(), asyncio.Event()
        self.signals = Signals(self._stop, lambda: 60.0)
        self.signals.install()

    async def _stop(self) -> None:
        self.begun.set()
        await self.let.wait()

    async def end(self) -> None:
        """Let it stop, and hand on the signal."""
        self.let.set()
        task = self.signals._task
        assert task is not None
        await task
        await asyncio.sleep(0)


async def test_the_server_gets_the_signal_when_the_node_has_stopped(server: uvicorn.Server) -> None:
    stopping = Stopping()
    signal.raise_signal(signal.SIGINT)
    await stopping.begun.wait()
    assert not server.should_exit
    await stopping.end()
    assert (server.should_exit, server.force_exit) == (True, False)
    stopping.signals.remove()


async def test_a_second_signal_goes_to_the_server_and_the_first_not_after_it(
    server: uvicorn.Server,
) -> None:
    stopping = Stopping()
    signal.raise_signal(signal.SIGINT)
    await stopping.begun.wait()
    signal.raise_signal(signal.SIGINT)
    assert server.should_exit
    await stopping.end()
    assert not server.force_exit
    stopping.signals.remove()


@pytest.mark.parametrize("own", [None, 5, 0])
async def test_the_server_has_a_limit_until_it_has_stopped(
    server: uvicorn.Server, own: int | None
) -> None:
    """What is left of the time; one of its own stays."""
    server.config.timeout_graceful_shutdown = own
    stopping = Stopping()
    signal.raise_signal(signal.SIGINT)
    await stopping.begun.wait()
    await stopping.end()
    limit = server.config.timeout_graceful_shutdown
    assert limit == own if own is not None else limit is not None and 0 < limit <= 60
    stopping.signals.remove()
    assert server.config.timeout_graceful_shutdown == own
