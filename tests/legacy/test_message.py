"""`channels.message`: messages, and the sends that wait for the end of a consumer."""

from typing import Any

import pytest

from achannels import sync
from achannels.exceptions import NoReplyChannel, NotLoaded
from achannels.legacy.asgi import channel_layers
from achannels.legacy.channel import Channel, Group
from achannels.legacy.message import Message, PendingMessageStore, pending_message_store
from achannels.legacy.signals import consumer_finished, consumer_started


def message(**content: Any) -> Message:
    return Message(content, "some.channel", None)


def received(channel: str) -> Any:
    return channel_layers["default"].receive([channel])[1]


def test_a_message_is_its_content() -> None:
    content = {"text": "hi", "n": 1}
    sent = Message(content, "chan", channel_layers["default"])
    assert sent.content is content
    assert (sent["text"], sent.get("n"), sent.get("no"), sent.get("no", 5)) == ("hi", 1, None, 5)
    assert "text" in sent
    assert "no" not in sent
    sent["more"] = True
    assert list(sent.keys()) == ["text", "n", "more"]
    assert list(sent.values()) == ["hi", 1, True]
    assert list(sent.items()) == [("text", "hi"), ("n", 1), ("more", True)]
    with pytest.raises(KeyError):
        sent["nothing"]


def test_what_a_message_is_not() -> None:
    sent: Any = message(a=1)
    with pytest.raises(TypeError):
        len(sent)
    with pytest.raises(KeyError):
        list(sent)
    with pytest.raises((AttributeError, TypeError)):
        del sent["a"]


def test_it_knows_its_channels_and_its_layer() -> None:
    layer = channel_layers["default"]
    sent = Message({"reply_channel": "back"}, "chan", layer)
    assert isinstance(sent.channel, Channel)
    assert isinstance(sent.reply_channel, Channel)
    assert (sent.channel.name, sent.reply_channel.name) == ("chan", "back")
    assert sent.channel_layer.layer is layer.layer
    sent.reply_channel.send({"text": "hi"})
    assert received("back") == {"text": "hi"}
    assert isinstance(sent, sync.Message)


@pytest.mark.parametrize("content", [{}, {"reply_channel": None}, {"reply_channel": ""}])
def test_without_a_reply_channel_there_is_none(content: dict[str, Any]) -> None:
    assert Message(content, "chan", None).reply_channel is None


def test_a_missing_reply_channel_can_be_an_error(settings: Any) -> None:
    settings.CHANNELS_REPLY_CHANNEL = "required"
    with pytest.raises(NoReplyChannel):
        _ = message().reply_channel


def test_a_copy_is_deep() -> None:
    sent = message(reply_channel="back", list=[1])
    copy = sent.copy()
    copy["list"].append(2)
    assert sent["list"] == [1]
    assert (copy.channel, copy.reply_channel) == (sent.channel, sent.reply_channel)


def test_attributes_are_those_that_decorators_add() -> None:
    sent = message()
    for name in ("user", "http_session", "channel_session"):
        assert not hasattr(sent, name)
    with pytest.raises(NotLoaded):
        _ = sent.user
    sent.user = "anna"
    sent.anything = 1  # type: ignore[attr-defined]
    assert sent.user == "anna"


# The store.


def test_sends_wait_in_the_order_of_the_calls() -> None:
    Group("all").add("one")
    pending_message_store.prepare()
    active = [pending_message_store.active]
    Channel("one").send({"n": 1})
    Group("all").send({"n": 2})
    Channel("one").send({"n": 3})
    assert received("one") is None
    pending_message_store.send_and_flush()
    assert [*active, pending_message_store.active] == [True, False]
    assert [received("one") for _ in range(4)] == [{"n": 1}, {"n": 2}, {"n": 3}, None]


def test_what_does_not_wait() -> None:
    pending_message_store.prepare()
    try:
        Group("all").add("one")
        Channel("one").send({"n": 1}, immediately=True)
        Group("all").send({"n": 2}, immediately=True)
        channel_layers["default"].send("one", {"n": 3})
        assert [received("one")["n"] for _ in range(3)] == [1, 2, 3]
        Group("all").discard("one")
        assert channel_layers["default"].group_channels("all") == []
    finally:
        pending_message_store.send_and_flush()


def test_a_dict_is_taken_as_it_was_when_it_was_sent() -> None:
    pending_message_store.prepare()
    content = {"n": 1}
    Channel("one").send(content)
    content["n"] = 2
    Channel("one").send(content)
    pending_message_store.send_and_flush()
    assert [received("one"), received("one")] == [{"n": 1}, {"n": 2}]


def test_preparing_drops_what_was_left() -> None:
    pending_message_store.prepare()
    Channel("one").send({"n": 1})
    pending_message_store.prepare()
    pending_message_store.send_and_flush()
    assert received("one") is None


def test_the_signals_around_a_consumer_keep_its_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[Any] = []
    monkeypatch.setattr(
        "achannels.legacy.message.close_old_connections", lambda: order.append("connections")
    )

    def finished(**kwargs: Any) -> None:
        order.append(received("one"))

    consumer_finished.connect(finished)
    try:
        for left in (True, False):
            consumer_started.send(sender=object)
            Channel("one").send({"left": left})
        assert received("one") is None
        consumer_finished.send(sender=object)
    finally:
        consumer_finished.disconnect(finished)
    assert order == ["connections", {"left": False}]
    assert not pending_message_store.active


def test_the_signals_leave_what_others_keep() -> None:
    pending_message_store.prepare()
    Channel("one").send({"n": 1})
    consumer_started.send(sender=object)
    consumer_finished.send(sender=object)
    assert received("one") is None
    pending_message_store.send_and_flush()
    assert received("one") == {"n": 1}


def test_what_finds_no_room_is_logged_and_the_rest_is_sent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert (PendingMessageStore.retry_time, PendingMessageStore.retry_interval) == (2, 0.2)
    monkeypatch.setattr(PendingMessageStore, "retry_time", 0.01)
    monkeypatch.setattr(PendingMessageStore, "retry_interval", 0.001)
    for _ in range(100):
        Channel("full").send({})
    pending_message_store.prepare()
    Channel("full").send({})
    Channel("one").send({"n": 1})
    pending_message_store.send_and_flush()
    assert received("one") == {"n": 1}
    assert "a send of a consumer was dropped: channel 'full' is full" in caplog.text


def test_what_is_wrong_is_said_where_it_is_sent() -> None:
    pending_message_store.prepare()
    try:
        with pytest.raises(TypeError):
            Channel("one").send({"when": object()})
    finally:
        pending_message_store.send_and_flush()


def test_flushing_nothing_does_nothing() -> None:
    pending_message_store.send_and_flush()
    assert not pending_message_store.active
