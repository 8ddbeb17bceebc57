"""`channels.generic`: consumers as classes, JSON, several streams over one socket."""

import datetime
import decimal
import json
import uuid
from typing import Any, ClassVar

import pytest

from achannels.legacy.asgi import channel_layers
from achannels.legacy.channel import Group
from achannels.legacy.exceptions import SendNotAvailableOnDemultiplexer
from achannels.legacy.generic import BaseConsumer
from achannels.legacy.generic.websockets import (
    JsonWebsocketConsumer,
    WebsocketConsumer,
    WebsocketDemultiplexer,
    WebsocketMultiplexer,
)
from achannels.legacy.message import Message
from achannels.legacy.sessions import session_for_reply_channel


@pytest.fixture(autouse=True)
def _in_the_cache(settings: Any) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"


def message(channel: str, reply_channel: str = "reply", **content: Any) -> Message:
    content = {"path": "/room/", "reply_channel": reply_channel, **content}
    return Message(content, channel)


def sent(channel: str = "reply") -> list[Any]:
    """Return what came on a channel."""
    found = []
    while (content := channel_layers["default"].receive([channel])[1]) is not None:
        found.append(content)
    return found


# BaseConsumer.


class Base(BaseConsumer):
    method_mapping: ClassVar = {"test.receive": "receive", "test.missing": "missing"}

    def receive(self, message: Any, **kwargs: Any) -> None:
        self.seen = (message, kwargs)


def test_making_one_handles_a_message() -> None:
    given = message("test.receive")
    made = Base(given, room="a")
    assert made.message is given
    assert made.kwargs == {"room": "a"}
    assert made.seen == (given, {"room": "a"})


def test_its_channels_are_those_of_its_mapping() -> None:
    assert Base.channel_names() == {"test.receive", "test.missing"}
    assert BaseConsumer.channel_names() == set()


def test_a_channel_or_method_that_is_missing() -> None:
    with pytest.raises(KeyError, match=r"test\.other"):
        Base(message("test.other"))
    with pytest.raises(AttributeError, match="missing"):
        Base(message("test.missing"))


def test_as_route_leads_to_the_class_or_to_one_like_it() -> None:
    found = Base.as_route(path="^/room/(?P<room>.)?").match(message("test.receive"))
    assert found is not None
    assert found.consumer is Base
    assert found.kwargs == {"room": None}
    changed = Base.as_route({"channel_session": True}).consumer
    assert issubclass(changed, Base)
    assert (changed.__name__, changed.channel_session, Base.channel_session) == (
        "Base",
        True,
        False,
    )
    assert Base.as_route({}).consumer is not Base
    with pytest.raises(AssertionError, match="attrs is a dict"):
        Base.as_route([("a", 1)])  # type: ignore[arg-type]


@pytest.mark.parametrize("flag", ["channel_session", "channel_session_user"])
@pytest.mark.django_db
def test_its_flags_are_decorators(flag: str) -> None:
    made = Base.as_route({flag: True}).consumer(message("test.receive", f"flag-{flag}"))
    assert made.seen[0].channel_session.session_key.startswith("chn")
    assert hasattr(made.seen[0], "user") is (flag == "channel_session_user")


def test_get_handler_is_the_place_for_decorators() -> None:
    told = []

    class Decorated(Base):
        def get_handler(self, message: Any, **kwargs: Any) -> Any:
            told.append(kwargs)
            return super().get_handler(message, **kwargs)

    Decorated(message("test.receive"), a=1)
    assert told == [{"a": 1}]


# WebsocketConsumer.


class Room(WebsocketConsumer):
    groups = ("all",)

    def connection_groups(self, **kwargs: Any) -> list[str]:
        return [*super().connection_groups(**kwargs), f"room-{kwargs['room']}"]

    def receive(self, text: Any = None, bytes: Any = None, **kwargs: Any) -> None:
        self.send(text=text and f"{kwargs['room']} {text}", bytes=bytes)

    def disconnect(self, message: Any, **kwargs: Any) -> None:
        Group("all").send({"text": f"left {kwargs['room']}"})


def test_a_socket_joins_receives_and_leaves() -> None:
    members = channel_layers["default"].group_channels
    made = Room(message("websocket.connect"), room="a")
    assert made.path == "/room/"
    assert members("all") == members("room-a") == ["reply"]
    Room(message("websocket.receive", text="hi"), room="a")
    Room(message("websocket.receive", bytes=b"hi"), room="a")
    Room(message("websocket.disconnect", code=1000), room="a")
    assert members("all") == members("room-a") == []
    assert sent() == [{"accept": True}, {"text": "a hi"}, {"bytes": b"hi"}]


