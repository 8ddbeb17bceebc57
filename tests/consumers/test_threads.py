"""The pool of threads: how many, what surrounds a call, and what ends it."""

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from achannels import sync
from achannels.consumers import threads as pool
from achannels.consumers.threads import Threads, set_hygiene, set_runner
from achannels.layers.memory import MemoryLayer

NAME = "achannels-consumer"

number: ContextVar[int] = ContextVar("number", default=0)


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool._Hygiene, "around", ())


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads(3)
    yield made
    made.close()


def workers() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name == NAME}


async def test_a_function_gets_its_arguments_in_a_thread(threads: Threads) -> None:
    seen: list[Any] = []

    def function(*args: Any, **kwargs: Any) -> None:
        seen.append((args, kwargs, threading.current_thread().name))

    assert await threads.run(function, 1, 2, key=3) == ([], None)
    assert seen == [((1, 2), {"key": 3}, NAME)]


async def test_what_it_raises_is_returned(threads: Threads) -> None:
    def function() -> None:
        raise ValueError("broken")

    sends, error = await threads.run(function)
    assert sends == []
    assert isinstance(error, ValueError)


@pytest.mark.parametrize("raised", [SystemExit(1), KeyboardInterrupt()])
async def test_what_would_end_the_process_ends_the_call_alone(
    threads: Threads, raised: BaseException
) -> None:
    def function() -> None:
        raise raised

    _, error = await threads.run(function)
    assert isinstance(error, RuntimeError)
    assert str(error) == f"a consumer raised {raised!r}"
    assert await threads.run(lambda: None) == ([], None)


async def test_sends_before_an_error_are_returned_with_it(threads: Threads) -> None:
    layer = MemoryLayer()

    def function() -> None:
        sync.Channel("named", channel_layer=layer).send({"n": 1})
        raise ValueError("broken")

    sends, error = await threads.run(function)
    assert (len(sends), type(error)) == (1, ValueError)
    await sends[0]()
    assert await layer.receive("named") == {"n": 1}


async def test_a_function_sees_the_context_of_its_caller_and_changes_only_a_copy(
    threads: Threads,
) -> None:
    def function() -> None:
        assert number.get() == 5
        number.set(6)

    number.set(5)
    for _ in range(2):
        assert await threads.run(function) == ([], None)
    assert number.get() == 5
    assert contextvars.copy_context()[number] == 5


# How many.


async def test_threads_are_started_as_they_are_needed_and_no_more_than_the_limit() -> None:
    before = workers()
    threads = Threads(2)
    go, running = threading.Event(), asyncio.Queue[None]()
    loop = asyncio.get_running_loop()

    def function() -> None:
        loop.call_soon_threadsafe(running.put_nowait, None)
        go.wait(5)

    for _ in range(3):
        assert await threads.run(lambda: None) == ([], None)
    assert len(workers() - before) == 1

    calls = [asyncio.create_task(threads.run(function)) for _ in range(3)]
    for _ in range(2):
        await running.get()
    for _ in range(5):
        await asyncio.sleep(0)
    assert running.empty()
    assert len(workers() - before) == 2
    go.set()
    await asyncio.gather(*calls)
    threads.close()


async def test_closed_threads_end_when_they_have_nothing_to_do() -> None:
    before = workers()
    threads = Threads(2)
    go = threading.Event()
    calls = [asyncio.create_task(threads.run(go.wait, 5)) for _ in range(2)]
    await asyncio.sleep(0)
    mine = workers() - before
    threads.close()
    go.set()
    assert await asyncio.gather(*calls) == [([], None)] * 2
    for thread in mine:
        await asyncio.to_thread(thread.join, 5)
    assert not any(thread.is_alive() for thread in mine)
    assert await threads.run(lambda: None) == ([], None)
    threads.close()


# What ends it.


async def test_a_cancelled_caller_waits_for_its_thread(threads: Threads) -> None:
    began, go, steps = asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()

    def function() -> None:
        loop.call_soon_threadsafe(began.set)
        go.wait(5)
        steps.append("function")

    async def caller() -> None:
        try:
            await threads.run(function)
        finally:
            steps.append("caller")

    calling = asyncio.create_task(caller())
    await began.wait()
    for _ in range(2):
        calling.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
    assert not calling.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert steps == ["function", "caller"]


