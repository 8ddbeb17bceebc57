"""The first step of an awaitable runs at once; what is left of it behaves as if it were awaited."""

import asyncio
import types
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any

import pytest

from achannels.asgi.eager import Rest, start


class Steps:
    """An awaitable that is no coroutine; what it yields may lack `send` and `throw`."""

    def __init__(self, steps: Callable[[], Iterator[Any]]) -> None:
        self._steps = steps

    def __await__(self) -> Generator[Any, Any, None]:
        return self._steps()  # type: ignore[return-value]  # an iterator is enough for `await`


@types.coroutine
def suspend(value: Any) -> Generator[Any, Any, Any]:
    return (yield value)


def rest_of(awaitable: Awaitable[None]) -> Rest:
    rest = start(awaitable)
    assert rest is not None
    return rest


# The first step.


async def test_what_does_not_suspend_has_no_rest() -> None:
    done = []

    async def work() -> None:
        done.append(True)

    assert start(work()) is None
    assert done == [True]


async def test_the_first_step_runs_before_start_returns() -> None:
    steps = []

    async def work() -> None:
        steps.append("first")
        await asyncio.sleep(0)
        steps.append("second")

    rest = start(work())
    assert rest is not None
    assert steps == ["first"]
    await rest
    assert steps == ["first", "second"]


async def test_an_error_of_the_first_step_is_the_callers() -> None:
    async def work() -> None:
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError, match="gone"):
        start(work())


async def test_it_needs_no_task() -> None:
    loop = asyncio.get_running_loop()
    found: list[Any] = []

    async def work() -> None:
        found.append(asyncio.current_task())

    called = asyncio.Event()
    loop.call_soon(start, work())
    loop.call_soon(called.set)
    await called.wait()
    assert found == [None]


# The rest.


async def test_the_rest_waits_as_long_as_the_awaitable_does() -> None:
    gate = asyncio.Event()
    steps = []

    async def work() -> None:
        await gate.wait()
        steps.append("through")
        await asyncio.sleep(0)
        steps.append("done")

    task = asyncio.create_task(_await(rest_of(work())))
    await asyncio.sleep(0)
    assert steps == []
    gate.set()
    await task
    assert steps == ["through", "done"]


async def test_what_the_awaitable_waits_for_may_be_there_before_the_rest_begins() -> None:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    found = []

    async def work() -> None:
        found.append(await future)

    rest = rest_of(work())
    future.set_result("there")
    await rest
    assert found == ["there"]


async def test_an_error_in_the_rest_is_raised_where_it_is_awaited() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError, match="gone"):
        await rest_of(work())


async def test_an_error_that_is_waited_for_goes_into_the_awaitable() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    caught = []

    async def work() -> None:
        try:
            await future
        except OSError as error:
            caught.append(error)

    rest = rest_of(work())
    future.set_exception(ConnectionResetError("gone"))
    await rest
    assert str(caught[0]) == "gone"


async def test_cancelling_the_rest_cancels_the_awaitable() -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    task = asyncio.create_task(_await(rest_of(work())))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


async def test_an_awaitable_may_finish_its_work_when_it_is_cancelled() -> None:
    cleaned = asyncio.Event()
    steps = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            steps.append("cancelled")
            await cleaned.wait()
            steps.append("cleaned")

    task = asyncio.create_task(_await(rest_of(work())))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert steps == ["cancelled"]
    cleaned.set()
    await task
    assert steps == ["cancelled", "cleaned"]


async def test_values_are_sent_into_the_awaitable() -> None:
    got = []

    async def work() -> None:
        got.append(await suspend("a"))
        got.append(await suspend("b"))

    steps = rest_of(work()).__await__()
    assert steps.send(None) == "a"
    assert steps.send(1) == "b"
    with pytest.raises(StopIteration):
        steps.send(2)
    assert got == [1, 2]


async def test_closing_the_rest_closes_the_awaitable() -> None:
    ended = []

    async def work() -> None:
        try:
            await suspend("a")
        finally:
            ended.append(True)

    steps = rest_of(work()).__await__()
    steps.send(None)
    steps.close()
    assert ended == [True]


# What may be awaited.


async def test_a_future() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    rest = rest_of(future)
    future.set_result(None)
    await rest
    assert start(future) is None


async def test_a_task() -> None:
    done = []

    async def work() -> None:
        done.append(True)

    await rest_of(asyncio.create_task(work()))
    assert done == [True]


async def test_a_generator_based_coroutine() -> None:
    @types.coroutine
    def work() -> Generator[Any, Any, None]:
        yield from asyncio.sleep(0).__await__()

    await rest_of(work())


async def test_an_awaitable_of_ones_own() -> None:
    def steps() -> Iterator[Any]:
        yield None
        yield None

    await rest_of(Steps(steps))


async def test_an_awaitable_whose_iterator_has_next_alone() -> None:
    await rest_of(Steps(lambda: iter([None, None])))
    assert start(Steps(lambda: iter([]))) is None


async def test_an_awaitable_with_a_method_named_send() -> None:
    class Channel(Steps):
        def send(self, content: object) -> None:
            raise AssertionError("it is not the method of a coroutine")

    assert start(Channel(lambda: iter([]))) is None


async def _await(rest: Rest) -> None:
    await rest
