"""The layer over Redis or Valkey: between processes and machines."""

from achannels.layers.redis.layer import RedisLayer

__all__ = ["RedisLayer"]
