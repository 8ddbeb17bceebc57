"""The life of a socket: connect, frames, disconnect, and what ends it."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from achannels import Channel, Group, Message, consumer, route, route_class
from achannels.asgi import Application, websocket
from achannels.consumers import AsyncConsumer, AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer
from achannels.exceptions import ConsumeLater, DenyConnection, InvalidContent, Reject, StopConsumer
from achannels.layers.memory import MemoryLayer
from achannels.sessions import channel_session
from achannels.testing import ConnectionDenied, WebsocketClient
from tests.doubles import BrokenSend, RecordingSend, ScriptedReceive, errors, websocket_scope

Consumer = Callable[[Message], Coroutine[Any, Any, None]]


async def accept(message: Message) -> None:
    await message.reply_channel.send({"accept": True})


async def echo(message: Message) -> None:
    kind = "text" if "text" in message else "bytes"
    await message.reply_channel.send({kind: message[kind]})


def application(
    receive: Consumer = echo,
    connect: Consumer = accept,
    disconnect: Consumer | None = None,
    **settings: Any,
) -> Application:
    routing = [route("websocket.connect", connect), route("websocket.receive", receive)]
    if disconnect is not None:
        routing.append(route("websocket.disconnect", disconnect))
    return Application(routing, **settings)


class Disconnects:
    """A disconnect consumer that counts its calls."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.called = asyncio.Event()

    async def __call__(self, message: Message) -> None:
        self.codes.append(message["code"])
        self.called.set()


# Connect.


async def test_a_path_with_a_receive_route_alone_is_accepted() -> None:
    app = Application([route("websocket.receive", echo, path="echo/")])
    async with WebsocketClient(app, "/echo/") as ws:
        await ws.send("a")
        assert await ws.receive() == "a"


async def test_an_unknown_path_is_404_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    app = Application([route("websocket.receive", echo, path="echo/")])
    with caplog.at_level(logging.INFO), pytest.raises(ConnectionDenied) as denied:
        async with WebsocketClient(app, "/nothing/"):
            pass
    assert (denied.value.status, denied.value.reason) == (404, "there is nothing at this path")
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


async def test_an_unknown_path_is_accepted_where_the_setting_says_so() -> None:
    app = Application([route("websocket.receive", echo, path="echo/")], unrouted="accept")
    async with WebsocketClient(app, "/nothing/") as ws:
        await ws.send("nobody takes this")
        assert await ws.receive_nothing()


async def test_a_server_without_denial_responses_answers_403() -> None:
    app = Application([route("websocket.receive", echo, path="echo/")])
    with pytest.raises(ConnectionDenied) as denied:
        async with WebsocketClient(app, "/nothing/", denial=False):
            pass
    assert denied.value.status == 403


async def test_the_message_of_connect_carries_the_handshake() -> None:
    contents = []

    async def connect(message: Message) -> None:
        contents.append(message.content)
        await message.reply_channel.send({"accept": True})

    headers = {"X-Token": "t"}
    client = WebsocketClient(
        application(connect=connect), "/a%20b/?q=1&q=2", headers=headers, subprotocols=["v1", "v2"]
    )
    async with client:
        pass

    content = contents[0]
    assert content["path"] == "/a b/"
    assert content["query_string"] == b"q=1&q=2"
    assert [b"x-token", b"t"] in content["headers"]
    assert content["subprotocols"] == ["v1", "v2"]
    assert content["order"] == 0
    assert "!" in content["reply_channel"]
    assert content["client"] == ["127.0.0.1", 50123]


async def test_accept_carries_a_subprotocol_and_headers() -> None:
    async def connect(message: Message) -> None:
        await message.reply_channel.send(
            {"accept": True, "subprotocol": "v2", "headers": [(b"x-hello", b"you")]}
        )

    async with WebsocketClient(application(connect=connect), "/", subprotocols=["v1", "v2"]) as ws:
        assert ws.subprotocol == "v2"
        assert ws.headers["X-Hello"] == "you"


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["b", "a"], "b"), (["x", "a"], "a"), (["x"], None), ([], None)]
)
async def test_the_clients_order_of_subprotocols_wins(
    offered: list[str], chosen: str | None
) -> None:
    app = application(subprotocols=["a", "b"])
    async with WebsocketClient(app, "/", subprotocols=offered) as ws:
        assert ws.subprotocol == chosen


