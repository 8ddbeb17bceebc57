"""Group: a name that channels join, and that sends to all of them."""

from collections.abc import Coroutine, Mapping
from typing import Any

from achannels.channel import BaseChannel, Name, check_async
from achannels.contracts import ChannelLayer
from achannels.names import check_channel, check_group


class BaseGroup(Name):
    """What the awaited and the blocking `Group` have in common."""

    __slots__ = ()

    kind = "Group"

    def __init__(
        self, name: str, alias: str = "default", channel_layer: ChannelLayer | None = None
    ) -> None:
        super().__init__(check_group(name), alias, channel_layer)


class Group(BaseGroup):
    """A named set of channels, usually of reply channels.

    A socket that ends is in no group any more; nobody has to leave by hand.

    Args:
        name: 1 to 199 characters of `a-z A-Z 0-9 . - _`.
        alias: Which of `CHANNEL_LAYERS` it lives on.
        channel_layer: That layer itself; wins over `alias`.

    Raises:
        InvalidName: The name breaks the grammar.
    """

    __slots__ = ()

    def add(self, channel: BaseChannel | str) -> Coroutine[Any, Any, None]:
        """Make a channel a member; every send that starts after this returned reaches it.

        Idempotent.

        Raises:
            WrongContext: No event loop runs here.
            InvalidName: `channel` is no channel name.
            LayerUnavailable: The layer's server does not answer.
        """
        check_async(self, "add")
        return self.channel_layer.group_add(self.name, channel_name(channel))

    def discard(self, channel: BaseChannel | str) -> Coroutine[Any, Any, None]:
        """End a membership; no send that starts after this returned reaches the channel.

        Idempotent.

        Raises:
            WrongContext: No event loop runs here.
            InvalidName: `channel` is no channel name.
            LayerUnavailable: The layer's server does not answer.
        """
        check_async(self, "discard")
        return self.channel_layer.group_discard(self.name, channel_name(channel))

    def send(self, content: Mapping[str, Any]) -> Coroutine[Any, Any, None]:
        """Send to every member; all members see the sends to one group in the same order.

        A member without room gets what its `overflow` says; that is counted, and raises nothing
        here.

        Args:
            content: A frame (`text` or `bytes`), or an event for class consumers (`type`).

        Raises:
            WrongContext: No event loop runs here.
            InvalidContent: The content holds what no layer carries.
            MessageTooLarge: It is over the layer's `message_size`.
            LayerUnavailable: The layer's server does not answer.
            LayerClosed: The layer was closed.
        """
        check_async(self, "send")
        return self.channel_layer.group_send(self.name, content)


def channel_name(channel: BaseChannel | str) -> str:
    """Return the name of a channel given as `Channel` or as `str`.

    Raises:
        InvalidName: It is neither.
    """
    return channel.name if isinstance(channel, BaseChannel) else check_channel(channel)


__all__ = ["BaseGroup", "Group", "channel_name"]
