"""What split mode asks of the layer, over Redis: offers, homes, events, hand-over."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from achannels.codec import Encoded, encode
from achannels.contracts import Home, Origin
from achannels.exceptions import ChannelFull, ConfigurationError
from achannels.layers.redis import RedisLayer
from achannels.relay import HomeDraining, HomeGone
from achannels.testing.layer_suite import Connection
from tests.redis.conftest import Through
from tests.redis.servers import Server

PATIENCE = 10.0


class Listener:
    """Notes what it hears, in order."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self._changed = asyncio.Event()

    def _note(self, *what: Any) -> None:
        self.heard.append(what)
        self._changed.set()

    async def hears(self, count: int) -> list[tuple[Any, ...]]:
        async with asyncio.timeout(PATIENCE):
            while len(self.heard) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.heard

    def homed(self, origin: Origin, home: Home) -> None:
        self._note("homed", origin, home)

    def expired(self, origin: Origin) -> None:
        self._note("expired", origin)

    def unreadable(self, origin: Origin) -> None:
        self._note("unreadable", origin)

    def event(self, message: Encoded) -> None:
        self._note("event", message.decode())

    def told(self, shard: int, message: Encoded) -> None:
        self._note("told", shard, message.decode())

    def unheard(self, shard: int, node: str) -> None:
        self._note("unheard", shard, node)

    def down(self, shard: int, home: Home, position: int) -> None:
        self._note("down", shard, home, position)

    def reset(self, shard: int) -> None:
        self._note("reset", shard)

    def fenced(self, shard: int) -> None:
        self._note("fenced", shard)


def content(**values: Any) -> Encoded:
    return encode(values, "test", 10_000)


Make = Callable[..., Awaitable[tuple[RedisLayer, Listener]]]


@pytest.fixture
async def node(server: Server, prefix: str) -> AsyncIterator[Make]:
    """Makes nodes that share a world."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(**config: Any) -> tuple[RedisLayer, Listener]:
            layer = RedisLayer([server.url], prefix=prefix, **config)
            await stack.enter_async_context(layer)
            listener = Listener()
            layer.listen(listener)
            return layer, listener

        yield make


async def test_a_taker_becomes_the_home_before_it_knows(node: Make) -> None:
    """1. `homed` is in the interface's log in the same step."""
    interface, hears = await node()
    worker, _ = await node()
    socket = Connection(interface)
    origin = Origin(socket.channel, 1, 1)
    await interface.offer("websocket.connect", content(path="/"), origin)
    taken = await worker.take(["websocket.connect"])
    assert (taken.content, taken.origin, taken.home) == ({"path": "/"}, origin, worker.home(0))
    assert await hears.hears(1) == [("homed", origin, worker.home(0))]
    await worker.settle(taken)
    socket.close()


async def test_events_reach_the_home_in_order_and_answers_the_socket(node: Make) -> None:
    """2. Submitted without waiting; positions rise."""
    interface, _ = await node()
    worker, hears = await node()
    socket = Connection(interface)
    home = worker.home(0)
    flights = [interface.forward(home, socket.channel, content(n=n)) for n in range(50)]
    positions = await asyncio.gather(*flights)
    assert positions == sorted(set(positions))
    assert await hears.hears(50) == [("event", {"n": n}) for n in range(50)]
    for n in range(5):
        await worker.answer(socket.channel, content(text=str(n)))
    async with asyncio.timeout(PATIENCE):
        while len(socket.received) < 5:  # noqa: ASYNC110 - a connection has no event
            await asyncio.sleep(0.001)
    assert socket.received == [{"text": str(n)} for n in range(5)]
    socket.close()


async def test_sockets_that_come_at_once_are_dealt_out(node: Make) -> None:
    """However much room the first worker has, it takes a few at a time."""
    interface, _ = await node()
    workers = [(await node())[0] for _ in range(2)]
    sockets = [Connection(interface) for _ in range(16)]
    await asyncio.gather(
        *(
            interface.offer("websocket.connect", content(n=n), Origin(each.channel, 1, 1))
            for n, each in enumerate(sockets)
        )
    )
    taken: list[list[int]] = []
    for worker in workers:
        async with asyncio.timeout(PATIENCE):
            own = [await worker.take(["websocket.connect"], slots=100) for _ in range(8)]
        taken.append([each.content["n"] for each in own])
    assert taken == [list(range(8)), list(range(8, 16))]
    for each in sockets:
        each.close()


async def test_a_draining_home_refuses_and_has_heard_all(node: Make) -> None:
    """3. What was accepted before has been handed over when `drain` returns."""
    interface, _ = await node()
    worker, hears = await node()
    socket = Connection(interface)
    flights = [interface.forward(worker.home(0), socket.channel, content(n=n)) for n in range(20)]
    await asyncio.gather(*flights)
    assert await worker.drain() == []
    assert len(hears.heard) == 20
    with pytest.raises(HomeDraining):
        await interface.forward(worker.home(0), socket.channel, content(n=20))
    socket.close()


async def test_a_home_that_left_is_gone_and_reported(node: Make) -> None:
    """4. `down` tells how far it had read."""
    interface, hears = await node()
    worker, worker_hears = await node()
    socket = Connection(interface)
    home = worker.home(0)
    position = await interface.forward(home, socket.channel, content(n=1))
    await worker_hears.hears(1)
    await worker.aclose()
    ((kind, shard, gone, read),) = await hears.hears(1)
    assert (kind, shard, gone) == ("down", 0, home)
    assert read >= position
    with pytest.raises(HomeGone):
        await interface.forward(home, socket.channel, content(n=2))
    with pytest.raises(HomeGone):
        await interface.tell(home.node, 0, content(n=2))
    socket.close()


