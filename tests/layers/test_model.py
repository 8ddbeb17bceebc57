"""The memory layer against the model."""

from typing import Any

from hypothesis import HealthCheck, settings

from achannels.layers.memory import MemoryLayer
from achannels.testing.layer_model import LayerModel


class MemoryLayerModel(LayerModel):
    def make_layer(self, **config: Any) -> MemoryLayer:
        return MemoryLayer(clock=self.clock, **config)


TestMemoryLayerModel = MemoryLayerModel.TestCase
TestMemoryLayerModel.settings = settings(
    max_examples=500,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