async def test_data_without_accept_accepts() -> None:
    async def connect(message: Message) -> None:
        await message.reply_channel.send({"text": "welcome"})

    async with WebsocketClient(application(connect=connect), "/") as ws:
        assert await ws.receive() == "welcome"


async def test_accept_with_a_close_is_readable_by_browsers() -> None:
    async def connect(message: Message) -> None:
        await message.reply_channel.send({"accept": True, "close": 4404, "reason": "the attic"})

    async with WebsocketClient(application(connect=connect), "/") as ws:
        assert await ws.wait_closed() == 4404
        assert ws.close_reason == "the attic"


@pytest.mark.parametrize("refusal", [{"accept": False}, {"close": True}, {"close": 4401}])
async def test_a_refusal_before_accept_is_403(refusal: dict[str, Any]) -> None:
    disconnects = Disconnects()

    async def connect(message: Message) -> None:
        await message.reply_channel.send(refusal)

    with pytest.raises(ConnectionDenied) as denied:
        async with WebsocketClient(application(connect=connect, disconnect=disconnects), "/"):
            pass
    assert denied.value.status == 403
    assert len(disconnects.codes) == 1


async def test_a_denial_carries_status_reason_and_headers() -> None:
    async def connect(message: Message) -> None:
        raise DenyConnection("log in first", status=401, headers=[(b"www-authenticate", b"Basic")])

    with pytest.raises(ConnectionDenied) as denied:
        async with WebsocketClient(application(connect=connect), "/"):
            pass
    assert (denied.value.status, denied.value.reason) == (401, "log in first")
    assert denied.value.headers["WWW-Authenticate"] == "Basic"


async def test_a_connect_that_raises_is_answered_500_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    disconnects = Disconnects()

    async def connect(message: Message) -> None:
        await Group("room").add(message.reply_channel)
        raise RuntimeError("no database")

    app = application(connect=connect, disconnect=disconnects)
    receive, send = ScriptedReceive({"type": "websocket.connect"}), RecordingSend()
    async with app:
        await app(websocket_scope("/shop/"), receive, send)

    assert send.types == ["websocket.http.response.start", "websocket.http.response.body"]
    assert send.events[0]["status"] == 500
    [record] = errors(caplog.records, "achannels.consumer")
    assert record.__dict__["path"] == "/shop/"
    assert record.__dict__["channel"] == "websocket.connect"
    assert "connect" in record.__dict__["consumer"]
    assert record.exc_info is not None
    assert disconnects.codes == [1011]


async def test_a_handshake_that_nobody_decides_is_503() -> None:
    cancelled = asyncio.Event()

    async def connect(message: Message) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    disconnects = Disconnects()
    app = application(connect=connect, disconnect=disconnects, handshake_timeout=0.02)
    with pytest.raises(ConnectionDenied) as denied:
        async with WebsocketClient(app, "/"):
            pass
    assert denied.value.status == 503
    assert cancelled.is_set()
    assert len(disconnects.codes) == 1


async def test_a_socket_is_accepted_later_from_elsewhere(channel_layer: MemoryLayer) -> None:
    names: asyncio.Queue[str] = asyncio.Queue()

    async def connect(message: Message) -> None:
        names.put_nowait(message.reply_channel.name)

    async def usher() -> None:
        await Channel(await names.get()).send({"accept": True, "text": "come in"})

    async with asyncio.TaskGroup() as tasks:
        ushering = tasks.create_task(usher())
        async with WebsocketClient(application(connect=connect), "/") as ws:
            assert await ws.receive() == "come in"
            await ws.send("a")
            assert await ws.receive() == "a"
    assert ushering.done()


async def test_a_socket_is_refused_later_from_elsewhere() -> None:
    names: asyncio.Queue[str] = asyncio.Queue()
    disconnects = Disconnects()

    async def connect(message: Message) -> None:
        names.put_nowait(message.reply_channel.name)

    async def usher() -> None:
        await Channel(await names.get()).send({"close": True})

    async with asyncio.TaskGroup() as tasks:
        ushering = tasks.create_task(usher())
        with pytest.raises(ConnectionDenied):
            async with WebsocketClient(application(connect=connect, disconnect=disconnects), "/"):
                pass
    assert ushering.done()
    assert len(disconnects.codes) == 1