async def test_an_older_registration_is_gone(node: Make) -> None:
    """5. The same node, in another incarnation."""
    interface, _ = await node()
    worker, _ = await node()
    socket = Connection(interface)
    node_name, incarnation = worker.home(0)
    with pytest.raises(HomeGone):
        await interface.forward(Home(node_name, incarnation - 1), socket.channel, content(n=1))
    socket.close()


async def test_messages_between_nodes_arrive_in_order(node: Make) -> None:
    """6. `tell`."""
    one, _ = await node()
    other, hears = await node()
    for n in range(5):
        await one.tell(other.node, 0, content(n=n))
    assert await hears.hears(5) == [("told", 0, {"n": n}) for n in range(5)]


async def test_an_offer_that_nobody_takes_expires_and_is_told(node: Make) -> None:
    """7. One without expiry stays."""
    interface, hears = await node(channel_expiry={"websocket.*": 0.05})
    socket = Connection(interface)
    origin = Origin(socket.channel, 1, 1)
    await interface.offer("websocket.receive", content(n=1), origin)
    await interface.offer("websocket.disconnect", content(n=2), origin, expires=False)
    await asyncio.sleep(0.1)  # real time: the server's clock decides
    await interface.statistics()
    assert await hears.hears(1) == [("expired", origin)]
    taken = await interface.take(["websocket.receive", "websocket.disconnect"])
    assert taken.content == {"n": 2}
    await interface.settle(taken)
    socket.close()


async def test_the_disconnect_of_a_dead_interface_is_handed_over_as_such(node: Make) -> None:
    """8. Its other offers are gone with it."""
    interface, _ = await node()
    worker, _ = await node()
    socket = Connection(interface)
    await interface.offer("websocket.receive", content(n=1), Origin(socket.channel, 1, 1))
    last = Origin(socket.channel, 1, 2)
    await interface.offer("websocket.disconnect", content(n=2), last, expires=False)
    socket.close()
    await interface.aclose()
    taken = await worker.take(["websocket.receive", "websocket.disconnect"])
    assert (taken.content, taken.origin) == ({"n": 2}, last._replace(alive=False))
    await worker.settle(taken)
    books = await worker.statistics()
    assert books["dropped"]["gone"] == 1


async def test_an_event_that_its_taker_cannot_read_is_told(node: Make) -> None:
    """14. After `homed`, since the taker was the home; and counted where it was taken."""
    interface, hears = await node(symmetric_encryption_keys=["new-" * 8])
    worker, _ = await node(symmetric_encryption_keys=["old-" * 8])
    socket = Connection(interface)
    origin = Origin(socket.channel, 1, 1)
    taking = asyncio.create_task(worker.take(["websocket.connect"]))
    await interface.offer("websocket.connect", content(path="/"), origin)
    assert await hears.hears(2) == [
        ("homed", origin, worker.home(0)),
        ("unreadable", origin),
    ]
    assert worker.books.dropped["rejected"] == 1
    taking.cancel()
    await asyncio.wait([taking])
    socket.close()


async def test_a_full_channel_refuses_an_offer(node: Make) -> None:
    """9. The interface stops reading its client then."""
    interface, _ = await node(channel_capacity={"websocket.receive": 1})
    socket = Connection(interface)
    await interface.offer("websocket.receive", content(n=1), Origin(socket.channel, 1, 1))
    with pytest.raises(ChannelFull):
        await interface.offer("websocket.receive", content(n=2), Origin(socket.channel, 1, 2))
    socket.close()


async def test_one_claims(node: Make) -> None:
    """10. Of all nodes."""
    layers = [(await node())[0] for _ in range(3)]
    claims = await asyncio.gather(*(layer.claim("gone!socket") for layer in layers))
    assert sorted(claims) == [False, False, True]


async def test_a_loss_of_data_is_heard_as_reset(node: Make, server: Server, prefix: str) -> None:
    """11. The lease was held all the time."""
    one, hears = await node(lease=3.0)
    before = one.home(0)
    keys = await asyncio.to_thread(server.call, "KEYS", f"*{prefix}*")
    await asyncio.to_thread(server.call, "DEL", *keys)
    await one.group_send("news", {})
    assert await hears.hears(1) == [("reset", 0)]
    assert one.home(0) != before


async def test_a_node_that_was_forgotten_hears_that_it_was_fenced(node: Make) -> None:
    """12. By another that saw no renewal for its lease; here, by its own clean exit's script."""
    one, hears = await node()
    await one._shards[0].registration.leave()
    await one.group_send("news", {})
    assert await hears.hears(1) == [("fenced", 0)]
    assert one.holds_lease(0)


async def test_there_is_one_listener(node: Make) -> None:
    """13. Two applications in split mode need two layers."""
    one, _ = await node()
    with pytest.raises(ConfigurationError, match="its own layer"):
        one.listen(Listener())


async def test_a_node_that_leaves_is_heard_of_after_its_events(
    node: Make, server: Server, prefix: str, through: Through
) -> None:
    """15. Also where one reading has both: a home would make up a disconnect before the real one."""
    proxy = await through(server)
    async with RedisLayer([proxy.url], prefix=prefix) as worker:
        hears = Listener()
        worker.listen(hears)
        interface, _ = await node()
        home, left = worker.home(0), interface.home(0)
        socket = Connection(interface)
        proxy.stall()
        events = [interface.forward(home, socket.channel, content(n=n)) for n in range(5)]
        await asyncio.gather(*events)
        socket.close()
        await interface.aclose()
        proxy.flow()
        heard = await hears.hears(6)
    assert heard[:5] == [("event", {"n": n}) for n in range(5)]
    assert heard[5][:3] == ("down", 0, left)
