"""One timer for many waits: who is too late is told once, in order, and nobody else."""

import asyncio

from achannels.asgi.deadlines import Deadlines


class Waiting:
    """Something that notes when it was too late."""

    def __init__(self, late: list[str], name: str) -> None:
        self.late = late
        self.name = name
        self.told = asyncio.Event()

    def too_late(self) -> None:
        self.late.append(self.name)
        self.told.set()


async def time_passes(seconds: float) -> None:
    """Wait until another deadline is over."""
    other = Waiting([], "other")
    Deadlines(seconds).add(other)
    await other.told.wait()


async def test_who_is_too_late_is_told_once_in_order() -> None:
    late: list[str] = []
    deadlines, waiting = Deadlines(0.01), [Waiting(late, name) for name in "abc"]
    for each in waiting:
        deadlines.add(each)
    await waiting[2].told.wait()
    await time_passes(0.01)
    assert late == ["a", "b", "c"]


async def test_who_was_discarded_is_not_told() -> None:
    late: list[str] = []
    deadlines, a, b = Deadlines(0.01), Waiting(late, "a"), Waiting(late, "b")
    deadlines.discard(a)
    deadlines.add(a)
    deadlines.add(b)
    deadlines.discard(a)
    deadlines.discard(a)
    await b.told.wait()
    assert late == ["b"]


async def test_each_has_its_whole_time() -> None:
    late: list[str] = []
    loop = asyncio.get_running_loop()
    deadlines, a, b = Deadlines(0.05), Waiting(late, "a"), Waiting(late, "b")
    deadlines.add(a)
    await time_passes(0.03)
    added = loop.time()
    deadlines.add(b)
    await b.told.wait()
    assert loop.time() - added >= 0.05
    assert late == ["a", "b"]


async def test_the_timer_of_one_serves_those_after_it() -> None:
    late: list[str] = []
    deadlines, a, b = Deadlines(0.02), Waiting(late, "a"), Waiting(late, "b")
    deadlines.add(a)
    deadlines.discard(a)
    deadlines.add(b)
    await b.told.wait()
    assert late == ["b"]
    deadlines.add(a)
    await a.told.wait()
    assert late == ["b", "a"]


async def test_nobody_is_told_after_the_end() -> None:
    late: list[str] = []
    deadlines = Deadlines(0.005)
    deadlines.close()
    deadlines.add(Waiting(late, "a"))
    deadlines.close()
    await time_passes(0.01)
    assert late == []
