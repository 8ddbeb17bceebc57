"""The memory layer against the compliance suite."""

from typing import Any

import pytest

from achannels.contracts import ChannelLayer, WorkLayer
from achannels.layers.memory import MemoryLayer
from achannels.testing.clock import Clock
from achannels.testing.layer_suite import LayerSuite, WorkTests


class TestMemoryLayer(LayerSuite):
    tick = 1.0

    async def make_layer(self, **config: Any) -> ChannelLayer:
        self.clock = Clock()
        return MemoryLayer(clock=self.clock, **config)

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)


class TestMemoryLayerInRealTime(WorkTests):
    tick = 0.1

    async def make_layer(self, **config: Any) -> ChannelLayer:
        return MemoryLayer(**config)


def test_the_memory_layer_keeps_both_contracts() -> None:
    layer: ChannelLayer = MemoryLayer()
    work: WorkLayer = MemoryLayer()
    assert isinstance(layer, ChannelLayer)
    assert isinstance(work, WorkLayer)


async def test_the_suite_asks_for_a_layer() -> None:
    with pytest.raises(NotImplementedError, match="make_layer"):
        await LayerSuite().make_layer()
