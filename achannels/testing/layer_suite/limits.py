"""Promises about capacity and expiry."""

import asyncio
import re

import pytest

from achannels.exceptions import ChannelFull
from achannels.testing.layer_suite.base import Connection, SuiteBase


class LimitTests(SuiteBase):
    """Tests 13 to 21."""

    async def test_13_a_full_channel_refuses(self) -> None:
        """With `capacity` messages waiting the next send raises `ChannelFull`, and is not counted."""
        async with self.layer(capacity=3) as layer:
            for n in range(3):
                await layer.send("small", {"n": n})
            for _ in range(2):
                with pytest.raises(ChannelFull) as error:
                    await layer.send("small", {})
                assert (error.value.channel, error.value.capacity) == ("small", 3)
            await layer.send("other", {})
            books = await layer.statistics()
            assert (books["accepted"], books["pending"]) == (4, 4)
            assert await layer.receive("small") == {"n": 0}
            await layer.send("small", {"n": 3})
            got = await self.receive_all(layer, "small", 3)
            assert got == [{"n": 1}, {"n": 2}, {"n": 3}]

    async def test_14_the_first_pattern_decides_the_capacity(self) -> None:
        """`channel_capacity` takes globs and regular expressions; the first match wins."""
        patterns = {"mail.vip": 3, "mail.*": 1, re.compile(r"t\d"): 2, "*": 4}
        async with self.layer(capacity=50, channel_capacity=patterns) as layer:
            for channel, capacity in {"mail.vip": 3, "mail.x": 1, "t1.a": 2, "at1": 4}.items():
                for _ in range(capacity):
                    await layer.send(channel, {})
                with pytest.raises(ChannelFull) as error:
                    await layer.send(channel, {})
                assert error.value.capacity == capacity

    async def test_15_a_full_socket_refuses_direct_sends_only(self) -> None:
        """A direct send to a full receiver raises; a group send does not, and reaches the others."""
        async with self.layer() as layer:
            stalled, reading = Connection(layer, capacity=2), Connection(layer)
            for socket in (stalled, reading):
                await layer.group_add("all", socket.channel)
            stalled.reading = False
            for n in range(5):
                await layer.group_send("all", {"n": n})
            await self.eventually(lambda: len(reading.received) == 5 and stalled.pending == 2)
            with pytest.raises(ChannelFull) as error:
                await layer.send(stalled.channel, {})
            assert (error.value.channel, error.value.capacity) == (stalled.channel, 2)
            books = await layer.statistics()
            assert (books["dropped"]["overflow"], books["pending"]) == (3, 2)
            stalled.reading = True
            assert stalled.received == [{"n": 0}, {"n": 1}]

    async def test_16_a_group_send_drops_for_a_full_member_only(self) -> None:
        """An ordinary channel that is full misses the message, and it is counted as `full`."""
        async with self.layer(channel_capacity={"small": 1}) as layer:
            for channel in ("small", "large"):
                await layer.group_add("both", channel)
            for n in range(3):
                await layer.group_send("both", {"n": n})
            books = await layer.statistics()
            assert (books["accepted"], books["dropped"]["full"], books["pending"]) == (6, 2, 4)
            assert await layer.receive("small") == {"n": 0}
            assert len(await self.receive_all(layer, "large", 3)) == 3

    async def test_17_expired_messages_are_not_delivered(self) -> None:
        """A message older than `expiry` is never delivered, and counted as expired."""
        async with self.layer(expiry=5 * self.tick) as layer:
            await layer.send("old", {"n": 1})
            await self.pass_time(3 * self.tick)
            await layer.send("old", {"n": 2})
            await self.pass_time(3 * self.tick)
            assert await layer.receive("old") == {"n": 2}
            assert (await layer.statistics())["expired"] == 1
            await layer.send("old", {"n": 3})
            await self.pass_time(6 * self.tick)
            assert await self.is_empty(layer, "old")
            assert (await layer.statistics())["expired"] == 2

    async def test_18_expired_messages_are_found_untouched(self) -> None:
        """The books know what has expired in channels that nobody reads."""
        async with self.layer(expiry=2 * self.tick) as layer:
            for n in range(30):
                await layer.send(f"unread.{n % 7}", {})
            books = await layer.statistics()  # where time is real, some may have expired already
            assert books["expired"] + books["pending"] == 30
            await self.pass_time(3 * self.tick)
            books = await layer.statistics()
            assert (books["expired"], books["pending"]) == (30, 0)

    async def test_19_expired_messages_take_no_room(self) -> None:
        """A channel full of expired messages takes new ones."""
        async with self.layer(capacity=2, expiry=2 * self.tick) as layer:
            for _ in range(2):
                await layer.send("small", {"n": 1})
            await self.pass_time(3 * self.tick)
            for _ in range(2):
                await layer.send("small", {"n": 2})
            assert await self.receive_all(layer, "small", 2) == [{"n": 2}, {"n": 2}]

    async def test_20_the_first_pattern_decides_the_expiry(self) -> None:
        """`channel_expiry` goes by channel as `channel_capacity` does."""
        patterns = {"brief.*": 2 * self.tick, re.compile("long"): 60.0}
        async with self.layer(expiry=5 * self.tick, channel_expiry=patterns) as layer:
            for channel in ("brief.a", "usual", "long"):
                await layer.send(channel, {})
            await self.pass_time(3 * self.tick)
            assert (await layer.statistics())["expired"] == 1
            await self.pass_time(3 * self.tick)
            assert (await layer.statistics())["expired"] == 2
            assert await layer.receive("long") == {}

    async def test_21_a_listener_that_waits_sees_no_expired_message(self) -> None:
        """Expiry between a send and the listener's turn: it goes on waiting for the next."""
        async with self.layer(expiry=2 * self.tick) as layer:
            await layer.send("late", {"n": 1})
            await self.pass_time(3 * self.tick)
            listening = asyncio.create_task(layer.receive("late"))
            await asyncio.sleep(0.01)
            await layer.send("late", {"n": 2})
            assert await asyncio.wait_for(listening, 5) == {"n": 2}


__all__ = ["LimitTests"]
