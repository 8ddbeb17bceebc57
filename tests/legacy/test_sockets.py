"""Plain consumers of 1.x behind a socket: what they get, what they send, what becomes of errors."""

import asyncio
import logging
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest

from achannels import Group as AsyncGroup
from achannels import Message as AsyncMessage
from achannels.asgi import Application
from achannels.exceptions import ConsumeLater, DenyConnection, InvalidContent
from achannels.legacy import dispatch, signals
from achannels.legacy.channel import Channel, Group
from achannels.legacy.exceptions import WebsocketCloseException
from achannels.legacy.message import Message
from achannels.legacy.routing import route
from achannels.legacy.worker import Worker
from achannels.testing import ConnectionDenied, WebsocketClient

Serve = Callable[..., Application]

ADDRESSES = {"client": ("10.0.0.1", 5000), "server": ("here", 80)}


class Recorder:
    """A consumer that keeps what it got."""

    def __init__(self, *replies: dict[str, Any]) -> None:
        self.messages: list[Message] = []
        self.replies = replies

    def __call__(self, message: Message, **kwargs: Any) -> None:
        self.messages.append(message)
        for reply in self.replies:
            message.reply_channel.send(reply)

    @property
    def content(self) -> dict[str, Any]:
        (message,) = self.messages
        return {key: value for key, value in message.items() if key != "reply_channel"}


def accept(message: Any) -> None:
    message.reply_channel.send({"accept": True})


def echo(message: Any) -> None:
    message.reply_channel.send({"text": message["text"]})


async def said(application: Application, **answers: str) -> None:
    """Send texts, and check what is answered to each: `text="answer"`, an empty one is none."""
    async with WebsocketClient(application, "/") as ws:
        for text, answer in answers.items():
            await ws.send(text)
            if answer:
                assert await ws.receive() == answer


async def connected(application: Application, path: str = "/", **more: Any) -> list[Any]:
    """Connect, and return the frames that come before a text that is echoed."""
    async with WebsocketClient(application, path, **more) as ws:
        await ws.send("mark")
        frames = []
        while (frame := await ws.receive()) != "mark":
            frames.append(frame)
        return frames


async def test_what_a_group_says_before_the_consumer_ended_comes_first_and_takes_nothing_away(
    serve: Serve,
) -> None:
    def connect(message: Any) -> None:
        Group("room").add(message.reply_channel)
        for reply in ({"accept": True}, {"text": "history"}):
            message.reply_channel.send(reply)
        Group("room").send({"text": "came"})
        Group("room").send({"text": "left"}, immediately=True)

    application = serve(route("websocket.connect", connect), route("websocket.receive", echo))
    assert await connected(application) == ["left", "history", "came"]


# What they get.


async def test_connect_has_the_keys_of_1_x(serve: Serve) -> None:
    connect = Recorder({"accept": True})
    headers = [("x-a", "1"), ("x-a", "2"), ("cookie", "a=1"), ("cookie", "b=2")]
    application = serve(route("websocket.connect", connect), route("websocket.receive", echo))
    await connected(application, "/r%C3%BCm/?a=1", headers=headers, scope=ADDRESSES)
    content = dict(connect.content)
    found = {bytes(name): value for name, value in content.pop("headers")}
    assert found[b"x-a"] == b"1,2"
    assert found[b"cookie"] == b"a=1; b=2"
    assert content == {
        "path": "/rüm/",
        "query_string": b"a=1",
        "order": 0,
        "root_path": "",
        "scheme": "ws",
        "client": ["10.0.0.1", 5000],
        "server": ["here", 80],
    }
    (message,) = connect.messages
    assert isinstance(message, Message)
    assert message.channel.name == "websocket.connect"
    assert message.reply_channel.name == message["reply_channel"]
    assert "!" in message["reply_channel"]


async def test_frames_have_one_of_text_and_bytes_and_an_order(serve: Serve) -> None:
    receive = Recorder({"text": "ok"})
    async with WebsocketClient(serve(route("websocket.receive", receive)), "/room/") as ws:
        for frame in ("text", b"bytes", "", b""):
            await ws.send(frame)
            assert await ws.receive() == "ok"
    contents = [dict(message.content) for message in receive.messages]
    names = {content.pop("reply_channel") for content in contents}
    assert len(names) == 1
    assert contents == [
        {"path": "/room/", "order": 1, "text": "text"},
        {"path": "/room/", "order": 2, "bytes": b"bytes"},
        {"path": "/room/", "order": 3, "text": ""},
        {"path": "/room/", "order": 4, "bytes": b""},
    ]


