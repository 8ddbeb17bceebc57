"""AsyncWebsocketConsumer: connect, receive, disconnect as methods; one instance per socket."""

import inspect
from collections.abc import Coroutine, Iterable
from typing import Any, ClassVar

from achannels.channel import ReplyChannel
from achannels.consumers.base import AsyncConsumer, BadFrame
from achannels.exceptions import ConfigurationError
from achannels.types import Content


class AsyncWebsocketConsumer(AsyncConsumer):
    """A socket as an object: its state lives in attributes, from connect to disconnect.

    Hooks, called one at a time and in order: `connect()` (accepts by default),
    `receive(text_data=…)` or `receive(bytes_data=…)`, `disconnect(code)`. A hook that raises ends
    the socket with 1011; `disconnect` runs exactly once for every `connect` that began.

    A message of a group with a `type` calls the method of that name between the frames; one
    without is a frame, and goes to the client without waking the consumer.
    """

    _hooks: ClassVar[frozenset[str]] = frozenset({"connect", "receive", "disconnect", "gap"})
    _takes: ClassVar[frozenset[str]] = frozenset({"text_data", "bytes_data"})

    reply_channel: ReplyChannel

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._takes = frames_taken(cls, "async def")

    @classmethod
    def channel_names(cls) -> frozenset[str]:
        """Return the channels that `route_class` routes to this class."""
        return frozenset(
            {"websocket.connect", "websocket.receive", "websocket.disconnect", "websocket.gap"}
        )

    async def connect(self) -> None:
        """Take a new socket: `await self.accept()`, or `await self.close()` to refuse it.

        Raises:
            DenyConnection: Raise it to refuse the socket with a status and a reason.
        """
        await self.accept()

    async def receive(self, *args: Any, **kwargs: Any) -> None:
        """Take a frame; override it as `receive(self, text_data=None, bytes_data=None)`.

        Exactly one of the two is given. An override with one of them takes that kind only: the
        other closes the socket with 1003.
        """

    async def disconnect(self, code: int) -> None:
        """The socket ended, with the peer's code: 1005 for none given, 1006 for a lost one."""

    async def gap(self, event: Content) -> None:
        """Messages of groups were lost (`groups`, `reason`, `since` in seconds): load afresh."""

    async def accept(
        self,
        subprotocol: str | None = None,
        headers: Iterable[tuple[bytes, bytes]] | None = None,
    ) -> None:
        """Open the socket.

        Args:
            subprotocol: One of the client's; `None` takes the first that `SUBPROTOCOLS` lists.
            headers: Further headers of the handshake, pairs of bytes.
        """
        await self.reply_channel.send(reply_to_accept(subprotocol, headers))

    def send(
        self,
        text_data: str | None = None,
        bytes_data: bytes | None = None,
        close: bool | int = False,
    ) -> Coroutine[Any, Any, None]:
        """Send a frame to the client; waits while it is slow.

        Args:
            text_data: A text frame.
            bytes_data: A binary frame; give one of the two.
            close: Close afterwards: `True` for 1000, or a code.

        Raises:
            InvalidContent: Both or none is given, or one is of the wrong type.
        """
        return self.reply_channel.send(reply_to_send(text_data, bytes_data, close))

    async def close(self, code: int | bool | None = None, reason: str | None = None) -> None:
        """Close the socket; before `accept` that refuses it with HTTP 403.

        Args:
            code: 1000 (the default) or 3000 to 4999.
            reason: At most 123 bytes, shown to the client.
        """
        await self.reply_channel.send(reply_to_close(code, reason))

    def take_frame(self, content: Content) -> Coroutine[Any, Any, None]:
        """Hand a frame to `receive`.

        Raises:
            BadFrame: This class takes the other kind only.
        """
        if "text" in content:
            if "text_data" not in self._takes:
                raise BadFrame(1003, "this consumer takes binary frames only")
            return self.receive(text_data=content["text"])
        if "bytes_data" not in self._takes:
            raise BadFrame(1003, "this consumer takes text frames only")
        return self.receive(bytes_data=content["bytes"])


def frames_taken(cls: Any, word: str) -> frozenset[str]:
    """Return which kinds of frames the `receive` of a class takes: `text_data`, `bytes_data`.

    Raises:
        ConfigurationError: None.
    """
    both = frozenset({"text_data", "bytes_data"})
    parameters = inspect.signature(cls.receive).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return both
    if taken := both & frozenset(parameters):
        return taken
    raise ConfigurationError(
        f"{cls.__module__}.{cls.__qualname__}.receive takes neither text_data nor bytes_data. "
        f"Write `{word} receive(self, text_data=None, bytes_data=None)`."
    )


def reply_to_accept(
    subprotocol: str | None, headers: Iterable[tuple[bytes, bytes]] | None
) -> Content:
    """Return the content that opens a socket."""
    content: Content = {"accept": True}
    if subprotocol is not None:
        content["subprotocol"] = subprotocol
    if headers is not None:
        content["headers"] = list(headers)
    return content


def reply_to_send(text_data: str | None, bytes_data: bytes | None, close: bool | int) -> Content:
    """Return the content of a frame."""
    if text_data is not None and bytes_data is None and close is False:
        return {"text": text_data}
    content: Content = {}
    if text_data is not None:
        content["text"] = text_data
    if bytes_data is not None:
        content["bytes"] = bytes_data
    if close is not False:
        content["close"] = close
    return content


def reply_to_close(code: int | bool | None, reason: str | None) -> Content:
    """Return the content that closes a socket."""
    content: Content = {"close": True if code is None else code}
    if reason is not None:
        content["reason"] = reason
    return content


__all__ = [
    "AsyncWebsocketConsumer",
    "frames_taken",
    "reply_to_accept",
    "reply_to_close",
    "reply_to_send",
]
