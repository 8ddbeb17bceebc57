"""Layers as Channels 1.x knows them: calls that block, the old method names, polling receives."""

import asyncio
import fnmatch
import re
import secrets
import string
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any, TypeVar
from warnings import warn

from achannels.contracts import ChannelLayer
from achannels.exceptions import ChannelFull, InvalidName, MessageTooLarge, WrongContext
from achannels.layers.memory import MemoryLayer
from achannels.legacy.names import heard, is_foreign, plain_name
from achannels.names import check_channel, check_group
from achannels.sync import hand_over
from achannels.types import Content

T = TypeVar("T")

RECEIVE_WAIT = 5.0
"""Seconds that `receive(block=True)` waits for a message."""

POLL = 0.2
"""Seconds that a receive which does not block gives a layer between processes to answer."""

RESERVED = "__asgi_channel__"
"""A key that the layers of 1.x used for themselves."""

_LETTERS = 12


class LayerFacade:
    """A channel layer with the methods of Channels 1.x, which block.

    Args:
        layer: What carries the messages.
        config: Its `CONFIG`.

    Attributes:
        layer: What carries the messages.
        expiry: Seconds that a message may wait.
        group_expiry: Seconds that an ordinary channel stays in a group.
        capacity: Messages that may wait in a channel.
        channel_capacity: The same by pattern.
        extensions: What it can do beside sending and receiving.
    """

    ChannelFull = ChannelFull
    MessageTooLarge = MessageTooLarge
    extensions = ("groups", "flush", "statistics")

    def __init__(self, layer: ChannelLayer, config: Mapping[str, Any] | None = None) -> None:
        config = config or {}
        self.layer = layer
        self.expiry: float = config.get("expiry", 60)
        self.group_expiry: float = config.get("group_expiry", 86_400)
        self.capacity: int = config.get("capacity", 100)
        self.channel_capacity = self.compile_capacities(config.get("channel_capacity") or {})

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {type(self.layer).__name__}>"

    # Messages.

    def send(self, channel: str, message: Mapping[str, Any]) -> None:
        """Send to a channel.

        Raises:
            AssertionError: `message` is no dict, or has the reserved key.
            TypeError: The name breaks the grammar, or the message holds what no layer carries.
            ChannelFull: As many messages wait as its capacity allows.
            MessageTooLarge: It is over the layer's `message_size`.
        """
        name = self._to(channel)
        self._check_message(message)
        self._call("send", lambda: self.layer.send(name, message))

    def receive(
        self, channels: Collection[str], block: bool = False
    ) -> tuple[str, Content] | tuple[None, None]:
        """Return the next message of any of the channels and its channel, `(None, None)` for none.

        Args:
            channels: Names; `prefix!` stands for all channels that begin with it.
            block: Wait up to 5 s.

        Raises:
            TypeError: A name breaks the grammar.
        """
        self.valid_channel_names(channels, receive=True, empty=True)
        names = self._from(channels)
        if not names:
            return None, None
        wait = RECEIVE_WAIT if block else 0.0 if isinstance(self.layer, MemoryLayer) else POLL
        found = self._call("receive", lambda: self._receive(names, wait))
        if found is None:
            return None, None
        return names[found[0]], found[1]

    def receive_many(
        self, channels: Collection[str], block: bool = False
    ) -> tuple[str, Content] | tuple[None, None]:
        """Do as `receive`; its name until asgiref 1.0."""
        warn("receive_many is called receive", DeprecationWarning, stacklevel=2)
        return self.receive(channels, block)

    def new_channel(self, pattern: str) -> str:
        """Return a new name for a channel with one reader.

        Args:
            pattern: What the name begins with; its last character is a `?`.

        Raises:
            TypeError: It is not.
        """
        if not isinstance(pattern, str) or not pattern.endswith("?"):
            raise InvalidName(f"new_channel({pattern!r}): a pattern ends with '?'.")
        letters = (secrets.choice(string.ascii_letters) for _ in range(_LETTERS))
        return check_channel(pattern + "".join(letters))

    # Groups.

    def group_add(self, group: str, channel: str) -> None:
        """Make a channel a member of a group, or have it stay for another `group_expiry`."""
        name = self._to(channel)
        self._call("group_add", lambda: self.layer.group_add(group, name))

    def group_discard(self, group: str, channel: str) -> None:
        """End a membership; no error if there is none."""
        name = self._to(channel)
        self._call("group_discard", lambda: self.layer.group_discard(group, name))

    def group_channels(self, group: str) -> list[str]:
        """Return the names of the members."""
        found = self._call("group_channels", lambda: self.layer.group_channels(group))
        return sorted(heard.old_name(name) for name in found)

    def send_group(self, group: str, message: Mapping[str, Any]) -> None:
        """Send to every member of a group; one without room misses it, and nothing is raised.

        Raises:
            AssertionError: `message` is no dict, or has the reserved key.
            TypeError: The name breaks the grammar, or the message holds what no layer carries.
        """
        self._check_message(message)
        self._call("send_group", lambda: self.layer.group_send(group, message))

    # The rest.

    def flush(self) -> None:
        """Drop all messages and memberships."""
        self._call("flush", self.layer.flush)

    def global_statistics(self) -> dict[str, int]:
        """Return what was sent, what waits, and how often a channel was full."""
        found = self._call("global_statistics", self.layer.statistics)
        return {
            "messages_count": found["accepted"],
            "messages_pending": found["pending"],
            "channel_full_count": found["dropped"].get("full", 0),
        }

    def channel_statistics(self, channel: str) -> dict[str, int]:
        """Return an empty dict: numbers are kept for the whole layer."""
        self.valid_channel_name(channel)
        return {}

    def valid_channel_name(self, name: str, receive: bool = False) -> bool:
        """Return `True` for a channel name.

        Args:
            name: What is checked.
            receive: It is to be received from: a name with a `!` then ends with it.

        Raises:
            TypeError: It is none.
        """
        if isinstance(name, str) and name.endswith("!"):
            check_channel(f"{name}x")
            return True
        check_channel(name)
        if receive and "!" in name and is_foreign(name):
            raise InvalidName(
                f"channel name {name!r}: receive from all channels of its process, "
                f"{self.non_local_name(name)!r}."
            )
        return True

    def valid_channel_names(
        self, names: Collection[str], receive: bool = False, *, empty: bool = False
    ) -> bool:
        """Return `True` for a list of channel names.

        Raises:
            AssertionError: There are none.
            TypeError: One is no channel name.
        """
        if not names and not empty:
            raise AssertionError("the list of channel names is empty")
        if isinstance(names, str):
            raise InvalidName(f"{names!r} is one name; give a list of them: [{names!r}].")
        return all(self.valid_channel_name(name, receive) for name in names)

    def valid_group_name(self, name: str) -> bool:
        """Return `True` for a group name.

        Raises:
            TypeError: It is none.
        """
        check_group(name)
        return True

    def non_local_name(self, name: str) -> str:
        """Return the name up to and with its `!`, or all of it."""
        prefix, mark, _ = name.partition("!")
        return prefix + mark

    def get_capacity(self, channel: str) -> int:
        """Return how many messages may wait in a channel: of the first pattern that matches."""
        name = self.non_local_name(channel)
        for pattern, capacity in self.channel_capacity:
            if pattern.match(name):
                return capacity
        return self.capacity

    def compile_capacities(
        self, channel_capacity: Mapping[Any, int]
    ) -> list[tuple[re.Pattern[str], int]]:
        """Return the patterns of `channel_capacity`, globs or compiled, as regular expressions."""
        return [
            (re.compile(fnmatch.translate(key)) if isinstance(key, str) else key, capacity)
            for key, capacity in channel_capacity.items()
        ]

    async def _receive(self, channels: Collection[str], wait: float) -> tuple[str, Content] | None:
        try:
            async with asyncio.timeout(wait):
                return await self.layer.receive_many(channels)
        except TimeoutError:
            return None

    def _to(self, channel: str) -> str:
        """Return the name that the layer has for a channel."""
        check_channel(channel)
        heard.note(channel)
        return plain_name(channel)

    def _from(self, channels: Collection[str]) -> dict[str, str]:
        """Return the names that the layer has for channels to receive from, with the old ones."""
        names: dict[str, str] = {}
        for channel in channels:
            found = heard.of(channel) if channel.endswith("!") else [channel]
            names |= {plain_name(each): each for each in found}
        return names

    def _check_message(self, message: Mapping[str, Any]) -> None:
        if not isinstance(message, dict):
            raise AssertionError(f"a message is a dict, not {type(message).__name__}")
        if RESERVED in message:
            raise AssertionError(f"the key {RESERVED!r} is the layer's own")
        reply = message.get("reply_channel")
        if isinstance(reply, str):
            heard.note(reply)

    def _call(self, method: str, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if asyncio._get_running_loop() is not None:
            raise WrongContext(
                f"{self!r}.{method}() would block the event loop. Use `await` and the methods of "
                "its attribute `layer` there."
            )
        return hand_over(self.layer, make)


__all__ = ["LayerFacade"]
