"""What the parts promise each other: the contracts that a layer, a socket and a store keep.

A layer of your own implements `ChannelLayer`; `achannels.testing.layer_suite` tells whether it does.
"""

import asyncio
from collections.abc import Collection, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypedDict, runtime_checkable

from achannels.codec import Encoded
from achannels.types import Content, Scope


class Statistics(TypedDict):
    """A layer's books. They balance: `accepted == delivered + expired + sum(dropped) + pending`.

    Attributes:
        accepted: Messages taken by the layer; a group send counts once per member.
        delivered: Messages handed to their listener: received, or written to their socket.
        expired: Messages that nobody took within `expiry`.
        dropped: By reason: `full gone overflow no_handler no_route rejected`.
        pending: Messages that wait.
    """

    accepted: int
    delivered: int
    expired: int
    dropped: dict[str, int]
    pending: int


class Receiver(Protocol):
    """What a node attaches to a reply channel: one socket, or one request.

    The layer counts a message that a receiver took as accepted; the receiver counts what becomes of
    it: `delivered`, or `dropped` with a reason. One that raises must not hurt the others: the layer
    logs it and counts the message as `gone`.
    """

    @property
    def pending(self) -> int:
        """Messages that it took and has not written yet."""

    @property
    def capacity(self) -> int:
        """Messages that may wait in it; a layer may refuse a direct send when so many do."""

    def gap(self, groups: list[str], reason: str, since: float) -> None:
        """Messages may have been lost on their way here.

        Args:
            groups: The groups concerned that the receiver is a member of.
            reason: `layer_reset`: the layer's server lost its data. `lease_lost`: this process was
                silent for its lease. `log_full`: it did not read for too long.
                `unreadable`: a message came that none of this process's keys opens; without groups
                it was for this receiver alone.
            since: Seconds ago, at most, that the first of them was sent.
        """

    def deliver(self, message: Encoded, *, group: bool) -> bool:
        """Take a message without waiting.

        Args:
            message: The encoded content; shared, never to be changed.
            group: It comes from a group send: when there is no room, the receiver applies its own
                policy, counts the loss, and returns `True`.

        Returns:
            `False` when a direct message finds no room; the layer then raises `ChannelFull`.
        """


class Books(Protocol):
    """The counters that a layer shares with the receivers attached to it."""

    accepted: int
    delivered: int
    expired: int
    replies: int
    """Answers of consumers to their own sockets: they pass the layer by, and count as accepted and
    delivered."""

    def drop(self, reason: str, count: int = 1) -> None:
        """Count messages that were accepted and will never be delivered."""


@runtime_checkable
class ChannelLayer(Protocol):
    """What carries messages between nodes.

    Order: the messages that one sender sends to one channel arrive in the order of the sends; all
    members of a group see its messages in one order. Delivery: each message goes to at most one
    listener, at most once. All methods may be called from any event loop of the process.
    """

    @property
    def node(self) -> str:
        """Name of this process in reply channels: the part before the `!`."""

    @property
    def books(self) -> Books:
        """The counters shared with attached receivers."""

    @property
    def message_size(self) -> int:
        """Bytes of an encoded content, at most."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that the layer lives on; `None` before its first use."""

    async def open(self) -> None:
        """Make the running loop the layer's home; a node calls it at its start. Idempotent.

        Raises:
            ConfigurationError: Another running loop of this process has receivers or listeners on
                the layer.
            LayerUnavailable: The layer's server does not answer.
            LayerClosed: The layer was closed.
        """

    async def send(
        self,
        channel: str,
        content: Mapping[str, Any],
        *,
        delay: float = 0.0,
        durable: bool = False,
    ) -> None:
        """Send to a channel; returns when the layer has taken the message.

        Args:
            channel: Any channel name.
            content: See `achannels.codec.encode`.
            delay: Seconds before the message may be received. A delayed message does not expire.
            durable: Keep the message until its handler has returned. It does not expire.

        Raises:
            InvalidName: `channel` is no channel name.
            InvalidContent: The content holds what no layer carries.
            MessageTooLarge: It is over `message_size`.
            ChannelFull: As many messages wait as the channel's capacity allows.
            LayerUnavailable: The layer's server does not answer.
            LayerClosed: The layer was closed.
            ConfigurationError: `delay` or `durable` for a reply channel.
        """

    async def receive(self, channel: str) -> Content:
        """Wait for the next message of a channel. Cancelling loses no message.

        While the layer's server does not answer, it goes on waiting.

        Raises:
            InvalidName: `channel` is no channel name, or that of a socket or of another process.
            LayerClosed: The layer was closed, before or meanwhile.
        """

    async def receive_many(self, channels: Collection[str]) -> tuple[str, Content]:
        """Wait for the next message of any of the channels; a busy one does not starve others.

        Raises:
            ConfigurationError: `channels` is empty, or a `str`.
            InvalidName: As for `receive`.
            LayerClosed: As for `receive`.
        """

    async def new_channel(self, prefix: str = "specific") -> str:
        """Return a new name for a channel that only this process receives from.

        It begins with the node's name and a `!`. Messages wait in it as in any named channel.
        """

    async def group_add(self, group: str, channel: str) -> None:
        """Make a channel a member. Every send that starts after this returned reaches it.

        A reply channel that nobody is attached to joins nothing. The membership of any other
        channel ends by itself, a set time (`group_expiry`) after its last `group_add`.
        """

    async def group_discard(self, group: str, channel: str) -> None:
        """End a membership. No send that starts after this returned reaches the channel."""

    async def group_send(self, group: str, content: Mapping[str, Any]) -> None:
        """Send to every member. A member without room misses the message, and it is counted.

        Raises:
            InvalidName: `group` is no group name.
            InvalidContent: The content holds what no layer carries.
            MessageTooLarge: It is over `message_size`.
            LayerUnavailable: The layer's server does not answer.
            LayerClosed: The layer was closed.
        """

    async def group_channels(self, group: str) -> set[str]:
        """Return the names of the members."""

    async def flush(self) -> None:
        """Drop all messages, counted as `rejected`, and all memberships."""

    async def statistics(self) -> Statistics:
        """Return the books at this moment; a layer between processes says whose."""

    async def leave(self) -> None:
        """Leave the layer's servers in good order, so that nobody waits for this process.

        A node calls it when it has stopped. While receivers or listeners are on the layer it does
        nothing; the next use comes back.
        """

    async def aclose(self) -> None:
        """Close the layer: waiting receives raise `LayerClosed`, and so does all that follows.

        Idempotent.
        """

    def attach(self, receiver: Receiver) -> str:
        """Open a reply channel of this process and return its name, which nobody can guess.

        Raises:
            ConfigurationError: Called on another loop than the layer's.
            LayerClosed: The layer was closed.
        """

    def detach(self, channel: str) -> None:
        """Close a reply channel: it is in no group any more, and what is sent to it is `gone`.

        What its receiver still holds stays pending until that is done with it. An unknown name, or
        one of a closed layer, is no error.
        """


