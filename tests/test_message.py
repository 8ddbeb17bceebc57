"""Messages: a content with its channels, and the state that was asked for."""

import pytest

from achannels import Channel, Message, sync
from achannels.exceptions import AChannelsError, NoReplyChannel, NotLoaded
from achannels.layers.memory import MemoryLayer
from achannels.message import BaseMessage

BOTH = pytest.mark.parametrize("kind", [Message, sync.Message])

Kind = type[Message] | type[sync.Message]


class Parts:
    """The body of a request."""

    async def read(self) -> bytes:
        return b"all parts"


def make(kind: Kind = Message, reply: Channel | None = None) -> BaseMessage:
    return kind({"text": "hi", "n": 1}, Channel("news"), reply)


@BOTH
def test_a_message_reads_like_its_content(kind: Kind) -> None:
    message = make(kind)
    assert message["text"] == "hi"
    assert "text" in message
    assert "bytes" not in message
    assert (message.get("n"), message.get("bytes"), message.get("bytes", b"")) == (1, None, b"")
    assert list(message.keys()) == ["text", "n"]
    assert list(message.values()) == ["hi", 1]
    assert list(message.items()) == [("text", "hi"), ("n", 1)]
    assert message.content == {"text": "hi", "n": 1}
    with pytest.raises(KeyError, match="bytes"):
        message["bytes"]


@BOTH
def test_what_is_written_is_in_the_content(kind: Kind) -> None:
    message = make(kind)
    message["text"] = "changed"
    assert message.content == {"text": "changed", "n": 1}


@BOTH
def test_it_shows_its_channel_and_keys_and_no_values(kind: Kind) -> None:
    assert repr(make(kind)) == "<Message on 'news': ['n', 'text']>"


def test_it_knows_its_channel_and_its_layer(channel_layer: MemoryLayer) -> None:
    own = MemoryLayer()
    message = Message({}, Channel("news", channel_layer=own), Channel("node!key"))
    assert message.channel == Channel("news", channel_layer=own)
    assert message.channel_layer is own
    assert message.reply_channel == Channel("node!key")
    assert message.attempt == 1
    assert Message({}, Channel("news")).channel_layer is channel_layer


def test_the_blocking_message_has_blocking_channels() -> None:
    own = MemoryLayer()
    answers = Channel("answers", channel_layer=own)
    message = sync.Message({}, Channel("news", channel_layer=own), answers)
    for channel, name in ((message.channel, "news"), (message.reply_channel, "answers")):
        assert isinstance(channel, sync.Channel)
        assert (channel.name, channel.channel_layer) == (name, own)


@BOTH
def test_without_a_reply_channel_there_is_nobody_to_answer(kind: Kind) -> None:
    message = make(kind)
    with pytest.raises(NoReplyChannel) as error:
        _ = message.reply_channel
    assert str(error.value) == (
        "the message on 'news' has no reply channel: it was sent from code, not by a client. Put a "
        "'reply_channel' into its content if someone waits for an answer."
    )
    assert not hasattr(message, "reply_channel")


@BOTH
@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("user", "@http_user (achannels.auth)"),
        ("channel_session", "@channel_session (achannels.sessions)"),
        ("http_session", "@http_session (achannels.sessions)"),
    ],
)
def test_state_that_was_not_asked_for_names_the_decorator(kind: Kind, name: str, step: str) -> None:
    message = make(kind)
    message.consumer = "chat.consumers.ws_receive"
    with pytest.raises(NotLoaded) as error:
        getattr(message, name)
    assert str(error.value) == (
        f"message.{name} was not asked for. Put {step} on chat.consumers.ws_receive."
    )
    assert not hasattr(message, name)
    setattr(message, name, "loaded")
    assert getattr(message, name) == "loaded"


@BOTH
def test_an_unknown_attribute_is_pythons_own_error(kind: Kind) -> None:
    with pytest.raises(AttributeError) as error:
        _ = make(kind).reply_chanel
    assert str(error.value) == "'Message' object has no attribute 'reply_chanel'"
    assert not isinstance(error.value, AChannelsError)


async def test_the_body_of_a_request_is_awaited() -> None:
    message = Message({}, Channel("http.request"))
    assert await message.body() == b""
    message.body_source = Parts()
    assert await message.body() == b"all parts"


def test_the_body_of_a_request_blocks() -> None:
    message = sync.Message({}, Channel("http.request"))
    assert message.body() == b""
    message.body_source = Parts()
    assert message.body() == b"all parts"