async def test_group_frames_before_the_accept_wait_for_it() -> None:
    async def connect(message: Message) -> None:
        await Group("room").add(message.reply_channel)
        await Group("room").send({"text": "1"})
        await Group("room").send({"text": "2"})
        await message.reply_channel.send({"accept": True})
        await message.reply_channel.send({"text": "3"})

    async with WebsocketClient(application(connect=connect), "/") as ws:
        assert [await ws.receive() for _ in range(3)] == ["1", "2", "3"]


async def test_a_client_that_leaves_during_connect_gets_its_disconnect() -> None:
    disconnects = Disconnects()

    async def connect(message: Message) -> None:
        receive.put({"type": "websocket.disconnect", "code": 1006})
        await message.reply_channel.send({"accept": True})

    receive = ScriptedReceive({"type": "websocket.connect"})
    app = application(connect=connect, disconnect=disconnects)
    async with app:
        await app(websocket_scope(), receive, BrokenSend())
    assert disconnects.codes == [1006]


# Frames.


async def test_frames_are_handled_one_at_a_time_and_in_order() -> None:
    running, seen = 0, []

    async def receive(message: Message) -> None:
        nonlocal running
        running += 1
        assert running == 1
        for _ in range(3):
            await asyncio.sleep(0)
        seen.append((message["order"], message["text"]))
        await message.reply_channel.send({"text": message["text"]})
        running -= 1

    async with WebsocketClient(application(receive), "/") as ws:
        for number in range(20):
            await ws.send(str(number))
        assert [await ws.receive() for _ in range(20)] == [str(number) for number in range(20)]
    assert seen == [(number + 1, str(number)) for number in range(20)]


async def test_text_and_bytes_stay_what_they_are() -> None:
    async with WebsocketClient(application(), "/") as ws:
        await ws.send("grüße")
        await ws.send(b"\x00\xff")
        await ws.send("")
        assert await ws.receive() == "grüße"
        assert await ws.receive() == b"\x00\xff"
        assert await ws.receive() == ""


async def test_every_consumer_of_a_socket_shares_its_session() -> None:
    names: list[str] = []

    @channel_session
    async def connect(message: Message) -> None:
        message.channel_session["name"] = "anna"
        await message.reply_channel.send({"accept": True})

    @channel_session
    async def disconnect(message: Message) -> None:
        names.append(message.channel_session["name"])

    @channel_session
    async def receive(message: Message) -> None:
        await message.reply_channel.send({"text": message.channel_session["name"]})

    async with WebsocketClient(application(receive, connect, disconnect), "/") as ws:
        await ws.send("who am I?")
        assert await ws.receive() == "anna"
    assert names == ["anna"]


@pytest.mark.parametrize(
    ("frame", "fits"), [("a" * 10, True), ("a" * 11, False), ("ä" * 6, False), (b"a" * 11, False)]
)
async def test_a_frame_over_max_size_closes_with_1009(frame: str | bytes, fits: bool) -> None:
    disconnects = Disconnects()
    app = application(consumer(max_size=10)(echo_again), disconnect=disconnects)
    async with WebsocketClient(app, "/") as ws:
        await ws.send(frame)
        if fits:
            assert await ws.receive() == frame
        else:
            assert await ws.wait_closed() == 1009
    assert len(disconnects.codes) == 1


async def echo_again(message: Message) -> None:
    await echo(message)


async def test_a_consumer_closes_with_its_last_word() -> None:
    disconnects = Disconnects()

    async def receive(message: Message) -> None:
        await message.reply_channel.send({"text": "bye", "close": 4000, "reason": "enough"})

    async with WebsocketClient(application(receive, disconnect=disconnects), "/") as ws:
        await ws.send("/quit")
        assert await ws.receive() == "bye"
        assert await ws.wait_closed() == 4000
        assert ws.close_reason == "enough"
    assert disconnects.codes == [4000]


