"""`channels.channel`: `Channel` and `Group`, which block; in a consumer their sends wait for its end."""

from collections.abc import Mapping
from typing import Any

from achannels import registry, sync
from achannels.channel import BaseChannel
from achannels.contracts import ChannelLayer
from achannels.legacy.asgi import (
    DEFAULT_CHANNEL_LAYER,
    AnyLayer,
    channel_layers,
    core_layer_of,
)
from achannels.legacy.contents import handshake_content, reply_content
from achannels.legacy.names import heard, plain_name


class Channel(sync.Channel):
    """A name to send to.

    In a consumer a send is kept, and leaves when the consumer has returned or raised.

    Args:
        name: The name; `bytes` are ASCII.
        alias: Which of `CHANNEL_LAYERS` it lives on.
        channel_layer: That layer itself; wins over `alias`.

    Raises:
        TypeError: The name breaks the grammar.
        KeyError: There is no such alias.
    """

    __slots__ = ()

    def __init__(
        self,
        name: str | bytes,
        alias: str = DEFAULT_CHANNEL_LAYER,
        channel_layer: AnyLayer | None = None,
    ) -> None:
        layer = _layer(alias, channel_layer)
        super().__init__(_text(name), alias, layer)

    @property
    def channel_layer(self) -> Any:
        """The layer, as 1.x knows it."""
        return _seen(self)

    def send(self, content: Mapping[str, Any], immediately: bool = False, **options: Any) -> None:
        """Send a message.

        Args:
            content: A dict.
            immediately: Now, not when the consumer has returned.
            **options: `delay`, `eta`, `durable` and `on_commit`, as `achannels.sync.Channel` has them.

        Raises:
            TypeError: `content` is no dict, or holds what no layer carries.
            ChannelFull: There is no room; not from a send that is kept.
            MessageTooLarge: It is over the layer's `message_size`.
        """
        if not isinstance(content, dict):
            raise TypeError(f"a message is a dict, not {type(content).__name__}")
        name = self.name
        if "!" in name:
            kept = reply_content(content)
            if kept is None:
                return
            content = kept
            if (plain := plain_name(name)) != name:
                heard.note(name)
                Channel(plain, self.alias, self._layer).send(content, immediately, **options)
                return
        elif "reply_channel" in content:
            heard.note(content["reply_channel"])
        super().send(content, immediately, **options)


class ReplyChannel(sync.Reply, Channel):
    """The channel to the socket or request that a message came from."""

    __slots__ = ()

    _kept = staticmethod(reply_content)

    def send(self, content: Mapping[str, Any], immediately: bool = False, **options: Any) -> None:
        """Answer: `accept text bytes close` for sockets, `status headers content` for requests.

        Raises:
            TypeError: `content` is no dict, or has a key or value that the connection has no use for.
        """
        if not isinstance(content, dict):
            raise TypeError(f"a message is a dict, not {type(content).__name__}")
        kept = self._kept(content)
        if kept is not None:
            super().send(kept, immediately, **options)


class HandshakeChannel(ReplyChannel):
    """The channel to the socket that `websocket.connect` came from."""

    __slots__ = ()

    _kept = staticmethod(handshake_content)


class Group(sync.Group):
    """A name that channels join, and that sends to all of them.

    Args:
        name: The name; `bytes` are ASCII.
        alias: Which of `CHANNEL_LAYERS` it lives on.
        channel_layer: That layer itself; wins over `alias`.

    Raises:
        TypeError: The name breaks the grammar.
        KeyError: There is no such alias.
    """

    __slots__ = ()

    def __init__(
        self,
        name: str | bytes,
        alias: str = DEFAULT_CHANNEL_LAYER,
        channel_layer: AnyLayer | None = None,
    ) -> None:
        layer = _layer(alias, channel_layer)
        super().__init__(_text(name), alias, layer)

    @property
    def channel_layer(self) -> Any:
        """The layer, as 1.x knows it."""
        return _seen(self)

    def add(self, channel: BaseChannel | str) -> None:
        """Make a channel a member, now; idempotent."""
        super().add(_member(channel))

    def discard(self, channel: BaseChannel | str) -> None:
        """End a membership, now; no error if there is none."""
        super().discard(_member(channel))

    def send(self, content: Mapping[str, Any], immediately: bool = False, **options: Any) -> None:
        """Send to every member; one without room misses it.

        Args:
            content: A dict.
            immediately: Now, not when the consumer has returned.
            **options: `on_commit`, as `achannels.sync.Group` has it.

        Raises:
            ValueError: `content` is no dict.
            TypeError: It holds what no layer carries.
        """
        if not isinstance(content, dict):
            raise ValueError(f"a message is a dict, not {type(content).__name__}")
        kept = reply_content(content)
        if kept is not None:
            super().send(kept, immediately, **options)


def _seen(thing: Channel | Group) -> Any:
    if thing._layer is None:
        return channel_layers[thing.alias]
    return channel_layers.over(thing._layer)


def _text(name: str | bytes) -> str:
    return name.decode("ascii") if isinstance(name, bytes) else name


def _layer(alias: str, channel_layer: AnyLayer | None) -> ChannelLayer | None:
    if channel_layer is not None:
        return core_layer_of(channel_layer)
    if alias != DEFAULT_CHANNEL_LAYER and alias not in registry.configured():
        raise KeyError(alias)
    return None


def _member(channel: BaseChannel | str) -> BaseChannel | str:
    if isinstance(channel, BaseChannel):
        channel = channel.name
    heard.note(channel)
    return plain_name(channel) if "!" in channel else channel


__all__ = ["DEFAULT_CHANNEL_LAYER", "Channel", "Group", "HandshakeChannel", "ReplyChannel"]
