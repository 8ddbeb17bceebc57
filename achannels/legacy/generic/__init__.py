"""`channels.generic`: consumers as classes; one instance handles one message."""

from achannels.legacy.generic.base import BaseConsumer

__all__ = ["BaseConsumer"]