async def test_frames_after_the_close_are_not_handled() -> None:
    seen = []

    async def receive(message: Message) -> None:
        seen.append(message["text"])
        await message.reply_channel.send({"close": True})

    receive_ = ScriptedReceive(
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "1"},
        {"type": "websocket.receive", "text": "2"},
        {"type": "websocket.disconnect", "code": 1000},
    )
    app = application(receive)
    async with app:
        await app(websocket_scope(), receive_, RecordingSend())
    assert seen == ["1"]


async def test_a_server_that_does_not_confirm_the_close_is_not_waited_for_forever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "_LAST_EVENT", 0.02)
    disconnects = Disconnects()

    async def receive(message: Message) -> None:
        await message.reply_channel.send({"close": True})

    frames = [{"type": "websocket.receive", "text": str(number)} for number in range(3)]
    app = application(receive, disconnect=disconnects)
    async with app:
        await app(
            websocket_scope(),
            ScriptedReceive({"type": "websocket.connect"}, *frames),
            RecordingSend(),
        )
    assert disconnects.codes == [1006]


async def test_a_content_that_no_socket_can_send_raises_in_its_consumer() -> None:
    async def receive(message: Message) -> None:
        with pytest.raises(InvalidContent, match="Did you mean 'text'"):
            await message.reply_channel.send({"txt": "typo"})
        await message.reply_channel.send({"text": "right"})

    async with WebsocketClient(application(receive), "/") as ws:
        await ws.send("a")
        assert await ws.receive() == "right"


# What consumers raise.


async def test_a_consumer_that_raises_closes_with_1011_and_one_record(
    caplog: pytest.LogCaptureFixture,
) -> None:
    disconnects = Disconnects()

    async def receive(message: Message) -> None:
        raise ValueError("broken")

    app = application(receive, disconnect=disconnects)
    async with WebsocketClient(app, "/shop/") as ws, WebsocketClient(app, "/other/") as other:
        await ws.send("a")
        assert await ws.wait_closed() == 1011
        assert await other.receive_nothing(wait=0.0)
    [record] = errors(caplog.records, "achannels.consumer")
    assert record.__dict__["path"] == "/shop/"
    assert record.__dict__["channel"] == "websocket.receive"
    assert record.__dict__["consumer"].endswith(".receive")
    assert "/shop/" in record.getMessage()
    assert disconnects.codes == [1011, 1000]


async def test_a_wait_that_others_cancelled_closes_with_1011(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def receive(message: Message) -> None:
        waiting = asyncio.get_running_loop().create_future()
        waiting.cancel()
        await waiting

    app = Application([route("websocket.receive", receive)])
    async with app, WebsocketClient(app, "/") as ws:
        await ws.send("a")
        assert await ws.wait_closed() == 1011
    [record] = errors(caplog.records, "achannels.consumer")
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], RuntimeError)


async def test_a_disconnect_that_raises_is_logged_and_leaves_nothing(
    caplog: pytest.LogCaptureFixture, channel_layer: MemoryLayer
) -> None:
    async def connect(message: Message) -> None:
        await Group("room").add(message.reply_channel)
        await message.reply_channel.send({"accept": True})

    async def disconnect(message: Message) -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        async with WebsocketClient(application(connect=connect, disconnect=disconnect), "/"):
            assert len(await channel_layer.group_channels("room")) == 1
    assert len(errors(caplog.records, "achannels.consumer")) == 1
    assert await channel_layer.group_channels("room") == set()


async def test_a_denial_after_the_accept_closes_with_4403() -> None:
    async def receive(message: Message) -> None:
        raise DenyConnection("not any more")

    async with WebsocketClient(application(receive), "/") as ws:
        await ws.send("a")
        assert await ws.wait_closed() == 4403


async def test_stop_consumer_closes_with_1000() -> None:
    async def receive(message: Message) -> None:
        raise StopConsumer

    async with WebsocketClient(application(receive), "/") as ws:
        await ws.send("a")
        assert await ws.wait_closed() == 1000


async def test_reject_drops_the_frame_and_keeps_the_socket() -> None:
    async def receive(message: Message) -> None:
        if message["text"] == "nonsense":
            raise Reject("nonsense")
        await echo(message)

    async with WebsocketClient(application(receive), "/") as ws:
        await ws.send("nonsense")
        await ws.send("sense")
        assert await ws.receive() == "sense"


