"""`BACKEND` paths of Channels 1.x with their `CONFIG`, and the layers of ours that stand for them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from achannels import registry
from achannels.exceptions import ConfigurationError

REDIS = "achannels.layers.redis.RedisLayer"

Options = Mapping[str, Any]

_SENTINEL_PORT = 26_379


def in_memory(options: Options) -> dict[str, Any]:
    """Return the options of a layer in memory; those of shared memory have no effect."""
    shared = {"prefix", "channel_memory", "group_memory", "thread_lock"}
    return _without_none({key: value for key, value in options.items() if key not in shared})


def on_redis(options: Options) -> dict[str, Any]:
    """Return the options of a layer over Redis.

    What is counted has no prefix of its own here, and the connections are the layer's business.

    Raises:
        ConfigurationError: `hosts` or the keys for encryption are one `str`.
    """
    for key in ("hosts", "symmetric_encryption_keys"):
        if isinstance(options.get(key), str | bytes):
            raise ConfigurationError(
                f"CONFIG {key!r} is {options[key]!r}; it must be a list: [{options[key]!r}]."
            )
    gone = {"stats_prefix", "connection_kwargs"}
    return _without_none({key: value for key, value in options.items() if key not in gone})


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
    "asgiref.inmemory.ChannelLayer": (registry.MEMORY, in_memory),
    "asgi_ipc.IPCChannelLayer": (registry.MEMORY, in_memory),
    "asgi_ipc.core.IPCChannelLayer": (registry.MEMORY, in_memory),
    "asgi_redis.RedisChannelLayer": (REDIS, on_redis),
    "asgi_redis.core.RedisChannelLayer": (REDIS, on_redis),
    "asgi_redis.RedisLocalChannelLayer": (REDIS, on_redis),
    "asgi_redis.local.RedisLocalChannelLayer": (REDIS, on_redis),
    "asgi_redis.RedisSentinelChannelLayer": (REDIS, on_sentinels),
    "asgi_redis.sentinel.RedisSentinelChannelLayer": (REDIS, on_sentinels),
}
"""Old path; ours, and what makes our options of the old ones."""


def install() -> None:
    """Have the old paths understood in `CHANNEL_LAYERS`."""
    for path, (ours, translate) in BACKENDS.items():
        registry.BACKENDS[path] = ours
        registry.TRANSLATORS[path] = translate


def _without_none(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


__all__ = ["BACKENDS", "in_memory", "install", "on_redis", "on_sentinels"]
