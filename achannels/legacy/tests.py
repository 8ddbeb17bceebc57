"""`channels.tests`: what `channels.test` was called before. Who takes a name from it is warned."""

import warnings
from typing import Any

from achannels.legacy import test


def __getattr__(name: str) -> Any:
    if name not in test.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn("channels.tests is called channels.test", DeprecationWarning, stacklevel=2)
    return getattr(test, name)


__all__: list[str] = []
