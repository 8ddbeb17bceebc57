"""`channels.binding`: changes of models as messages to groups, and messages as changes of models."""

from achannels.legacy.binding.base import Binding

__all__ = ["Binding"]
