"""`hosts` as a project writes it, read into what there is to connect to. Nothing is connected here."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.asyncio.connection import RedisSSLContext
from redis.exceptions import RedisError

from achannels.dotted import near
from achannels.exceptions import ConfigurationError

Address = tuple[str, int] | str
"""Host and port, or the path of a socket."""

DEFAULT = "redis://localhost:6379/0"

KINDS = {
    "redis": "server",
    "rediss": "server",
    "valkey": "server",
    "valkeys": "server",
    "unix": "unix",
    "sentinel": "sentinel",
    "cluster": "cluster",
}
"""Schemes of URLs, and what they lead to."""

FORMS = (
    "redis://host:6379/0, rediss://user:password@host:6379/0, unix:///path/to/socket?db=0, "
    "sentinel://host,host/name or cluster://host,host"
)
_PORTS = {"sentinel": 26379}
_PLACE = r"(?:\[[0-9A-Fa-f:.%]+\]|[\w.%-]+)(?::\d{1,5})?"
_PLACES = re.compile(f"{_PLACE}(?:,{_PLACE})*")
_TLS = {
    "ssl_cert_reqs": "cert_reqs",
    "ssl_check_hostname": "check_hostname",
    "ssl_ca_certs": "ca_certs",
    "ssl_ca_data": "ca_data",
    "ssl_certfile": "certfile",
    "ssl_keyfile": "keyfile",
    "ssl_ciphers": "ciphers",
}
_OPTIONS = {
    "server": {"username", "password", "db", "ssl", *_TLS},
    "unix": {"username", "password", "db"},
    "sentinel": {
        "username",
        "password",
        "db",
        "ssl",
        "sentinel_username",
        "sentinel_password",
        *_TLS,
    },
    "cluster": {"username", "password", "ssl", "shards", *_TLS},
}
_OURS = {
    "client_name",
    "decode_responses",
    "driver_info",
    "encoding",
    "encoding_errors",
    "health_check_interval",
    "lib_name",
    "lib_version",
    "max_connections",
    "protocol",
    "retry",
    "retry_on_error",
    "retry_on_timeout",
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_keepalive_options",
    "socket_read_size",
    "socket_timeout",
    "timeout",
}
"""Options of the client library that the layer sets: those of old settings have no effect."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to get in: credentials, database and TLS.

    Attributes:
        username: Of an ACL user; `None` for the default user.
        password: `None` if none is asked for.
        db: Number of the database.
        provider: Gives credentials that change, as `redis.credentials.CredentialProvider`.
        tls: Options of TLS by the names of `redis.asyncio.connection.RedisSSLContext`, or `None`.
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    db: int = 0
    provider: Any = field(default=None, repr=False)
    tls: Mapping[str, Any] | None = field(default=None, repr=False)

    def context(self) -> RedisSSLContext | None:
        """Return what TLS connections are made with, loaded from its files; `None` without TLS.

        Raises:
            ConfigurationError: A file cannot be read, or an option has no such value.
        """
        if self.tls is None:
            return None
        try:
            context = RedisSSLContext(**{"cert_reqs": "required", **self.tls})
            context.get()
        except (OSError, RedisError, ValueError) as error:
            files = {f"ssl_{key}": self.tls[key] for key in self.tls if key != "ca_data"}
            raise ConfigurationError(
                f"TLS cannot be set up with {files}: {error}. Check the paths and the values."
            ) from error
        return context


@dataclass(frozen=True, slots=True)
class Host:
    """One entry of `hosts`.

    Attributes:
        kind: `server`, `unix`, `sentinel` or `cluster`.
        name: For logs and error texts: its URL without user and password.
        addresses: The server, the sentinels, or some nodes of the cluster.
        access: For the servers that hold data.
        service: What the sentinels call the master.
        sentinel_access: For the sentinels.
        shards: Into how many parts a cluster's keys are spread.
    """

    kind: str
    name: str
    addresses: tuple[Address, ...]
    access: Access
    service: str = ""
    sentinel_access: Access = Access()
    shards: int = 1


