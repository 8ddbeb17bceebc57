"""`asgiref.inmemory`: the layer in memory, with blocking methods, for programs of one's own."""

from collections.abc import Mapping
from typing import Any

from achannels.layers.memory import MemoryLayer
from achannels.legacy.facade import LayerFacade


class ChannelLayer(LayerFacade):
    """A layer in memory.

    Args:
        expiry: Seconds that a message may wait.
        group_expiry: Seconds that a channel stays in a group.
        capacity: Messages that may wait in a channel.
        channel_capacity: The same by pattern.
    """

    def __init__(
        self,
        expiry: float = 60,
        group_expiry: float = 86_400,
        capacity: int = 10,
        channel_capacity: Mapping[Any, int] | None = None,
    ) -> None:
        config: dict[str, Any] = {
            "expiry": expiry,
            "group_expiry": group_expiry,
            "capacity": capacity,
            "channel_capacity": channel_capacity,
        }
        super().__init__(MemoryLayer(**config), config)


__all__ = ["ChannelLayer"]