@pytest.mark.parametrize(("given", "code"), [(4001, 4001), (1005, None), (1006, 1006)])
async def test_disconnect_has_the_clients_code(serve: Serve, given: int, code: int | None) -> None:
    disconnect = Recorder()
    application = serve(route("websocket.receive", echo), route("websocket.disconnect", disconnect))
    async with WebsocketClient(application, "/") as ws:
        await ws.send("hi")
        await ws.receive()
        await ws.close(given)
    assert disconnect.content == {"path": "/", "order": 2, "code": code}


async def test_an_unrouted_socket_is_accepted_and_not_heard(serve: Serve) -> None:
    async with WebsocketClient(serve(), "/anything/") as ws:
        await ws.send("is anyone here?")
        assert await ws.receive_nothing()


async def test_any_page_may_open_a_socket(serve: Serve) -> None:
    for origin in ("https://example.com", "null", None):
        async with WebsocketClient(serve(), "/", origin=origin):
            pass


async def test_the_defaults_are_settings(old_ways: None) -> None:
    strict = Application([], unrouted="reject", allowed_origins=None)
    with pytest.raises(ConnectionDenied):
        async with WebsocketClient(strict, "/"):
            pass


# Accept and refuse.


@pytest.mark.parametrize(
    ("replies", "frames"),
    [
        ([{"accept": True}], []),
        ([{"text": "first"}], ["first"]),
        ([{"bytes": b"first"}], [b"first"]),
        ([{"accept": True, "text": "first"}], ["first"]),
        ([{"accept": True}, {"accept": True}, {"accept": False}], []),
        ([{"close": False}, {"text": ""}, {"accept": True}, {"text": "", "bytes": b""}], []),
        (
            [{"accept": True}, {"text": "a", "bytes": None}, {"text": None, "bytes": b"b"}],
            ["a", b"b"],
        ),
    ],
)
async def test_what_accepts(serve: Serve, replies: list[Any], frames: list[Any]) -> None:
    application = serve(
        route("websocket.connect", Recorder(*replies)), route("websocket.receive", echo)
    )
    assert await connected(application) == frames


@pytest.mark.parametrize(
    "reply",
    [
        {"accept": False},
        {"close": True},
        {"close": 4001},
        {"close": 1008},
        {"close": 403, "text": ""},
        {"accept": False, "text": "x"},
        {"accept": False, "close": 1008},
    ],
)
async def test_what_refuses_and_disconnect_comes_all_the_same(serve: Serve, reply: Any) -> None:
    disconnect = Recorder()
    application = serve(
        route("websocket.connect", Recorder(reply)), route("websocket.disconnect", disconnect)
    )
    with pytest.raises(ConnectionDenied) as denied:
        async with WebsocketClient(application, "/"):
            pass
    assert denied.value.status == 403
    assert disconnect.content == {"path": "/", "order": 1, "code": 1006}


@pytest.mark.parametrize("replies", [[], [{"text": ""}], [{"close": False}]])
async def test_a_connect_that_says_nothing_is_refused_in_time(
    serve: Serve, replies: list[Any]
) -> None:
    disconnect = Recorder()
    application = serve(
        route("websocket.connect", Recorder(*replies)),
        route("websocket.disconnect", disconnect),
        handshake_timeout=0.01,
    )
    with pytest.raises(ConnectionDenied):
        async with WebsocketClient(application, "/"):
            pass
    assert disconnect.content["code"] == 1006


async def test_frames_wait_for_the_accept(serve: Serve) -> None:
    let_go = threading.Event()
    order: list[str] = []

    def connect(message: Any) -> None:
        let_go.wait(5)
        order.append("connect")
        message.reply_channel.send({"accept": True})

    def receive(message: Any) -> None:
        order.append(message["text"])
        message.reply_channel.send({"text": "ok"})

    application = serve(route("websocket.connect", connect), route("websocket.receive", receive))
    client = WebsocketClient(application, "/")
    entering = asyncio.create_task(client.__aenter__())
    await asyncio.sleep(0)
    let_go.set()
    ws = await entering
    await ws.send("hi")
    assert await ws.receive() == "ok"
    await client.__aexit__(None, None, None)
    assert order == ["connect", "hi"]


