"""Layers as 1.x knows them: the contract of its section 2 and its conformance suite."""

import re
from typing import Any

import pytest

from achannels.exceptions import ChannelFull, MessageTooLarge, WrongContext
from achannels.layers.memory import MemoryLayer
from achannels.legacy.facade import LayerFacade
from achannels.legacy.inmemory import ChannelLayer
from achannels.legacy.ipc import IPCChannelLayer
from achannels.testing import Clock

CAPACITY = 5


@pytest.fixture
def clock() -> Clock:
    """The time of the layer."""
    return Clock()


@pytest.fixture
def layer(clock: Clock) -> LayerFacade:
    """A layer with little room."""
    config: dict[str, Any] = {"capacity": CAPACITY, "expiry": 10, "group_expiry": 20}
    return LayerFacade(MemoryLayer(clock=clock, **config), config)


# What its conformance suite asserts.


def test_messages_of_a_channel_come_back_on_it(layer: LayerFacade) -> None:
    for number in range(3):
        layer.send("sr_test", {"n": number})
    found = [layer.receive(["other", "sr_test"]) for _ in range(3)]
    assert {channel for channel, _ in found} == {"sr_test"}
    assert sorted(content["n"] for _, content in found if content) == [0, 1, 2]
    assert layer.receive(["other", "sr_test"]) == (None, None)


def test_process_specific_channels_are_received_by_their_prefix(layer: LayerFacade) -> None:
    layer.send("x!a", {"n": 1})
    layer.send("x!b", {"n": 2})
    found = [layer.receive(["x!"]) for _ in range(2)]
    assert sorted(found, key=str) == [("x!a", {"n": 1}), ("x!b", {"n": 2})]
    with pytest.raises(TypeError, match=r"'x!c': receive from all channels of its process, 'x!'"):
        layer.receive(["x!c"])


def test_an_expired_message_is_not_returned(layer: LayerFacade, clock: Clock) -> None:
    layer.send("me_test", {})
    clock.advance(10.1)
    assert layer.receive(["me_test"]) == (None, None)


def test_a_new_channel_has_a_name_that_nobody_uses(layer: LayerFacade) -> None:
    one, two = layer.new_channel("test.foo?"), layer.new_channel("test.foo?")
    for name in (one, two):
        assert isinstance(name, str)
        assert re.fullmatch(r"test\.foo\?[a-zA-Z]{12}", name)
    layer.send(one, {"n": 1})
    assert layer.receive([two, one]) == (one, {"n": 1})


@pytest.mark.parametrize("pattern", ["test!", "test.foo", "", 5, None])
def test_a_new_channel_has_one_reader(layer: LayerFacade, pattern: Any) -> None:
    with pytest.raises(TypeError):
        layer.new_channel(pattern)


def test_types_and_values_survive(layer: LayerFacade) -> None:
    content = {
        "bytes": b"\x00\xff\x80\n",
        "text": "ü \x01 語",
        "nested": {"list": [b"b", "t", 1, -1.5, True, None, {"x": [2**63 - 1, -(2**63)]}]},
    }
    layer.send("types", content)
    _, found = layer.receive(["types"])
    assert found == content
    layer.send("types", {"pair": (1, 2)})
    assert layer.receive(["types"])[1] == {"pair": [1, 2]}


def test_members_of_a_group_receive_and_those_that_left_do_not(layer: LayerFacade) -> None:
    for name in ("one", "two", "x!a", "x!b"):
        layer.group_add("group", name)
    layer.group_add("group", "one")
    layer.group_discard("group", "two")
    layer.group_discard("group", "never")
    layer.group_discard("group", "x!b")
    layer.send_group("group", {"n": 1})
    assert layer.receive(["one"]) == ("one", {"n": 1})
    assert layer.receive(["x!"]) == ("x!a", {"n": 1})
    assert layer.receive(["one", "two", "x!"]) == (None, None)
    layer.send_group("nobody", {})


def test_the_members_of_a_group_can_be_read(layer: LayerFacade) -> None:
    assert list(layer.group_channels("group")) == []
    for name in ("one", "x!a"):
        layer.group_add("group", name)
    assert sorted(layer.group_channels("group")) == ["one", "x!a"]
    layer.group_discard("group", "one")
    assert list(layer.group_channels("group")) == ["x!a"]


def test_after_a_flush_there_is_nothing(layer: LayerFacade) -> None:
    layer.send("one", {})
    layer.group_add("group", "one")
    layer.flush()
    layer.send_group("group", {})
    assert layer.receive(["one"]) == (None, None)
    assert list(layer.group_channels("group")) == []


def test_memberships_lapse_after_the_latest_add(layer: LayerFacade, clock: Clock) -> None:
    assert layer.group_expiry == 20
    for name in ("stays", "goes"):
        layer.group_add("group", name)
    clock.advance(15)
    layer.group_add("group", "stays")
    clock.advance(6)
    layer.send_group("group", {})
    assert layer.receive(["stays", "goes"]) == ("stays", {})
    assert layer.receive(["stays", "goes"]) == (None, None)


@pytest.mark.parametrize("name", ["full", "full!local", "full?one"])
def test_a_full_channel_refuses_and_a_group_does_not(layer: LayerFacade, name: str) -> None:
    for _ in range(CAPACITY):
        layer.send(name, {})
    with pytest.raises(layer.ChannelFull):
        layer.send(name, {})
    layer.group_add("group", name)
    layer.send_group("group", {})


def test_its_exceptions_are_attributes(layer: LayerFacade) -> None:
    assert (layer.ChannelFull, layer.MessageTooLarge) == (ChannelFull, MessageTooLarge)
    with pytest.raises(layer.MessageTooLarge):
        layer.send("one", {"text": "x" * 2_000_000})
    layer.send("one", {"text": "x" * 1_000_000})


