"""Settings of an application: one spelling as keyword, `ACHANNELS` key and environment variable."""

import difflib
import importlib
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypedDict

from achannels.exceptions import ConfigurationError
from achannels.options import OVERFLOW, Overflow
from achannels.types import Scope

Mode = Literal["embedded", "interface"]
Unrouted = Literal["reject", "accept"]
StateFor = Literal["connection", "message"]
UserFunction = Callable[[Scope], Awaitable[Any]]
Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]

_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class SettingKeywords(TypedDict, total=False):
    """The keywords of `Application`; each is a key of `ACHANNELS` in upper case."""

    mode: Mode
    allowed_origins: Iterable[str] | None
    unrouted: Unrouted
    subprotocols: Sequence[str]
    user: str | UserFunction | None
    channel_session_engine: str | None
    state: StateFor
    send_on_commit: bool
    threads: int
    concurrency: int
    overflow: Overflow
    outbox_capacity: int
    outbox_bytes: int
    max_size: int
    handshake_timeout: float
    http_timeout: float
    stall_timeout: float
    drain_timeout: float
    lifespan: str | Lifespan | None


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings with their defaults.

    Attributes:
        mode: `"embedded"`: consumers run in the process that holds the socket; `"interface"`: this
            process holds sockets and requests, and worker processes run their consumers.
        allowed_origins: Pages that may open a socket; `None`: the same origin and allowed hosts;
            a list: exactly these; `["*"]`: any.
        unrouted: `"reject"` answers sockets on unknown paths with 404, `"accept"` takes them.
        subprotocols: Those that are accepted; the client's order wins.
        user: Async function from scope to user, or its dotted name; `None`: Django's log-in.
        channel_session_engine: A Django session engine; `None`: kept with the socket.
        state: How long a user and a channel session that were read are good for: `"connection"`, or
            `"message"`: both are read anew before each call.
        send_on_commit: Sync sends outside consumers wait for the commit.
        threads: `def` consumers at once.
        concurrency: Background messages at once.
        overflow: What a group send does to a full outbox.
        outbox_capacity: Messages that may wait for one client.
        outbox_bytes: Bytes that may wait for one client.
        max_size: Bytes of one frame, or of one request body that a consumer reads.
        handshake_timeout: Seconds from the handshake to accept or reject.
        http_timeout: Seconds from a request to its answer.
        stall_timeout: Seconds that one write to a client may take.
        drain_timeout: Seconds for everything to end when the node stops.
        lifespan: Async context manager around the node, or its dotted name.
    """

    mode: Mode = "embedded"
    allowed_origins: Iterable[str] | None = None
    unrouted: Unrouted = "reject"
    subprotocols: Sequence[str] = ()
    user: str | UserFunction | None = None
    channel_session_engine: str | None = None
    state: StateFor = "connection"
    send_on_commit: bool = False
    threads: int = 16
    concurrency: int = 64
    overflow: Overflow = "close"
    outbox_capacity: int = 1024
    outbox_bytes: int = 1_048_576
    max_size: int = 1_048_576
    handshake_timeout: float = 5.0
    http_timeout: float = 60.0
    stall_timeout: float = 10.0
    drain_timeout: float = 10.0
    lifespan: str | Lifespan | None = None

    @classmethod
    def make(cls, given: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> "Settings":
        """Check keywords and lay the environment over them.

        Args:
            given: Keywords in lower case.
            environ: `ACHANNELS_<KEY>` for the settings that are numbers, words or flags.

        Raises:
            ConfigurationError: An unknown key, with the nearest known one, or a wrong value.
        """
        known = {field.name: field.default for field in fields(cls)} | defaults
        for key in given:
            if key not in known:
                near = difflib.get_close_matches(key.lower(), known, n=1)
                hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
                raise ConfigurationError(f"the setting {key!r} is unknown. {hint}")
        values = {**known, **given}
        for key, default in known.items():
            text = environ.get(f"ACHANNELS_{key.upper()}")
            if text is not None and isinstance(default, bool | int | float | str):
                values[key] = _from_text(key, text, default)
        if isinstance(values["allowed_origins"], Iterator):  # each node reads it anew
            values["allowed_origins"] = list(values["allowed_origins"])
        settings = cls(**values)
        settings._check()
        return settings

    def but(self, given: "SettingKeywords") -> "Settings":
        """Return these settings with others in the place of some, whatever the environment says.

        Raises:
            ConfigurationError: A value is wrong.
        """
        settings = replace(self, **given)
        settings._check()
        return settings

    def _check(self) -> None:
        self._check_numbers()
        self._check_words()
        names = None if isinstance(self.subprotocols, str) else self.subprotocols
        if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
            raise _wrong("subprotocols", self.subprotocols, "a list of str")
        for key in ("user", "lifespan"):
            value = getattr(self, key)
            if value is not None and not callable(value) and not isinstance(value, str):
                raise _wrong(key, value, "a function, its dotted name, or None")

    def _check_numbers(self) -> None:
        for key in ("threads", "concurrency", "outbox_capacity", "outbox_bytes", "max_size"):
            value = getattr(self, key)
            if type(value) is not int or value < 1:
                raise _wrong(key, value, "an int from 1 up")
        for key in ("handshake_timeout", "http_timeout", "stall_timeout", "drain_timeout"):
            value = getattr(self, key)
            if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
                raise _wrong(key, value, "seconds above 0")

    def _check_words(self) -> None:
        if self.overflow not in OVERFLOW:
            raise _wrong("overflow", self.overflow, " or ".join(map(repr, OVERFLOW)))
        if self.unrouted not in ("reject", "accept"):
            raise _wrong("unrouted", self.unrouted, "'reject' or 'accept'")
        if self.state not in ("connection", "message"):
            raise _wrong("state", self.state, "'connection' or 'message'")
        if self.mode not in ("embedded", "interface"):
            raise _wrong("mode", self.mode, "'embedded' or 'interface'")
        if not isinstance(self.send_on_commit, bool):
            raise _wrong("send_on_commit", self.send_on_commit, "True or False")


defaults: dict[str, Any] = {}
"""Settings whose default is another one in this process; each counts where it was not given."""


def resolve(key: str, value: Any) -> Any:
    """Return what a setting names: itself, or what its dotted name leads to.

    Raises:
        ConfigurationError: The name leads nowhere.
    """
    if not isinstance(value, str):
        return value
    module, _, name = value.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"the setting {key!r} is {value!r}, which cannot be imported: {error}."
        ) from error


def _from_text(key: str, text: str, default: Any) -> Any:
    try:
        if isinstance(default, bool):
            return _FLAGS[text.lower()]
        return type(default)(text)
    except (KeyError, ValueError) as error:
        raise ConfigurationError(
            f"the environment variable ACHANNELS_{key.upper()} is {text!r}; it must be "
            f"{'true or false' if isinstance(default, bool) else 'a number'}."
        ) from error


def _wrong(key: str, value: Any, allowed: str) -> ConfigurationError:
    return ConfigurationError(f"the setting {key!r} is {value!r}; it must be {allowed}.")


__all__ = ["Lifespan", "SettingKeywords", "Settings", "UserFunction", "defaults", "resolve"]