def read_hosts(hosts: Iterable[Any] | None) -> list[Host]:
    """Read the setting `hosts`; `None` is one server on this machine.

    Args:
        hosts: URLs; pairs of host and port; or dicts as `channels_redis` has them, with an
            `address`, `host` and `port`, or `sentinels` and `master_name`.

    Raises:
        ConfigurationError: It names the entry, its password hidden, and what is allowed.
    """
    if hosts is None:
        hosts = [DEFAULT]
    if isinstance(hosts, str | bytes | Mapping) or not isinstance(hosts, Iterable):
        shown = hide(hosts) if isinstance(hosts, str) else type(hosts).__name__
        raise ConfigurationError(f"CONFIG 'hosts' is {shown!r}. Write a list: [{DEFAULT!r}].")
    found = [_read(entry) for entry in hosts]
    if not found:
        raise ConfigurationError(f"CONFIG 'hosts' is empty. Write for example [{DEFAULT!r}].")
    return found


def hide(url: str) -> str:
    """Return a URL, however broken, without what is or may be user, password or options."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        scheme, rest = "", url
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    tail = rest[len(authority) :]
    place = authority.rpartition("@")[2]
    if "@" in tail or (place and not _PLACES.fullmatch(place)):
        place = "***"
    path = "" if "@" in tail else re.split(r"[?#]", tail, maxsplit=1)[0]
    return f"{scheme}{mark}{place}{path}"


def _read(entry: Any) -> Host:
    if isinstance(entry, str):
        return _read_url(entry, {})
    if isinstance(entry, tuple | list):
        return _server(entry, {})
    if not isinstance(entry, Mapping):
        raise ConfigurationError(
            f"CONFIG 'hosts' has an entry that is a {type(entry).__name__}. Write {FORMS}."
        )
    options = {key: entry[key] for key in entry if key not in _OURS}
    if "master_name" in options:
        return _read_sentinels(options)
    address = options.pop("address", None)
    if isinstance(address, str):
        return _read_url(address, options)
    if isinstance(address, tuple | list):
        return _server(address, options)
    if "path" in options:
        path = str(options.pop("path"))
        return _make("unix", f"unix://{path}", (path,), options)
    return _server((options.pop("host", "localhost"), options.pop("port", 6379)), options)


def _read_url(url: str, options: dict[str, Any]) -> Host:
    name = hide(url)
    parts = _split(url, name)
    kind = KINDS[parts.scheme]
    given = {**_credentials(parts), **_query(name, parts.query, kind), **options}
    if parts.scheme in {"rediss", "valkeys"}:
        given["ssl"] = True
    place = parts.netloc.rpartition("@")[2]
    path = unquote(parts.path)
    if kind == "unix":
        if place or not path:
            _refuse(name, f"has the host {place!r} where the path begins with a third '/'")
        return _make(kind, name, (path,), given)
    if kind == "sentinel":
        given["service"], _, path = path.removeprefix("/").partition("/")
    if path.removeprefix("/"):
        given.setdefault("db", path.removeprefix("/"))
    return _make(kind, name, _addresses(name, place, kind), given)


def _split(url: str, name: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        _refuse(name, "is no URL")
    if "@" in f"{parts.path}{parts.query}{parts.fragment}" or parts.fragment:
        _refuse(
            name,
            "is cut in two; in user, password and options write '/' as %2F, '?' as %3F, '#' as %23 "
            "and '@' as %40",
            forms=False,
        )
    if parts.scheme not in KINDS or "://" not in url:
        _refuse(name, f"has the scheme {parts.scheme!r}" if "://" in url else "has no scheme")
    return parts


def _credentials(parts: SplitResult) -> dict[str, str]:
    username, _, password = parts.netloc.rpartition("@")[0].partition(":")
    found = {"username": unquote(username), "password": unquote(password)}
    return {key: value for key, value in found.items() if value}


def _query(name: str, query: str, kind: str) -> dict[str, Any]:
    given = dict(parse_qsl(query, keep_blank_values=True))
    for key in given:
        if key in _OURS:
            _refuse(name, f"sets {key!r}, which the layer sets itself; leave it out", forms=False)
        if key not in _OPTIONS[kind]:
            known = sorted(_OPTIONS[kind])
            hint = near(key, known) or f" Known: {', '.join(known)}."
            raise ConfigurationError(
                f"CONFIG 'hosts': {name} has the unknown option {key!r}.{hint}"
            )
    return given


def _addresses(name: str, place: str, kind: str) -> tuple[Address, ...]:
    port = _PORTS.get(kind, 6379)
    found = tuple(_address(name, each, port) for each in place.split(",") if each)
    if kind == "server":
        if len(found) > 1:
            _refuse(name, "names several hosts; give each its own entry", forms=False)
        return found or (("localhost", port),)
    if not found:
        _refuse(name, "names no host")
    return found


def _address(name: str, text: str, port: int) -> Address:
    host, found = text, ""
    if not text.endswith("]") and ":" in text:
        host, _, found = text.rpartition(":")
    if not _PLACES.fullmatch(text) or not 0 < int(found or port) < 65536:
        _refuse(name, "has no host, or no port from 1 to 65535")
    return (unquote(host.strip("[]")), int(found or port))


def _server(pair: Any, options: dict[str, Any]) -> Host:
    place = _place(pair)
    name = f"{'rediss' if options.get('ssl') else 'redis'}://{hide(place)}"
    return _make("server", name, _addresses(name, place, "server"), options)


def _read_sentinels(options: dict[str, Any]) -> Host:
    given = dict(options)
    service = given["service"] = str(given.pop("master_name"))
    listed = ",".join(_place(pair) for pair in given.pop("sentinels", ()))
    for key, value in (given.pop("sentinel_kwargs", None) or {}).items():
        if key not in _OURS:
            given[f"sentinel_{key}"] = value
    name = f"sentinel://{hide(listed)}/{service}"
    return _make("sentinel", name, _addresses(name, listed, "sentinel"), given)


def _place(pair: Any) -> str:
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[0], str):
        raise ConfigurationError(
            f"CONFIG 'hosts' has a {type(pair).__name__} that is no pair. Write (host, port)."
        )
    host, port = pair
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _make(kind: str, name: str, addresses: tuple[Address, ...], given: dict[str, Any]) -> Host:
    if kind == "cluster" and str(given.pop("db", "0")) != "0":
        _refuse(name, "names a database; a cluster has number 0 only", forms=False)
    for key in given:
        if key not in _OPTIONS[kind] and key not in {"service", "credential_provider"}:
            hint = near(key, _OPTIONS[kind]) or f" Known: {', '.join(sorted(_OPTIONS[kind]))}."
            raise ConfigurationError(
                f"CONFIG 'hosts': {name} has the unknown option {key!r}.{hint}"
            )
    if kind == "sentinel" and not given.get("service"):
        _refuse(name, "lacks the name of the master after the hosts")
    tls = _tls(name, given)
    access = Access(
        username=given.get("username"),
        password=given.get("password"),
        db=_number(name, "db", given.get("db", 0), 0),
        provider=given.get("credential_provider"),
        tls=tls,
    )
    return Host(
        kind=kind,
        name=name,
        addresses=addresses,
        access=access,
        service=given.get("service", ""),
        sentinel_access=Access(
            given.get("sentinel_username"), given.get("sentinel_password"), tls=tls
        ),
        shards=_number(name, "shards", given.get("shards", 1), 1),
    )


def _tls(name: str, given: Mapping[str, Any]) -> dict[str, Any] | None:
    wanted = given.get("ssl", False)
    options = {_TLS[key]: given[key] for key in given if key in _TLS}
    if isinstance(wanted, str):
        wanted = _is_true(wanted)
    if not wanted:
        if options:
            _refuse(name, "has options of TLS and does not use it; write rediss:// or ssl=true")
        return None
    checked = options.get("check_hostname", True)
    if isinstance(checked, str):
        checked = _is_true(checked)
    options["check_hostname"] = checked
    return options


def _is_true(word: str) -> bool:
    return word.lower() in {"1", "true", "yes", "on"}


def _number(name: str, key: str, value: Any, least: int) -> int:
    if not re.fullmatch(r"\d{1,9}", str(value)) or int(value) < least:
        _refuse(name, f"has {key} {value!r}, which must be a number from {least} up", forms=False)
    return int(value)


def _refuse(name: str, problem: str, *, forms: bool = True) -> NoReturn:
    advice = f" Write {FORMS}." if forms else ""
    raise ConfigurationError(f"CONFIG 'hosts': {name!r} {problem}.{advice}") from None


__all__ = ["DEFAULT", "FORMS", "Access", "Address", "Host", "hide", "read_hosts"]
