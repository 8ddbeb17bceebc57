"""The application as a whole: what it serves, what it hands on, what surrounds it."""

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from achannels import Channel, Group, Message, include, registry, route, route_class
from achannels.asgi import Application
from achannels.auth import http_user
from achannels.consumers import AsyncWebsocketConsumer
from achannels.exceptions import ConfigurationError
from achannels.layers.memory import MemoryLayer
from achannels.testing import ConnectionDenied, HttpClient, Node, WebsocketClient
from achannels.types import Receive, Scope, Send
from tests.doubles import RecordingSend, ScriptedReceive, assert_balanced


async def echo(message: Message, **kwargs: Any) -> None:
    await message.reply_channel.send({"text": message["text"]})


async def nobody(scope: Scope) -> str:
    return "nobody"


async def tell_user(message: Message) -> None:
    await message.reply_channel.send({"text": str(message.user)})


# What it serves.


async def test_two_people_talk_in_a_room() -> None:
    async def connect(message: Message, room: str) -> None:
        await Group(f"chat-{room}").add(message.reply_channel)
        await message.reply_channel.send({"accept": True})

    async def receive(message: Message, room: str) -> None:
        await Group(f"chat-{room}").send({"text": message["text"]})

    consumers = {"websocket.connect": connect, "websocket.receive": receive}
    app = Application([include(consumers, path="chat/<slug:room>/")])
    anna, bert = WebsocketClient(app, "/chat/lobby/"), WebsocketClient(app, "/chat/lobby/")
    async with anna, bert, WebsocketClient(app, "/chat/attic/") as elsewhere:
        await anna.send("hi")
        assert await bert.receive() == "hi"
        assert await anna.receive() == "hi"
        assert await elsewhere.receive_nothing()


async def test_a_regular_expression_sees_the_leading_slash() -> None:
    app = Application([route("websocket.receive", echo, path=r"^/chat/(?P<room>\w+)/$")])
    async with WebsocketClient(app, "/chat/lobby/") as ws:
        await ws.send("a")
        assert await ws.receive() == "a"
    with pytest.raises(ConnectionDenied):
        async with WebsocketClient(app, "/chat/lobby/more/"):
            pass


async def test_an_unknown_kind_of_connection_is_refused() -> None:
    with pytest.raises(ValueError, match="'telnet'"):
        await Application([])({"type": "telnet"}, ScriptedReceive(), RecordingSend())


