"""Groups: joining, leaving and sending through the public class."""

from collections.abc import Callable

import pytest

from achannels import Channel, Group
from achannels.exceptions import InvalidContent, InvalidName, MessageTooLarge, WrongContext
from achannels.layers.memory import MemoryLayer
from achannels.testing.layer_suite import Connection


def test_a_group_is_its_name() -> None:
    group = Group("news")
    assert (group.name, str(group), repr(group)) == ("news", "news", "Group('news')")
    assert Group("news") == Group("news")
    assert Group("news") != Group("news", "other")
    assert Group("news") != Channel("news")
    assert len({Group("news"), Group("news")}) == 1


def test_a_wrong_name_is_refused_where_it_is_made() -> None:
    with pytest.raises(InvalidName, match="group name 'chat-Zürich' has 'ü' at position 6"):
        Group("chat-Zürich")
    with pytest.raises(InvalidName, match="has '!' at position 4"):
        Group("node!key")


async def test_members_are_channels_or_their_names(channel_layer: MemoryLayer) -> None:
    group = Group("room")
    socket = Connection(channel_layer)
    await group.add(socket.channel)
    await group.add(Channel("named"))
    await group.add(Channel("named"))
    await group.send({"n": 1})
    assert socket.received == [{"n": 1}]
    assert await channel_layer.receive("named") == {"n": 1}

    await group.discard(Channel(socket.channel))
    await group.discard(socket.channel)
    await group.send({"n": 2})
    assert socket.received == [{"n": 1}]
    assert await channel_layer.group_channels("room") == {"named"}


async def test_a_group_lives_on_its_own_layer(channel_layer: MemoryLayer) -> None:
    own = MemoryLayer()
    await Group("room", channel_layer=own).add("named")
    assert await own.group_channels("room") == {"named"}
    assert await channel_layer.group_channels("room") == set()


async def test_a_full_member_raises_nothing_and_is_counted() -> None:
    layer = MemoryLayer(capacity=1)
    group = Group("room", channel_layer=layer)
    await group.add("named")
    await group.send({"n": 1})
    await group.send({"n": 2})
    assert (await layer.statistics())["dropped"]["full"] == 1


async def test_a_wrong_content_is_refused_though_nobody_is_there() -> None:
    with pytest.raises(InvalidContent, match="'when'"):
        await Group("nobody").send({"when": object()})
    layer = MemoryLayer(message_size=10)
    with pytest.raises(MessageTooLarge, match="the message to 'nobody' is 21 bytes"):
        await Group("nobody", channel_layer=layer).send({"text": "more than that"})


@pytest.mark.parametrize("wrong", ["a b", "", "a!", 5, None, Group("news")])
async def test_a_member_is_a_channel(wrong: str) -> None:
    for call in (Group("room").add, Group("room").discard):
        with pytest.raises(InvalidName, match="channel name"):
            await call(wrong)


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("add", lambda: Group("news").add("named")),
        ("discard", lambda: Group("news").discard("named")),
        ("send", lambda: Group("news").send({})),
    ],
)
def test_without_an_event_loop_the_call_itself_raises(
    method: str, call: Callable[[], object]
) -> None:
    with pytest.raises(WrongContext) as error:
        call()
    assert str(error.value) == (
        f"Group('news').{method}() was called where no event loop runs. In sync code use "
        "`from achannels.sync import Group`."
    )
