"""`channels.message`: what a plain consumer gets, and the sends that wait for its end."""

from copy import deepcopy
from typing import Any

from achannels import channel as awaited
from achannels import sync
from achannels.legacy.asgi import AnyLayer, channel_layers, core_layer_of
from achannels.legacy.channel import Channel, ReplyChannel
from achannels.message import BaseMessage
from achannels.types import Content


class Message(sync.Message):
    """A message: a dict with the channel it came on and the channel back.

    Args:
        content: The dict, which is not copied.
        channel_name: Name of the channel.
        channel_layer: Its layer; `None` is the one of the alias `default`.

    Attributes:
        content: The dict itself.
    """

    def __init__(
        self, content: Content, channel_name: str, channel_layer: AnyLayer | None = None
    ) -> None:
        layer = core_layer_of(channel_layer) if channel_layer is not None else None
        channel = awaited.Channel(channel_name, channel_layer=layer)
        reply = content.get("reply_channel")
        BaseMessage.__init__(
            self,
            content,
            channel,
            awaited.Channel(reply, channel_layer=layer) if reply else None,
        )

    @classmethod
    def of(
        cls, content: Content, channel: awaited.Channel, reply_channel: awaited.Channel | None
    ) -> "Message":
        """Return the message for a plain consumer that takes over from the dispatcher."""
        message = cls.__new__(cls)
        BaseMessage.__init__(message, content, channel, reply_channel)
        return message

    @property
    def channel(self) -> Channel:
        """The channel that the message came from."""
        return Channel(self._channel.name, channel_layer=self._channel._layer)

    @property
    def reply_channel(self) -> Any:
        """The channel to the socket or request that it came from, `None` if there is none."""
        reply = self._reply
        if isinstance(reply, awaited.ReplyChannel):
            return ReplyChannel(reply.socket, reply.core_layer)
        return Channel(reply.name, channel_layer=reply._layer) if reply is not None else None

    @property
    def channel_layer(self) -> Any:
        """The layer, with the methods of 1.x."""
        return channel_layers.over(self._channel.core_layer)

    def copy(self) -> "Message":
        """Return a message with a copy of the content."""
        return self.of(deepcopy(self.content), self._channel, self._reply)


__all__ = ["Message"]
