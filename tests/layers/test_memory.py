"""The memory layer: its settings, its own names, and its end; the rest is in the compliance suite."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from achannels import names
from achannels.contracts import Taken
from achannels.exceptions import (
    ChannelFull,
    ConfigurationError,
    InvalidName,
    LayerClosed,
    MessageTooLarge,
)
from achannels.layers.memory import MemoryLayer
from achannels.testing import Clock
from achannels.testing.layer_suite import Connection, check_books

# Settings.


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"capacity": 0}, "CONFIG 'capacity' is 0; it must be an int from 1 up."),
        (
            {"channel_capacity": {"a": -1}},
            "CONFIG 'channel_capacity'['a'] is -1; it must be an int from 1 up.",
        ),
        ({"expiry": 0}, "CONFIG 'expiry' is 0; it must be a number of seconds above 0."),
        (
            {"channel_expiry": {"a": "5"}},
            "CONFIG 'channel_expiry'['a'] is '5'; it must be a number of seconds above 0.",
        ),
        (
            {"group_expiry": None},
            "CONFIG 'group_expiry' is None; it must be a number of seconds above 0.",
        ),
        ({"message_size": 1.5}, "CONFIG 'message_size' is 1.5; it must be an int from 1 up."),
        ({"clock": 5}, "CONFIG 'clock' is 5; it must be callable and return monotonic seconds."),
    ],
)
def test_a_wrong_setting_is_told_what_it_may_be(config: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        MemoryLayer(**config)
    assert str(error.value) == text


async def test_the_defaults_are_those_of_the_manual() -> None:
    clock = Clock()
    layer = MemoryLayer(clock=clock)
    assert layer.message_size == 1_048_576
    for _ in range(100):
        await layer.send("work", {})
    with pytest.raises(ChannelFull):
        await layer.send("work", {})
    await layer.group_add("all", "member")
    clock.advance(59.9)
    assert (await layer.statistics())["pending"] == 100
    clock.advance(0.1)
    assert (await layer.statistics())["expired"] == 100
    clock.advance(86_400 - 60 - 1)
    assert await layer.group_channels("all") == {"member"}
    clock.advance(1)
    assert await layer.group_channels("all") == set()


async def test_patterns_see_the_part_after_the_mark() -> None:
    layer = MemoryLayer(
        channel_capacity={"short.*": 1, re.compile("nar"): 2}, channel_expiry={"short.*": 5}
    )
    short, narrow = await layer.new_channel("short"), await layer.new_channel("narrow")
    for channel, capacity in ((short, 1), (narrow, 2)):
        for _ in range(capacity):
            await layer.send(channel, {})
        with pytest.raises(ChannelFull) as error:
            await layer.send(channel, {})
        assert (error.value.channel, error.value.capacity) == (channel, capacity)


# Names.


def test_each_layer_is_a_node_that_nobody_can_guess() -> None:
    nodes = {MemoryLayer().node for _ in range(100)}
    assert len(nodes) == 100
    assert all(len(node) >= 21 and names.check_group(node) for node in nodes)


async def test_a_new_channel_belongs_to_the_node_and_begins_with_its_prefix() -> None:
    layer = MemoryLayer()
    for given, prefix in (([], "specific"), (["answers"], "answers")):
        name = await layer.new_channel(*given)
        node, _, key = name.partition("!")
        assert (node, key.partition(".")[0]) == (layer.node, prefix)


@pytest.mark.parametrize("prefix", ["a b", "a!", "x" * 199])
async def test_a_new_channel_with_a_wrong_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidName):
        await MemoryLayer().new_channel(prefix)


async def test_nobody_receives_from_the_channel_of_another_node() -> None:
    layer, other = MemoryLayer(), MemoryLayer()
    theirs = await other.new_channel()
    with pytest.raises(InvalidName) as error:
        await layer.receive(theirs)
    assert str(error.value) == (
        f"channel name {theirs!r} is that of a socket or of another process: nobody here receives "
        "from it. Use a name without '!', or one from new_channel()."
    )
    await layer.send(theirs, {})
    await layer.group_add("all", theirs)
    assert await layer.group_channels("all") == set()
    books = await layer.statistics()
    assert (books["accepted"], books["dropped"]["gone"]) == (1, 1)


async def test_a_full_socket_says_its_own_capacity() -> None:
    layer = MemoryLayer(capacity=7)
    socket = Connection(layer, capacity=1)
    socket.reading = False
    await layer.send(socket.channel, {})
    with pytest.raises(ChannelFull) as error:
        await layer.send(socket.channel, {})
    assert error.value.capacity == 1


@pytest.mark.parametrize("channels", [[], "work", ()])
async def test_several_channels_are_a_collection(channels: Any) -> None:
    layer = MemoryLayer()
    for call in (layer.receive_many, layer.take):
        with pytest.raises(ConfigurationError) as error:
            await call(channels)
        assert str(error.value) == (
            f"channels is {channels!r}; it must be a collection of at least one channel name."
        )


async def test_a_delay_is_a_number_of_seconds_and_not_for_replies() -> None:
    layer = MemoryLayer()
    socket = Connection(layer)
    with pytest.raises(ConfigurationError) as error:
        await layer.send("work", {}, delay=-1)
    assert str(error.value) == ("send('work', delay=-1): a delay is a number of seconds from 0 up.")
    with pytest.raises(ConfigurationError) as error:
        await layer.send(socket.channel, {}, durable=True)
    assert str(error.value) == (
        f"send({socket.channel!r}, delay=..., durable=...): a reply leaves at once; delay and "
        "durable are for named channels."
    )


# Sizes.


async def test_the_size_is_checked_whoever_the_message_is_for() -> None:
    layer = MemoryLayer(message_size=20)
    socket = Connection(layer)
    sends: list[Callable[[dict[str, Any]], Awaitable[None]]] = [
        lambda content: layer.send("work", content),
        lambda content: layer.send(socket.channel, content),
        lambda content: layer.group_send("nobody", content),
    ]
    for send in sends:
        await send({"data": bytes(8)})
        with pytest.raises(MessageTooLarge):
            await send({"data": bytes(20)})


# The end.


def calls(layer: MemoryLayer, socket: Connection) -> list[Callable[[], Awaitable[object]]]:
    async def attach() -> str:
        return layer.attach(socket)

    taken = Taken("work", {}, "1", 1, durable=False)
    return [
        layer.open,
        attach,
        lambda: layer.send("work", {}),
        lambda: layer.receive("work"),
        lambda: layer.receive_many(["work"]),
        layer.new_channel,
        lambda: layer.group_add("all", "work"),
        lambda: layer.group_discard("all", "work"),
        lambda: layer.group_send("all", {}),
        lambda: layer.group_channels("all"),
        lambda: layer.take(["work"]),
        lambda: layer.settle(taken),
        lambda: layer.dead_letters("work"),
        lambda: layer.requeue("work", "1"),
        lambda: layer.drop_letter("work", "1"),
        layer.flush,
        layer.statistics,
    ]


async def test_a_closed_layer_does_nothing_more() -> None:
    layer = MemoryLayer()
    socket = Connection(layer)
    await layer.aclose()
    await layer.aclose()
    for call in calls(layer, socket):
        with pytest.raises(LayerClosed, match="this MemoryLayer was closed: "):
            await call()
    layer.detach("node!key")


async def test_the_error_of_a_closed_layer_says_what_was_not_done() -> None:
    layer = MemoryLayer()
    await layer.aclose()
    with pytest.raises(LayerClosed) as error:
        await layer.send("work", {})
    assert str(error.value) == (
        "this MemoryLayer was closed: nothing was sent to channel 'work'. Make a new one, or close "
        "it later."
    )


async def test_closing_waits_for_a_group_send_that_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from achannels.layers import membership

    monkeypatch.setattr(membership, "_TURN", -1.0)
    layer = MemoryLayer()
    sockets = [Connection(layer) for _ in range(100)]
    for socket in sockets:
        await layer.group_add("all", socket.channel)
    sending = asyncio.create_task(layer.group_send("all", {"n": 1}))
    await asyncio.sleep(0)
    assert sockets[99].received == []
    await layer.aclose()
    assert [socket.received for socket in sockets] == [[{"n": 1}]] * 100
    await sending


async def test_as_a_context_it_is_open_inside_and_closed_after() -> None:
    async with MemoryLayer() as layer:
        assert layer.loop is asyncio.get_running_loop()
        await layer.send("work", {})
    with pytest.raises(LayerClosed):
        await layer.send("work", {})


async def test_a_closed_layer_hears_of_no_clock_any_more() -> None:
    clock = Clock()
    layer = MemoryLayer(clock=clock)
    assert len(clock._callbacks) == 1
    await layer.aclose()
    assert clock._callbacks == []


async def test_flush_leaves_what_is_in_hand() -> None:
    layer = MemoryLayer()
    socket = Connection(layer)
    socket.reading = False
    await layer.group_add("all", socket.channel)
    await layer.group_send("all", {})
    await layer.send("work", {"n": 1}, durable=True)
    taken = await layer.take(["work"])
    await layer.send("work", {"n": 2})
    await layer.flush()
    books = await layer.statistics()
    check_books(books)
    assert (books["dropped"]["rejected"], books["pending"]) == (1, 2)
    assert await layer.group_channels("all") == set()
    await layer.settle(taken, again=0)
    assert (await layer.take(["work"])).content == {"n": 1}


async def test_a_dead_letter_that_finds_no_room_stays() -> None:
    layer = MemoryLayer(capacity=1)
    await layer.send("work", {"n": 1}, durable=True)
    await layer.settle(await layer.take(["work"]), dead="no")
    [letter] = await layer.dead_letters("work")
    await layer.send("work", {"n": 2})
    with pytest.raises(ChannelFull):
        await layer.requeue("work", letter.id)
    assert await layer.dead_letters("work") == [letter]
    check_books(await layer.statistics())
