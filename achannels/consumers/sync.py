"""WebsocketConsumer and JsonWebsocketConsumer: the spelling of Channels 4, with `def` hooks in threads."""

import json
from collections.abc import Iterable
from typing import Any, ClassVar

from achannels import sync
from achannels.consumers.base import BadFrame, BaseConsumer
from achannels.consumers.json import read_json
from achannels.consumers.websocket import (
    frames_taken,
    reply_to_accept,
    reply_to_close,
    reply_to_send,
)
from achannels.types import Content


class SyncConsumer(BaseConsumer):
    """Code for messages as a class whose methods block.

    `Channel("mail").send({"type": "news.letter", ...})` calls `def news_letter(self, event)` in a
    thread: a `type` finds the public methods with one argument that subclasses define. What else
    there is to say is on `BaseConsumer`.
    """

    _is_async = False

    def dispatch(self, content: Content) -> bool:
        """Call the method that `content["type"]` names; `False` when there is none."""
        method = self.method(content)
        if method is None:
            return False
        method(content)
        return True


class WebsocketConsumer(SyncConsumer):
    """A socket as an object whose hooks block: its state lives in attributes.

    The hooks are those of `AsyncWebsocketConsumer`, as `def`. Each call runs in a thread, not always
    the same one; those of one socket run one at a time. What a hook sends is kept, and leaves in
    order when it returns, also if it raised.
    """

    _hooks: ClassVar[frozenset[str]] = frozenset({"connect", "receive", "disconnect", "gap"})
    _takes: ClassVar[frozenset[str]] = frozenset({"text_data", "bytes_data"})

    reply_channel: sync.Channel

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._takes = frames_taken(cls, "def")

    @classmethod
    def channel_names(cls) -> frozenset[str]:
        """Return the channels that `route_class` routes to this class."""
        return frozenset(
            {"websocket.connect", "websocket.receive", "websocket.disconnect", "websocket.gap"}
        )

    def connect(self) -> None:
        """Take a new socket: `self.accept()`, or `self.close()` to refuse it.

        Raises:
            DenyConnection: Raise it to refuse the socket with a status and a reason.
        """
        self.accept()

    def receive(self, *args: Any, **kwargs: Any) -> None:
        """Take a frame; override it as `receive(self, text_data=None, bytes_data=None)`.

        Exactly one of the two is given. An override with one of them takes that kind only: the
        other closes the socket with 1003.
        """

    def disconnect(self, code: int) -> None:
        """The socket ended, with the peer's code: 1005 for none given, 1006 for a lost one."""

    def gap(self, event: Content) -> None:
        """Messages of groups were lost (`groups`, `reason`, `since` in seconds): load afresh."""

    def accept(
        self,
        subprotocol: str | None = None,
        headers: Iterable[tuple[bytes, bytes]] | None = None,
    ) -> None:
        """Open the socket.

        Args:
            subprotocol: One of the client's; `None` takes the first that `SUBPROTOCOLS` lists.
            headers: Further headers of the handshake, pairs of bytes.
        """
        self.reply_channel.send(reply_to_accept(subprotocol, headers))

    def send(
        self,
        text_data: str | None = None,
        bytes_data: bytes | None = None,
        close: bool | int = False,
    ) -> None:
        """Send a frame to the client, when the hook returns.

        Args:
            text_data: A text frame.
            bytes_data: A binary frame; give one of the two.
            close: Close afterwards: `True` for 1000, or a code.

        Raises:
            InvalidContent: Both or none is given, or one is of the wrong type.
        """
        self.reply_channel.send(reply_to_send(text_data, bytes_data, close))

    def close(self, code: int | bool | None = None, reason: str | None = None) -> None:
        """Close the socket; before `accept` that refuses it with HTTP 403.

        Args:
            code: 1000 (the default) or 3000 to 4999.
            reason: At most 123 bytes, shown to the client.
        """
        self.reply_channel.send(reply_to_close(code, reason))

    def take_frame(self, content: Content) -> None:
        """Hand a frame to `receive`.

        Raises:
            BadFrame: This class takes the other kind only.
        """
        if "text" in content:
            if "text_data" not in self._takes:
                raise BadFrame(1003, "this consumer takes binary frames only")
            self.receive(text_data=content["text"])
        else:
            if "bytes_data" not in self._takes:
                raise BadFrame(1003, "this consumer takes text frames only")
            self.receive(bytes_data=content["bytes"])


class JsonWebsocketConsumer(WebsocketConsumer):
    """`receive_json(content)` and `send_json(content)`.

    A frame that is not JSON closes the socket with 1007, a binary one with 1003; the consumer is
    not called. `NaN` and `Infinity` are not JSON.
    """

    _hooks: ClassVar[frozenset[str]] = WebsocketConsumer._hooks | {"receive_json"}

    def receive_json(self, content: Any) -> None:
        """Take a decoded frame."""

    def send_json(self, content: Any, close: bool | int = False) -> None:
        """Send a value as a JSON text frame, when the hook returns.

        Args:
            content: What `encode_json` takes.
            close: Close afterwards: `True` for 1000, or a code.

        Raises:
            TypeError: `encode_json` cannot encode it.
            ValueError: It holds `NaN` or `Infinity`.
        """
        self.send(text_data=self.encode_json(content), close=close)

    def take_frame(self, content: Content) -> None:
        """Decode a frame and hand it to `receive_json`.

        Raises:
            BadFrame: It is not a text frame with JSON.
        """
        text = content.get("text")
        if text is None:
            raise BadFrame(1003, "this consumer takes text frames with JSON only")
        try:
            decoded = self.decode_json(text)
        except (ValueError, RecursionError) as error:
            raise BadFrame(1007, "the frame is not JSON") from error
        self.receive_json(decoded)

    @classmethod
    def decode_json(cls, text_data: str) -> Any:
        """Return what the text of a frame says; override it for another decoder.

        Raises:
            ValueError: The text is not JSON.
        """
        return read_json(text_data)

    @classmethod
    def encode_json(cls, content: Any) -> str:
        """Return a value as text; override it for another encoder."""
        return json.dumps(content, allow_nan=False)


__all__ = ["JsonWebsocketConsumer", "SyncConsumer", "WebsocketConsumer"]
