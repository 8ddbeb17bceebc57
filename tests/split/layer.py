"""A layer for split mode inside one process: several nodes on one `Server`, on one event loop.

Messages and groups travel between the nodes' memory layers by a call; what split mode asks for goes
through the server's rules, an operation per turn of the loop.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Any

from achannels.codec import Encoded
from achannels.contracts import Home, Origin, Statistics, Taken
from achannels.exceptions import ChannelFull, LayerClosed, LayerUnavailable
from achannels.layers.memory import MemoryLayer
from achannels.relay import HomeDraining, HomeGone, RelayListener
from achannels.types import Content
from tests.split.world import Server, Void

_REFUSALS = (ChannelFull, HomeGone, HomeDraining)


class World:
    """Nodes that reach each other.

    Attributes:
        hub: Keeps the messages of named channels that are no events of sockets.
        server: Has the rules of split mode.
        answers: How many homes have sent.
        lost: Which of them never arrive, counted from 1.
    """

    def __init__(self, *, capacity: int = 100, patience: float = 5.0) -> None:
        self.hub = MemoryLayer()
        self.server = Server(capacity=capacity)
        self.patience = patience
        self.layers: dict[str, WorldLayer] = {}
        self.answers = 0
        self.lost: set[int] = set()

    def layer(self, **options: Any) -> "WorldLayer":
        """Return the layer of a new node."""
        return WorldLayer(self, **options)

    def kill(self, layer: "WorldLayer") -> None:
        """End a node without a word; the others hear of it at once."""
        layer.is_dead = True
        del self.layers[layer.node]
        self.server.fence(layer.node)

    def lose_data(self) -> None:
        """Have the server lose all data; each node notices with its next operation."""
        self.server.wipe()
        for layer in self.layers.values():
            layer.notice()

    async def statistics(self) -> Statistics:
        """Return the books of all nodes together."""
        layers = [*self.layers.values(), self.hub]
        books = [await MemoryLayer.statistics(layer) for layer in layers]
        dropped: dict[str, int] = {}
        for each in books:
            for reason, count in each["dropped"].items():
                dropped[reason] = dropped.get(reason, 0) + count
        return {
            "accepted": sum(each["accepted"] for each in books),
            "delivered": sum(each["delivered"] for each in books),
            "expired": sum(each["expired"] for each in books),
            "dropped": dropped,
            "pending": sum(each["pending"] for each in books),
        }


class WorldLayer(MemoryLayer):
    """The layer of one node."""

    def __init__(self, world: World, **options: Any) -> None:
        self.world = world
        super().__init__(**options)
        world.layers[self.node] = self
        self.is_dead = False
        self._listener: RelayListener | None = None
        self._me: Home | None = None
        self._epoch = 0
        self._last = 0
        self._operations: deque[tuple[Callable[[Home], Any], asyncio.Future[Any]]] = deque()
        self._stepping = False
        self._drains = False
        self._arrived = asyncio.Event()

    async def open(self) -> None:
        await super().open()
        if self._me is None:
            self._register()
            self.world.server.watch(self._step_soon)

    async def leave(self) -> None:
        """Leave in good order."""
        if not self.is_dead and self._me is not None:
            self.is_dead = True
            self.world.server.fence(self.node)

    async def statistics(self) -> Statistics:
        """Return the books of the world."""
        return await self.world.statistics()

    # Channels and groups.

    async def send(
        self,
        channel: str,
        content: Mapping[str, Any],
        *,
        delay: float = 0.0,
        durable: bool = False,
    ) -> None:
        node, mark, _ = channel.partition("!")
        if not mark:
            await self.world.hub.send(channel, content, delay=delay, durable=durable)
        elif node == self.node or node not in self.world.layers:
            await super().send(channel, content)
        else:
            await self.world.layers[node].send(channel, content)

    async def receive(self, channel: str) -> Content:
        return await self.world.hub.receive(channel)

    async def group_add(self, group: str, channel: str) -> None:
        await MemoryLayer.group_add(self._owner(channel), group, channel)

    async def group_discard(self, group: str, channel: str) -> None:
        await MemoryLayer.group_discard(self._owner(channel), group, channel)

    async def group_send(self, group: str, content: Mapping[str, Any]) -> None:
        for layer in list(self.world.layers.values()):
            await MemoryLayer.group_send(layer, group, content)

    def _owner(self, channel: str) -> MemoryLayer:
        node, mark, _ = channel.partition("!")
        return self.world.layers.get(node, self) if mark else self.world.hub

    # Work.

    async def take(
        self, channels: Collection[str], *, slots: int = 1, durable: Collection[str] = ()
    ) -> Taken:
        loop = asyncio.get_running_loop()
        taking = loop.create_task(self.world.hub.take(channels, slots=slots, durable=durable))
        try:
            while not taking.done():
                taken = self._take_event(channels)
                if taken is not None:
                    return taken
                self._arrived.clear()
                arrived = loop.create_task(self._arrived.wait())
                await asyncio.wait({taking, arrived}, return_when=asyncio.FIRST_COMPLETED)
                arrived.cancel()
            return taking.result()
        finally:
            taking.cancel()

    def _take_event(self, channels: Collection[str]) -> Taken | None:
        if self._drains or self.is_dead or self._me is None:
            return None
        for channel in channels:
            try:
                found = self.world.server.take(self._me, channel)
            except Void:
                return None
            if found is not None:
                message, origin = found
                return Taken(channel, message.decode(), "", 1, False, origin, self._me)
        return None

    async def settle(
        self, taken: Taken, *, again: float | None = None, dead: str | None = None
    ) -> None:
        if taken.origin is None:
            await self.world.hub.settle(taken, again=again, dead=dead)

    # Split mode.

    @property
    def send_timeout(self) -> float:
        return 2.0

    @property
    def patience(self) -> float:
        return self.world.patience

    def listen(self, listener: RelayListener | None) -> None:
        self._listener = listener
        self._drains = False

    def home(self, shard: int) -> Home:
        assert self._me is not None
        return self._me

    def shard(self, channel: str) -> int:
        return 0

    def holds_lease(self, shard: int) -> bool:
        return not self.is_dead

    def offer(
        self, channel: str, message: Encoded, origin: Origin, *, expires: bool = True
    ) -> asyncio.Future[None]:
        server, sender, epoch = self.world.server, self.home(0), self._epoch
        return self._submit(
            lambda me: server.offer(
                me, channel, message, origin, expires=expires, sender=sender, epoch=epoch
            )
        )

    def forward(self, home: Home, channel: str, message: Encoded) -> asyncio.Future[int]:
        return self._submit(lambda me: self.world.server.forward(me, home, message))

    def answer(self, channel: str, message: Encoded) -> asyncio.Future[None]:
        node = channel.partition("!")[0]

        def deliver(me: Home) -> None:
            layer = self.world.layers.get(node)
            if not self.world.server.is_registered(me):
                raise Void
            self.world.answers += 1
            if self.world.answers in self.world.lost:
                return
            receiver = layer._attached.get(channel) if layer is not None else None
            books = layer.books if layer is not None else self.books
            if receiver is None:
                books.drop("gone")
            elif not receiver.deliver(message, group=False):
                raise ChannelFull(channel, receiver.capacity)
            books.accepted += 1

        return self._submit(deliver)

    def tell(self, node: str, shard: int, message: Encoded) -> asyncio.Future[None]:
        return self._submit(lambda me: self.world.server.tell(me, node, ("told", message)))

    async def drain(self) -> list[Taken]:
        self._drains = True
        await self._submit(self.world.server.drain)
        self._read()
        return []

    async def claim(self, channel: str) -> bool:
        return bool(await self._submit(lambda me: self.world.server.claim(me, channel)))

    def notice(self) -> None:
        """Notice that the server has forgotten this node."""
        lost_data = self.world.server.epoch != self._epoch
        self._register()
        for receiver in list(self._attached.values()):
            receiver.gap([], "layer_reset" if lost_data else "lease_lost", self.patience)
        if self._listener is not None:
            if lost_data:
                self._listener.reset(0)
            else:
                self._listener.fenced(0)

    def _register(self) -> None:
        self._me = self.world.server.register(self.node)
        self._epoch = self.world.server.epoch
        self._last = 0

    def _submit(self, call: Callable[[Home], Any]) -> asyncio.Future[Any]:
        if self._closed:
            raise LayerClosed
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._operations.append((call, future))
        self._step_soon()
        return future

    def _step_soon(self) -> None:
        self._arrived.set()
        if not self._stepping and not self.is_dead:
            self._stepping = True
            asyncio.get_running_loop().call_soon(self._step)

    def _step(self) -> None:
        """Carry out what was submitted, then read."""
        self._stepping = False
        if self.is_dead:
            return
        assert self._me is not None
        if not self.world.server.is_registered(self._me):
            self.notice()
        while self._operations:
            call, future = self._operations.popleft()
            try:
                outcome = call(self._me)
            except _REFUSALS as error:
                _settle(future, error=error)
            except Void:
                _settle(future, error=LayerUnavailable("the server forgot it", outcome="unknown"))
            else:
                _settle(future, outcome)
        self._read()

    def _read(self) -> None:
        """Commit what is read, then hand it over."""
        assert self._me is not None
        if self._listener is None:
            return
        server = self.world.server
        try:
            entries = server.read(self._me, self._last)
            for position, _ in entries:
                self._last = position
                server.commit(self._me, position)
        except Void:
            return
        for _, entry in entries:
            self._hear(self._listener, entry)

    def _hear(self, listener: RelayListener, entry: tuple[Any, ...]) -> None:
        match entry:
            case ("homed", origin, home):
                listener.homed(origin, home)
            case ("expired", origin):
                listener.expired(origin)
            case ("event", message):
                listener.event(message)
            case ("told", message):
                listener.told(0, message)
            case ("down", home, position):
                listener.down(0, home, position)
            case _:
                raise AssertionError(entry)


def _settle(future: asyncio.Future[Any], outcome: Any = None, error: Any = None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
        future.exception()  # retrieved: not everybody asks
    else:
        future.set_result(outcome)