async def test_consume_later_handles_the_frame_again_before_the_next() -> None:
    attempts = []

    async def receive(message: Message) -> None:
        attempts.append((message["text"], message.attempt))
        if message["text"] == "a" and message.attempt < 3:
            raise ConsumeLater(delay=0)
        await echo(message)

    async with WebsocketClient(application(receive), "/") as ws:
        await ws.send("a")
        await ws.send("b")
        assert await ws.receive() == "a"
        assert await ws.receive() == "b"
    assert attempts == [("a", 1), ("a", 2), ("a", 3), ("b", 1)]


async def test_consume_later_without_end_closes_with_1011() -> None:
    attempts = []

    @consumer(retries=2)
    async def receive(message: Message) -> None:
        attempts.append(message.attempt)
        raise ConsumeLater(delay=0)

    async with WebsocketClient(application(receive), "/") as ws:
        await ws.send("a")
        assert await ws.wait_closed() == 1011
    assert attempts == [1, 2, 3]


# Disconnect, exactly once.


@pytest.mark.parametrize("code", [1000, 1001, 4000])
async def test_disconnect_gets_the_peers_code(code: int) -> None:
    disconnects = Disconnects()
    async with WebsocketClient(application(disconnect=disconnects), "/") as ws:
        await ws.close(code)
    assert disconnects.codes == [code]


async def test_a_lost_connection_is_1006() -> None:
    disconnects = Disconnects()
    async with WebsocketClient(application(disconnect=disconnects), "/") as ws:
        await ws.lose()
    assert disconnects.codes == [1006]


async def test_no_code_from_the_peer_is_1005() -> None:
    disconnects = Disconnects()
    app = application(disconnect=disconnects)
    receive = ScriptedReceive({"type": "websocket.connect"}, {"type": "websocket.disconnect"})
    async with app:
        await app(websocket_scope(), receive, RecordingSend())
    assert disconnects.codes == [1005]


async def test_a_send_that_raises_before_the_disconnect_event_ends_the_socket(
    channel_layer: MemoryLayer,
) -> None:
    disconnects = Disconnects()

    async def connect(message: Message) -> None:
        await Group("room").add(message.reply_channel)
        await message.reply_channel.send({"accept": True})

    app = application(connect=connect, disconnect=disconnects)
    receive, send = ScriptedReceive({"type": "websocket.connect"}), BrokenSend(after=1)
    async with app, asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(app(websocket_scope(), receive, send))
        await _until_member(channel_layer, "room")
        await Group("room").send({"text": "1"})
        await Group("room").send({"text": "2"})
        await serving  # no disconnect event ever came
        assert await channel_layer.group_channels("room") == set()
    assert disconnects.codes == [1006]
    assert channel_layer.books.dropped["gone"] == 2


async def test_a_hundred_clients_that_vanish_under_fire_are_disconnected_once_each(
    channel_layer: MemoryLayer,
) -> None:
    disconnects: list[str] = []

    async def connect(message: Message) -> None:
        await Group("room").add(message.reply_channel)
        await message.reply_channel.send({"accept": True})

    async def disconnect(message: Message) -> None:
        disconnects.append(message["reply_channel"])

    app = application(connect=connect, disconnect=disconnect)
    async with app:
        clients = [WebsocketClient(app, "/") for _ in range(100)]
        for client in clients:
            await client.__aenter__()
        for number, client in enumerate(clients):
            await Group("room").send({"text": str(number)})
            await client.lose()
        for client in clients:
            await client.__aexit__(None, None, None)
        assert await channel_layer.group_channels("room") == set()
    assert len(disconnects) == len(set(disconnects)) == 100