@pytest.mark.parametrize(
    ("reply", "frames", "code"),
    [
        ({"close": True}, [], 1000),
        ({"close": 4001}, [], 4001),
        ({"text": "bye", "close": True}, ["bye"], 1000),
        ({"bytes": b"bye", "close": 4002}, [b"bye"], 4002),
        ({"accept": True, "close": 4003}, [], 4003),
        ({"text": "", "close": 4004}, [], 4004),
    ],
)
async def test_what_closes(serve: Serve, reply: Any, frames: list[Any], code: int) -> None:
    application = serve(route("websocket.receive", Recorder(reply)))
    async with WebsocketClient(application, "/") as ws:
        await ws.send("go")
        for frame in frames:
            assert await ws.receive() == frame
        assert await ws.wait_closed() == code


async def test_accept_and_close_opens_and_closes(serve: Serve) -> None:
    application = serve(route("websocket.connect", Recorder({"accept": True, "close": 4001})))
    async with WebsocketClient(application, "/") as ws:
        assert await ws.wait_closed() == 4001


async def test_a_code_that_is_none_closes_what_connect_accepted(serve: Serve) -> None:
    application = serve(route("websocket.connect", Recorder({"accept": True}, {"close": 1008})))
    async with WebsocketClient(application, "/") as ws:
        assert await ws.wait_closed() == 1000


async def test_what_comes_after_a_close_is_swallowed(serve: Serve) -> None:
    replies: list[Any] = [{"close": True}, {"text": "late"}, {"accept": True}, {"close": 4001}]
    application = serve(route("websocket.receive", Recorder(*replies)))
    async with WebsocketClient(application, "/") as ws:
        await ws.send("go")
        assert await ws.wait_closed() == 1000


async def test_frames_after_the_close_are_not_heard(serve: Serve) -> None:
    receive = Recorder({"close": True})
    async with WebsocketClient(serve(route("websocket.receive", receive)), "/") as ws:
        for text in ("one", "two"):
            await ws.send(text)
        assert await ws.wait_closed() == 1000
    assert [message["text"] for message in receive.messages] == ["one"]


@pytest.mark.parametrize(
    "reply",
    [
        {"texts": "unknown key"},
        {"text": "a", "bytes": b"b"},
        {"text": 5},
        {"close": 1001},
        {"close": 5000},
    ],
)
async def test_a_wrong_reply_is_said_where_it_is_sent_and_the_socket_stays(
    serve: Serve, reply: dict[str, Any]
) -> None:
    def receive(message: Any) -> None:
        if message["text"] == "wrong":
            message.reply_channel.send(reply)
        message.reply_channel.send({"text": message["text"]})

    with pytest.raises(InvalidContent):  # the client tells what it found in the log
        await said(serve(route("websocket.receive", receive)), wrong="", right="right")


async def test_a_subprotocol_is_the_clients_first_that_is_listed(serve: Serve) -> None:
    application = serve(route("websocket.receive", echo), subprotocols=["v1", "v2"])
    async with WebsocketClient(application, "/", subprotocols=["v3", "v2", "v1"]) as ws:
        assert ws.subprotocol == "v2"
    async with WebsocketClient(application, "/", subprotocols=["v9"]) as ws:
        assert ws.subprotocol is None


# When what they send leaves.


async def test_sends_leave_in_order_when_the_consumer_has_returned(serve: Serve) -> None:
    def receive(message: Any) -> None:
        Group("all").add(message.reply_channel)
        message.reply_channel.send({"text": "1"})
        Group("all").send({"text": "2"})
        message.reply_channel.send({"text": "3"})
        message.reply_channel.send({"text": "0"}, immediately=True)

    async with WebsocketClient(serve(route("websocket.receive", receive)), "/") as ws:
        await ws.send("go")
        assert [await ws.receive() for _ in range(4)] == ["0", "1", "2", "3"]


async def test_joining_and_leaving_act_at_once(serve: Serve) -> None:
    def receive(message: Any) -> None:
        if message["text"] == "join":
            Group("all").send({"text": "sent before joining"})
            Group("all").add(message.reply_channel)
        else:
            Group("all").send({"text": "bye"})
            Group("all").discard(message.reply_channel)
            message.reply_channel.send({"text": "left"})

    async with WebsocketClient(serve(route("websocket.receive", receive)), "/") as ws:
        await ws.send("join")
        assert await ws.receive() == "sent before joining"
        await ws.send("leave")
        assert await ws.receive() == "left"


