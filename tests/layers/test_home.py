"""Layers and event loops: one home, calls from anywhere in the process."""

import asyncio
import concurrent.futures
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from achannels.exceptions import ChannelFull, ConfigurationError, LayerClosed, LayerUnavailable
from achannels.layers import BaseLayer
from achannels.layers.memory import MemoryLayer
from achannels.testing.clock import Clock
from achannels.testing.layer_suite import Connection, check_books

T = TypeVar("T")


class LoopThread:
    """An event loop that runs in a thread of its own until it is stopped."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def begin(self, call: Callable[[], Coroutine[Any, Any, T]]) -> concurrent.futures.Future[T]:
        return asyncio.run_coroutine_threadsafe(call(), self.loop)

    def run(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return self.begin(call).result(timeout=10)

    def stop(self) -> None:
        """Stop and leave the loop open, as `run_until_complete` does between two calls."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def go_on(self) -> None:
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def close(self) -> None:
        """Cancel what is left and close the loop, as `asyncio.run` does."""
        if self.loop.is_closed():
            return
        if self.thread.is_alive():
            self.stop()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))
        self.loop.close()


@pytest.fixture
def threads() -> Iterator[Callable[[], LoopThread]]:
    made: list[LoopThread] = []

    def make() -> LoopThread:
        made.append(LoopThread())
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_messages_outlive_the_loops_of_asyncio_run() -> None:
    layer = MemoryLayer()
    for n in range(3):
        asyncio.run(layer.send("work", {"n": n}))
        asyncio.run(layer.group_add("all", "work"))
    asyncio.run(layer.group_send("all", {"n": 3}))
    assert [asyncio.run(layer.receive("work"))["n"] for _ in range(4)] == [0, 1, 2, 3]


def test_the_first_loop_is_the_home_while_it_runs(threads: Callable[[], LoopThread]) -> None:
    layer = MemoryLayer()
    home = layer.loop
    assert home is None
    first, second = threads(), threads()
    first.run(lambda: layer.send("work", {}))
    second.run(lambda: layer.send("work", {}))
    assert layer.loop is first.loop
    first.close()
    second.run(lambda: layer.send("work", {}))
    assert layer.loop is second.loop


def test_a_call_from_elsewhere_raises_as_at_home(threads: Callable[[], LoopThread]) -> None:
    layer = MemoryLayer(capacity=1)
    home, far = threads(), threads()
    home.run(layer.open)
    far.run(lambda: layer.send("work", {}))
    with pytest.raises(ChannelFull):
        far.run(lambda: layer.send("work", {}))
    home.run(layer.aclose)
    with pytest.raises(LayerClosed):
        far.run(lambda: layer.receive("work"))


def test_closing_from_elsewhere_ends_receives_from_elsewhere(
    threads: Callable[[], LoopThread],
) -> None:
    layer = MemoryLayer()
    home, far, other = threads(), threads(), threads()
    home.run(layer.open)
    waiting = far.begin(lambda: layer.receive("work"))
    home.run(lambda: until(lambda: layer._mailboxes.has_waiters))
    other.run(layer.aclose)
    with pytest.raises(LayerClosed):
        waiting.result(timeout=10)


def test_a_call_that_the_home_never_began_is_made_at_the_next_home(
    threads: Callable[[], LoopThread],
) -> None:
    layer = MemoryLayer()
    home, far = threads(), threads()
    home.run(layer.open)
    blocked, go = threading.Event(), threading.Event()

    def hold() -> None:
        blocked.set()
        spin(go)
        home.loop.stop()

    home.loop.call_soon_threadsafe(hold)
    blocked.wait()
    sending = far.begin(lambda: layer.send("work", {"n": 1}))
    go.set()
    sending.result(timeout=10)
    home.thread.join()
    assert layer.loop is far.loop
    home.go_on()  # what it still has of the call does nothing
    home.run(lambda: asyncio.sleep(0))
    assert far.run(layer.statistics)["accepted"] == 1