@pytest.mark.parametrize("moment", ["connect", "receive", "idle"])
async def test_a_cancelled_socket_is_disconnected_once(
    moment: str, channel_layer: MemoryLayer
) -> None:
    disconnects, reached = Disconnects(), asyncio.Event()

    async def hang(message: Message) -> None:
        reached.set()
        await asyncio.Event().wait()

    async def connect(message: Message) -> None:
        await Group("room").add(message.reply_channel)
        await message.reply_channel.send({"accept": True})
        if moment == "connect":
            await hang(message)

    app = application(hang, connect, disconnects)
    receive = ScriptedReceive({"type": "websocket.connect"})
    async with app:
        serving = asyncio.create_task(app(websocket_scope(), receive, RecordingSend()))
        if moment == "receive":
            receive.put({"type": "websocket.receive", "text": "a"})
        if moment == "idle":
            await _until_member(channel_layer, "room")
        else:
            await reached.wait()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert await channel_layer.group_channels("room") == set()
    assert disconnects.codes == [1006]


async def test_a_send_to_a_socket_that_is_gone_is_counted_and_not_raised(
    channel_layer: MemoryLayer,
) -> None:
    names: list[str] = []
    kept: list[Channel] = []

    async def connect(message: Message) -> None:
        names.append(message.reply_channel.name)
        kept.append(message.reply_channel)
        await message.reply_channel.send({"accept": True})

    async with WebsocketClient(application(connect=connect), "/"):
        pass
    await Channel(names[0]).send({"text": "by name"})
    await kept[0].send({"text": "by its own channel"})
    assert channel_layer.books.dropped["gone"] == 2


async def test_a_reply_to_a_client_that_left_is_counted_and_not_raised(
    channel_layer: MemoryLayer,
) -> None:
    disconnects = Disconnects()

    async def receive(message: Message) -> None:
        await message.reply_channel.send({"text": "1"})
        await message.reply_channel.send({"text": "2"})

    app = application(receive, disconnect=disconnects)
    events = ScriptedReceive(
        {"type": "websocket.connect"}, {"type": "websocket.receive", "text": "a"}
    )
    async with app:
        await app(websocket_scope(), events, BrokenSend(after=1))
    assert disconnects.codes == [1006]
    assert channel_layer.books.dropped["gone"] == 2


async def test_a_group_can_say_that_a_member_left() -> None:
    async def connect(message: Message) -> None:
        await Group("room").add(message.reply_channel)
        await message.reply_channel.send({"accept": True})

    async def disconnect(message: Message) -> None:
        await Group("room").send({"text": "someone left"})

    app = application(connect=connect, disconnect=disconnect)
    async with WebsocketClient(app, "/") as stays:
        async with WebsocketClient(app, "/"):
            pass
        assert await stays.receive() == "someone left"


async def _until_member(layer: MemoryLayer, group: str) -> None:
    while not await layer.group_channels(group):  # noqa: ASYNC110 - a layer tells nobody
        await asyncio.sleep(0)


# Class consumers.


class Seen(AsyncWebsocketConsumer):
    log: list[str]
    groups = ("news",)

    async def connect(self) -> None:
        self.log = []
        await self.accept()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.log.append(f"begin {text_data}")
        await self.channel_layer.group_send("news", {"type": "news.flash", "text": text_data})
        await asyncio.sleep(0)
        self.log.append(f"end {text_data}")

    async def news_flash(self, event: dict[str, Any]) -> None:
        self.log.append(f"event {event['text']}")
        await self.send(text_data=" ".join(self.log))
        self.log.clear()


async def test_class_events_run_between_the_frames() -> None:
    async with WebsocketClient(Application([route_class(Seen)]), "/") as ws:
        await ws.send("1")
        await ws.send("2")
        assert await ws.receive() == "begin 1 end 1 event 1"
        assert await ws.receive() == "begin 2 end 2 event 2"


async def test_group_frames_pass_a_busy_class_consumer() -> None:
    free = asyncio.Event()

    class Busy(AsyncWebsocketConsumer):
        groups = ("news",)

        async def receive(self, text_data: str) -> None:
            await free.wait()
            await self.send(text_data="done")

    async with WebsocketClient(Application([route_class(Busy)]), "/") as ws:
        await ws.send("a")
        await Group("news").send({"text": "flash"})
        assert await ws.receive() == "flash"
        free.set()
        assert await ws.receive() == "done"


async def test_an_unknown_event_is_logged_and_counted_and_the_socket_stays(
    caplog: pytest.LogCaptureFixture, channel_layer: MemoryLayer
) -> None:
    async with WebsocketClient(Application([route_class(Seen)]), "/") as ws:
        await Group("news").send({"type": "news.flahs", "text": "x"})
        await Group("news").send({"type": "news.flash", "text": "y"})
        assert await ws.receive() == "event y"
    assert channel_layer.books.dropped["no_handler"] == 1
    [record] = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert "news_flash" in record.getMessage()


