"""WebsocketConsumer and JsonWebsocketConsumer: Channels 4's classes whose hooks block."""

import threading
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from achannels import Channel, Group, route, route_class, sync
from achannels.asgi import Application
from achannels.consumers import JsonWebsocketConsumer, SyncConsumer, WebsocketConsumer
from achannels.exceptions import ConfigurationError, DenyConnection
from achannels.testing import ConnectionDenied, Node, WebsocketClient


def client(consumer: type[SyncConsumer], **more: Any) -> WebsocketClient:
    return WebsocketClient(Application([route_class(consumer)]), "/", **more)


class Room(WebsocketConsumer):
    """It is what one finds in projects of Channels 4."""

    def connect(self) -> None:
        self.said = 0
        async_to_sync(self.channel_layer.group_add)("room", self.channel_name)
        self.accept()

    def receive(self, text_data: str) -> None:
        self.said += 1
        event = {"type": "chat.message", "text": f"{text_data} ({self.said})"}
        async_to_sync(self.channel_layer.group_send)("room", event)

    def disconnect(self, code: int) -> None:
        async_to_sync(self.channel_layer.group_discard)("room", self.channel_name)

    def chat_message(self, event: dict[str, Any]) -> None:
        self.send(text_data=event["text"])


async def test_a_consumer_of_channels_4_runs_as_it_is() -> None:
    application = Application([route_class(Room)])
    async with WebsocketClient(application, "/") as anna, WebsocketClient(application, "/") as bert:
        for text in ("one", "two"):
            await anna.send(text)
        for ws in (anna, bert):
            assert [await ws.receive(), await ws.receive()] == ["one (1)", "two (2)"]


async def test_its_hooks_run_in_threads() -> None:
    loop = threading.get_ident()

    class Where(WebsocketConsumer):
        def receive(self, text_data: str) -> None:
            self.send(str(threading.get_ident() == loop))

    async with client(Where) as ws:
        await ws.send("?")
        assert await ws.receive() == "False"


async def test_what_a_hook_sends_leaves_when_it_returns() -> None:
    class Member(WebsocketConsumer):
        groups = ("news",)

        def receive(self, text_data: str) -> None:
            self.send("mine")
            sync.Group("news").send({"text": "kept"})
            sync.Group("news").send({"text": "at once"}, immediately=True)

    async with client(Member) as ws:
        await ws.send("go")
        frames = [await ws.receive() for _ in range(3)]
        assert frames == ["at once", "mine", "kept"]


async def test_what_a_hook_sent_leaves_also_if_it_raised(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(WebsocketConsumer):
        def receive(self, text_data: str) -> None:
            self.send("before")
            raise ValueError("no")

    async with client(Failing) as ws:
        await ws.send("go")
        assert await ws.receive() == "before"
        assert await ws.wait_closed() == 1011
    assert "Failing raised on websocket.receive" in caplog.text


async def test_a_connect_refuses() -> None:
    class Closed(WebsocketConsumer):
        def connect(self) -> None:
            raise DenyConnection("full", status=429)

    with pytest.raises(ConnectionDenied) as denied:
        async with client(Closed):
            pass
    assert (denied.value.status, denied.value.reason) == (429, "full")


async def test_it_takes_what_its_receive_takes() -> None:
    class Bytes(WebsocketConsumer):
        def receive(self, bytes_data: bytes) -> None:
            self.send(bytes_data=bytes_data, close=4001)

    async with client(Bytes) as ws:
        await ws.send("text")
        assert await ws.wait_closed() == 1003
    async with client(Bytes) as ws:
        await ws.send(b"bytes")
        assert await ws.receive() == b"bytes"
        assert await ws.wait_closed() == 4001


async def test_it_accepts_and_closes_as_the_async_one() -> None:
    class Choosy(WebsocketConsumer):
        def connect(self) -> None:
            self.accept("v2", headers=[(b"x-hello", b"you")])
            self.close(code=4002, reason="enough")

    async with client(Choosy, subprotocols=["v1", "v2"]) as ws:
        assert ws.subprotocol == "v2"
        assert (b"x-hello", b"you") in ws.headers.raw
        assert await ws.wait_closed() == 4002
        assert ws.close_reason == "enough"


async def test_json_in_and_out() -> None:
    class Adder(JsonWebsocketConsumer):
        def receive_json(self, content: Any) -> None:
            self.send_json({"sum": sum(content)})

    async with client(Adder) as ws:
        await ws.send_json([1, 2])
        assert await ws.receive_json() == {"sum": 3}
        await ws.send("NaN")
        assert await ws.wait_closed() == 1007
    async with client(Adder) as ws:
        await ws.send(b"[1]")
        assert await ws.wait_closed() == 1003


async def test_it_has_the_state_that_it_asks_for() -> None:
    class Counting(WebsocketConsumer):
        channel_session = True

        def receive(self, text_data: str) -> None:
            seen = self.scope["channel_session"].get("seen", 0) + 1
            self.scope["channel_session"]["seen"] = seen
            self.send(str(seen))

    async with client(Counting) as ws:
        for seen in ("1", "2"):
            await ws.send("go")
            assert await ws.receive() == seen


async def test_on_a_named_channel_a_type_picks_the_method() -> None:
    class Mail(SyncConsumer):
        def news_letter(self, event: dict[str, Any]) -> None:
            sync.Channel(event["answer"]).send({"to": event["to"], "on": self.channel_name})

        def helper(self, one: int, two: int) -> int:
            return one + two

    application = Application([route("mail", Mail)])
    async with Node(application) as node:
        await Channel("mail").send({"type": "news.letter", "to": "anna", "answer": "done"})
        assert await application.layer.receive("done") == {"to": "anna", "on": "mail"}
        await node.idle()
    assert Mail.near("helper").startswith("Write `def helper(self, event)`")


def test_its_hooks_are_plain() -> None:
    with pytest.raises(ConfigurationError, match="connect must be a `def`: hooks of this consumer"):

        class Wrong(WebsocketConsumer):
            async def connect(self) -> None:  # type: ignore[override]
                pass

    with pytest.raises(ConfigurationError, match=r"Write `def receive\(self, text_data=None"):

        class Neither(WebsocketConsumer):
            def receive(self, data: str) -> None:
                pass


async def test_a_group_is_left_when_the_socket_ends() -> None:
    class Member(WebsocketConsumer):
        groups = ("members",)

    application = Application([route_class(Member)])
    async with WebsocketClient(application, "/") as ws:
        assert len(await application.layer.group_channels("members")) == 1
        await Group("members").send({"text": "hello"})
        assert await ws.receive() == "hello"
    assert await application.layer.group_channels("members") == set()