class Origin(NamedTuple):
    """Where an event of a socket comes from, in split mode; see `achannels.relay`.

    Attributes:
        channel: The reply channel of the socket or request.
        term: Rises whenever the socket loses its home.
        number: Of the event; the events of a socket count by one.
        alive: Whether the interface node that holds the socket was alive when the event was taken.
    """

    channel: str
    term: int
    number: int
    alive: bool = True


class Home(NamedTuple):
    """One registration of a worker node, in the shard of the sockets concerned.

    Attributes:
        node: Its name.
        incarnation: Another one whenever the node registers, after a loss of data or of its lease.
    """

    node: str
    incarnation: int


@dataclass(slots=True)
class Taken:
    """A message of a named channel in the hands of a worker.

    Attributes:
        channel: Its channel.
        content: Its content.
        id: Its name within the layer.
        attempt: 1 for the first time, then counting up.
        durable: It was sent with `durable=True`.
        origin: The socket whose event it is; the node that took it is now that socket's home.
        home: With an origin: this node as it was registered when it took the message.
    """

    channel: str
    content: Content
    id: str
    attempt: int
    durable: bool
    origin: Origin | None = None
    home: Home | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A durable message that was given up.

    Attributes:
        id: For `requeue`.
        content: As it was sent; empty where the layer cannot read it, of which `reason` tells.
        attempts: How often it was tried.
        failed_at: When it was given up, aware, UTC.
        reason: The error of the last attempt.
    """

    id: str
    content: Content
    attempts: int
    failed_at: datetime
    reason: str


@runtime_checkable
class WorkLayer(Protocol):
    """The power that a worker needs beyond `receive_many`: attempts and dead letters."""

    async def take(
        self, channels: Collection[str], *, slots: int = 1, durable: Collection[str] = ()
    ) -> Taken:
        """Wait for a message as `receive_many` does; it is in flight until it is settled.

        Args:
            channels: The named channels.
            slots: Messages that the caller can handle at once, this one included. A layer may
                bring up to so many; the next calls return them, and cancelling gives them back.
            durable: Those of the channels whose consumer is durable: from now on each message sent
                to one is kept until it is settled.
        """

    async def settle(
        self, taken: Taken, *, again: float | None = None, dead: str | None = None
    ) -> None:
        """Say what became of a message: done, `again` after so many seconds, or `dead` and why."""

    async def dead_letters(self, channel: str, limit: int = 100) -> list[DeadLetter]:
        """Return the channel's dead letters, oldest first."""

    async def requeue(self, channel: str, id: str) -> bool:
        """Send a dead letter again as a first attempt; `False` if there is none of that id."""

    async def drop_letter(self, channel: str, id: str) -> bool:
        """Forget a dead letter; `False` if there is none of that id."""


class Socket(Protocol):
    """The socket or request that a consumer answers; what a bound reply channel talks to."""

    @property
    def scope(self) -> Scope:
        """The ASGI scope of the connection."""

    @property
    def channel_name(self) -> str:
        """Name of its reply channel."""

    @property
    def is_over(self) -> bool:
        """Whether nobody hears an answer any more; may be asked from any thread."""

    def reply(self, content: Mapping[str, Any]) -> Coroutine[Any, Any, None]:
        """`write(prepare(content))`: send to the own client; waits while the client is slow.

        Raises:
            InvalidContent: The content has no meaning for this kind of connection; by the call, or
                when it is awaited.
        """

    def prepare(self, content: Mapping[str, Any]) -> Any:
        """Check a reply and make of it what `write` takes; callable from any thread.

        Raises:
            InvalidContent: The content has no meaning for this kind of connection.
        """

    async def write(self, prepared: Any) -> None:
        """Send a prepared reply. A connection that is gone: counted, never raised."""


__all__ = [
    "Books",
    "ChannelLayer",
    "DeadLetter",
    "Home",
    "Origin",
    "Receiver",
    "Socket",
    "Statistics",
    "Taken",
    "WorkLayer",
]
