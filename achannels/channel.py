"""Channel: a name that you can send to."""

import asyncio
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from achannels.contracts import ChannelLayer, DeadLetter, Socket, WorkLayer
from achannels.exceptions import ConfigurationError, WrongContext
from achannels.names import check_channel
from achannels.registry import get_channel_layer


class Name:
    """What `Channel` and `Group` share: a checked name and the layer it lives on."""

    __slots__ = ("_layer", "alias", "name")

    kind: ClassVar[str]

    def __init__(self, name: str, alias: str, channel_layer: ChannelLayer | None) -> None:
        self.name = name
        self.alias = alias
        self._layer = channel_layer

    @property
    def core_layer(self) -> ChannelLayer:
        """The layer: the one given, else the one that the alias stands for now."""
        return self._layer or get_channel_layer(self.alias)

    @property
    def channel_layer(self) -> ChannelLayer:
        """The layer, as the user of this name sees it."""
        return self._layer or get_channel_layer(self.alias)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Name) or self.kind != other.kind:
            return NotImplemented
        return (self.name, self.alias, self._layer) == (other.name, other.alias, other._layer)

    def __hash__(self) -> int:
        return hash((self.name, self.alias))


def check_async(thing: Name, method: str) -> None:
    """Raise `WrongContext` unless an event loop runs in this thread."""
    if asyncio._get_running_loop() is None:
        raise _wrong_context(thing, method)


def _wrong_context(thing: Name, method: str) -> WrongContext:
    return WrongContext(
        f"{thing.kind}({thing.name!r}).{method}() was called where no event loop runs. "
        f"In sync code use `from achannels.sync import {thing.kind}`."
    )


def seconds_until(delay: float | timedelta | None, eta: datetime | None) -> float:
    """Return the seconds to wait, 0 for none.

    Raises:
        ConfigurationError: Both are given, or `eta` is naive.
    """
    if delay is not None and eta is not None:
        raise ConfigurationError("send(delay=..., eta=...): give one of the two.")
    if eta is not None:
        if eta.tzinfo is None:
            raise ConfigurationError(
                f"send(eta={eta!r}): a naive datetime names no moment. "
                "Give an aware one, for example django.utils.timezone.now() + timedelta(hours=1)."
            )
        return max(0.0, (eta - datetime.now(UTC)).total_seconds())
    if isinstance(delay, timedelta):
        delay = delay.total_seconds()
    if not delay:
        return 0.0
    if not 0 < delay < float("inf"):
        raise ConfigurationError(
            f"send(delay={delay!r}): a delay is a number of seconds from 0 up."
        )
    return float(delay)


class BaseChannel(Name):
    """What the awaited and the blocking `Channel` have in common."""

    __slots__ = ()

    kind = "Channel"

    def __init__(
        self, name: str, alias: str = "default", channel_layer: ChannelLayer | None = None
    ) -> None:
        super().__init__(check_channel(name), alias, channel_layer)

    def _work_layer(self) -> WorkLayer:
        layer = self.core_layer
        if isinstance(layer, WorkLayer):
            return layer
        raise ConfigurationError(f"{type(layer).__name__} keeps no dead letters.")


class Channel(BaseChannel):
    """A named queue: each message goes to one listener, at most once, in the order of the sends.

    Args:
        name: 1 to 199 characters of `a-z A-Z 0-9 . - _`; with a `!` it names one socket or request.
        alias: Which of `CHANNEL_LAYERS` it lives on.
        channel_layer: That layer itself; wins over `alias`.

    Raises:
        InvalidName: The name breaks the grammar.
    """

    __slots__ = ()

    def send(
        self,
        content: Mapping[str, Any],
        *,
        delay: float | timedelta | None = None,
        eta: datetime | None = None,
        durable: bool | None = None,
    ) -> Coroutine[Any, Any, None]:
        """Send a message; returns when the layer has taken it.

        Args:
            content: A dict with `str` keys and `bytes str int float list dict bool None` inside.
            delay: Seconds (or a timedelta) before the message may be handled.
            eta: The moment before which it may not be handled; an aware datetime.
            durable: Keep this message until its handler has returned.

        Raises:
            WrongContext: No event loop runs here.
            ChannelFull: As many messages wait as the channel's capacity allows.
            InvalidContent: The content holds what no layer carries.
            MessageTooLarge: It is over the layer's `message_size`.
            LayerUnavailable: The layer's server does not answer.
            LayerClosed: The layer was closed.
        """
        check_async(self, "send")
        return self.channel_layer.send(
            self.name, content, delay=seconds_until(delay, eta), durable=bool(durable)
        )

    def dead_letters(self, limit: int = 100) -> Coroutine[Any, Any, list[DeadLetter]]:
        """Return the durable messages of this channel that were given up, oldest first."""
        check_async(self, "dead_letters")
        return self._work_layer().dead_letters(self.name, limit)

    def requeue(self, id: str) -> Coroutine[Any, Any, bool]:
        """Send a dead letter again as a first attempt; `False` if there is none of that id."""
        check_async(self, "requeue")
        return self._work_layer().requeue(self.name, id)


class ReplyChannel(Channel):
    """The channel to the socket or request that a message came from.

    Its `send` waits while the client is slow, as a plain ASGI `send` does; what is sent to a
    connection that is gone is counted, never raised.
    """

    __slots__ = ("socket",)

    def __init__(self, socket: Socket, channel_layer: ChannelLayer) -> None:
        self.name = socket.channel_name
        self.alias = "default"
        self._layer = channel_layer
        self.socket = socket

    def send(
        self,
        content: Mapping[str, Any],
        *,
        delay: float | timedelta | None = None,
        eta: datetime | None = None,
        durable: bool | None = None,
    ) -> Coroutine[Any, Any, None]:
        """Answer: `accept text bytes close` for sockets, `status headers content` for requests.

        Raises:
            WrongContext: No event loop runs here.
            InvalidContent: A key or a value that this kind of connection has no use for.
            ConfigurationError: `delay`, `eta` or `durable`, which a connection cannot have.
        """
        if delay is not None or eta is not None or durable:
            raise ConfigurationError(
                f"{self!r}.send(): a reply leaves at once; delay, eta and durable are for named "
                "channels."
            )
        if asyncio._get_running_loop() is None:
            raise _wrong_context(self, "send")
        return self.socket.reply(content)


__all__ = ["BaseChannel", "Channel", "Name", "ReplyChannel", "check_async", "seconds_until"]