async def test_a_thread_of_a_consumer_sends_at_once(serve: Serve) -> None:
    def receive(message: Any) -> None:
        message.reply_channel.send({"text": "kept"})
        reply = message.reply_channel
        thread = threading.Thread(target=lambda: reply.send({"text": "at once"}))
        thread.start()
        thread.join()

    async with WebsocketClient(serve(route("websocket.receive", receive)), "/") as ws:
        await ws.send("go")
        assert [await ws.receive(), await ws.receive()] == ["at once", "kept"]


async def test_what_is_sent_from_elsewhere_by_name_arrives(serve: Serve) -> None:
    names: list[str] = []

    def receive(message: Any) -> None:
        names.append(message.reply_channel.name)
        message.reply_channel.send({"text": "ok"})

    async with WebsocketClient(serve(route("websocket.receive", receive)), "/") as ws:
        await ws.send("go")
        assert await ws.receive() == "ok"
        await asyncio.to_thread(Channel(names[0]).send, {"text": "from elsewhere"})
        assert await ws.receive() == "from elsewhere"


async def test_a_refused_socket_is_a_member_until_its_disconnect(serve: Serve) -> None:
    seen: list[list[str]] = []

    def connect(message: Any) -> None:
        Group("all").add(message.reply_channel)
        message.reply_channel.send({"close": True})

    def disconnect(message: Any) -> None:
        seen.append(message.channel_layer.group_channels("all"))

    application = serve(
        route("websocket.connect", connect), route("websocket.disconnect", disconnect)
    )
    with pytest.raises(ConnectionDenied):
        async with WebsocketClient(application, "/"):
            pass
    assert len(seen[0]) == 1
    assert await application.layer.group_channels("all") == set()


# What they raise.


def failing(message: Any) -> None:
    message.reply_channel.send({"text": f"before {message['text']}"})
    if message["text"] == "fail":
        raise ValueError("no")


