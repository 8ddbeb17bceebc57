"""Who waits is told of messages, and does not keep it to itself; what is asked for at once is done one by one."""

import asyncio
from typing import Any

import pytest

from achannels.exceptions import ChannelFull
from achannels.layers.redis import RedisLayer, queues
from achannels.testing.layer_suite.base import Connection
from tests.redis.conftest import MakeLayer
from tests.redis.servers import Server

PATIENCE = 10.0


@pytest.fixture
def _nobody_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "_POLL", 3_600.0)


async def listen(layer: RedisLayer, *channels: str) -> "asyncio.Task[tuple[str, Any]]":
    """Begin to wait; the shard knows of it when this returns."""
    listener = asyncio.create_task(layer.receive_many(channels))
    await asyncio.sleep(0)
    await layer.group_discard("nobody", "nothing")
    return listener


@pytest.mark.usefixtures("_nobody_polls")
async def test_who_is_told_of_a_message_while_it_takes_another_tells_the_next(
    server: Server, layer: MakeLayer
) -> None:
    here = await layer(server.url)
    for turns in range(60):
        channel = f"mail-{turns}"
        listeners = [await listen(here, channel) for _ in range(2)]
        sending = asyncio.create_task(here.send(channel, {"n": 1}))
        for _ in range(turns):
            await asyncio.sleep(0)
        await here.send(channel, {"n": 2})
        await sending
        async with asyncio.timeout(PATIENCE):
            got = await asyncio.gather(*listeners)
        assert sorted(content["n"] for _, content in got) == [1, 2]


@pytest.mark.usefixtures("_nobody_polls")
@pytest.mark.parametrize("apart", [False, True], ids=["same process", "another process"])
async def test_who_is_cancelled_with_a_message_on_its_way_tells_the_next(
    server: Server, layer: MakeLayer, apart: bool
) -> None:
    """Wherever the message is: told of, asked for, taken."""
    here = await layer(server.url)
    there = await layer(server.url) if apart else here
    passed_on = 0
    for turns in range(60):
        channel = f"mail-{turns}"
        first = await listen(here, channel)
        second = await listen(there, channel)
        sending = asyncio.create_task(here.send(channel, {}))
        for _ in range(turns):
            await asyncio.sleep(0)
        first.cancel()
        await sending
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait({first})
            if first.cancelled():
                await second
                passed_on += 1
        second.cancel()
        await asyncio.wait({second})
    assert passed_on


async def test_sends_at_once_are_taken_in_order_until_the_channel_is_full(
    server: Server, layer: MakeLayer
) -> None:
    here = await layer(server.url, capacity=3)
    outcomes = await asyncio.gather(
        *(
            here.send(channel, {"n": n})
            for n in range(10)
            for channel in (("mail",) if n % 3 else ("mail", "news"))
        ),
        return_exceptions=True,
    )
    refused = [each for each in outcomes if isinstance(each, ChannelFull)]
    assert len(refused) == len(outcomes) - 6
    for channel, numbers in (("mail", [0, 1, 2]), ("news", [0, 3, 6])):
        assert [(await here.receive(channel))["n"] for _ in numbers] == numbers


async def test_channels_take_turns_also_in_what_is_taken_at_once(
    server: Server, layer: MakeLayer
) -> None:
    here = await layer(server.url)
    await asyncio.gather(
        *(here.send(channel, {"n": n}) for channel in ("mail", "news") for n in range(6))
    )
    await here.send("rare", {"n": 0})
    taken = [await here.take(["mail", "news", "rare"], slots=7 - n) for n in range(7)]
    counts = {name: sum(each.channel == name for each in taken) for name in ("mail", "news")}
    assert counts == {"mail": 3, "news": 3}
    assert {each.channel for each in taken} == {"mail", "news", "rare"}


async def read_all(layer: RedisLayer) -> None:
    (shard,) = layer._shards
    await shard.reader.read_past(shard.sender.written)


async def test_a_node_that_reads_in_time_misses_nothing_however_small_its_log_may_be(
    server: Server, layer: MakeLayer
) -> None:
    """A commit that waits for more must not fill the log."""
    here = await layer(server.url, log_capacity=3)
    member = Connection(here)
    await here.group_add("room", member.channel)
    for n in range(50):
        await here.group_send("room", {"n": n})
        await read_all(here)
    assert member.received == [{"n": n} for n in range(50)]
    assert not member.gaps


async def test_what_was_read_leaves_the_log(server: Server, layer: MakeLayer) -> None:
    here = await layer(server.url)
    member = Connection(here)
    await here.group_add("room", member.channel)
    await here.group_send("room", {"n": 1})
    await read_all(here)
    (shard,) = here._shards
    log = f"{shard.registration.prefix}log:{here.node}"
    async with asyncio.timeout(PATIENCE):
        while await asyncio.to_thread(server.call, "XLEN", log):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
