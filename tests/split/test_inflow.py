"""The body of a request at its home: asked for part by part, and no part is missed."""

import asyncio
from typing import Any, cast

import pytest

from achannels.exceptions import RequestAborted
from achannels.home.request import Inflow, RequestTenant, WholeBody


class PromptInterface:
    """An interface whose part is there before it is known that the question was taken."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = list(parts)
        self._given = 0
        self.inflow: Inflow

    async def say(self, word: str, allowed: int) -> None:
        assert word == "body"
        self.inflow.put(self._given, self._parts.pop(0), bool(self._parts))
        self._given += 1


async def test_a_part_that_comes_while_it_is_asked_for_is_not_missed() -> None:
    interface = PromptInterface(b"x" * 300_000, b"y" * 300_000, b"z")
    inflow = interface.inflow = Inflow(cast("RequestTenant", interface), b"", complete=False)
    body: list[Any] = []
    async with asyncio.timeout(1.0):
        while (part := await inflow.next()) is not None:
            body.append(part[:1])
    assert body == [b"x", b"y", b"z"]


class SilentInterface:
    """An interface that is asked and does not answer."""

    async def say(self, word: str, allowed: int) -> None:
        assert word == "body"


def unasked() -> Inflow:
    return Inflow(cast("RequestTenant", SilentInterface()), b"", complete=False)


async def whole(inflow: Inflow) -> bytes:
    async with asyncio.timeout(1.0):
        return await WholeBody(inflow, 1_000, 1.0).read()


@pytest.mark.parametrize("last", [1, 2, 3])
async def test_a_body_with_a_hole_is_never_complete(last: int) -> None:
    inflow = unasked()
    inflow.put(0, b"A", True)
    for number in range(2, last + 2):
        inflow.put(number, b"C", number <= last)
    assert await inflow.next() == b"A"
    with pytest.raises(RequestAborted, match="lost"):
        await inflow.next()
    with pytest.raises(RequestAborted, match="lost"):
        await whole(inflow)


async def test_a_part_that_comes_twice_counts_once() -> None:
    inflow = unasked()
    for number, part, more in [
        (0, b"A", True),
        (0, b"A", True),
        (1, b"B", False),
        (1, b"B", False),
    ]:
        inflow.put(number, part, more)
    assert await whole(inflow) == b"AB"


async def test_data_that_is_lost_ends_the_wait_for_a_part() -> None:
    inflow = unasked()
    waiting = asyncio.create_task(whole(inflow))
    await asyncio.sleep(0)
    inflow.lose()
    with pytest.raises(RequestAborted, match="lost"):
        await waiting


async def test_data_that_is_lost_takes_nothing_from_a_whole_body() -> None:
    inflow = unasked()
    inflow.put(0, b"A", False)
    inflow.lose()
    assert await whole(inflow) == b"A"