def test_its_channels() -> None:
    names = {"websocket.connect", "websocket.receive", "websocket.disconnect"}
    assert WebsocketConsumer.channel_names() == names


def test_by_default_it_accepts_and_does_nothing() -> None:
    for channel in ("websocket.connect", "websocket.receive", "websocket.disconnect"):
        WebsocketConsumer(message(channel, text="x", code=1000))
    assert sent() == [{"accept": True}]


def test_a_text_that_is_there_is_a_text() -> None:
    seen = []

    class Seeing(WebsocketConsumer):
        def receive(self, text: Any = None, bytes: Any = None, **kwargs: Any) -> None:
            seen.append((text, bytes))

    Seeing(message("websocket.receive", text=""))
    Seeing(message("websocket.receive", text=None, bytes=b"x"))
    Seeing(message("websocket.receive", bytes=b""))
    assert seen == [("", None), (None, None), (None, b"")]
    with pytest.raises(KeyError):
        Seeing(message("websocket.receive"))


def test_what_it_sends() -> None:
    made = WebsocketConsumer(message("websocket.receive", text=""))
    made.send("a")
    made.send(bytes=b"b", close=True)
    made.send(text="c", bytes=b"ignored", close=4001)
    made.close()
    made.close(4002)
    assert sent() == [
        {"text": "a"},
        {"bytes": b"b", "close": True},
        {"text": "c", "close": 4001},
        {"close": True},
        {"close": 4002},
    ]
    with pytest.raises(ValueError, match="You must pass text or bytes"):
        made.send(close=True)


def test_it_sends_to_groups() -> None:
    Group("all").add("member")
    WebsocketConsumer.group_send("all", text="a", close=True)
    WebsocketConsumer.group_send("all", bytes=b"b")
    assert sent("member") == [{"text": "a", "close": True}, {"bytes": b"b"}]


def test_without_a_path_there_is_no_socket() -> None:
    with pytest.raises(KeyError):
        WebsocketConsumer(Message({"reply_channel": "reply"}, "websocket.connect"))


def test_slight_ordering_is_gone() -> None:
    with pytest.raises(ValueError, match="slight_ordering"):
        WebsocketConsumer.as_route({"slight_ordering": True}).consumer(message("websocket.connect"))


def test_strict_ordering() -> None:
    strict = Room.as_route({"strict_ordering": True}).consumer
    strict(message("websocket.receive", "strict", text="b", order=1), room="a")
    assert sent("strict") == []
    strict(message("websocket.connect", "strict", order=0), room="a")
    assert sent("strict") == [{"accept": True}]


@pytest.mark.django_db
@pytest.mark.parametrize("flag", ["http_user", "http_user_and_session"])
def test_http_flags(flag: str) -> None:
    seen = []

    class Seeing(WebsocketConsumer):
        def connect(self, message: Any, **kwargs: Any) -> None:
            seen.append((message.user.is_anonymous, message.http_session))

    made = Seeing.as_route({flag: True}).consumer(
        message("websocket.connect", f"http-{flag}", headers=[])
    )
    assert seen == [(True, None)]
    assert made.channel_session_user
    assert session_for_reply_channel(f"http-{flag}") is not None


# JsonWebsocketConsumer.


class Adder(JsonWebsocketConsumer):
    def receive(self, content: Any, **kwargs: Any) -> None:  # type: ignore[override]
        self.send({"sum": sum(content)}, close=kwargs.get("close", False))


def test_json_in_and_out() -> None:
    Adder(message("websocket.receive", text="[1, 2]"))
    Adder(message("websocket.receive", text="[1]"), close=4001)
    assert sent() == [{"text": '{"sum": 3}'}, {"text": '{"sum": 1}', "close": 4001}]
    Group("all").add("member")
    Adder.group_send("all", {"a": None}, close=True)
    assert sent("member") == [{"text": '{"a": null}', "close": True}]


def test_what_is_no_json() -> None:
    with pytest.raises(ValueError, match="without text"):
        Adder(message("websocket.receive", bytes=b"[1]"))
    with pytest.raises(json.JSONDecodeError):
        Adder(message("websocket.receive", text="["))
    with pytest.raises(TypeError):
        Adder.encode_json(datetime.date(2017, 10, 10))


def test_its_hooks() -> None:
    class Upper(Adder):
        @classmethod
        def decode_json(cls, text: str) -> Any:
            return [len(text)]

        @classmethod
        def encode_json(cls, content: Any) -> str:
            return json.dumps(content).upper()

    Upper(message("websocket.receive", text="12345"))
    assert sent() == [{"text": '{"SUM": 5}'}]


# Streams.


