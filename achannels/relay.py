"""Relay: what a layer must be able to do beyond `ChannelLayer` for split mode.

An interface node holds sockets and runs no consumers. It offers a socket's event on a shared named
channel; the worker node that takes it becomes the socket's home, and gets the next events straight
into its log. The interface is the sequencer: it numbers the events of each socket, and its terms
tell the homes apart that a socket has had. `achannels.split` decides, a `RelayLayer` carries.

Everything here happens on the layer's loop. A layer that spreads over several servers has one log
per node and shard: a node may be alive in one shard and dead in another, so each shard's sockets
are treated alone.
"""

import asyncio
from typing import Protocol, runtime_checkable

from achannels.codec import Encoded
from achannels.contracts import Home, Origin, Taken
from achannels.exceptions import AChannelsError


class HomeGone(AChannelsError):
    """The node is not alive, or not in this incarnation; nothing was put into its log."""


class HomeDraining(AChannelsError):
    """The home is about to leave and takes no events; nothing was put into its log."""


class RelayListener(Protocol):
    """What a node in split mode hears from its layer.

    The calls are synchronous, on the layer's loop, in the order of the node's log in each shard.
    An exception that one raises is logged by the layer and ends nothing.
    """

    def homed(self, origin: Origin, home: Home) -> None:
        """An event that this node offered was taken, and its taker is the home now."""

    def expired(self, origin: Origin) -> None:
        """An event that this node offered was dropped: nobody took it within its expiry."""

    def unreadable(self, origin: Origin) -> None:
        """The home of an event that this node offered dropped it: it has not this node's key."""

    def event(self, message: Encoded) -> None:
        """An event that was forwarded to this node; called once the reading of it is committed.

        Whoever judges this node dead later knows then that it has taken the event.
        """

    def told(self, shard: int, message: Encoded) -> None:
        """A message that another node sent with `tell`."""

    def unheard(self, shard: int, node: str) -> None:
        """Another node has sent a message with `tell`, and none of this node's keys opens it."""

    def down(self, shard: int, home: Home, position: int) -> None:
        """A node has died or left.

        Args:
            shard: Where.
            home: The node, in its last incarnation.
            position: Of the last log entry whose reading it committed. It has taken no event whose
                `forward` returned a higher one, and never will.
        """

    def reset(self, shard: int) -> None:
        """The server lost its data, and this node is registered again.

        What was offered, forwarded or told before and had not arrived is gone for good, also where
        it had been accepted.
        """

    def fenced(self, shard: int) -> None:
        """This node was declared dead, or was silent beyond its lease; it is registered again.

        Its own clock counts too: then it is `fenced` also when the server lost its data meanwhile.
        The others regard it as dead: its events went to other homes, and the homes of its sockets
        have run their disconnect.
        """


@runtime_checkable
class RelayLayer(Protocol):
    """A layer for split mode.

    `offer`, `forward`, `answer` and `tell` are submitted by the call itself; the future tells the
    outcome. In one shard they take effect in the order of the calls, so nobody needs to await one
    before the next. They have no deadline: while the server does not answer they wait, and the same
    bytes are sent until the outcome is known. Cancelling a future takes nothing back.

    Each raises, beside what it names:

        LayerUnavailable: `outcome="unknown"`: the server lost its data, or this node its lease, in
            between; `reset` or `fenced` is called, before or after.
        LayerClosed: The layer was closed; nothing was sent.
    """

    @property
    def send_timeout(self) -> float:
        """Seconds that a call waits for the server."""

    @property
    def patience(self) -> float:
        """Seconds after which a home that is gone, and of which nothing is heard, is given up.

        The lease and four renewals: by then any node alive has reported it, or is dead as well.
        """

    def listen(self, listener: RelayListener | None) -> None:
        """Say who hears what this node is told; called after `open`, before the rest.

        Args:
            listener: `None` for nobody, when the one before has stopped.

        Raises:
            ConfigurationError: Somebody does already.
        """

    def home(self, shard: int) -> Home:
        """Return this node as it is registered now in a shard."""

    def shard(self, channel: str) -> int:
        """Return the shard that the events and answers of a reply channel travel through."""

    def offer(
        self, channel: str, message: Encoded, origin: Origin, *, expires: bool = True
    ) -> asyncio.Future[None]:
        """Put one event on a shared named channel.

        A `take` hands it over with its origin, and in the same step makes the taker the home: the
        `homed` for it is in the log of this node before the taker knows. An event whose sender has
        died, or was declared dead since, is dropped and counted `gone`; one without expiry is handed
        over with `origin.alive` false. What a server brings back from an older copy of its data is
        dropped too.

        Args:
            channel: The named channel, `websocket.connect` for example.
            message: Any encoded object whose decoded form is a dict: the `content` of `Taken`.
            origin: The socket, its term, the number of the event.
            expires: Drop it after the channel's expiry, which is told with `expired`.

        Raises:
            ChannelFull: As many messages wait as the channel's capacity allows.
        """

    def forward(self, home: Home, channel: str, message: Encoded) -> asyncio.Future[int]:
        """Put one event into the log of a home; it arrives there as `event`. It does not expire.

        Args:
            home: As `homed` or the home itself named it.
            channel: The reply channel of the socket; chooses the shard.
            message: Any encoded object.

        Returns:
            Its position in the log of that incarnation: positions rise by at least one.

        Raises:
            HomeGone: The home is not alive in this incarnation.
            HomeDraining: It drains.
            ChannelFull: Its log is full.
        """

    def answer(self, channel: str, message: Encoded) -> asyncio.Future[None]:
        """Send an encoded message to a reply channel, as `send` does with a content.

        It reaches `Receiver.deliver(message, group=False)` of the attached receiver.

        Raises:
            ChannelFull: As `send` does.
        """

    def tell(self, node: str, shard: int, message: Encoded) -> asyncio.Future[None]:
        """Put a message into the log of a node, whatever waits there; it arrives as `told`.

        Raises:
            HomeGone: The node is not alive in this shard.
        """

    async def drain(self) -> list[Taken]:
        """Take no more, and have events that are forwarded to this node refused from now on.

        Returns when every event that was accepted before has been handed to the listener, in all
        shards; after that none will come. It holds for later incarnations too.

        Returns:
            Messages that a cancelled `take` of this node had taken and given to nobody.
        """

    async def claim(self, channel: str) -> bool:
        """Return `True` to one caller only, of all nodes, within an hour.

        Who wins runs the disconnect of a socket whose interface was declared dead.

        Raises:
            LayerUnavailable: It is not known who won.
        """

    def holds_lease(self, shard: int) -> bool:
        """Return whether this node is alive by its own clock: others cannot have declared it dead.

        A home asks before it starts a handler.
        """


__all__ = ["HomeDraining", "HomeGone", "RelayLayer", "RelayListener"]
