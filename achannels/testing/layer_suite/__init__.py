"""What every layer must pass: each promise is a numbered test, its docstring says which.

```python
import pytest
from achannels.layers.memory import MemoryLayer
from achannels.testing import Clock
from achannels.testing.layer_suite import LayerSuite

pytestmark = pytest.mark.asyncio  # or anyio: any runner of asyncio tests

class TestMemoryLayer(LayerSuite):
    async def make_layer(self, **config):
        self.clock = Clock()
        return MemoryLayer(clock=self.clock, **config)

    async def pass_time(self, seconds):
        self.clock.advance(seconds)
```

A layer between processes leaves `pass_time` as it is (it sleeps) and gives `make_layer` something
like a prefix of its own for each call. `achannels.testing.layer_model` tests the same promises
against a model, with random calls.
"""

from achannels.testing.layer_suite.base import Connection, SuiteBase, check_books
from achannels.testing.layer_suite.groups import GroupTests
from achannels.testing.layer_suite.life import LifeTests
from achannels.testing.layer_suite.limits import LimitTests
from achannels.testing.layer_suite.messages import MessageTests
from achannels.testing.layer_suite.work import WorkTests


class LayerSuite(MessageTests, LimitTests, GroupTests, WorkTests, LifeTests):
    """The suite: make a subclass whose name begins with `Test`, and override `make_layer`."""


__all__ = [
    "Connection",
    "GroupTests",
    "LayerSuite",
    "LifeTests",
    "LimitTests",
    "MessageTests",
    "SuiteBase",
    "WorkTests",
    "check_books",
]
