"""`channels.generic.websockets`: sockets as classes, JSON, and several streams over one socket."""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, ClassVar

from django.core.serializers.json import DjangoJSONEncoder

from achannels.legacy.auth import (
    channel_and_http_session_user_from_http,
    channel_session_user_from_http,
)
from achannels.legacy.channel import Channel, Group
from achannels.legacy.exceptions import SendNotAvailableOnDemultiplexer
from achannels.legacy.generic.base import BaseConsumer
from achannels.legacy.sessions import enforce_ordering
from achannels.types import Content


class WebsocketConsumer(BaseConsumer):
    """A socket: `connect`, `receive`, `disconnect`.

    Attributes:
        http_user: Have `message.user`, from the browser's session.
        http_user_and_session: Have `message.http_session` as well.
        strict_ordering: See `enforce_ordering`.
        groups: Groups that the socket joins before `connect` and leaves before `disconnect`.
        path: Of the socket.
    """

    method_mapping: ClassVar[Mapping[str, str]] = {
        "websocket.connect": "raw_connect",
        "websocket.receive": "raw_receive",
        "websocket.disconnect": "raw_disconnect",
    }
    http_user: bool = False
    http_user_and_session: bool = False
    strict_ordering: bool = False
    groups: Iterable[str] | None = None
    path: str

    def get_handler(self, message: Any, **kwargs: Any) -> Callable[..., Any]:
        """Return the method for a message, with the decorators that the attributes ask for.

        Raises:
            ValueError: `slight_ordering` is set, which was taken out of 1.x.
        """
        self.path = message["path"]
        if self.http_user or self.http_user_and_session:
            self.channel_session_user = True
        handler = super().get_handler(message, **kwargs)
        if self.http_user_and_session:
            handler = channel_and_http_session_user_from_http(handler)
        elif self.http_user:
            handler = channel_session_user_from_http(handler)
        if getattr(self, "slight_ordering", False):
            raise ValueError("slight_ordering was taken out of Channels 1.x: leave it out.")
        return enforce_ordering(handler) if self.strict_ordering else handler

    def connection_groups(self, **kwargs: Any) -> Iterable[str]:
        """Return the groups that the socket joins."""
        return self.groups or []

    def raw_connect(self, message: Any, **kwargs: Any) -> None:
        """Join the groups, and call `connect`."""
        for group in self.connection_groups(**kwargs):
            _group(group, message).add(message.reply_channel)
        self.connect(message, **kwargs)

    def connect(self, message: Any, **kwargs: Any) -> None:
        """Take a new socket: it is accepted. An override has to accept it, or send something."""
        self.message.reply_channel.send({"accept": True})

    def raw_receive(self, message: Any, **kwargs: Any) -> None:
        """Call `receive` with what came.

        Raises:
            KeyError: Neither text nor bytes came.
        """
        if "text" in message:
            self.receive(text=message["text"], **kwargs)
        else:
            self.receive(bytes=message["bytes"], **kwargs)

    def receive(self, text: Any = None, bytes: Any = None, **kwargs: Any) -> None:
        """Take a frame: a text or bytes."""

    def send(self, text: Any = None, bytes: Any = None, close: bool | int = False) -> None:
        """Send a frame.

        Args:
            text: A text.
            bytes: Or bytes.
            close: Close afterwards: `True`, or a code.

        Raises:
            ValueError: Neither is given.
        """
        self.message.reply_channel.send(_frame(text, bytes, close))

    @classmethod
    def group_send(
        cls, name: str, text: Any = None, bytes: Any = None, close: bool | int = False
    ) -> None:
        """Send a frame to a group of the default layer.

        Raises:
            ValueError: Neither text nor bytes is given.
        """
        Group(name).send(_frame(text, bytes, close))

    def close(self, status: bool | int = True) -> None:
        """Close the socket, with a code if one is given."""
        self.message.reply_channel.send({"close": status})

    def raw_disconnect(self, message: Any, **kwargs: Any) -> None:
        """Leave the groups, and call `disconnect`."""
        for group in self.connection_groups(**kwargs):
            _group(group, message).discard(message.reply_channel)
        self.disconnect(message, **kwargs)

    def disconnect(self, message: Any, **kwargs: Any) -> None:
        """The socket ended; `message["code"]` is its code, `None` if the client gave none."""