async def test_an_error_is_logged_what_was_sent_leaves_and_the_socket_stays(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    application = serve(route("websocket.receive", failing))
    with pytest.raises(ValueError, match="no"):
        await said(application, fail="before fail", more="before more")
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.name == "django.channels"
    assert record.getMessage().endswith("failing raised on websocket.receive at /")


async def test_an_error_of_an_async_consumer_is_in_our_log(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def receive(message: Any) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await said(serve(route("websocket.receive", receive)), fail="")
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.name == "achannels.consumer"


async def test_each_message_is_told_at_debug(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "django.channels")
    await said(serve(route("websocket.receive", echo)), hi="hi")
    got, dispatched = [
        each.getMessage() for each in caplog.records if each.name == "django.channels"
    ]
    assert re.fullmatch(r"Got message on websocket\.receive \(reply .+!.+\)", got)
    assert dispatched == f"Dispatching message on websocket.receive to {__name__}.echo"


async def test_an_error_can_close_the_socket(serve: Serve, settings: Any) -> None:
    settings.CHANNELS_ERRORS = "close"
    async with WebsocketClient(serve(route("websocket.receive", failing)), "/") as ws:
        await ws.send("fail")
        assert await ws.receive() == "before fail"
        assert await ws.wait_closed() == 1011


async def test_an_error_in_connect_after_the_accept_opens_the_socket(serve: Serve) -> None:
    def connect(message: Any) -> None:
        message.reply_channel.send({"accept": True})
        raise ValueError("no")

    application = serve(route("websocket.connect", connect), route("websocket.receive", echo))
    with pytest.raises(ValueError, match="no"):
        assert await connected(application) == []


async def test_an_error_in_connect_before_it_leaves_the_socket_waiting(serve: Serve) -> None:
    disconnect = Recorder()

    def connect(message: Any) -> None:
        raise ValueError("no")

    application = serve(
        route("websocket.connect", connect),
        route("websocket.disconnect", disconnect),
        handshake_timeout=0.01,
    )
    with pytest.raises((ConnectionDenied, ValueError)):  # the client may tell the error instead
        async with WebsocketClient(application, "/"):
            pass
    assert disconnect.content["code"] == 1006


async def test_deny_connection_refuses(serve: Serve) -> None:
    def connect(message: Any) -> None:
        raise DenyConnection

    with pytest.raises(ConnectionDenied) as denied:
        async with WebsocketClient(serve(route("websocket.connect", connect)), "/"):
            pass
    assert denied.value.status == 403


async def test_deny_connection_may_say_why(serve: Serve) -> None:
    def connect(message: Any) -> None:
        raise DenyConnection("log in first", status=401)

    with pytest.raises(ConnectionDenied) as denied:
        async with WebsocketClient(serve(route("websocket.connect", connect)), "/"):
            pass
    assert (denied.value.status, denied.value.reason) == (401, "log in first")


async def test_an_earlier_accept_wins_and_the_socket_opens_and_closes(serve: Serve) -> None:
    def connect(message: Any) -> None:
        message.reply_channel.send({"accept": True})
        raise DenyConnection

    async with WebsocketClient(serve(route("websocket.connect", connect)), "/") as ws:
        assert await ws.wait_closed() == 1000


async def test_there_is_nothing_to_deny_later(serve: Serve) -> None:
    def receive(message: Any) -> None:
        if message["text"] == "deny":
            raise DenyConnection
        message.reply_channel.send({"text": "still here"})

    with pytest.raises(DenyConnection):
        await said(serve(route("websocket.receive", receive)), deny="", hi="still here")


async def test_a_close_exception_closes_after_what_was_sent(serve: Serve) -> None:
    def receive(message: Any) -> None:
        message.reply_channel.send({"text": "bye"})
        raise WebsocketCloseException(4001)

    async with WebsocketClient(serve(route("websocket.receive", receive)), "/") as ws:
        await ws.send("go")
        assert await ws.receive() == "bye"
        assert await ws.wait_closed() == 4001


async def test_consume_later_is_tried_ten_times_more_in_its_place(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dispatch, "LATER", 0.0)
    runs: list[tuple[Any, bool]] = []

    def receive(message: Any) -> None:
        if message["text"] == "later":
            runs.append((message.get("__retries__"), getattr(message, "__doomed__", False)))
            message["seen"] = message.get("seen", 0) + 1
            message.reply_channel.send({"text": str(message["seen"])})
            raise ConsumeLater
        message.reply_channel.send({"text": "next"})

    async with WebsocketClient(serve(route("websocket.receive", receive)), "/") as ws:
        await ws.send("later")
        await ws.send("next")
        frames = [await ws.receive() for _ in range(12)]
    assert frames == [*map(str, range(1, 12)), "next"]
    assert runs == [(None, False), *((n, n == 10) for n in range(1, 11))]
    assert "asked to be handled later too often" in caplog.text


# Around them.


async def test_the_signals_come_in_the_thread_of_the_consumer(serve: Serve) -> None:
    told: list[Any] = []

    def started(sender: Any, environ: Any, **kwargs: Any) -> None:
        told.append(("started", sender, environ, threading.get_ident()))

    def finished(sender: Any, **kwargs: Any) -> None:
        told.append(("finished", sender, threading.get_ident()))

    def receive(message: Any) -> None:
        told.append(threading.get_ident())
        message.reply_channel.send({"text": "ok"})

    signals.consumer_started.connect(started)
    signals.consumer_finished.connect(finished)
    try:
        async with WebsocketClient(serve(route("websocket.receive", receive)), "/") as ws:
            await ws.send("go")
            assert await ws.receive() == "ok"
    finally:
        signals.consumer_started.disconnect(started)
        signals.consumer_finished.disconnect(finished)
    thread = told[1]
    assert told == [("started", Worker, {}, thread), thread, ("finished", Worker, thread)]
    assert thread != threading.get_ident()


async def test_both_worlds_share_a_socket(serve: Serve) -> None:
    async def connect(message: AsyncMessage) -> None:
        await AsyncGroup("all").add(message.reply_channel)
        await message.reply_channel.send({"accept": True})

    def receive(message: Any) -> None:
        Group("all").send({"text": f"def {message['text']}"})

    async def disconnect(message: AsyncMessage) -> None:
        await AsyncGroup("all").send({"text": f"left {message['code']}"})

    application = serve(
        route("websocket.connect", connect),
        route("websocket.receive", receive),
        route("websocket.disconnect", disconnect),
    )
    async with WebsocketClient(application, "/") as anna:
        async with WebsocketClient(application, "/") as bert:
            await bert.send("hi")
            assert await anna.receive() == await bert.receive() == "def hi"
        assert await anna.receive() == "left 1000"