def test_a_receive_from_elsewhere_goes_on_when_the_home_has_ended(
    threads: Callable[[], LoopThread],
) -> None:
    layer = MemoryLayer()
    home, far, other = threads(), threads(), threads()
    home.run(layer.open)
    waiting = far.begin(lambda: layer.receive("work"))
    home.run(lambda: until(lambda: layer._mailboxes.has_waiters))
    home.close()
    other.run(lambda: layer.send("work", {"n": 1}))
    assert waiting.result(timeout=10) == {"n": 1}
    check_books(other.run(layer.statistics))


@pytest.mark.parametrize("take", [False, True])
def test_what_was_taken_for_a_caller_who_is_gone_goes_back(
    threads: Callable[[], LoopThread], take: bool
) -> None:
    layer = MemoryLayer()
    home, far = threads(), threads()
    home.run(lambda: layer.send("work", {"n": 1}))

    def hold() -> threading.Event:
        held, go = threading.Event(), threading.Event()
        home.loop.call_soon_threadsafe(held.set)
        home.loop.call_soon_threadsafe(spin, go)
        holds.append(held)
        return go

    async def call() -> None:
        await (layer.take(["work"]) if take else layer.receive("work"))

    holds: list[threading.Event] = []
    first = hold()
    holds[0].wait()
    waiting = far.begin(call)  # its call waits behind the first hold, and before the second
    far.run(lambda: asyncio.sleep(0))
    second = hold()
    first.set()
    holds[1].wait()
    waiting.cancel()
    far.run(lambda: asyncio.sleep(0.01))
    second.set()
    assert home.run(lambda: layer.receive("work")) == {"n": 1}
    books = home.run(layer.statistics)
    check_books(books)
    assert (books["delivered"], books["pending"]) == (1, 0)


def test_a_home_that_pauses_and_goes_on_keeps_its_listeners(
    threads: Callable[[], LoopThread],
) -> None:
    layer = MemoryLayer()
    home, far = threads(), threads()
    home.run(layer.open)
    waiting = home.begin(lambda: layer.receive("work"))
    home.run(lambda: until(lambda: layer._mailboxes.has_waiters))
    home.stop()
    far.run(lambda: layer.send("other", {}))
    assert layer.loop is far.loop
    home.go_on()
    far.run(lambda: layer.send("work", {"n": 1}))
    assert waiting.result(timeout=10) == {"n": 1}
    assert far.run(layer.statistics)["delivered"] == 1


def test_a_group_send_cut_off_by_the_end_of_its_loop_is_unknown(
    threads: Callable[[], LoopThread],
) -> None:
    layer = MemoryLayer()
    home, far = threads(), threads()
    begun, go = threading.Event(), threading.Event()

    class Stopping(Connection):
        def deliver(self, message: Any, *, group: bool) -> bool:
            begun.set()
            spin(go)
            home.loop.stop()
            return super().deliver(message, group=group)

    async def join() -> None:
        for n in range(100):
            socket = Stopping(layer) if n == 0 else Connection(layer)
            await layer.group_add("all", socket.channel)

    home.run(join)
    sending = far.begin(lambda: layer.group_send("all", {}))
    begun.wait()
    far.run(lambda: asyncio.sleep(0.01))  # so long has the first member taken
    go.set()
    home.thread.join()
    home.close()
    with pytest.raises(LayerUnavailable) as error:
        sending.result(timeout=10)
    assert error.value.outcome == "unknown"
    assert "stopped during the call" in str(error.value)
    books = far.run(layer.statistics)
    check_books(books)
    assert 0 < books["accepted"] < 100