def test_what_was_sent_does_not_change_later(layer: LayerFacade) -> None:
    content: dict[str, Any] = {"list": [1]}
    layer.send("one", content)
    content["list"].append(2)
    assert layer.receive(["one"]) == ("one", {"list": [1]})


# The rest of section 2.


@pytest.mark.parametrize("name", ["a.b-c_d", "prefix?random", "prefix!local", "x" * 199])
def test_valid_names(layer: LayerFacade, name: str) -> None:
    assert layer.valid_channel_name(name)


@pytest.mark.parametrize("name", ["", "a b", "ü", "a?b?c", "?b", "!b", "a?", "x" * 200, b"a", None])
def test_invalid_names(layer: LayerFacade, name: Any) -> None:
    for check in (layer.valid_channel_name, lambda name: layer.send(name, {})):
        with pytest.raises(TypeError):
            check(name)
    with pytest.raises(TypeError):
        layer.receive([name])


def test_a_name_that_ends_with_its_mark_is_for_receiving(layer: LayerFacade) -> None:
    assert layer.valid_channel_name("prefix!", receive=True)
    assert layer.valid_channel_names(["one", "prefix!"], receive=True)
    with pytest.raises(TypeError):
        layer.valid_channel_name("prefix!local", receive=True)
    with pytest.raises(AssertionError):
        layer.valid_channel_names([])
    with pytest.raises(TypeError, match="is one name"):
        layer.valid_channel_names("name")


@pytest.mark.parametrize("name", ["", "a!b", "a?b", "ü", None])
def test_group_names(layer: LayerFacade, name: Any) -> None:
    assert layer.valid_group_name("a.b-c_d")
    with pytest.raises(TypeError):
        layer.valid_group_name(name)


def test_the_name_of_a_process(layer: LayerFacade) -> None:
    assert layer.non_local_name("prefix!local") == "prefix!"
    assert layer.non_local_name("plain") == "plain"


@pytest.mark.parametrize("wrong", [[], "text", {"__asgi_channel__": "x"}])
def test_a_message_is_a_dict_without_the_reserved_key(layer: LayerFacade, wrong: Any) -> None:
    for send in (layer.send, layer.send_group):
        with pytest.raises(AssertionError):
            send("one", wrong)


def test_receiving_from_no_channels(layer: LayerFacade) -> None:
    assert layer.receive([]) == (None, None)
    assert layer.receive(["unheard.of!"]) == (None, None)


def test_the_old_name_of_receive_warns(layer: LayerFacade) -> None:
    layer.send("one", {"n": 1})
    with pytest.warns(DeprecationWarning, match="receive_many is called receive"):
        assert layer.receive_many(["one"]) == ("one", {"n": 1})


def test_a_receive_that_blocks_waits(layer: LayerFacade) -> None:
    import threading

    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(layer.receive(["one"], block=True)))
    thread.start()
    layer.send("one", {"n": 1})
    thread.join()
    assert found == [("one", {"n": 1})]


def test_a_receive_that_blocks_gives_up(
    layer: LayerFacade, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("achannels.legacy.facade.RECEIVE_WAIT", 0.01)
    assert layer.receive(["one"], block=True) == (None, None)


def test_a_busy_channel_does_not_starve_another(layer: LayerFacade) -> None:
    for _ in range(CAPACITY):
        layer.send("busy", {})
    layer.send("other", {})
    channels = [layer.receive(["busy", "other"])[0] for _ in range(CAPACITY + 1)]
    assert "other" in channels[:2]


def test_order_for_one_reader(layer: LayerFacade) -> None:
    for number in range(CAPACITY):
        layer.send("one?reader", {"n": number})
    assert [layer.receive(["one?reader"])[1] for _ in range(CAPACITY)] == [
        {"n": number} for number in range(CAPACITY)
    ]


def test_capacity_by_pattern() -> None:
    config: dict[str, Any] = {
        "capacity": 7,
        "channel_capacity": {"mail.*": 2, re.compile("mail|news"): 3, "http.response!*": 4},
    }
    facade = LayerFacade(MemoryLayer(**config), config)
    assert facade.get_capacity("mail.out") == 2
    assert facade.get_capacity("newsletter") == 3
    assert facade.get_capacity("http.response!abc") == 4
    assert facade.get_capacity("other") == 7
    for _ in range(2):
        facade.send("mail.out", {})
    with pytest.raises(ChannelFull):
        facade.send("mail.out", {})


def test_defaults(layer: LayerFacade) -> None:
    plain = LayerFacade(MemoryLayer())
    assert (plain.expiry, plain.group_expiry, plain.capacity) == (60, 86_400, 100)
    assert {"groups", "flush", "statistics"} <= set(plain.extensions)


def test_the_classes_of_the_time() -> None:
    small = ChannelLayer(capacity=2)
    for facade in (small, IPCChannelLayer(prefix="site", capacity=2)):
        for _ in range(2):
            facade.send("one", {})
        with pytest.raises(ChannelFull):
            facade.send("one", {})
    assert ChannelLayer().capacity == 10


def test_statistics(layer: LayerFacade) -> None:
    layer.send("one", {})
    layer.send("one", {})
    layer.receive(["one"])
    assert layer.global_statistics() == {
        "messages_count": 2,
        "messages_pending": 1,
        "channel_full_count": 0,
    }
    assert layer.channel_statistics("one") == {}


async def test_it_blocks_and_says_so_on_the_loop(layer: LayerFacade) -> None:
    with pytest.raises(WrongContext, match=r"send\(\) would block the event loop"):
        layer.send("one", {})