class JsonWebsocketConsumer(WebsocketConsumer):
    """A socket whose frames are JSON texts."""

    def raw_receive(self, message: Any, **kwargs: Any) -> None:
        """Call `receive` with what came, decoded.

        Raises:
            ValueError: It is no text, or no JSON.
        """
        if "text" not in message:
            raise ValueError("a frame without text came, and JSON is text.")
        self.receive(self.decode_json(message["text"]), **kwargs)

    def receive(self, content: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Take what a frame says."""

    def send(self, content: Any, close: bool | int = False) -> None:  # type: ignore[override]
        """Send a value as JSON."""
        super().send(text=self.encode_json(content), close=close)

    @classmethod
    def group_send(cls, name: str, content: Any, close: bool | int = False) -> None:  # type: ignore[override]
        """Send a value as JSON to a group of the default layer."""
        WebsocketConsumer.group_send(name, text=cls.encode_json(content), close=close)

    @classmethod
    def decode_json(cls, text: str) -> Any:
        """Return what a text says."""
        return json.loads(text)

    @classmethod
    def encode_json(cls, content: Any) -> str:
        """Return a value as a text."""
        return json.dumps(content)


class WebsocketMultiplexer:
    """Sends on one stream of a socket with several.

    Args:
        stream: Name of the stream.
        reply_channel: The channel to the socket.
    """

    def __init__(self, stream: str, reply_channel: Channel) -> None:
        self.stream = stream
        self.reply_channel = reply_channel

    def send(self, payload: Any) -> None:
        """Send a value on the stream."""
        self.reply_channel.send(self.encode(self.stream, payload))

    @classmethod
    def encode_json(cls, content: Any) -> str:
        """Return a value as a text; dates, decimals and UUIDs too."""
        return json.dumps(content, cls=DjangoJSONEncoder)

    @classmethod
    def encode(cls, stream: str, payload: Any) -> Content:
        """Return the message that sends a value on a stream."""
        return {"text": cls.encode_json({"stream": stream, "payload": payload})}

    @classmethod
    def group_send(cls, name: str, stream: str, payload: Any, close: bool | int = False) -> None:
        """Send a value on a stream of all sockets in a group of the default layer."""
        message = cls.encode(stream, payload)
        if close:
            message["close"] = close
        Group(name).send(message)


class WebsocketDemultiplexer(JsonWebsocketConsumer):
    """Hands what comes on each stream of a socket to the consumer of that stream.

    Frames are JSON objects with `stream` and `payload`. Connect and disconnect go to all consumers.
    Each gets the keyword argument `multiplexer`, and sends on its stream with that.

    Attributes:
        consumers: Name of the stream and consumer.
        multiplexer_class: What makes a `multiplexer` of a stream's name and a reply channel.
    """

    consumers: ClassVar[Mapping[str, Callable[..., Any]]] = {}
    multiplexer_class: type[WebsocketMultiplexer] = WebsocketMultiplexer

    def receive(self, content: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Hand a frame to the consumer of its stream.

        Raises:
            ValueError: It has no stream or payload, the stream is unknown, or the payload no object.
        """
        if not (isinstance(content, dict) and "stream" in content and "payload" in content):
            raise ValueError("Invalid multiplexed frame received (no channel/payload key)")
        stream, payload = content["stream"], content["payload"]
        if not isinstance(stream, str) or stream not in self.consumers:
            raise ValueError(
                f"Invalid multiplexed frame received (stream {stream!r} not mapped; known: "
                f"{', '.join(map(str, self.consumers))})"
            )
        if not isinstance(payload, dict):
            raise ValueError(f"Multiplexed frame data of stream {stream!r} is not a dict")
        self.message.content["text"] = json.dumps(payload)
        self._call(stream, self.message, kwargs)

    def connect(self, message: Any, **kwargs: Any) -> None:
        """Accept the socket, and hand its connect to all consumers."""
        message.reply_channel.send({"accept": True})
        for stream in self.consumers:
            self._call(stream, message, kwargs)

    def disconnect(self, message: Any, **kwargs: Any) -> None:
        """Hand the disconnect to all consumers."""
        for stream in self.consumers:
            self._call(stream, message, kwargs)

    def send(self, *args: Any, **kwargs: Any) -> None:
        """Raise: a demultiplexer has no stream to send on."""
        raise SendNotAvailableOnDemultiplexer(_USE_MULTIPLEXER)

    @classmethod
    def group_send(cls, name: str, *args: Any, **kwargs: Any) -> None:
        """Raise: a demultiplexer has no stream to send on."""
        raise SendNotAvailableOnDemultiplexer(_USE_MULTIPLEXER)

    def _call(self, stream: str, message: Any, kwargs: Mapping[str, Any]) -> None:
        consumer = self.consumers[stream]
        multiplexer = self.multiplexer_class(stream, message.reply_channel)
        _without_send(consumer)(message, **{**kwargs, "multiplexer": multiplexer})


@lru_cache
def _without_send(consumer: Any) -> Any:
    """Return a class consumer in the form that it has inside a demultiplexer."""
    if not isinstance(consumer, type) or not hasattr(consumer, "send"):
        return consumer

    def send(self: object, *args: Any, **kwargs: Any) -> None:
        raise SendNotAvailableOnDemultiplexer(_USE_MULTIPLEXER)

    own = {"__module__": consumer.__module__, "__qualname__": consumer.__qualname__}
    return type(consumer.__name__, (consumer,), {**own, "send": send})


_USE_MULTIPLEXER = "Use multiplexer.send() and multiplexer.group_send() of the stream's consumer."


def _group(name: str, message: Any) -> Group:
    return Group(name, channel_layer=message._channel._layer)


def _frame(text: Any, bytes: Any, close: bool | int) -> Content:
    message: Content = {"close": close} if close else {}
    if text is not None:
        message["text"] = text
    elif bytes is not None:
        message["bytes"] = bytes
    else:
        raise ValueError("You must pass text or bytes")
    return message


__all__ = [
    "JsonWebsocketConsumer",
    "WebsocketConsumer",
    "WebsocketDemultiplexer",
    "WebsocketMultiplexer",
]
