"""`channels.channel`: `Channel` and `Group`, which block, outside of consumers."""

from typing import Any

import pytest

from achannels import registry, sync
from achannels.exceptions import ChannelFull, MessageTooLarge, WrongContext
from achannels.layers.memory import MemoryLayer
from achannels.legacy.asgi import channel_layers
from achannels.legacy.channel import Channel, Group


def received(channel: str, alias: str = "default") -> Any:
    """Return the next content on a channel, `None` if there is none."""
    return channel_layers[alias].receive([channel])[1]


def test_a_send_outside_of_a_consumer_leaves_at_once() -> None:
    Channel("mail").send({"to": "anna"})
    assert received("mail") == {"to": "anna"}
    assert received("mail") is None


def test_names_may_be_ascii_bytes() -> None:
    assert Channel(b"mail").name == "mail"
    assert Group(b"news").name == "news"
    for kind in (Channel, Group):
        with pytest.raises(UnicodeDecodeError):
            kind("ü".encode())


def test_a_name_that_breaks_the_grammar_is_a_type_error() -> None:
    for name in ("", "mail box", "a!b!c", "x?", 5):
        with pytest.raises(TypeError):
            Channel(name)  # type: ignore[arg-type]
    for name in ("a!b", "a b"):
        with pytest.raises(TypeError):
            Group(name)


def test_a_channel_is_its_name_as_text() -> None:
    assert str(Channel("mail")) == "mail"
    assert f"to {Channel('mail')}" == "to mail"


@pytest.mark.parametrize("content", [[], "text", None])
def test_what_is_no_dict_is_refused_at_once(content: Any) -> None:
    with pytest.raises(TypeError, match="a message is a dict"):
        Channel("mail").send(content)
    with pytest.raises(ValueError, match="a message is a dict"):
        Group("news").send(content)


def test_a_layer_wins_over_an_alias() -> None:
    other = MemoryLayer()
    facade = channel_layers.over(other)
    for layer in (other, facade):
        Channel("mail", alias="default", channel_layer=layer).send({"a": 1})
        assert facade.receive(["mail"]) == ("mail", {"a": 1})
    assert received("mail") is None
    assert Channel("mail", channel_layer=other).channel_layer is facade


def test_an_alias_names_a_layer(settings: Any) -> None:
    settings.CHANNEL_LAYERS = {"other": {"ROUTING": []}}
    other = registry.set_channel_layer(MemoryLayer(), "other")
    try:
        Channel("mail", "other").send({"a": 1})
        assert received("mail") is None
        assert received("mail", "other") == {"a": 1}
        assert Channel("mail", "other").channel_layer is channel_layers["other"]
        with pytest.raises(KeyError, match="nonsense"):
            Channel("mail", "nonsense")
        with pytest.raises(KeyError, match="nonsense"):
            Group("news", alias="nonsense")
    finally:
        registry.set_channel_layer(other, "other")


def test_a_group_reaches_its_members_by_channel_or_name() -> None:
    group = Group("news")
    group.add("one")
    group.add(Channel("two"))
    group.add(sync.Channel("three"))
    group.add("one")
    group.send({"n": 1})
    assert [received(name) for name in ("one", "two", "three")] == [{"n": 1}] * 3
    assert received("one") is None
    group.discard(Channel("one"))
    group.discard("one")
    group.send({"n": 2})
    assert received("one") is None
    assert received("two") == {"n": 2}
    with pytest.raises(TypeError):
        group.add("no name")


def test_a_channel_that_is_full_refuses_and_a_group_does_not(settings: Any) -> None:
    small = channel_layers.over(MemoryLayer(capacity=2))
    for _ in range(2):
        Channel("mail", channel_layer=small).send({})
    with pytest.raises(ChannelFull):
        Channel("mail", channel_layer=small).send({})
    Group("news", channel_layer=small).add("mail")
    Group("news", channel_layer=small).send({})


