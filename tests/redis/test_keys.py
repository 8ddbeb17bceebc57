"""Layers with encryption keys: who reads whom, and what becomes of a message that nobody can read."""

import asyncio
import itertools
import logging

import pytest

from achannels.testing.layer_suite import Connection, check_books
from tests.redis.conftest import MakeLayer
from tests.redis.servers import Server

OLD, NEW = "old-" * 8, "new-" * 8
STEPS = [[OLD], [OLD, NEW], [NEW, OLD], [NEW]]


async def have_got(count: int, *sockets: Connection) -> None:
    async with asyncio.timeout(5):
        while any(len(each.received) < count for each in sockets):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_key_is_rotated_while_processes_of_two_steps_run(
    layer: MakeLayer, server: Server
) -> None:
    """Old and new processes run side by side at each of the three restarts."""
    for before, after in itertools.pairwise(STEPS):
        one, other = [
            await layer(server.url, symmetric_encryption_keys=keys) for keys in (before, after)
        ]
        sockets = [Connection(each) for each in (one, other)]
        for each, socket in zip((one, other), sockets, strict=True):
            await each.group_add("all", socket.channel)
        for each in (one, other):
            await each.group_send("all", {"by": each.node})
            await each.send("work", {"by": each.node}, durable=True)
        taken = [await asyncio.wait_for(each.take(["work"]), 5) for each in (other, one)]
        assert [each.content["by"] for each in taken] == [one.node, other.node]
        for each, message in zip((other, one), taken, strict=True):
            await each.settle(message, dead="no")
        await have_got(2, *sockets)
        letters = await one.dead_letters("work")
        assert [each.content["by"] for each in letters] == [one.node, other.node]
        await one.flush()
        for each in (one, other):
            await each.aclose()


@pytest.mark.parametrize(
    ("theirs", "ours", "why"),
    [
        ([OLD], [NEW], "written with none of the keys"),
        ([OLD], [], "it is encrypted, and CONFIG 'symmetric_encryption_keys' has no key"),
        ([], [NEW], "not encrypted, or cut"),
    ],
)
async def test_a_message_that_nobody_here_can_read_is_counted_and_harms_no_other(
    layer: MakeLayer,
    server: Server,
    caplog: pytest.LogCaptureFixture,
    theirs: list[str],
    ours: list[str],
    why: str,
) -> None:
    stranger = await layer(server.url, symmetric_encryption_keys=theirs)
    reader = await layer(server.url, symmetric_encryption_keys=ours, lease=1.0)
    socket = Connection(reader)
    await reader.group_add("all", socket.channel)
    with caplog.at_level(logging.ERROR, "achannels.layer"):
        for each in (stranger, reader):
            await each.send("work", {"by": each.node})
            await each.group_send("all", {"by": each.node})
            await each.send(socket.channel, {"by": each.node})
        taken = await asyncio.wait_for(reader.take(["work"], slots=10), 5)
        assert taken.content == {"by": reader.node}
        await reader.settle(taken)
        await have_got(2, socket)
    assert socket.received == [{"by": reader.node}] * 2
    assert socket.gaps == [(["all"], "unreadable"), ([], "unreadable")]
    assert all(why in record.getMessage() for record in caplog.records)
    assert len(caplog.records) == 3
    assert "a message on work was written with another key" in caplog.text
    books = await reader.statistics()
    check_books(books)
    assert (books["dropped"]["rejected"], books["delivered"], books["pending"]) == (3, 3, 0)


async def test_a_durable_message_waits_for_someone_who_can_read_it(
    layer: MakeLayer, server: Server
) -> None:
    stranger = await layer(server.url, symmetric_encryption_keys=[OLD])
    reader = await layer(server.url, symmetric_encryption_keys=[NEW], lease=0.6)
    await stranger.send("work", {"n": 1}, durable=True)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.take(["work"], durable=["work"]), 0.3)
    taken = await asyncio.wait_for(stranger.take(["work"], durable=["work"]), 10)
    assert taken.content == {"n": 1}
    await stranger.settle(taken)
    assert (await stranger.statistics())["pending"] == 0


async def test_a_dead_letter_that_nobody_here_can_read_is_listed_without_its_content(
    layer: MakeLayer, server: Server
) -> None:
    stranger = await layer(server.url, symmetric_encryption_keys=[OLD])
    reader = await layer(server.url, symmetric_encryption_keys=[NEW])
    for each in (stranger, reader):
        await each.send("work", {"by": each.node}, durable=True)
        taken = await asyncio.wait_for(each.take(["work"]), 5)
        await each.settle(taken, dead="no")
    one, other = await reader.dead_letters("work")
    assert (one.content, other.content) == ({}, {"by": reader.node})
    assert one.reason.startswith("no (not shown here: the message was written with none of")
    assert await reader.requeue("work", one.id)
    assert (await asyncio.wait_for(stranger.take(["work"]), 5)).content == {"by": stranger.node}
