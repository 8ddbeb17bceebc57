"""`channels.message`: what a plain consumer gets, and the sends that wait for its end."""

import logging
import time
from copy import deepcopy
from typing import Any

from achannels import channel as awaited
from achannels import sync
from achannels.django.db import close_old_connections
from achannels.exceptions import ChannelFull
from achannels.legacy.asgi import AnyLayer, channel_layers, core_layer_of
from achannels.legacy.channel import Channel, HandshakeChannel, ReplyChannel
from achannels.legacy.conf import is_old_way
from achannels.legacy.signals import consumer_finished, consumer_started
from achannels.message import BaseMessage
from achannels.registry import get_channel_layer
from achannels.types import Content, Scope

logger = logging.getLogger("achannels.consumer")


class Message(sync.Message):
    """A message: a dict with the channel it came on and the channel back.

    Args:
        content: The dict, which is not copied.
        channel_name: Name of the channel.
        channel_layer: Its layer; `None` is the one of the alias `default`.

    Attributes:
        content: The dict itself.
        __doomed__: `True` when it is handled for the last time after `ConsumeLater`.
    """

    __doomed__: bool

    _scope: Scope | None = None
    """That of the socket or request, which knows the whole path."""

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
            connects = self._channel.name == "websocket.connect"
            kind = HandshakeChannel if connects else ReplyChannel
            return kind(reply.socket, reply.core_layer)
        if reply is not None:
            return Channel(reply.name, channel_layer=reply._layer)
        if is_old_way("CHANNELS_REPLY_CHANNEL"):
            return None
        raise self._no_reply_channel()

    @property
    def channel_layer(self) -> Any:
        """The layer, with the methods of 1.x."""
        return channel_layers.over(self._channel.core_layer)

    def copy(self) -> "Message":
        """Return a message with a copy of the content."""
        copied = self.of(deepcopy(self.content), self._channel, self._reply)
        copied._scope = self._scope
        return copied


MISSING: Any = object()
"""Stands for what a message does not have."""


def given(message: BaseMessage, name: str) -> Any:
    """Return state that a message was given, or `MISSING`, without the advice of its attribute."""
    try:
        return object.__getattribute__(message, name)
    except AttributeError:
        return MISSING


class _Begun(sync.Collected):
    """Sends that wait since `consumer_started`; a runtime keeps those of its consumers itself."""


class PendingMessageStore:
    """Where the sends of a plain consumer wait for its end.

    There is one for each consumer that runs; outside of consumers sends leave at once. The runtime
    fills and empties it: this is for code that runs consumers by hand, between the signals
    `consumer_started` and `consumer_finished` or between the methods here.

    Attributes:
        retry_time: Seconds that a send may wait for room in a channel.
        retry_interval: Seconds between two tries.
    """

    retry_time = 2.0
    retry_interval = 0.2

    @property
    def active(self) -> bool:
        """Whether a consumer runs, so that sends wait."""
        return sync.collected.get() is not None

    def prepare(self, **kwargs: Any) -> None:
        """Begin to keep sends; what was kept before is dropped."""
        sync.collected.set(sync.Collected())

    def send_and_flush(self, **kwargs: Any) -> None:
        """Send what was kept, in order, and keep no more.

        What cannot be sent is logged, and what comes after it is sent all the same.
        """
        pending = sync.collected.get()
        sync.collected.set(None)
        for call in pending.calls if pending is not None else ():
            self._send(call)

    def begin(self) -> None:
        """A consumer has started: keep sends, unless a runtime does."""
        pending = sync.collected.get()
        if pending is None or type(pending) is _Begun:
            sync.collected.set(_Begun())

    def finish(self) -> None:
        """A consumer has finished: close old connections, and send what was kept since `begin`."""
        if type(sync.collected.get()) is _Begun:
            close_old_connections()
            self.send_and_flush()

    def _send(self, call: sync.Call) -> None:
        deadline = time.monotonic() + self.retry_time
        while True:
            try:
                sync.hand_over(get_channel_layer(), call)
            except ChannelFull as error:
                if time.monotonic() < deadline:
                    time.sleep(self.retry_interval)
                    continue
                logger.error("a send of a consumer was dropped: %s", error)
            except Exception:
                logger.exception("a send of a consumer failed")
            return


pending_message_store = PendingMessageStore()
consumer_started.own = pending_message_store.begin
consumer_finished.own = pending_message_store.finish

__all__ = ["MISSING", "Message", "PendingMessageStore", "given", "pending_message_store"]
