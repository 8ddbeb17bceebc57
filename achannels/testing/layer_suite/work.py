"""Promises about background work: delays, attempts, dead letters. For layers that are a `WorkLayer`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest

from achannels.contracts import ChannelLayer, WorkLayer
from achannels.exceptions import ChannelFull, ConfigurationError
from achannels.testing.layer_suite.base import PATIENCE, Connection, SuiteBase


class _Both(ChannelLayer, WorkLayer, Protocol):
    pass


class WorkTests(SuiteBase):
    """Tests 34 to 41."""

    @asynccontextmanager
    async def work_layer(self, **config: Any) -> AsyncIterator[_Both]:
        """Make a layer, or skip the test if it is no `WorkLayer`."""
        async with self.layer(**config) as layer:
            if not isinstance(layer, WorkLayer):
                pytest.skip(f"{type(layer).__name__} is no WorkLayer")
            yield layer

    async def test_34_a_delayed_message_comes_when_it_is_due(self) -> None:
        """Not before its delay has passed; then in the order of being due."""
        async with self.layer() as layer:
            await layer.send("later", {"n": 3}, delay=6 * self.tick)
            await layer.send("later", {"n": 2}, delay=3 * self.tick)
            await layer.send("later", {"n": 1})
            assert await layer.receive("later") == {"n": 1}
            listening = asyncio.create_task(layer.receive("later"))
            await asyncio.sleep(0.01)
            await self.pass_time(1 * self.tick)
            assert not listening.done()
            await self.pass_time(3 * self.tick)
            async with asyncio.timeout(PATIENCE):
                assert await listening == {"n": 2}
            await self.pass_time(3 * self.tick)
            async with asyncio.timeout(PATIENCE):
                assert await layer.receive("later") == {"n": 3}

    async def test_35_delayed_and_durable_messages_do_not_expire(self) -> None:
        """Neither while they wait for their time nor afterwards; others beside them do."""
        async with self.layer(expiry=2 * self.tick) as layer:
            await layer.send("kept", {"n": 1}, durable=True)
            await layer.send("kept", {"n": 2})
            await layer.send("kept", {"n": 3}, delay=1 * self.tick)
            await self.pass_time(8 * self.tick)
            assert await self.receive_all(layer, "kept", 2) == [{"n": 1}, {"n": 3}]
            books = await layer.statistics()
            assert (books["expired"], books["delivered"], books["pending"]) == (1, 2, 0)

    async def test_36_delayed_messages_count_against_the_capacity(self) -> None:
        """They wait in the channel too."""
        async with self.layer(capacity=2) as layer:
            await layer.send("small", {}, delay=60)
            await layer.send("small", {})
            for delay in (0, 60):
                with pytest.raises(ChannelFull):
                    await layer.send("small", {}, delay=delay)

    async def test_37_replies_have_no_delay(self) -> None:
        """`delay` and `durable` for a reply channel, and a delay that is none, raise."""
        async with self.layer() as layer:
            socket = Connection(layer)
            with pytest.raises(ConfigurationError):
                await layer.send(socket.channel, {}, delay=1)
            with pytest.raises(ConfigurationError):
                await layer.send(socket.channel, {}, durable=True)
            for delay in (-1, float("nan"), float("inf")):
                with pytest.raises(ConfigurationError):
                    await layer.send("work", {}, delay=delay)
            assert socket.received == []

    async def test_38_a_taken_message_is_pending_until_it_is_settled(self) -> None:
        """`take` hands it to one worker; settled without more it is delivered."""
        async with self.work_layer(capacity=1) as layer:
            await layer.send("work", {"n": 1})
            taken = await layer.take(["other", "work"])
            assert (taken.channel, taken.content) == ("work", {"n": 1})
            assert (taken.attempt, taken.durable) == (1, False)
            books = await layer.statistics()
            assert (books["delivered"], books["pending"]) == (0, 1)
            assert await self.is_empty(layer, "work")
            await layer.send("work", {"n": 2})  # what was taken takes no room
            await layer.settle(taken)
            await layer.settle(taken)
            books = await layer.statistics()
            assert (books["delivered"], books["pending"]) == (1, 1)

    async def test_39_a_message_can_be_tried_again(self) -> None:
        """Settled with `again` it comes back after that time, as the next attempt, over capacity."""
        async with self.work_layer(capacity=1, expiry=2 * self.tick) as layer:
            await layer.send("work", {"n": 1}, durable=True)
            taken = await layer.take(["work"])
            await layer.send("work", {"n": 2}, durable=True)
            await layer.settle(taken, again=3 * self.tick)
            assert (await layer.statistics())["pending"] == 2
            second = await layer.take(["work"])
            assert second.content == {"n": 2}
            waiting = asyncio.create_task(layer.take(["work"]))
            await asyncio.sleep(0.01)
            assert not waiting.done()
            await self.pass_time(8 * self.tick)
            async with asyncio.timeout(PATIENCE):
                taken = await waiting
            assert (taken.content, taken.attempt, taken.durable) == ({"n": 1}, 2, True)
            await layer.settle(taken, again=0)
            assert (await layer.take(["work"])).attempt == 3
            assert (await layer.statistics())["pending"] == 2

    async def test_40_given_up_messages_become_dead_letters(self) -> None:
        """Settled with `dead`: counted as rejected, and kept if durable; requeued or dropped."""
        async with self.work_layer() as layer:
            for n in range(3):
                await layer.send("work", {"n": n}, durable=n > 0)
            for _ in range(3):
                taken = await layer.take(["work"])
                await layer.settle(taken, dead="ValueError: no")
            letters = await layer.dead_letters("work")
            assert [each.content for each in letters] == [{"n": 1}, {"n": 2}]
            assert {(each.reason, each.attempts) for each in letters} == {("ValueError: no", 1)}
            assert timedelta(0) <= datetime.now(UTC) - letters[0].failed_at < timedelta(minutes=1)
            assert await layer.dead_letters("work", 1) == letters[:1]
            assert await layer.dead_letters("other") == []
            books = await layer.statistics()
            assert (books["accepted"], books["dropped"]["rejected"]) == (3, 3)

            assert await layer.requeue("work", letters[1].id)
            assert not await layer.requeue("work", letters[1].id)
            again = await layer.take(["work"])
            assert (again.content, again.attempt, again.durable) == ({"n": 2}, 1, True)
            await layer.settle(again)
            assert await layer.drop_letter("work", letters[0].id)
            assert not await layer.drop_letter("work", letters[0].id)
            assert not await layer.requeue("other", letters[0].id)
            assert await layer.dead_letters("work") == []
            books = await layer.statistics()
            assert (books["accepted"], books["delivered"], books["pending"]) == (4, 1, 0)

    async def test_41_cancelled_takes_lose_nothing(self) -> None:
        """Cancelling `take` loses no message and leaves none in flight."""
        async with self.work_layer() as layer:
            taken = 0
            for n in range(200):
                taking = asyncio.create_task(layer.take(["work"]))
                for _ in range(n % 3):
                    await asyncio.sleep(0)
                if n % 2:
                    await layer.send("work", {"n": n})
                for _ in range(n % 4):
                    await asyncio.sleep(0)
                taking.cancel()
                await asyncio.wait([taking])
                if not taking.cancelled():
                    await layer.settle(taking.result())
                    taken += 1
            books = await layer.statistics()
            assert (books["accepted"], books["delivered"]) == (100, taken)
            await self.receive_all(layer, "work", 100 - taken)
            assert (await layer.statistics())["pending"] == 0


__all__ = ["WorkTests"]
