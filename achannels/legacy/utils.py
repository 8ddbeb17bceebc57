"""`channels.utils`."""

import inspect
from typing import Any


def name_that_thing(thing: Any) -> str:
    """Return the dotted name of a function, method, class or object, for logs."""
    if inspect.ismethod(thing):
        owner = thing.__self__ if isinstance(thing.__self__, type) else type(thing.__self__)
        return f"{name_that_thing(owner)}.{thing.__name__}"
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    module = getattr(named, "__module__", None)
    return f"{module}.{named.__qualname__}" if module else str(named.__qualname__)


__all__ = ["name_that_thing"]
