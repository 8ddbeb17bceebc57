"""`asgi_ipc`: processes of one machine. Here it is one process; several need Redis or Valkey."""

from typing import Any

from achannels.backends import in_memory
from achannels.layers.memory import MemoryLayer
from achannels.legacy.facade import LayerFacade


class IPCChannelLayer(LayerFacade):
    """A layer in memory.

    Args:
        prefix: Has no effect.
        **config: `expiry`, `group_expiry`, `capacity` and `channel_capacity` as of other layers.
    """

    def __init__(self, prefix: str = "asgi", **config: Any) -> None:
        super().__init__(MemoryLayer(**in_memory(config)), config)


__all__ = ["IPCChannelLayer"]
