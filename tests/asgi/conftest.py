"""After each test here the books of its layer balance, and nothing is pending."""

from collections.abc import AsyncIterator

import pytest

from achannels.layers.memory import MemoryLayer
from tests.doubles import assert_balanced


@pytest.fixture(autouse=True)
async def _books_balance(channel_layer: MemoryLayer) -> AsyncIterator[None]:
    yield
    statistics = await channel_layer.statistics()
    assert_balanced(statistics)
    assert statistics["pending"] == 0
