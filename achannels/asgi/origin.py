"""Which pages may open a socket: the check of the `Origin` header, exact by default."""

import re
from collections.abc import Callable, Iterable
from ipaddress import IPv6Address
from typing import NamedTuple

from achannels.exceptions import ConfigurationError
from achannels.types import Scope

_ORIGIN = re.compile(
    r"(?!wss?:)([a-z][a-z0-9+.-]*)://(?:([a-z0-9._-]+)|\[([0-9a-f:.]+)\])(?::([0-9]{0,5}))?"
)
_PORTS = {"http": 80, "https": 443}

HostCheck = Callable[[str], bool]
"""From a host name (no port) to whether it is one of ours; Django's `ALLOWED_HOSTS` is one."""


class Origin(NamedTuple):
    """Scheme, host and port of a page; the port is 0 for a scheme that has none by default."""

    scheme: str
    host: str
    port: int


class OriginCheck:
    """Decides on the `Origin` of a handshake.

    Args:
        allowed: `None`: pages with the scheme and port of the request, from its own host or one
            that `hosts` names (a page over https also where the server behind a proxy sees http);
            a list: exactly these origins; `["*"]`: any page.
        hosts: Further hosts of ours.

    Raises:
        ConfigurationError: An entry of the list is not scheme, host and perhaps port.
    """

    def __init__(self, allowed: Iterable[str] | None, hosts: HostCheck | None = None) -> None:
        self.any = False
        self.allowed: frozenset[Origin] | None = None
        self.hosts = hosts
        if allowed is None:
            return
        if isinstance(allowed, str):
            raise ConfigurationError(
                f"ALLOWED_ORIGINS is the str {allowed!r}; write a list: [{allowed!r}]."
            )
        if not isinstance(allowed, Iterable):
            raise ConfigurationError(
                f"ALLOWED_ORIGINS is {allowed!r}; write a list of origins, or None."
            )
        entries = list(allowed)
        self.any = "*" in entries
        origins = set()
        for entry in entries:
            if entry == "*":
                continue
            origin = parse(entry) if isinstance(entry, str) else None
            if origin is None:
                raise ConfigurationError(
                    f"ALLOWED_ORIGINS has {entry!r}; an origin is scheme, host and perhaps a port, "
                    "for example 'https://example.org' or 'http://localhost:3000'."
                )
            origins.add(origin)
        self.allowed = frozenset(origins)

    def __call__(self, scope: Scope) -> bool:
        """Return whether the handshake may go on.

        Without an `Origin` header the client is no browser: it carries no cookies that it does not
        mean to, and may go on.
        """
        values = [value for name, value in scope["headers"] if name == b"origin"]
        if self.any or not values:
            return True
        if len(values) > 1:
            return False
        origin = parse(values[0].decode("latin-1"))
        if origin is None:
            return False
        if self.allowed is not None:
            return origin in self.allowed
        own = own_origin(scope)
        if own is None or not _same_place(origin, own):
            return False
        return origin.host == own.host or (self.hosts is not None and self.hosts(origin.host))


def parse(text: str) -> Origin | None:
    """Return the origin that a text says, `None` if it says none (`null`, garbage, a path).

    Besides `http` and `https` any scheme will do, as in `capacitor://localhost`; but no page is
    loaded over `ws` or `wss`.
    """
    found = _ORIGIN.fullmatch(text.lower())
    if found is None or not text.isascii():
        return None
    scheme, name, address, port = found.groups()
    host = (name or "").rstrip(".") or _address(address)
    number = int(port) if port else _PORTS.get(scheme, 0)
    return Origin(scheme, host, number) if host and number <= 65535 else None


def own_origin(scope: Scope) -> Origin | None:
    """Return the origin of the request itself: its scheme and its `Host` header."""
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1:
        return None
    scheme = "https" if scope.get("scheme") in ("wss", "https") else "http"
    return parse(f"{scheme}://{hosts[0].decode('latin-1')}")


def _same_place(origin: Origin, own: Origin) -> bool:
    if (origin.scheme, origin.port) == (own.scheme, own.port):
        return True
    # A proxy that ends TLS: the page is https, the server sees http. The reverse is never allowed,
    # since a page loaded over http may have been written by anyone on the way.
    behind_proxy = origin.scheme == "https" and own.scheme == "http"
    return behind_proxy and (origin.port == own.port or (origin.port, own.port) == (443, 80))


def _address(text: str | None) -> str:
    """Return an IPv6 address in the one form that browsers write; nothing if it is none."""
    try:
        return IPv6Address(text or "").compressed
    except ValueError:
        return ""


__all__ = ["HostCheck", "Origin", "OriginCheck", "own_origin", "parse"]
