"""Message: what a consumer gets."""

from collections.abc import ItemsView, KeysView, ValuesView
from typing import Any, NoReturn, Protocol

from achannels.channel import Channel
from achannels.contracts import ChannelLayer
from achannels.exceptions import NoReplyChannel, NotLoaded
from achannels.types import Content

_STATE = {
    "channel_session": "@channel_session (achannels.sessions)",
    "http_session": "@http_session (achannels.sessions)",
    "user": "@http_user (achannels.auth)",
}


class Body(Protocol):
    """Where the body of an `http.request` comes from."""

    async def read(self) -> bytes:
        """Return the whole body."""


class BaseMessage:
    """What the awaited and the blocking `Message` have in common.

    Attributes:
        content: The dict that was sent; it belongs to this message alone.
        attempt: 1 for the first time that a background message is handled, then counting up.
        consumer: Dotted name of the consumer that has it, for error texts.
        body_source: Where the body of a request comes from.
    """

    __slots__ = (
        "_channel",
        "_reply",
        "attempt",
        "body_source",
        "channel_session",
        "consumer",
        "content",
        "http_session",
        "user",
    )

    attempt: int
    consumer: str
    body_source: Body | None

    channel_session: dict[str, Any]
    """Data of this socket; ask for it with `@channel_session`."""

    http_session: Any
    """The browser's Django session, `None` without cookie; ask for it with `@http_session`."""

    user: Any
    """The user of the connection; ask for it with `@http_user`."""

    def __init__(
        self,
        content: Content,
        channel: Channel,
        reply_channel: Channel | None = None,
        attempt: int = 1,
        body_source: Body | None = None,
        consumer: str = "its consumer",
    ) -> None:
        self.content = content
        self._channel = channel
        self._reply = reply_channel
        self.attempt = attempt
        self.body_source = body_source
        self.consumer = consumer

    @property
    def channel_layer(self) -> ChannelLayer:
        """The layer that the message came through."""
        return self._channel.channel_layer

    def __getitem__(self, key: str) -> Any:
        return self.content[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.content[key] = value

    def __contains__(self, key: object) -> bool:
        return key in self.content

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value of the content, or `default`."""
        return self.content.get(key, default)

    def keys(self) -> KeysView[str]:
        """Return the keys of the content."""
        return self.content.keys()

    def values(self) -> ValuesView[Any]:
        """Return the values of the content."""
        return self.content.values()

    def items(self) -> ItemsView[str, Any]:
        """Return the items of the content."""
        return self.content.items()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self._channel.name!r}: {sorted(self.content)}>"

    def __getattr__(self, name: str) -> NoReturn:
        if name in _STATE:
            raise NotLoaded(
                f"message.{name} was not asked for. Put {_STATE[name]} on {self.consumer}."
            )
        if name == "reply_channel":
            raise self._no_reply_channel()
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _no_reply_channel(self) -> NoReplyChannel:
        return NoReplyChannel(
            f"the message on {self._channel.name!r} has no reply channel: it was sent from code, "
            "not by a client. Put a 'reply_channel' into its content if someone waits for an answer."
        )


class Message(BaseMessage):
    """A message for an `async def` consumer: what it leads to is awaited."""

    __slots__ = ()

    @property
    def channel(self) -> Channel:
        """The channel that the message came from."""
        return self._channel

    @property
    def reply_channel(self) -> Channel:
        """The channel to the socket or request that the message came from.

        Raises:
            NoReplyChannel: The message was sent without one.
        """
        if self._reply is None:
            raise self._no_reply_channel()
        return self._reply

    async def body(self) -> bytes:
        """Return the whole body of an `http.request`, all parts joined.

        Raises:
            RequestAborted: The client left before it was complete.
            RequestTimeout: It was not complete within `http_timeout`.
        """
        return await self.body_source.read() if self.body_source is not None else b""


__all__ = ["BaseMessage", "Body", "Message"]