async def test_a_socket_that_no_route_takes_goes_to_the_other_application() -> None:
    async def other(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": f"other {scope['path']}"})
        assert (await receive())["type"] == "websocket.disconnect"

    app = Application([route("websocket.receive", echo, path="ours/")], websocket=other)
    async with WebsocketClient(app, "/theirs/") as theirs, WebsocketClient(app, "/ours/") as ours:
        assert await theirs.receive() == "other /theirs/"
        await ours.send("ours")
        assert await ours.receive() == "ours"


async def test_a_layer_of_its_own_is_used_instead_of_the_default(
    channel_layer: MemoryLayer,
) -> None:
    own = MemoryLayer()

    async def connect(message: Message) -> None:
        await Group("room", channel_layer=message.channel_layer).add(message.reply_channel)
        await message.reply_channel.send({"accept": True})

    app = Application([route("websocket.connect", connect)], layer=own)
    async with WebsocketClient(app, "/") as ws:
        await Group("room").send({"text": "the default"})
        await Group("room", channel_layer=own).send({"text": "its own"})
        assert await ws.receive() == "its own"
    assert_balanced(await own.statistics())
    assert app.layer is own


async def test_a_layer_becomes_the_default_where_there_is_none(channel_layer: MemoryLayer) -> None:
    async def connect(message: Message) -> None:
        await Group("room").add(message.reply_channel)
        await message.reply_channel.send({"accept": True})

    first, second = MemoryLayer(), MemoryLayer()
    registry.set_channel_layer(None)
    app = Application([route("websocket.connect", connect)], layer=first)
    other = Application([], layer=second)
    assert registry.get_channel_layer() is first
    assert (app.layer, other.layer) == (first, second)
    async with WebsocketClient(app, "/") as ws:
        await Group("room").send({"text": "from anywhere"})
        assert await ws.receive() == "from anywhere"
    registry.set_channel_layer(channel_layer)
    assert app.layer is channel_layer


async def test_the_layer_is_looked_up_again_when_it_was_swapped() -> None:
    async def connect(message: Message) -> None:
        await Group("room").add(message.reply_channel)
        await message.reply_channel.send({"accept": True})

    app = Application([route("websocket.connect", connect)])
    async with app:
        async with WebsocketClient(app, "/") as ws:
            await Group("room").send({"text": "first"})
            assert await ws.receive() == "first"
        with registry.override(MemoryLayer()):
            async with WebsocketClient(app, "/") as ws:
                await Group("room").send({"text": "second"})
                assert await ws.receive() == "second"


async def test_an_application_serves_another_event_loop_after_the_first() -> None:
    app = Application([route("websocket.receive", echo)])

    async def talk() -> str | bytes:
        async with WebsocketClient(app, "/") as ws:
            await ws.send("a")
            return await ws.receive()

    assert await talk() == "a"
    assert await asyncio.to_thread(asyncio.run, talk()) == "a"
    assert await talk() == "a"


async def test_statistics_count_sockets_and_threads() -> None:
    app = Application([route("websocket.receive", echo)], threads=3)
    async with app, WebsocketClient(app, "/") as ws:
        await ws.send("a")
        await ws.receive()
        statistics = await app.statistics()
        assert (statistics["sockets"], statistics["threads"]) == (1, 3)
        assert statistics["delivered"] >= 1
        assert_balanced(statistics)


async def test_a_wrong_setting_fails_at_start() -> None:
    with pytest.raises(ConfigurationError, match="max_size"):
        Application([], max_siez=1)  # type: ignore[call-arg]


async def test_a_class_with_changed_attributes_is_another_route() -> None:
    class Greeter(AsyncWebsocketConsumer):
        greeting = "hello"

        async def connect(self) -> None:
            await self.accept()
            await self.send(text_data=self.greeting)

    app = Application(
        [
            Greeter.as_route({"greeting": "moin"}, path="north/"),
            route_class(Greeter, path="south/"),
        ]
    )
    async with WebsocketClient(app, "/north/") as north, WebsocketClient(app, "/south/") as south:
        assert await north.receive() == "moin"
        assert await south.receive() == "hello"


# State.


async def test_the_user_is_loaded_once_per_socket() -> None:
    calls = []

    async def load(scope: Scope) -> str:
        calls.append(scope["path"])
        return "anna"

    app = Application([route("websocket.receive", http_user(tell_user))], user=load)
    async with WebsocketClient(app, "/") as ws:
        for _ in range(3):
            await ws.send("who am I?")
            assert await ws.receive() == "anna"
    assert calls == ["/"]


async def test_a_user_in_the_scope_wins() -> None:
    app = Application([route("websocket.receive", http_user(tell_user))], user=nobody)
    async with WebsocketClient(app, "/", user="bert") as ws:
        await ws.send("who am I?")
        assert await ws.receive() == "bert"


async def test_a_class_reads_its_user_from_the_scope() -> None:
    class Who(AsyncWebsocketConsumer):
        http_user = True

        async def receive(self, text_data: str) -> None:
            await self.send(text_data=self.scope["user"])

    app = Application([route_class(Who)], user=nobody)
    async with WebsocketClient(app, "/") as ws, WebsocketClient(app, "/", user="anna") as anna:
        await ws.send("a")
        await anna.send("a")
        assert await ws.receive() == "nobody"
        assert await anna.receive() == "anna"


async def test_writing_to_the_scope_of_a_class_reaches_no_other_socket() -> None:
    class Writer(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            assert "seen" not in self.scope
            self.scope["seen"] = True
            await self.accept()

    app = Application([route_class(Writer)])
    async with WebsocketClient(app, "/") as one, WebsocketClient(app, "/") as two:
        assert "seen" not in one.scope
        assert "seen" not in two.scope


# Beside and around other applications.


async def test_a_middleware_puts_its_user_into_the_scope() -> None:
    class Tokens(AuthenticationBackend):
        async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser]:
            return AuthCredentials(), SimpleUser(conn.headers["x-token"])

    class Who(AsyncWebsocketConsumer):
        http_user = True

        async def receive(self, text_data: str) -> None:
            await self.send(text_data=self.scope["user"].username)

    app = AuthenticationMiddleware(Application([route_class(Who)], user=nobody), backend=Tokens())
    async with WebsocketClient(app, "/", headers={"X-Token": "anna"}) as ws:
        await ws.send("a")
        assert await ws.receive() == "anna"


async def test_mounted_in_starlette_the_path_begins_at_the_mount() -> None:
    realtime = Application([route("websocket.receive", echo, path="chat/<slug:room>/")])

    async def notify(request: Request) -> JSONResponse:
        await Group("nobody").send({"text": "news"})
        return JSONResponse({"sent": True})

    app = Starlette(routes=[Route("/notify", notify, methods=["POST"]), Mount("/live", realtime)])
    async with WebsocketClient(app, "/live/chat/lobby/?a=1") as ws, HttpClient(app) as http:
        await ws.send("a")
        assert await ws.receive() == "a"
        assert (await http.post("/notify")).json() == {"sent": True}
    with pytest.raises(ConnectionDenied) as denied:
        async with WebsocketClient(app, "/live/nothing/"):
            pass
    assert denied.value.status == 404


async def test_a_consumer_under_a_mount_that_raises_is_found_by_its_client() -> None:
    async def broken(message: Message) -> None:
        raise ValueError("broken")

    app = Starlette(
        routes=[Mount("/live", Application([route("websocket.receive", broken, path="chat/")]))]
    )
    async with WebsocketClient(app, "/live/chat/") as ws:
        await ws.send("a")
        with pytest.raises(AssertionError) as failed:
            await ws.receive()
    assert isinstance(failed.value.__cause__, ValueError)


async def test_a_root_path_is_not_part_of_the_path() -> None:
    app = Application([route("websocket.receive", echo, path="chat/")])
    async with WebsocketClient(app, "/chat/", root_path="/live") as ws:
        await ws.send("a")
        assert await ws.receive() == "a"


async def test_starlette_inside_gets_requests_and_lifespan() -> None:
    steps = []

    class Lifespan:
        def __init__(self, app: Starlette) -> None:
            self.app = app

        async def __aenter__(self) -> None:
            steps.append("start")

        async def __aexit__(self, *exc_info: object) -> None:
            steps.append("stop")

    async def hello(request: Request) -> JSONResponse:
        await Channel("work").send({"from": "a view"})
        return JSONResponse({"hello": "world"})

    async def work(message: Message) -> None:
        steps.append(message["from"])

    inner = Starlette(routes=[Route("/", hello)], lifespan=Lifespan)
    app = Application([route("work", work)], http=inner)
    async with Node(app) as node, HttpClient(app) as client:
        assert (await client.get("/")).json() == {"hello": "world"}
        await node.idle()
    assert steps == ["start", "a view", "stop"]


async def test_entered_in_the_lifespan_of_a_host_it_drains_on_stop() -> None:
    from collections.abc import AsyncIterator
    from contextlib import asynccontextmanager

    codes = []

    async def disconnect(message: Message) -> None:
        codes.append(message["code"])

    realtime = Application(
        [route("websocket.receive", echo), route("websocket.disconnect", disconnect)]
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with realtime:
            yield

    app = Starlette(routes=[Mount("/live", realtime)], lifespan=lifespan)
    async with Node(app):
        client = WebsocketClient(app, "/live/")
        await client.__aenter__()
    assert codes == [1012]
    assert await client.wait_closed() == 1012
    await client.__aexit__(None, None, None)
