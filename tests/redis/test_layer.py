"""The layer over Redis against the suite that every layer passes, and the model."""

import secrets
from typing import Any

import pytest

from achannels.contracts import ChannelLayer, WorkLayer
from achannels.layers.redis import RedisLayer
from achannels.relay import RelayLayer
from achannels.testing.layer_suite import LayerSuite
from tests.redis.servers import Server


@pytest.mark.timeout(60)
class TestRedisLayer(LayerSuite):
    tick = 0.25

    @pytest.fixture(autouse=True)
    def _server(self, server: Server) -> None:
        self.server = server

    async def make_layer(self, **config: Any) -> RedisLayer:
        # An event loop that watches itself may be busy for longer than the default.
        options = {"send_timeout": 10.0, **config}
        return RedisLayer([self.server.url], prefix=f"suite-{secrets.token_hex(4)}", **options)


def test_it_keeps_all_contracts() -> None:
    layer: ChannelLayer = RedisLayer()
    work: WorkLayer = RedisLayer()
    relay: RelayLayer = RedisLayer()
    assert isinstance(layer, ChannelLayer)
    assert isinstance(work, WorkLayer)
    assert isinstance(relay, RelayLayer)