async def test_the_books_balance_while_an_event_is_handled(channel_layer: MemoryLayer) -> None:
    seen: list[dict[str, Any]] = []

    class Counting(AsyncWebsocketConsumer):
        groups = ("news",)

        async def news(self, event: dict[str, Any]) -> None:
            seen.append(dict(await self.channel_layer.statistics()))
            await self.send(text_data="counted")

    async with WebsocketClient(Application([route_class(Counting)]), "/") as ws:
        await Group("news").send({"type": "news"})
        assert await ws.receive() == "counted"
    [statistics] = seen
    assert statistics["accepted"] == statistics["delivered"] + statistics["pending"]


async def test_an_event_that_raises_closes_with_1011() -> None:
    class Broken(AsyncWebsocketConsumer):
        groups = ("news",)

        async def news(self, event: dict[str, Any]) -> None:
            raise ValueError("broken")

    async with WebsocketClient(Application([route_class(Broken)]), "/") as ws:
        await Group("news").send({"type": "news"})
        assert await ws.wait_closed() == 1011


class Json(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content: Any) -> None:
        await self.send_json(content)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("{", 1007),
        ("", 1007),
        ("NaN", 1007),
        ('{"a": Infinity}', 1007),
        ("[" * 100_000, 1007),
        (b"{}", 1003),
    ],
    ids=["half", "empty", "nan", "infinity", "deep", "binary"],
)
async def test_a_frame_that_is_no_json_closes_without_a_traceback(
    frame: str | bytes, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with WebsocketClient(Application([route_class(Json)]), "/") as ws:
        await ws.send(frame)
        assert await ws.wait_closed() == code
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_json_goes_both_ways() -> None:
    async with WebsocketClient(Application([route_class(Json)]), "/") as ws:
        await ws.send_json({"a": [1, None, "ü"]})
        assert await ws.receive_json() == {"a": [1, None, "ü"]}


@pytest.mark.parametrize(("frame", "code"), [("a", 1000), (b"a", 1003)])
async def test_a_kind_of_frame_that_a_class_does_not_take_closes_with_1003(
    frame: str | bytes, code: int
) -> None:
    class TextOnly(AsyncWebsocketConsumer):
        async def receive(self, text_data: str) -> None:
            await self.close()

    async with WebsocketClient(Application([route_class(TextOnly)]), "/") as ws:
        await ws.send(frame)
        assert await ws.wait_closed() == code


async def test_a_class_consumer_is_one_object_per_socket_with_its_kwargs() -> None:
    class Counter(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            self.count = 0
            await self.accept()

        async def receive(self, text_data: str) -> None:
            self.count += 1
            await self.send(text_data=f"{self.kwargs['room']} {self.count}")
            assert self.kwargs == self.scope["url_route"]["kwargs"]

    app = Application([route_class(Counter, path="chat/<slug:room>/")])
    async with WebsocketClient(app, "/chat/a/") as a, WebsocketClient(app, "/chat/b/") as b:
        for ws, room in ((a, "a"), (b, "b"), (a, "a")):
            await ws.send(room)
        assert [await a.receive(), await a.receive()] == ["a 1", "a 2"]
        assert await b.receive() == "b 1"


async def test_a_class_consumer_that_closes_before_the_accept_refuses() -> None:
    class Closed(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.close(code=4401)

    with pytest.raises(ConnectionDenied) as denied:
        async with WebsocketClient(Application([route_class(Closed)]), "/"):
            pass
    assert denied.value.status == 403


async def test_a_background_class_consumer_is_not_mixed_up_with_sockets(
    channel_layer: MemoryLayer,
) -> None:
    done = asyncio.Event()

    class Mail(AsyncConsumer):
        async def news_letter(self, event: dict[str, Any]) -> None:
            done.set()

    app = Application([route("mail", Mail), route("websocket.receive", echo)])
    async with WebsocketClient(app, "/"):
        await Channel("mail").send({"type": "news.letter"})
        await done.wait()