def test_a_content_that_no_layer_carries_is_refused_where_it_is_sent() -> None:
    with pytest.raises(TypeError, match=r"content\['when'\] is an object"):
        Channel("mail").send({"when": object()})
    with pytest.raises(MessageTooLarge):
        Group("news").send({"text": "x" * 2_000_000})


def test_later_changes_of_what_was_sent_do_not_show() -> None:
    content: dict[str, Any] = {"list": [1]}
    Channel("mail").send(content)
    content["list"].append(2)
    assert received("mail") == {"list": [1]}


def test_what_our_channels_can_they_can() -> None:
    Channel("mail").send({"late": True}, delay=60)
    assert received("mail") is None
    assert Channel("mail").dead_letters() == []


async def test_they_block_and_say_so_on_the_loop() -> None:
    with pytest.raises(WrongContext, match="would block the event loop"):
        Channel("mail").send({})
    with pytest.raises(WrongContext, match="would block the event loop"):
        Group("news").add("mail")


# Channels of processes that are no nodes.


def test_an_interface_server_of_ones_own_gets_the_replies_of_its_process() -> None:
    layer = channel_layers["default"]
    Channel("sms.receive").send({"reply_channel": "sms.send!anna", "text": "hi"})
    message = received("sms.receive")
    Channel(message["reply_channel"]).send({"text": "hello anna"})
    assert layer.receive(["sms.send!"]) == ("sms.send!anna", {"text": "hello anna"})
    assert layer.receive(["sms.send!"]) == (None, None)


def test_such_a_channel_can_be_a_member() -> None:
    layer = channel_layers["default"]
    Group("news").add("sms.send!bert")
    Group("news").send({"text": "news"})
    assert layer.receive(["sms.send!"]) == ("sms.send!bert", {"text": "news"})
    assert layer.group_channels("news") == ["sms.send!bert"]
    Group("news").discard("sms.send!bert")
    Group("news").send({"text": "more"})
    assert layer.receive(["sms.send!"]) == (None, None)


# Replies in the words of 1.x.


@pytest.mark.parametrize(
    "content", [{"text": ""}, {"bytes": b""}, {"text": None}, {"close": False}]
)
def test_a_reply_that_says_nothing_is_not_sent(content: dict[str, Any]) -> None:
    Group("news").add("other.process!x")
    Channel("other.process!x").send(content)
    Group("news").send(content)
    assert channel_layers["default"].receive(["other.process!"]) == (None, None)


@pytest.mark.parametrize("content", [{"text": ""}, {"close": False}, {}])
def test_on_any_other_channel_everything_is_a_message(content: dict[str, Any]) -> None:
    Channel("mail").send(content)
    assert received("mail") == content


@pytest.mark.parametrize(
    "content",
    [
        {"text": "", "id": 5},
        {"id": 3, "close": False},
        {"type": "chat.message", "text": ""},
        {"content": "x", "headers": {"ab": "b"}},
        {"content": "x", "headers": [1]},
        {"status": 3, "status_text": "done", "id": 5},
    ],
)
def test_a_group_gets_what_is_for_no_socket_as_it_is(content: dict[str, Any]) -> None:
    Group("news").add("mail")
    Group("news").send(content)
    assert received("mail") == content


def test_of_a_reply_that_says_more_what_is_empty_is_left_out() -> None:
    Channel("other.process!x").send({"text": "", "bytes": None, "close": True})
    assert channel_layers["default"].receive(["other.process!"])[1] == {"close": True}


def test_an_answer_to_a_request_has_lower_case_names_of_bytes() -> None:
    Channel("other.process!y").send(
        {
            "status": 200,
            "status_text": b"OK",
            "headers": [("Set-Cookie", " a=1"), (b"X-Y", b"z")],
            "content": b"",
        }
    )
    assert channel_layers["default"].receive(["other.process!"])[1] == {
        "status": 200,
        "headers": [[b"set-cookie", b"a=1"], [b"x-y", b"z"]],
        "content": b"",
    }
