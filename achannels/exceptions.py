"""Every error of the package, one tree.

```
AChannelsError
├── ConfigurationError (ValueError)      a wrong setting, route or consumer; raised at start
├── InvalidName (TypeError)              where the name is made
├── InvalidContent (TypeError)           where the content is sent
├── MessageTooLarge                      .size .limit
├── ChannelFull                          .channel .capacity
├── LayerClosed
├── LayerUnavailable (ConnectionError)   .outcome
├── WrongContext (RuntimeError)          async form without a loop, sync form on the loop
├── NotLoaded (AttributeError)           state that was not asked for
├── NoReplyChannel (AttributeError)      a message that was sent without reply channel
├── NoRoute (LookupError)
├── RequestAborted
└── RequestTimeout
ControlFlow                              no AChannelsError: `except AChannelsError` never swallows it
├── DenyConnection                       .reason .status .headers
├── ConsumeLater                         .delay
├── Reject                               .reason
└── StopConsumer
```
"""

from collections.abc import Iterable
from typing import Literal


class AChannelsError(Exception):
    """Root of every error that the package raises."""


class ConfigurationError(AChannelsError, ValueError):
    """A setting, a route or a consumer is wrong; raised at start, never while messages flow."""


class InvalidName(AChannelsError, TypeError):
    """A channel or group name breaks the grammar; raised where the name is made."""


class InvalidContent(AChannelsError, TypeError):
    """A content holds what no layer carries; raised where it is sent."""


class MessageTooLarge(AChannelsError):
    """An encoded message is over the layer's `message_size`.

    Attributes:
        target: The channel or group it was sent to.
        size: Its encoded size in bytes.
        limit: The layer's limit in bytes.
    """

    def __init__(self, target: str, size: int, limit: int) -> None:
        super().__init__(target, size, limit)
        self.target = target
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"the message to {self.target!r} is {self.size} bytes, the limit is {self.limit} "
            "(CONFIG 'message_size'). Store the data and send its key."
        )


class ChannelFull(AChannelsError):
    """A channel holds as many waiting messages as its capacity allows.

    Attributes:
        channel: The channel's name.
        capacity: How many messages may wait in it.
    """

    def __init__(self, channel: str, capacity: int) -> None:
        super().__init__(channel, capacity)
        self.channel = channel
        self.capacity = capacity

    def __str__(self) -> str:
        advice = (
            "Its client reads too slowly: send less, or raise 'outbox_capacity' and 'outbox_bytes'."
            if "!" in self.channel
            else "Start more workers or raise 'channel_capacity'."
        )
        return (
            f"channel {self.channel!r} is full: {self.capacity} messages wait, "
            f"its capacity is {self.capacity}. {advice}"
        )


class LayerClosed(AChannelsError):
    """The layer was closed; nothing was sent."""


class LayerUnavailable(AChannelsError, ConnectionError):
    """The layer's server did not answer within `send_timeout`.

    Attributes:
        outcome: `"refused"`: never delivered. `"unknown"`: delivered by its deadline or never.
    """

    def __init__(self, text: str, *, outcome: Literal["refused", "unknown"]) -> None:
        super().__init__(text)
        self.outcome = outcome


class WrongContext(AChannelsError, RuntimeError):
    """The async form was called without a running loop, or the blocking form on the loop."""


class NotLoaded(AChannelsError, AttributeError):
    """State of the message was used that its consumer did not ask for."""


class NoReplyChannel(AChannelsError, AttributeError):
    """The message was sent without a reply channel, so there is nobody to answer."""


class NoRoute(AChannelsError, LookupError):
    """No route takes the message."""


class RequestAborted(AChannelsError):
    """The client left while its request body was read."""


class RequestTimeout(AChannelsError):
    """The client did not send the rest of its request body within `http_timeout`."""


class ControlFlow(Exception):
    """Root of what a consumer raises to say what shall happen to its message."""


class DenyConnection(ControlFlow):
    """Refuse the socket that is connecting.

    Args:
        reason: Body of the HTTP answer; readable by clients that show it (browsers show 1006 only).
        status: HTTP status of the answer, 400 to 599.
        headers: Further headers of the answer, pairs of bytes.
    """

    def __init__(
        self, reason: str = "", *, status: int = 403, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        if not 400 <= status <= 599:
            raise ConfigurationError(
                f"DenyConnection(status={status!r}): a refusal is an HTTP status from 400 to 599."
            )
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.headers = tuple(headers)


class ConsumeLater(ControlFlow):
    """Handle this message again later; counts as an attempt.

    Args:
        delay: Seconds to wait; `None` takes the consumer's `backoff`.
    """

    def __init__(self, delay: float | None = None) -> None:
        super().__init__(delay)
        self.delay = delay


class Reject(ControlFlow):
    """Do not try this message again: it becomes a dead letter (durable) or is dropped and counted."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class StopConsumer(ControlFlow):
    """End this class consumer: its socket is closed with 1000."""


__all__ = [
    "AChannelsError",
    "ChannelFull",
    "ConfigurationError",
    "ConsumeLater",
    "ControlFlow",
    "DenyConnection",
    "InvalidContent",
    "InvalidName",
    "LayerClosed",
    "LayerUnavailable",
    "MessageTooLarge",
    "NoReplyChannel",
    "NoRoute",
    "NotLoaded",
    "Reject",
    "RequestAborted",
    "RequestTimeout",
    "StopConsumer",
    "WrongContext",
]
