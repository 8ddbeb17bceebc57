"""`channels.security.websockets`: which pages may open a socket, decided in a decorator."""

from collections.abc import Callable, Mapping
from functools import lru_cache, update_wrapper
from typing import Any, Self
from urllib.parse import urlparse

from achannels.dispatch import is_async
from achannels.django.application import is_own_host
from achannels.exceptions import DenyConnection


class BaseOriginValidator:
    """A decorator of a consumer of `websocket.connect` that looks at the `Origin` first.

    Subclasses override `validate_origin`. It decorates functions, not methods.

    Args:
        func: The consumer.
    """

    def __new__(cls, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Self:
        """Return the form for `def`, or that for `async def`."""
        kind: Any = cls
        made: Self = super().__new__(_async_form(kind) if is_async(func) else kind)
        return made

    def __init__(self, func: Callable[..., Any]) -> None:
        update_wrapper(self, func)
        self.func = func

    def __call__(self, message: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the consumer if the page may open a socket.

        Raises:
            DenyConnection: It may not.
        """
        self.check(message)
        return self.func(message, *args, **kwargs)

    def check(self, message: Any) -> None:
        """Look at the origin.

        Raises:
            DenyConnection: The page may not open a socket.
        """
        if not self.validate_origin(message, self.get_origin(message)):
            raise DenyConnection

    def get_header(self, message: Any, name: bytes) -> bytes:
        """Return the value of the first header of a name.

        The headers of a test client are a dict, those of a server a list of pairs.

        Raises:
            KeyError: There is none.
        """
        headers: Any = message.content["headers"]
        if isinstance(headers, Mapping):
            headers = [(key.lower().encode("latin-1"), value) for key, value in headers.items()]
        for header in headers:
            if header[0] == name:
                value: bytes = header[1]
                return value
        raise KeyError(f"no header {name!r} in the message on {message.channel}")

    def get_origin(self, message: Any) -> str:
        """Return the origin of the page.

        Raises:
            DenyConnection: There is none, or it is not ASCII.
        """
        try:
            return self.get_header(message, b"origin").decode("ascii")
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise DenyConnection from error

    def validate_origin(self, message: Any, origin: str) -> bool:
        """Return whether a page of this origin may open a socket."""
        raise NotImplementedError(f"{type(self).__name__} does not say what validate_origin does.")


@lru_cache
def _async_form(cls: Any) -> Any:
    async def call(self: BaseOriginValidator, message: Any, *args: Any, **kwargs: Any) -> Any:
        self.check(message)
        return await self.func(message, *args, **kwargs)

    return type(cls.__name__, (cls,), {"__call__": call, "__module__": cls.__module__})


class AllowedHostsOnlyOriginValidator(BaseOriginValidator):
    """Pages of `ALLOWED_HOSTS` only, whatever their scheme and port."""

    def validate_origin(self, message: Any, origin: str) -> bool:
        """Return whether the host of the page is one of `ALLOWED_HOSTS`."""
        try:
            host = urlparse(origin).hostname
        except ValueError:
            return False
        return host is not None and is_own_host(host)


allowed_hosts_only = AllowedHostsOnlyOriginValidator

__all__ = ["AllowedHostsOnlyOriginValidator", "BaseOriginValidator", "allowed_hosts_only"]