@pytest.mark.parametrize("cancelled", [True, False])
async def test_nobody_waits_for_a_thread_that_is_abandoned(cancelled: bool) -> None:
    before = workers()
    threads, began, go = Threads(1), asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hang() -> None:
        loop.call_soon_threadsafe(began.set)
        go.wait(5)

    calling = asyncio.create_task(threads.run(hang))
    await began.wait()
    if cancelled:
        calling.cancel()
        await asyncio.sleep(0)
    threads.abandon()
    if cancelled:
        with pytest.raises(asyncio.CancelledError):
            await calling
    else:
        sends, error = await calling
        assert sends == []
        assert "did not return in time" in str(error)
    [thread] = workers() - before
    go.set()
    threads.close()
    await asyncio.to_thread(thread.join, 5)
    await asyncio.sleep(0)  # its late answer harms nobody


async def test_a_caller_that_is_cancelled_as_its_thread_ends_is_cancelled() -> None:
    threads, both = Threads(1), threading.Event()
    loop = asyncio.get_running_loop()

    def second() -> None:
        loop.call_soon_threadsafe(calling.cancel)  # the result of the first is on its way
        both.set()

    calling = asyncio.create_task(threads.run(lambda: None))
    other = asyncio.create_task(threads.run(second))
    await asyncio.sleep(0)
    while not both.is_set():
        pass
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert await other == ([], None)
    threads.close()


def test_a_thread_that_outlives_its_loop_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    before = workers()
    threads, go = Threads(1), threading.Event()
    loop = asyncio.new_event_loop()
    calling = loop.create_task(threads.run(go.wait, 5))
    loop.run_until_complete(asyncio.sleep(0))
    [thread] = workers() - before
    loop.close()
    go.set()
    threads.close()
    thread.join(5)
    [record] = [each for each in caplog.records if each.name == "achannels.consumer"]
    assert record.getMessage() == "a consumer returned after its event loop was closed"
    assert record.levelno == logging.WARNING
    calling.get_coro().close()


# What surrounds a call.


async def test_hygiene_surrounds_each_call_in_its_thread(threads: Threads) -> None:
    steps: list[str] = []

    def step() -> None:
        steps.append(threading.current_thread().name)

    def function() -> None:
        steps.append("call")
        raise ValueError("broken")

    set_hygiene(step, lambda: steps.append("second"))
    _, error = await threads.run(function)
    assert isinstance(error, ValueError)
    assert steps == [NAME, "second", "call", NAME, "second"]


async def test_hygiene_before_a_call_is_left_out_after_that_of_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Unless that is a second ago, or was another's."""
    threads, steps = Threads(1), []
    set_hygiene(lambda: steps.append("step"))
    for _ in range(2):
        await threads.run(lambda: steps.append("call"))
    assert steps == ["step", "call", "step", "call", "step"]
    monkeypatch.setattr(pool, "_FRESH", 0.0)
    await threads.run(lambda: steps.append("call"))
    assert steps[5:] == ["step", "call", "step"]
    monkeypatch.setattr(pool, "_FRESH", 3600.0)
    set_hygiene(lambda: steps.append("other"))
    await threads.run(lambda: steps.append("call"))
    assert steps[8:] == ["other", "call", "other"]
    threads.close()


async def test_hygiene_that_failed_is_tried_again_before_the_next_call() -> None:
    threads, steps = Threads(1), []

    def step() -> None:
        steps.append("step")
        if len(steps) == 2:
            raise OSError("no database")

    set_hygiene(step)
    for _ in range(2):
        await threads.run(lambda: None)
    assert steps == ["step"] * 4
    threads.close()


async def test_hygiene_that_fails_is_an_error_of_the_call(threads: Threads) -> None:
    calls: list[str] = []

    def step() -> None:
        raise OSError("no database")

    set_hygiene(step)
    _, error = await threads.run(lambda: calls.append("call"))
    assert isinstance(error, OSError)
    assert calls == []
    set_hygiene()
    assert await threads.run(lambda: None) == ([], None)


# A runner instead.


async def test_a_runner_runs_the_calls_instead(threads: Threads) -> None:
    before = workers()
    seen: list[str] = []

    async def runner(call: Callable[[], Any]) -> Any:
        seen.append("runner")
        return await asyncio.to_thread(call)

    def function() -> None:
        sync.Channel("named").send({})
        raise ValueError("broken")

    assert set_runner(runner) is None
    try:
        sends, error = await threads.run(function)
    finally:
        assert set_runner(None) is runner
    assert (seen, len(sends), type(error)) == (["runner"], 1, ValueError)
    assert workers() == before
