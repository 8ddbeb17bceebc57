"""`asgi_redis`: layers over Redis or Valkey, with blocking methods, for programs of one's own."""

from typing import Any

from achannels.backends import REDIS, on_redis, on_sentinels
from achannels.dotted import load
from achannels.legacy.facade import LayerFacade


class RedisChannelLayer(LayerFacade):
    """A layer over one or several servers.

    Args:
        **config: The `CONFIG` of 1.x: `hosts`, `prefix`, `expiry`, `group_expiry`, `capacity`,
            `channel_capacity`, `symmetric_encryption_keys`; `stats_prefix` and `connection_kwargs`
            have no effect.

    Raises:
        ConfigurationError: An option is wrong, or the library `redis` is not installed.
    """

    def __init__(self, **config: Any) -> None:
        super().__init__(load(REDIS)(**on_redis(config)), config)


class RedisLocalChannelLayer(RedisChannelLayer):
    """The same: ordinary channels are on the server as well, where each machine reaches them."""


class RedisSentinelChannelLayer(LayerFacade):
    """A layer over servers that sentinels know.

    Args:
        **config: As of `RedisChannelLayer`, with the sentinels as pairs of host and port in `hosts`,
            and the names of the masters in `services`.

    Raises:
        ConfigurationError: An option is wrong, or the library `redis` is not installed.
    """

    def __init__(self, **config: Any) -> None:
        super().__init__(load(REDIS)(**on_sentinels(config)), config)


__all__ = ["RedisChannelLayer", "RedisLocalChannelLayer", "RedisSentinelChannelLayer"]
