"""Promises about the books, flushing, closing, and calls from other event loops."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import pytest

from achannels.contracts import ChannelLayer
from achannels.exceptions import ChannelFull, ConfigurationError, LayerClosed
from achannels.testing.layer_suite.base import PATIENCE, Connection, SuiteBase, check_books

T = TypeVar("T")


async def elsewhere(call: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on an event loop of its own, in another thread."""
    return await asyncio.to_thread(lambda: asyncio.run(call()))


class LifeTests(SuiteBase):
    """Tests 42 to 50."""

    async def test_42_the_books_balance_at_every_step(self) -> None:
        """`accepted == delivered + expired + dropped + pending` after each call."""
        async with self.layer(capacity=2, expiry=3 * self.tick) as layer:
            sockets = [Connection(layer, capacity=1) for _ in range(3)]
            sockets[0].reading = False
            steps: list[Callable[[], Coroutine[Any, Any, object]]] = [
                lambda: layer.send("one", {}),
                lambda: layer.send("one", {}),
                lambda: layer.send("one", {}),
                lambda: layer.receive("one"),
                lambda: layer.group_add("all", "one"),
                *(lambda s=s: layer.group_add("all", s.channel) for s in sockets),
                *(lambda: layer.group_send("all", {}) for _ in range(4)),
                lambda: layer.send(sockets[0].channel, {}),
                lambda: layer.send(sockets[1].channel, {}),
                lambda: layer.send("one", {}, delay=60),
                lambda: self.pass_time(4 * self.tick),
                lambda: layer.group_send("all", {}),
                lambda: layer.receive("one"),
                lambda: layer.flush(),
                lambda: layer.send("one", {}),
            ]
            for step in steps:
                with suppress(ChannelFull):
                    await step()
                check_books(await layer.statistics())
            sockets[0].close()
            books = await layer.statistics()
            check_books(books)
            assert books["pending"] == 1
            assert books["dropped"]["full"] > 0
            assert books["dropped"]["overflow"] > 0
            assert books["dropped"]["gone"] == 1
            assert books["expired"] > 0

    async def test_43_answers_to_the_own_socket_count_on_both_sides(self) -> None:
        """`books.replies` adds to accepted and to delivered."""
        async with self.layer() as layer:
            layer.books.replies += 3
            await layer.send("one", {})
            books = await layer.statistics()
            assert (books["accepted"], books["delivered"], books["pending"]) == (4, 3, 1)

    async def test_44_what_a_detached_receiver_still_holds_is_pending(self) -> None:
        """A receiver may finish what it took after it was detached."""
        async with self.layer() as layer:
            socket = Connection(layer)
            socket.reading = False
            await layer.send(socket.channel, {"n": 1})
            await self.eventually(lambda: socket.pending == 1)
            layer.detach(socket.channel)
            assert (await layer.statistics())["pending"] == 1
            socket.reading = True
            books = await layer.statistics()
            assert (books["delivered"], books["pending"]) == (1, 0)

    async def test_45_flush_empties_the_layer(self) -> None:
        """It drops all messages that wait, counted as `rejected`, and all memberships."""
        async with self.layer() as layer:
            socket = Connection(layer)
            listening = asyncio.create_task(layer.receive("quiet"))
            await layer.group_add("all", socket.channel)
            await layer.group_add("all", "one")
            for delay in (0, 0, 60):
                await layer.send("one", {}, delay=delay)
            await layer.flush()
            await layer.group_send("all", {})
            books = await layer.statistics()
            assert (books["dropped"]["rejected"], books["pending"]) == (3, 0)
            assert await layer.group_channels("all") == set()
            assert await self.is_empty(layer, "one")
            await layer.send("quiet", {"n": 1})  # listeners stay, and so do sockets
            await layer.send(socket.channel, {"n": 2})
            assert await asyncio.wait_for(listening, PATIENCE) == {"n": 1}
            await self.eventually(lambda: socket.received == [{"n": 2}])

    async def test_46_closing_ends_waiting_receives(self) -> None:
        """They raise `LayerClosed`, and so do all later calls; closing twice is fine."""
        layer = await self.make_layer()
        await layer.open()
        socket = Connection(layer)
        waiting = [
            asyncio.create_task(layer.receive("one")),
            asyncio.create_task(layer.receive_many(["one", "two"])),
        ]
        await asyncio.sleep(0.01)
        await layer.aclose()
        for each in waiting:
            with pytest.raises(LayerClosed):
                await asyncio.wait_for(each, PATIENCE)
        for call in (
            lambda: layer.open(),
            lambda: layer.send("one", {}),
            lambda: layer.send(socket.channel, {}),
            lambda: layer.receive("one"),
            lambda: layer.receive_many(["one"]),
            lambda: layer.new_channel(),
            lambda: layer.group_add("all", "one"),
            lambda: layer.group_discard("all", "one"),
            lambda: layer.group_send("all", {}),
            lambda: layer.group_channels("all"),
            lambda: layer.flush(),
            lambda: layer.statistics(),
        ):
            with pytest.raises(LayerClosed):
                await asyncio.wait_for(call(), PATIENCE)
        with pytest.raises(LayerClosed):
            layer.attach(socket)
        layer.detach(socket.channel)
        await layer.aclose()

    async def test_47_opening_may_be_repeated(self) -> None:
        """`open` on the home loop does nothing more; the loop is known."""
        async with self.layer() as layer:
            await layer.open()
            assert layer.loop is asyncio.get_running_loop()
            await layer.send("one", {})
            await layer.open()
            assert await layer.receive("one") == {}

    async def test_48_a_layer_in_use_does_not_move(self) -> None:
        """`open` on another loop raises while the home runs and has receivers or listeners."""
        async with self.layer() as layer:
            socket = Connection(layer)
            with pytest.raises(ConfigurationError):
                await elsewhere(layer.open)
            socket.close()
            listening = asyncio.create_task(layer.receive("one"))
            await asyncio.sleep(0.01)
            with pytest.raises(ConfigurationError):
                await elsewhere(layer.open)
            listening.cancel()
            await asyncio.wait([listening])
            await elsewhere(layer.open)
            await layer.open()
            assert layer.loop is asyncio.get_running_loop()

    async def test_49_any_loop_of_the_process_can_call(self) -> None:
        """Calls from other threads' event loops reach the same queues, groups and sockets."""
        async with self.layer(capacity=1_000) as layer:
            socket = Connection(layer)
            await layer.group_add("all", socket.channel)

            async def use(name: str) -> None:
                for n in range(20):
                    await layer.send("shared", {"name": name, "n": n})
                    await layer.send(socket.channel, {"name": name, "n": n})
                    await layer.group_send("all", {"name": name, "n": n})
                    await layer.group_add("all", name)
                await layer.send(name, {"n": 1})
                assert (await layer.receive(name))["n"] in range(20)
                await layer.group_discard("all", name)
                assert name not in await layer.group_channels("all")
                await layer.statistics()

            await asyncio.gather(*(elsewhere(partial(use, f"thread{n}")) for n in range(4)))
            got = await self.receive_all(layer, "shared", 80)
            await self.eventually(lambda: len(socket.received) == 160)
            for name in (f"thread{n}" for n in range(4)):
                assert [e["n"] for e in got if e["name"] == name] == list(range(20))

    async def test_50_receives_elsewhere_can_be_cancelled(self) -> None:
        """Cancelling a receive on another loop loses and repeats no message."""
        async with self.layer(capacity=1_000) as layer:
            sent, stop = 0, threading.Event()
            got: list[int] = []

            async def receive() -> None:
                while not stop.is_set():
                    receiving = asyncio.create_task(_receive(layer, got))
                    await asyncio.sleep(0.0003)
                    receiving.cancel()
                    await asyncio.wait([receiving])

            far = asyncio.create_task(elsewhere(receive))
            while sent < 100:
                await layer.send("busy", {"n": sent})
                sent += 1
                await asyncio.sleep(0.001 if sent % 3 else 0)
            stop.set()
            await far
            got += [e["n"] for e in await self.receive_all(layer, "busy", 100 - len(got))]
            assert Counter(got) == Counter(range(100))
            assert await self.is_empty(layer, "busy")


async def _receive(layer: ChannelLayer, got: list[int]) -> None:
    got.append((await layer.receive("busy"))["n"])


__all__ = ["LifeTests"]