class Echo(JsonWebsocketConsumer):
    groups = ("echoes",)

    def receive(self, content: Any, multiplexer: Any = None, **kwargs: Any) -> None:  # type: ignore[override]
        assert self.message["text"] == json.dumps(content)
        multiplexer.send({"echo": content, **kwargs})

    def disconnect(self, message: Any, multiplexer: Any = None, **kwargs: Any) -> None:
        multiplexer.send({"bye": multiplexer.stream})


class Sending(JsonWebsocketConsumer):
    def connect(self, message: Any, **kwargs: Any) -> None:
        pass

    def receive(self, content: Any, **kwargs: Any) -> None:  # type: ignore[override]
        self.send(content)


seen_by_function: list[Any] = []


def function(message: Any, **kwargs: Any) -> None:
    seen_by_function.append((message.channel.name, kwargs["multiplexer"].stream))


class Demultiplexer(WebsocketDemultiplexer):
    consumers: ClassVar = {"echo": Echo, "sending": Sending, "function": function}


def frame(stream: Any = "echo", payload: Any = None, **more: Any) -> Message:
    content = {"stream": stream, "payload": {"a": 1} if payload is None else payload, **more}
    return message("websocket.receive", text=json.dumps(content))


def payloads() -> list[Any]:
    return [json.loads(content["text"]) for content in sent() if "text" in content]


def test_connect_and_disconnect_go_to_all() -> None:
    seen_by_function.clear()
    Demultiplexer(message("websocket.connect"), room="a")
    assert sent() == [{"accept": True}, {"accept": True}]
    assert channel_layers["default"].group_channels("echoes") == ["reply"]
    Demultiplexer(message("websocket.disconnect", code=1000))
    assert payloads() == [{"stream": "echo", "payload": {"bye": "echo"}}]
    assert channel_layers["default"].group_channels("echoes") == []
    assert seen_by_function == [
        ("websocket.connect", "function"),
        ("websocket.disconnect", "function"),
    ]


def test_a_frame_goes_to_its_stream() -> None:
    Demultiplexer(frame(), room="x")
    assert payloads() == [{"stream": "echo", "payload": {"echo": {"a": 1}, "room": "x"}}]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("[1]", "no channel/payload key"),
        ('{"stream": "echo"}', "no channel/payload key"),
        ('{"payload": {}}', "no channel/payload key"),
        ('{"stream": "other", "payload": {}}', "stream 'other' not mapped"),
        ('{"stream": ["echo"], "payload": {}}', "not mapped"),
        ('{"stream": "echo", "payload": [1]}', "is not a dict"),
    ],
)
def test_frames_that_are_none(given: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Demultiplexer(message("websocket.receive", text=given))


def test_a_demultiplexer_sends_nothing_itself() -> None:
    made = Demultiplexer(message("websocket.connect"))
    with pytest.raises(SendNotAvailableOnDemultiplexer):
        made.send({"a": 1})
    with pytest.raises(SendNotAvailableOnDemultiplexer):
        Demultiplexer.group_send("all", {"a": 1})


def test_a_consumer_in_it_sends_through_the_multiplexer_alone() -> None:
    with pytest.raises(SendNotAvailableOnDemultiplexer, match=r"Use multiplexer\.send"):
        Demultiplexer(frame("sending"))
    sent()
    Sending(message("websocket.receive", text="[1]"))  # outside, the class is what it was
    assert sent() == [{"text": "[1]"}]


def test_a_multiplexer_sends_on_its_stream() -> None:
    when = datetime.date(2017, 10, 10)
    number = uuid.UUID(int=7)
    multiplexer = WebsocketMultiplexer("times", message("websocket.receive").reply_channel)
    multiplexer.send({"when": when, "id": number, "price": decimal.Decimal("1.5")})
    assert payloads() == [
        {"stream": "times", "payload": {"when": "2017-10-10", "id": str(number), "price": "1.5"}}
    ]
    Group("all").add("member")
    WebsocketMultiplexer.group_send("all", "times", {"a": 1}, close=True)
    (content,) = sent("member")
    assert json.loads(content["text"]) == {"stream": "times", "payload": {"a": 1}}
    assert content["close"] is True
    assert multiplexer.stream == "times"
    assert multiplexer.reply_channel.name == "reply"


def test_the_multiplexer_can_be_another() -> None:
    class Shouting(WebsocketMultiplexer):
        def send(self, payload: Any) -> None:
            super().send({"loud": payload})

    class Loud(Demultiplexer):
        multiplexer_class = Shouting

    Loud(frame())
    assert payloads() == [{"stream": "echo", "payload": {"loud": {"echo": {"a": 1}}}}]
