"""`channels.test.http`: the name that `WSClient` had before."""

import warnings
from typing import Any

from achannels.legacy.test.websocket import WSClient


class HttpClient(WSClient):
    """A `WSClient`; warns that it is called so."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn("HttpClient is called WSClient", DeprecationWarning, stacklevel=2)
        super().__init__(*args, **kwargs)


__all__ = ["HttpClient"]
