"""Interface: what a node in split mode does for its sockets: hears the layer, keeps the time."""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Iterator
from typing import Any

from achannels.asgi.courier import Courier
from achannels.asgi.deadlines import Deadlines
from achannels.asgi.line import Line, Owner
from achannels.codec import Encoded
from achannels.contracts import Books, ChannelLayer, Home, Origin
from achannels.exceptions import ConfigurationError, LayerUnavailable
from achannels.relay import RelayLayer

logger = logging.getLogger("achannels.server")

AGAIN = 0.05
"""Seconds before what found something full is tried again."""

_TAKERS = 1.0
"""Seconds that an interface which stops waits for workers to take what was offered."""

_CHANNELS = {
    "websocket.connect": ("websocket.connect",),
    "websocket.disconnect": ("websocket.disconnect", "websocket.receive", "websocket.connect"),
    "http.request": ("http.request",),
    "http.disconnect": ("http.disconnect", "http.request"),
}
_FRAMES = ("websocket.receive", "websocket.connect", "websocket.disconnect")

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class Interface:
    """The lines of all sockets and requests of a node; an `achannels.relay.RelayListener`.

    Args:
        layer: What carries their events.
        channels: The channels that the routing has consumers on.
        spawn: Starts a task that the node owns.

    Raises:
        ConfigurationError: The layer reaches no other process.
    """

    def __init__(self, layer: ChannelLayer, channels: Collection[str], spawn: Spawn) -> None:
        if not isinstance(layer, RelayLayer):
            raise ConfigurationError(
                f"MODE is 'interface', and {type(layer).__name__} reaches no worker process. Set "
                "CHANNEL_LAYERS to achannels.layers.redis.RedisLayer, or leave MODE 'embedded'."
            )
        self.relay: RelayLayer = layer
        self.books: Books = layer.books
        self.courier = Courier(layer)
        self.suspects = Deadlines(layer.patience)
        self._channels = channels
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._lines: dict[str, Line] = {}
        self._later: set[Line] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._accepted: asyncio.Future[None] | None = None
        layer.listen(self)

    def __len__(self) -> int:
        return len(self._lines)

    def open(self, channel: str, scope: bytes, owner: Owner) -> Line:
        """Keep the events of a socket or request."""
        line = self._lines[channel] = Line(self, channel, scope, owner)
        return line

    def shared(self, kind: str) -> str:
        """Return the channel on which an event is offered: one that workers listen on."""
        for name in _CHANNELS.get(kind, _FRAMES):
            if name in self._channels:
                return name
        return kind

    def look_at(self, line: Line) -> None:
        """Something has changed for a line: forget it if nothing is left of it."""
        if line.is_done and self._lines.get(line.channel) is line and not line.is_claiming:
            del self._lines[line.channel]
            self.suspects.discard(line)
        waiting = self._accepted
        if waiting is not None and not waiting.done() and self._has_all():
            waiting.set_result(None)

    def try_later(self, line: Line) -> None:
        """Have a line try again in a moment."""
        self._later.add(line)
        if self._timer is None:
            self._timer = self._loop.call_later(AGAIN, self._try_again)

    def claim(self, line: Line, then: Callable[[], None]) -> None:
        """Call `then` if nobody else runs the disconnect of a socket of this node."""
        _ = self._spawn(self._claim(line, then))

    async def accepted(self, timeout: float) -> None:
        """Wait until the layer has every event, so long.

        Events behind one that no worker takes cannot leave; of those, only a disconnect does.
        """
        if not await self._all_accepted(min(timeout, _TAKERS)):
            for line in list(self._lines.values()):
                line.leave()
            await self._all_accepted(max(0.0, timeout - _TAKERS))
        lost = sum(not line.sequencer.is_accepted for line in self._lines.values())
        if lost:
            logger.error("the layer did not take the last events of %d sockets", lost)

    def close(self) -> None:
        """Hear nothing, and keep no more time."""
        self.relay.listen(None)
        self.suspects.close()
        self.courier.close()
        if self._timer is not None:
            self._timer.cancel()

    # What the layer says; see `achannels.relay.RelayListener`.

    def homed(self, origin: Origin, home: Home) -> None:
        """An event was taken."""
        line = self._lines.get(origin.channel)
        if line is not None:
            line.sequencer.homed(origin.term, origin.number, home)
            self.look_at(line)
        else:
            shard = self.relay.shard(origin.channel)
            self.courier.tell(home.node, shard, ["release", origin.channel, origin.term])

    def expired(self, origin: Origin) -> None:
        """An event was not taken in time."""
        line = self._lines.get(origin.channel)
        if line is not None:
            line.sequencer.expired(origin.term, origin.number)
            self.look_at(line)

    def unreadable(self, origin: Origin) -> None:
        """An event was taken by a worker that cannot read it."""
        logger.error("a worker has another key, and cannot handle %s", origin.channel)
        line = self._lines.get(origin.channel)
        if line is not None:
            line.sequencer.unreadable(origin.term, origin.number)
            self.look_at(line)

    def event(self, message: Encoded) -> None:
        """An event of a socket came to a node that runs no consumers."""
        logger.error("an event for a home came to an interface, which is none")

    def told(self, shard: int, message: Encoded) -> None:
        """A home says something about some sockets."""
        records: Any = message.decode()
        for word, channel, term, *more in records:
            line = self._lines.get(channel)
            if line is None:
                self._answer_for_the_gone(shard, word, channel, term, more)
                continue
            match word:
                case "done":
                    line.sequencer.done(term, more[0])
                case "handback":
                    node, incarnation, number = more
                    line.sequencer.handback(Home(node, incarnation), term, number)
                case "resume":
                    node, incarnation, number, finished = more
                    line.sequencer.resume(Home(node, incarnation), term, number, finished)
                case _:
                    logger.error("a home says %r, which means nothing here", word)
            self.look_at(line)

    def unheard(self, shard: int, node: str) -> None:
        """What a home says cannot be read: its sockets end."""
        for line in self._in(shard):
            home = line.sequencer.home
            if home is not None and home.node == node:
                line.unheard(home)

    def down(self, shard: int, home: Home, position: int) -> None:
        """A node is dead, or has left."""
        for line in self._in(shard):
            line.sequencer.down(home, position)
            self.look_at(line)

    def reset(self, shard: int) -> None:
        """The server lost its data."""
        for line in self._in(shard):
            line.sequencer.reset()

    def fenced(self, shard: int) -> None:
        """This node was declared dead."""
        lines = list(self._in(shard))
        logger.error("this node was silent for its lease; %d sockets are closed", len(lines))
        for line in lines:
            line.fenced()
            self.look_at(line)

    def _answer_for_the_gone(
        self, shard: int, word: str, channel: str, term: int, more: list[Any]
    ) -> None:
        """Tell a home that there is no such socket, so that it keeps nothing for it."""
        if word in ("handback", "resume"):
            self.courier.tell(more[0], shard, ["release", channel, term])

    def _in(self, shard: int) -> Iterator[Line]:
        return iter([line for line in self._lines.values() if line.shard == shard])

    async def _all_accepted(self, timeout: float) -> bool:
        if not self._has_all():
            self._accepted = self._loop.create_future()
            await asyncio.wait([self._accepted], timeout=timeout)
            self._accepted = None
        return self._has_all()

    def _has_all(self) -> bool:
        return all(line.sequencer.is_accepted for line in self._lines.values())

    def _try_again(self) -> None:
        self._timer = None
        later, self._later = self._later, set()
        for line in later:
            line.sequencer.flow()

    async def _claim(self, line: Line, then: Callable[[], None]) -> None:
        won = False
        while line.is_claiming:
            try:
                won = await self.relay.claim(line.channel)
                line.is_claiming = False
            except LayerUnavailable as error:
                logger.warning(
                    "who runs the disconnect of %s is not known: %s", line.channel, error
                )
                await asyncio.sleep(AGAIN)
        if won:
            then()
        self.look_at(line)


__all__ = ["Interface"]
