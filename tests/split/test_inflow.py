"""The body of a request at its home: asked for part by part, and no part is missed."""

import asyncio
from typing import Any, cast

from achannels.home.request import Inflow, RequestTenant


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
