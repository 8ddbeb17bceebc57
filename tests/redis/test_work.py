"""Background work over Redis where something is wrong: texts, bodies, servers, what is asked for."""

import asyncio
from typing import Any

import pytest

from achannels import consumer, route
from achannels.asgi import Application
from achannels.exceptions import ConfigurationError, LayerUnavailable
from achannels.layers.redis import RedisLayer, work
from achannels.layers.redis.batches import Batches
from achannels.message import Message
from achannels.testing.layer_suite import Connection, check_books
from tests.redis.conftest import MakeLayer
from tests.redis.servers import Server

NAME = ["work"]


async def keep(layer: RedisLayer, kept: bytes) -> None:
    """Have the shard know a durable message as these bytes."""
    await layer.send("work", {"n": 1}, durable=True)
    shard = layer._shards[0]
    key = f"{shard.registration.prefix}m:work"
    (id, *_) = (await shard._links[0].exchange([("HKEYS", key)]))[0]
    await shard._links[0].exchange([("HSET", key, id, kept)])


async def test_a_reason_is_kept_whatever_characters_it_has(
    server: Server, layer: MakeLayer
) -> None:
    here = await layer(server.url)
    await here.send("work", {"n": 1}, durable=True)
    taken = await here.take(NAME, durable=NAME)
    reason = "no file 'a\udce9.png' " + "é" * 2_000
    await asyncio.gather(here.settle(taken, dead=reason), here.send("other", {}))
    (letter,) = await here.dead_letters("work")
    assert letter.reason.startswith("no file 'a\\udce9.png' éé")
    assert len(letter.reason.encode()) in (1_023, 1_024)


async def test_what_cannot_be_written_is_refused_alone(server: Server, layer: MakeLayer) -> None:
    here = await layer(server.url)
    found, sent = await asyncio.gather(
        here.drop_letter("work", "\udce9"), here.send("work", {}), return_exceptions=True
    )
    assert isinstance(found, LayerUnavailable)
    assert (found.outcome, sent) == ("refused", None)
    with pytest.raises(LayerUnavailable, match="it was not done and will not be"):
        await here.drop_letter("work", "\udce9")
    await here.take(NAME)


@pytest.mark.parametrize("again", [True, False], ids=["again", "lease over"])
async def test_the_attempts_stop_counting_before_they_need_a_fifth_digit(
    server: Server, layer: MakeLayer, again: bool
) -> None:
    here = await layer(server.url, lease=0.3)
    await keep(here, b"D9999\x81\xa1n\x01")
    for _ in range(2):
        taken = await here.take(NAME, durable=NAME)
        assert (taken.attempt, taken.content) == (9_999, {"n": 1})
        if again:
            await here.settle(taken, again=0.0)
        else:
            here._taken.clear()


@pytest.mark.parametrize("durable", [True, False])
async def test_what_cannot_be_decoded_is_given_up(
    server: Server, layer: MakeLayer, durable: bool
) -> None:
    here = await layer(server.url)
    if durable:
        await keep(here, b"D0001\x81\xa1")
    else:
        await here._send("work", b"\x81\xa1", 0.0, False)
    await here.send("work", {"n": 2})
    taken = await here.take(NAME, durable=NAME if durable else ())
    assert taken.content == {"n": 2}
    await here.settle(taken)
    assert not here._taken
    letters = await here.dead_letters("work")
    assert [each.reason.startswith("it cannot be decoded") for each in letters] == [True] * durable
    books = await here.statistics()
    check_books(books)
    assert (books["dropped"]["rejected"], books["pending"]) == (1, 0)


async def test_a_message_that_is_lost_on_its_way_back_is_counted(
    server: Server, layer: MakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await layer(server.url)
    await here.send("work", {})
    taken = await here.take(NAME)
    lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    lost.set_exception(LayerUnavailable("no answer", outcome="refused"))
    with monkeypatch.context() as patch:
        patch.setattr(here._shards[0], "submit", lambda *arguments: lost)
        with pytest.raises(LayerUnavailable):
            await here.settle(taken, again=0.0)
    books = await here.statistics()
    check_books(books)
    assert (books["accepted"], books["dropped"]["gone"]) == (1, 1)


async def test_a_worker_without_the_key_leaves_a_durable_message_to_one_that_has_it(
    server: Server, layer: MakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often the first takes it, it is the first attempt of the second."""
    attempts: asyncio.Queue[int] = asyncio.Queue()
    unreadable = asyncio.Semaphore(0)

    @consumer(durable=True, retries=1)
    async def job(message: Message) -> None:
        attempts.put_nowait(message.attempt)

    routing = [route("work", job)]
    stranger = await layer(server.url, symmetric_encryption_keys=["o" * 32], lease=0.3)
    reader = await layer(server.url, symmetric_encryption_keys=["n" * 32], lease=0.3)
    real = stranger._queues._decrypt

    def decrypt(body: bytes) -> bytes:
        unreadable.release()
        return real(body)

    monkeypatch.setattr(stranger._queues, "_decrypt", decrypt)
    async with Application(routing, layer=stranger):
        await reader.send("work", {}, durable=True)
        for _ in range(4):
            await unreadable.acquire()
    async with Application(routing, layer=reader):
        assert await attempts.get() == 1


async def test_dead_letters_come_in_answers_that_are_not_too_long(
    server: Server, layer: MakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "_PAGE", 300)
    here = await layer(server.url)
    for number in range(7):
        await here.send("work", {"n": number, "text": "x" * 100}, durable=True)
        await here.settle(await here.take(NAME, durable=NAME), dead="no")
    for limit in (1, 5, 7, 1_000):
        found = await here.dead_letters("work", limit)
        assert [each.content["n"] for each in found] == list(range(min(limit, 7)))
    for wrong in (0, -1, True, "1"):
        with pytest.raises(ConfigurationError, match="must be a whole number from 1"):
            await here.dead_letters("work", wrong)  # type: ignore[arg-type]


class Deaf(Connection):
    """A receiver that cannot be told of a gap."""

    def gap(self, groups: Any, reason: str, since: float) -> None:
        raise RuntimeError("deaf")


async def test_a_receiver_that_fails_at_a_gap_keeps_it_from_no_other(
    server: Server, layer: MakeLayer
) -> None:
    here = await layer(server.url)
    deaf, other = Deaf(here), Connection(here)
    for each in (deaf, other):
        await here.group_add("all", each.channel)
    here.missed(here._shards[0], 1, 0.0)
    assert other.gaps == [(["all"], "log_full")]


@pytest.mark.parametrize("part", ["reader", "sender"])
async def test_a_node_whose_reader_or_sender_fails_registers_anew(
    server: Server, layer: MakeLayer, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """It must not live on deaf."""
    here, there = await layer(server.url), await layer(server.url)
    socket = Connection(here)
    await here.group_add("all", socket.channel)
    shard = here._shards[0]
    first = shard.registration.incarnation

    def fail(*arguments: Any) -> Any:
        monkeypatch.undo()
        raise RuntimeError("broken")

    if part == "reader":
        monkeypatch.setattr(shard.reader, "_hand_over", fail)
        await there.group_send("all", {"n": 1})
    else:
        monkeypatch.setattr(Batches, "fill", fail)
        await here.group_send("all", {"n": 1})
    async with asyncio.timeout(10):
        while shard.registration.incarnation == first or not shard.registration.ready.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await there.group_send("all", {"n": 2})
        while {"n": 2} not in socket.received:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert "lease_lost" in [reason for _, reason in socket.gaps]