def test_receivers_of_a_closed_loop_are_let_go(threads: Callable[[], LoopThread]) -> None:
    layer = MemoryLayer()
    home, far = threads(), threads()

    async def connect() -> None:
        socket = Connection(layer)
        socket.reading = False
        await layer.group_add("all", socket.channel)
        await layer.group_send("all", {})

    home.run(connect)
    home.close()
    books = far.run(layer.statistics)
    check_books(books)
    assert books["dropped"]["gone"] == 1
    assert far.run(lambda: layer.group_channels("all")) == set()


def test_receivers_of_a_loop_that_pauses_stay(threads: Callable[[], LoopThread]) -> None:
    layer = MemoryLayer()
    home, far, other = threads(), threads(), threads()
    sockets: list[Connection] = []

    async def connect() -> None:
        sockets.append(Connection(layer))
        await layer.group_add("all", sockets[0].channel)

    home.run(connect)
    home.stop()
    far.run(lambda: layer.send("work", {}))
    far.close()
    other.run(lambda: layer.group_send("all", {"n": 1}))
    assert sockets[0].received == [{"n": 1}]


async def test_attach_belongs_to_the_home_loop() -> None:
    async with MemoryLayer() as layer:

        async def attach() -> None:
            with pytest.raises(ConfigurationError, match=r"another event loop .* Await open"):
                Connection(layer)

        await asyncio.to_thread(lambda: asyncio.run(attach()))


async def test_detach_may_be_called_anywhere() -> None:
    async with MemoryLayer() as layer:
        sockets = [Connection(layer) for _ in range(2)]
        for socket in sockets:
            await layer.group_add("all", socket.channel)

        async def detach() -> None:
            layer.detach(sockets[1].channel)

        await asyncio.to_thread(layer.detach, sockets[0].channel)
        await asyncio.to_thread(lambda: asyncio.run(detach()))
        await asyncio.sleep(0)
        assert await layer.group_channels("all") == set()


async def test_a_clock_may_be_advanced_in_another_thread() -> None:
    clock = Clock()
    async with MemoryLayer(clock=clock) as layer:
        await layer.send("later", {"n": 1}, delay=60)
        waiting = asyncio.create_task(layer.receive("later"))
        await asyncio.sleep(0)
        await asyncio.to_thread(clock.advance, 60)
        assert await asyncio.wait_for(waiting, 5) == {"n": 1}


async def test_a_cancelled_call_whose_error_nobody_sees_is_quiet() -> None:
    async with MemoryLayer(capacity=1) as layer:
        await layer.send("work", {})

        async def send_and_go() -> None:
            sending = asyncio.create_task(layer.send("work", {}))
            await asyncio.sleep(0.02)
            sending.cancel()
            with pytest.raises((asyncio.CancelledError, ChannelFull)):
                await sending

        await asyncio.to_thread(lambda: asyncio.run(send_and_go()))


def test_a_forked_child_begins_with_an_empty_layer() -> None:
    code = """
import asyncio, os
from achannels.layers.memory import MemoryLayer
from achannels.testing.layer_suite import Connection

layer = MemoryLayer()

async def parent():
    await layer.send("work", {})
    await layer.group_add("all", Connection(layer).channel)
    node = layer.node
    if pid := os.fork():
        return os.waitpid(pid, 0)[1]
    try:
        asyncio._set_running_loop(None)
        assert layer.loop is None
        assert layer.node != node
        books = asyncio.run(layer.statistics())
        assert books["accepted"] == books["pending"] == 0
        asyncio.run(layer.send("work", {"n": 1}))
        assert asyncio.run(layer.receive("work")) == {"n": 1}
        assert asyncio.run(layer.group_channels("all")) == set()
    except BaseException:
        os._exit(1)
    os._exit(0)

assert asyncio.run(parent()) == 0
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("hook", ["_begin", "_check_free"])
def test_a_layer_says_what_it_does_not_do(hook: str) -> None:
    with pytest.raises(NotImplementedError):
        getattr(BaseLayer, hook)(object())


def spin(event: threading.Event) -> None:
    """Hold an event loop until the event is set."""
    while not event.is_set():
        pass


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not happened():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
