"""`BACKEND` paths of Channels 1.x to 4 with their `CONFIG`, and our layers that stand for them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from achannels.exceptions import ConfigurationError

MEMORY = "achannels.layers.memory.MemoryLayer"
REDIS = "achannels.layers.redis.RedisLayer"

Options = Mapping[str, Any]

_SENTINEL_PORT = 26_379

_GONE = frozenset(
    {
        "stats_prefix",
        "connection_kwargs",
        "serializer_format",
        "random_prefix_length",
        "on_disconnect",
        "on_reconnect",
    }
)


def in_memory(options: Options) -> dict[str, Any]:
    """Return the options of a layer in memory; those of shared memory have no effect."""
    shared = {"prefix", "channel_memory", "group_memory", "thread_lock"}
    return _without_none({key: value for key, value in options.items() if key not in shared})


def on_redis(options: Options) -> dict[str, Any]:
    """Return the options of a layer over Redis.

    What is counted has no prefix of its own here, and how it connects and encodes is the layer's
    business.

    Raises:
        ConfigurationError: `hosts` or the keys for encryption are one `str`.
    """
    for key in ("hosts", "symmetric_encryption_keys"):
        if isinstance(options.get(key), str | bytes):
            raise ConfigurationError(
                f"CONFIG {key!r} is {options[key]!r}; it must be a list: [{options[key]!r}]."
            )
    return _without_none({key: value for key, value in options.items() if key not in _GONE})


def on_sentinels(options: Options) -> dict[str, Any]:
    """Return the options of a layer over Redis whose masters sentinels know: one shard a service.

    Raises:
        ConfigurationError: `services` names no service, or a host is no pair.
    """
    rest = dict(options)
    hosts: Iterable[Any] = rest.pop("hosts", None) or [("localhost", _SENTINEL_PORT)]
    services = rest.pop("services", None)
    rest.pop("sentinel_refresh_interval", None)
    if not isinstance(services, list | tuple) or not services:
        raise ConfigurationError(
            f"CONFIG 'services' is {services!r}; give a list of the masters' names, for example "
            "['mymaster']."
        )
    places = []
    for host in hosts:
        if not isinstance(host, list | tuple) or len(host) != 2:
            raise ConfigurationError(
                f"CONFIG 'hosts' has {host!r}; a sentinel is a pair of host and port."
            )
        places.append(f"{host[0]}:{host[1]}")
    urls = [f"sentinel://{','.join(places)}/{service}" for service in services]
    return {**on_redis(rest), "hosts": urls}


BACKENDS: dict[str, tuple[str, Callable[[Options], dict[str, Any]]]] = {
    "asgiref.inmemory.ChannelLayer": (MEMORY, in_memory),
    "asgi_ipc.IPCChannelLayer": (MEMORY, in_memory),
    "asgi_redis.RedisChannelLayer": (REDIS, on_redis),
    "asgi_redis.core.RedisChannelLayer": (REDIS, on_redis),
    "asgi_redis.RedisLocalChannelLayer": (REDIS, on_redis),
    "asgi_redis.RedisSentinelChannelLayer": (REDIS, on_sentinels),
    "channels.layers.InMemoryChannelLayer": (MEMORY, in_memory),
    "channels_redis.core.RedisChannelLayer": (REDIS, on_redis),
    "channels_redis.pubsub.RedisPubSubChannelLayer": (REDIS, on_redis),
}
"""Old path; ours, and what makes our options of the old ones."""


def _without_none(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


__all__ = ["BACKENDS", "MEMORY", "REDIS", "in_memory", "on_redis", "on_sentinels"]
