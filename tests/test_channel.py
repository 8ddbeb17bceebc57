"""Channels: a name, a layer, and what can be sent to it."""

import asyncio
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast

import pytest

from achannels import Channel, Group, registry
from achannels.channel import ReplyChannel, seconds_until
from achannels.contracts import ChannelLayer
from achannels.exceptions import ChannelFull, ConfigurationError, InvalidName, WrongContext
from achannels.layers.memory import MemoryLayer
from achannels.testing import Clock
from tests.doubles import RecordingSocket


class Simple:
    """A layer that sends, and nothing else."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Mapping[str, Any], float, bool]] = []

    async def send(
        self, channel: str, content: Mapping[str, Any], *, delay: float, durable: bool
    ) -> None:
        self.sent.append((channel, content, delay, durable))


def simple() -> tuple[Simple, ChannelLayer]:
    layer = Simple()
    return layer, cast("ChannelLayer", layer)


# The name.


def test_a_channel_is_its_name() -> None:
    channel = Channel("news")
    assert (channel.name, str(channel), repr(channel)) == ("news", "news", "Channel('news')")
    assert channel.alias == "default"


def test_a_wrong_name_is_refused_where_it_is_made() -> None:
    with pytest.raises(InvalidName, match="channel name 'a b' has ' ' at position 1"):
        Channel("a b")


def test_channels_are_equal_by_name_and_layer(channel_layer: MemoryLayer) -> None:
    assert Channel("news") == Channel("news")
    assert len({Channel("news"), Channel("news"), Channel("other")}) == 2
    assert Channel("news") != Channel("other")
    assert Channel("news") != Channel("news", "other")
    assert Channel("news") != Channel("news", channel_layer=channel_layer)
    assert Channel("news", channel_layer=channel_layer) == Channel(
        "news", channel_layer=channel_layer
    )
    assert Channel("news") != Group("news")
    assert Channel("news") != "news"


def test_a_given_layer_wins_over_the_alias() -> None:
    own = MemoryLayer()
    assert Channel("news", "nowhere", own).channel_layer is own
    assert Channel("news").channel_layer is registry.get_channel_layer()


# Sending.


async def test_what_is_sent_is_received(channel_layer: MemoryLayer) -> None:
    await Channel("work").send({"n": 1})
    assert await channel_layer.receive("work") == {"n": 1}


async def test_what_the_layer_refuses_is_raised_to_the_sender() -> None:
    channel = Channel("work", channel_layer=MemoryLayer(capacity=1))
    await channel.send({})
    with pytest.raises(ChannelFull):
        await channel.send({})


@pytest.mark.parametrize(
    ("given", "delay", "durable"),
    [
        ({}, 0.0, False),
        ({"delay": None, "eta": None, "durable": None}, 0.0, False),
        ({"delay": 0}, 0.0, False),
        ({"delay": 5}, 5.0, False),
        ({"delay": timedelta(minutes=1)}, 60.0, False),
        ({"durable": True}, 0.0, True),
        ({"durable": False}, 0.0, False),
    ],
)
async def test_the_layer_gets_delay_and_durable(
    given: dict[str, Any], delay: float, durable: bool
) -> None:
    layer, as_layer = simple()
    await Channel("work", channel_layer=as_layer).send({"n": 1}, **given)
    assert layer.sent == [("work", {"n": 1}, delay, durable)]


async def test_a_delayed_message_comes_when_it_is_due(
    channel_layer: MemoryLayer, channel_clock: Clock
) -> None:
    await Channel("later").send({"n": 2}, delay=60)
    await Channel("later").send({"n": 1})
    assert await channel_layer.receive("later") == {"n": 1}
    receiving = asyncio.create_task(channel_layer.receive("later"))
    channel_clock.advance(59)
    await asyncio.sleep(0)
    assert not receiving.done()
    channel_clock.advance(1)
    assert await receiving == {"n": 2}


def test_a_moment_is_seconds_from_now() -> None:
    inside = timedelta(hours=1)
    east = timezone(timedelta(hours=9))
    for zone in (UTC, east):
        seconds = seconds_until(None, datetime.now(zone) + inside)
        assert 3_599 < seconds <= 3_600
    assert seconds_until(None, datetime.now(UTC) - inside) == 0.0


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(ConfigurationError) as error:
        seconds_until(None, datetime(2026, 11, 22))
    assert str(error.value) == (
        "send(eta=datetime.datetime(2026, 11, 22, 0, 0)): a naive datetime names no moment. Give "
        "an aware one, for example django.utils.timezone.now() + timedelta(hours=1)."
    )


def test_delay_and_eta_exclude_each_other() -> None:
    with pytest.raises(ConfigurationError) as error:
        seconds_until(0, datetime.now(UTC))
    assert str(error.value) == "send(delay=..., eta=...): give one of the two."


@pytest.mark.parametrize("delay", [-1, -0.1, math.inf, math.nan, timedelta(seconds=-1)])
def test_a_delay_is_a_number_of_seconds(delay: float | timedelta) -> None:
    with pytest.raises(ConfigurationError, match="a delay is a number of seconds from 0 up"):
        seconds_until(delay, None)


# The wrong world.


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("send", lambda: Channel("news").send({})),
        ("dead_letters", lambda: Channel("news").dead_letters()),
        ("requeue", lambda: Channel("news").requeue("1")),
    ],
)
def test_without_an_event_loop_the_call_itself_raises(
    method: str, call: Callable[[], object]
) -> None:
    with pytest.raises(WrongContext) as error:
        call()
    assert str(error.value) == (
        f"Channel('news').{method}() was called where no event loop runs. In sync code use "
        "`from achannels.sync import Channel`."
    )


# Dead letters.


async def test_dead_letters_are_listed_and_sent_again(channel_layer: MemoryLayer) -> None:
    channel = Channel("work")
    for n in (1, 2):
        await channel.send({"n": n}, durable=True)
        await channel_layer.settle(await channel_layer.take(["work"]), dead="ValueError: no")
    first, second = await channel.dead_letters()
    assert (first.content, first.reason, second.content) == ({"n": 1}, "ValueError: no", {"n": 2})
    assert await channel.dead_letters(limit=1) == [first]

    assert await channel.requeue(second.id)
    assert not await channel.requeue(second.id)
    assert (await channel_layer.take(["work"])).content == {"n": 2}
    assert await channel.dead_letters() == [first]


async def test_a_layer_without_dead_letters_says_so() -> None:
    channel = Channel("work", channel_layer=simple()[1])
    for call in (channel.dead_letters, lambda: channel.requeue("1")):
        with pytest.raises(ConfigurationError) as error:
            await call()
        assert str(error.value) == "Simple keeps no dead letters."


# Reply channels.


async def test_a_reply_goes_to_its_socket(channel_layer: MemoryLayer) -> None:
    socket = RecordingSocket()
    channel = ReplyChannel(socket, channel_layer)
    content = {"text": "hi"}
    await channel.send(content)
    assert socket.replies == [content]
    assert (channel.name, channel.channel_layer) == ("node!key", channel_layer)
    assert channel == Channel("node!key", channel_layer=channel_layer)


@pytest.mark.parametrize(
    "given", [{"delay": 1}, {"delay": 0}, {"eta": datetime.now(UTC)}, {"durable": True}]
)
def test_a_reply_leaves_at_once(channel_layer: MemoryLayer, given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as error:
        _ = ReplyChannel(RecordingSocket(), channel_layer).send({"text": "hi"}, **given)
    assert str(error.value) == (
        "ReplyChannel('node!key').send(): a reply leaves at once; delay, eta and durable are for "
        "named channels."
    )


def test_a_reply_without_an_event_loop_raises(channel_layer: MemoryLayer) -> None:
    with pytest.raises(WrongContext, match=r"Channel\('node!key'\)\.send\(\)"):
        _ = ReplyChannel(RecordingSocket(), channel_layer).send({"text": "hi"})
