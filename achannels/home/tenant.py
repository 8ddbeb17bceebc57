"""Tenant: a socket or request of another process, as its consumers see it."""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from achannels.asgi.line import REPLIES, REPLY_BYTES
from achannels.asgi.settings import Settings
from achannels.channel import Channel
from achannels.codec import Encoded, encode, pack
from achannels.contracts import ChannelLayer
from achannels.dispatch import Dispatcher
from achannels.exceptions import ChannelFull, LayerUnavailable
from achannels.relay import RelayLayer
from achannels.split.inbox import Arrival, Inbox
from achannels.state import Connection
from achannels.types import ASGIApplication, Content, Scope

_AGAIN = 0.02
"""Seconds before an answer that found a full log is sent again."""


class Keeper(Protocol):
    """Is told which sockets have their home here."""

    def add(self, tenant: "Tenant") -> None:
        """A socket has its home here."""

    def discard(self, tenant: "Tenant") -> None:
        """A socket has another home, or is over."""


class House(Protocol):
    """What a tenant needs of its node; see `achannels.home.homes`."""

    dispatcher: Dispatcher
    layer: ChannelLayer
    relay: RelayLayer
    settings: Settings
    http: ASGIApplication | None
    sessions: Keeper | None

    def channel(self, name: str) -> Channel:
        """Return a named channel of the layer."""


class Credit:
    """How much may be on its way to a client, so that a slow one makes its consumer wait."""

    __slots__ = ("_changed", "_sent", "_sent_bytes", "_written", "_written_bytes")

    def __init__(self) -> None:
        self._sent = self._sent_bytes = 0
        self._written = self._written_bytes = 0
        self._changed = asyncio.Event()

    @property
    def is_left(self) -> bool:
        """Whether one more may be sent."""
        return (
            self._sent - self._written < REPLIES
            and self._sent_bytes - self._written_bytes < REPLY_BYTES
        )

    async def wait(self, timeout: float) -> bool:
        """Wait until one more may be sent, so long; return whether it may."""
        deadline = asyncio.get_running_loop().time() + timeout
        while not self.is_left:
            self._changed.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError:
                return False
        return True

    def take(self, size: int) -> None:
        """One was sent."""
        self._sent += 1
        self._sent_bytes += size

    def give(self, written: int, size: int) -> None:
        """So many were written since the beginning, and so many bytes."""
        self._written = max(self._written, written)
        self._written_bytes = max(self._written_bytes, size)
        self._changed.set()

    def reset(self) -> None:
        """What is on its way is lost, or nobody will tell that it was written."""
        self.give(self._sent, self._sent_bytes)


class Tenant:
    """What is kept of one socket or request at its home; the `Socket` of its reply channel.

    Args:
        homes: Of the node.
        inbox: Its events.
        scope: The ASGI scope, as far as it could travel.
        gap: Events were lost before this home.

    Attributes:
        is_fenced: This node was declared dead since: another home has gone on.
    """

    patience: float
    """Seconds that an answer waits for a slow client, and for the server of the layer."""

    session: bytes = b""
    """The channel session, encoded, where the interface keeps it."""

    def __init__(self, homes: House, inbox: Inbox, scope: Scope, *, gap: bool) -> None:
        self.scope = scope
        self.channel_name = inbox.channel
        self.inbox = inbox
        self.credit = Credit()
        self._homes = homes
        self._gap = gap
        self._ended = False
        self.is_fenced = False
        self.connection = Connection(scope, homes.layer, self)
        self.patience = max(homes.dispatcher.send_timeout, homes.relay.send_timeout)
        if homes.sessions is not None:
            homes.sessions.add(self)

    def leave(self) -> None:
        """The socket has another home, or is over."""
        if self._homes.sessions is not None:
            self._homes.sessions.discard(self)

    @property
    def is_over(self) -> bool:
        """Whether nobody hears an answer any more, as far as this home knows."""
        return self.inbox.is_over or self.inbox.is_orphan

    async def handle(self, arrival: Arrival) -> None:
        """Handle one event."""
        raise NotImplementedError

    def told(self, word: str, more: list[Any]) -> None:
        """The interface says something beside the events."""
        if word == "credit":
            self.credit.give(*more)

    def reset(self) -> None:
        """The server lost its data."""
        self.credit.reset()

    # What a reply channel calls; see `achannels.contracts.Socket`.

    async def reply(self, content: Mapping[str, Any]) -> None:
        """Send to the own client; waits while it is slow, at most `send_timeout`.

        Raises:
            InvalidContent: The content has no meaning for this kind of connection.
            MessageTooLarge: It is over the layer's `message_size`.
            ChannelFull: The client has been slow for so long.
            LayerUnavailable: The layer's server does not answer, or this node was declared dead.
        """
        await self.write(self.prepare(content))

    def prepare(self, content: Mapping[str, Any]) -> Encoded:
        """Check a reply; callable from any thread."""
        raise NotImplementedError

    async def write(self, prepared: Encoded) -> None:
        """Send a checked reply."""
        if self.inbox.is_leaving or (self.inbox.is_over and not self.is_fenced):
            # The socket is over, or lives on with another home: then this is a send from elsewhere.
            await self._homes.layer.send(self.channel_name, prepared.decode())
            return
        size = len(prepared.body)
        if not await self.credit.wait(self.patience):
            raise ChannelFull(self.channel_name, REPLIES)
        self.credit.take(size)
        await self._say_reply(prepared.body)

    async def _say_reply(self, body: bytes) -> None:
        await self.say("reply", body, timeout=self.patience)

    async def say(self, word: str, *more: Any, timeout: float | None = None) -> None:
        """Tell the interface something, after all that was said before.

        Args:
            word: What it is.
            *more: What belongs to it.
            timeout: Seconds to try; `None`: as long as the socket lives here.
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        message = pack([word, self.inbox.term, *more])
        while True:
            self._check_home()
            saying = self._homes.relay.answer(self.channel_name, message)
            saying.add_done_callback(_retrieve)  # the handler may be cancelled meanwhile
            left = None if deadline is None else max(0.0, deadline - loop.time())
            await asyncio.wait([saying], timeout=left)
            if not saying.done():
                raise LayerUnavailable(
                    f"the layer has not taken an answer to {self.channel_name!r} within {timeout} s; "
                    "it may still be sent.",
                    outcome="unknown",
                )
            try:
                saying.result()
            except ChannelFull:
                if deadline is not None and loop.time() >= deadline:
                    raise
                await asyncio.sleep(_AGAIN)
            else:
                return

    async def tell(self, word: str, *more: Any) -> None:
        """Say what the home has to say, as long as it is the home."""
        if not self.inbox.is_over:
            await self.say(word, *more)

    def _encode(self, content: Mapping[str, Any]) -> Encoded:
        return encode(content, self.channel_name, self._homes.layer.message_size)

    def _check_home(self) -> None:
        if self.inbox.is_over:
            raise LayerUnavailable(
                f"this process is not the home of {self.channel_name!r} any more: it was silent for "
                "longer than its lease, and another one has gone on. Nothing was sent.",
                outcome="refused",
            )


def _retrieve(saying: asyncio.Future[None]) -> None:
    if not saying.cancelled():
        saying.exception()


def content_of(arrival: Arrival) -> Content:
    """Return the content of an event."""
    return Encoded(arrival.body).decode()


__all__ = ["Credit", "House", "Keeper", "Tenant", "content_of"]
