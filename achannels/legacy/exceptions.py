"""`channels.exceptions`: what consumers and views raise to say what shall happen."""

from typing import TYPE_CHECKING

from achannels.exceptions import ConsumeLater, DenyConnection, RequestAborted, RequestTimeout

if TYPE_CHECKING:
    from achannels.legacy.message import Message


class ResponseLater(Exception):
    """Raised by a view: someone else answers the request, on its reply channel."""


class ChannelSocketException(Exception):
    """Base for exceptions that answer a message themselves: `run(message)` is called."""

    def run(self, message: "Message") -> None:
        """Answer the message that was being handled."""
        raise NotImplementedError


class WebsocketCloseException(ChannelSocketException):
    """Raised by a consumer of a socket: the socket is closed.

    Args:
        code: 1000, or 3000 to 4999; `None` is 1000.

    Raises:
        TypeError: The code is no int.
        ValueError: It is out of its range.
    """

    def __init__(self, code: int | None = None) -> None:
        if code is not None:
            if isinstance(code, bool) or not isinstance(code, int | float):
                raise TypeError(f"a close code is an int, not {code!r}.")
            if isinstance(code, float) or not (code == 1000 or 3000 <= code <= 4999):
                raise ValueError(
                    f"a close code is 1000, or an int from 3000 to 4999, not {code!r}."
                )
        super().__init__(code)
        self.code = code

    def run(self, message: "Message") -> None:
        """Close the socket that the message came from.

        Raises:
            ValueError: The message did not come from a socket.
        """
        reply_channel = message.reply_channel
        if reply_channel is None or not message.channel.name.startswith("websocket."):
            raise ValueError(
                f"WebsocketCloseException was raised on {message.channel.name!r}, which is no "
                "channel of a socket."
            )
        reply_channel.send({"close": self.code or True})


class SendNotAvailableOnDemultiplexer(Exception):
    """A demultiplexer has no `send`: its multiplexer has."""


__all__ = [
    "ChannelSocketException",
    "ConsumeLater",
    "DenyConnection",
    "RequestAborted",
    "RequestTimeout",
    "ResponseLater",
    "SendNotAvailableOnDemultiplexer",
    "WebsocketCloseException",
]
