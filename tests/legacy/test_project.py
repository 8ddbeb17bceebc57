"""A project of 1.x as a whole: its application, both worlds in it, the state that they share."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore

from achannels import Message as AsyncMessage
from achannels import route as our_route
from achannels.asgi import Application, get_asgi_application
from achannels.auth import http_user
from achannels.consumers import AsyncJsonWebsocketConsumer
from achannels.django import conf
from achannels.django.db import database_sync_to_async
from achannels.legacy import auth, dispatch, sessions, signals
from achannels.legacy.asgi import channel_layers
from achannels.legacy.channel import Channel, Group
from achannels.legacy.generic.websockets import WebsocketConsumer
from achannels.legacy.routing import route, route_class
from achannels.legacy.worker import Worker
from achannels.sessions import channel_session
from achannels.testing import HttpClient, Node, WebsocketClient
from tests.legacy.test_auth import log_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("old_ways")]


nothing: list[Any] = []


@pytest.fixture
def project(settings: Any) -> Any:
    """Make the application of a project with a routing."""

    def make(*routes: Any, **more: Any) -> Application:
        settings.CHANNEL_LAYERS = {"default": {"ROUTING": list(routes)}}
        return get_asgi_application(**more)

    return make


@database_sync_to_async
def browser_of(name: str) -> dict[str, str]:
    """Return the headers of a browser in which somebody is logged in."""
    store = log_in(SessionStore(), User.objects.create_user(name))
    return {"cookie": f"sessionid={store.session_key}"}


async def test_routes_of_both_kinds_in_one_list(project: Any) -> None:
    class Ticker(AsyncJsonWebsocketConsumer):
        async def receive_json(self, content: Any) -> None:
            await self.send_json({"board": self.kwargs["board"], "got": content})

    class Cart(WebsocketConsumer):
        http_user = True

        def receive(self, text: Any = None, bytes: Any = None, **kwargs: Any) -> None:
            self.send(text=f"{self.message.user} {text}")

    def ws_add(message: Any, shop: str) -> None:
        Group(f"shop-{shop}").add(message.reply_channel)
        message.reply_channel.send({"accept": True})

    def ws_message(message: Any, shop: str) -> None:
        Group(f"shop-{shop}").send({"text": f"{shop}: {message['text']}"})

    application = project(
        route("websocket.connect", ws_add, path=r"^/shop/(?P<shop>\w+)/$"),
        route("websocket.receive", ws_message, path=r"^/shop/(?P<shop>\w+)/$"),
        route_class(Cart, path=r"^/cart/$"),
        route_class(Ticker, path="prices/<slug:board>/"),
    )
    async with WebsocketClient(application, "/shop/books/") as ws:
        await ws.send("hi")
        assert await ws.receive() == "books: hi"
    async with WebsocketClient(application, "/cart/", headers=await browser_of("anna")) as ws:
        await ws.send("hi")
        assert await ws.receive() == "anna hi"
    async with WebsocketClient(application, "/prices/oil/") as ws:
        await ws.send_json([1])
        assert await ws.receive_json() == {"board": "oil", "got": [1]}
    async with HttpClient(application) as client:
        assert (await client.get("/nowhere/")).status == 404


@pytest.mark.parametrize("kind", [list, tuple, lambda routes: "tests.legacy.test_project.nothing"])
async def test_routes_added_to_the_router_of_the_layer(kind: Any, settings: Any) -> None:
    def receive(message: Any) -> None:
        message.reply_channel.send({"text": f"plugged in: {message['text']}"})

    routing = kind([route("websocket.receive", receive, path="^/own/")])
    settings.CHANNEL_LAYERS = {"default": {"ROUTING": routing}}
    channel_layers["default"].router.add_route(route("websocket.receive", receive, path="^/plug/"))
    conf.install()  # an app that comes later is ready
    async with WebsocketClient(get_asgi_application(), "/plug/") as ws:
        await ws.send("hi")
        assert await ws.receive() == "plugged in: hi"
    settings.CHANNEL_LAYERS = {"default": {"ROUTING": [route("websocket.receive", receive)]}}
    assert not any("plug" in line for line in get_asgi_application().router.routes)


async def test_a_socket_shares_its_session_between_both_kinds(project: Any) -> None:
    @sessions.channel_session
    def connect(message: Any) -> None:
        message.channel_session["steps"] = ["def"]
        message.reply_channel.send({"accept": True})

    @channel_session
    async def receive(message: AsyncMessage) -> None:
        message.channel_session["steps"] = [*message.channel_session["steps"], "async def"]
        await message.reply_channel.send({"text": "ok"})

    seen: list[Any] = []

    @sessions.channel_session
    def disconnect(message: Any) -> None:
        seen.extend(message.channel_session["steps"])

    application = project(
        route("websocket.connect", connect),
        our_route("websocket.receive", receive),
        route("websocket.disconnect", disconnect),
    )
    async with WebsocketClient(application, "/") as ws:
        for _ in range(2):
            await ws.send("hi")
            assert await ws.receive() == "ok"
    assert seen == ["def", "async def", "async def"]


@pytest.mark.parametrize("setting", ["keep", "delete"])
async def test_the_session_of_a_socket_that_ended(
    project: Any, settings: Any, setting: str
) -> None:
    settings.CHANNELS_SESSIONS = setting
    names: list[str] = []

    @sessions.channel_session
    def connect(message: Any) -> None:
        names.append(message.reply_channel.name)
        message.channel_session["a"] = 1
        message.reply_channel.send({"accept": True})

    async with WebsocketClient(project(route("websocket.connect", connect)), "/"):
        pass

    def stored() -> bool:
        return "a" in sessions.session_for_reply_channel(names[0])

    assert await database_sync_to_async(stored)() is (setting == "keep")


@pytest.mark.parametrize("state", ["message", "connection"])
async def test_users_are_read_anew(project: Any, state: str) -> None:
    headers = await browser_of("anna")

    @http_user
    async def receive(message: AsyncMessage) -> None:
        await message.reply_channel.send({"text": message.user.get_username()})

    application = project(our_route("websocket.receive", receive), state=state)
    async with WebsocketClient(application, "/", headers=headers) as ws:
        await ws.send("who?")
        assert await ws.receive() == "anna"
        await User.objects.aupdate(username="berta")
        await ws.send("who?")
        assert await ws.receive() == ("berta" if state == "message" else "anna")


async def test_log_in_and_order_over_a_socket(project: Any) -> None:
    @auth.channel_session_user_from_http
    def connect(message: Any) -> None:
        message.reply_channel.send({"accept": True})

    @sessions.enforce_ordering
    @auth.channel_session_user
    def receive(message: Any) -> None:
        if message["text"] == "fail":
            raise ValueError("no")
        message.reply_channel.send({"text": f"{message.user} {message['order']}"})

    application = project(route("websocket.connect", connect), route("websocket.receive", receive))
    client = WebsocketClient(application, "/", headers=await browser_of("anna"))
    with pytest.raises(ValueError, match="no"):
        await talk(client, ["one", "fail", "three"], ["anna 1", "anna 3"])


async def talk(client: WebsocketClient, texts: list[str], answers: list[str]) -> None:
    async with client as ws:
        for text in texts:
            await ws.send(text)
        assert [await ws.receive() for _ in answers] == answers


async def test_background_messages(project: Any, caplog: pytest.LogCaptureFixture) -> None:
    runs: list[Any] = []

    def work(message: Any) -> None:
        runs.append((message["n"], message.reply_channel))
        message["seen"] = message.get("seen", 0) + 1
        if message["seen"] < 3:
            from achannels.legacy.exceptions import ConsumeLater

            raise ConsumeLater
        Channel("done").send({"seen": message["seen"]})

    application = project(route("work", work))
    async with Node(application) as node:
        from achannels import Channel as AsyncChannel

        await AsyncChannel("work").send({"n": 1})
        assert await application.layer.receive("done") == {"seen": 3}
        await node.idle()
    assert runs == [(1, None)] * 3


async def test_a_background_message_that_is_always_later_is_given_up(
    project: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from achannels import Channel as AsyncChannel
    from achannels.legacy.exceptions import ConsumeLater

    doomed: list[bool] = []

    def work(message: Any) -> None:
        doomed.append(getattr(message, "__doomed__", False))
        raise ConsumeLater

    async with Node(project(route("work", work))) as node:
        await AsyncChannel("work").send({})
        await node.idle()
    assert doomed == [False] * 10 + [True]
    assert "asked to be handled later too often" in caplog.text
    assert dispatch.RETRIES == 10


async def test_a_durable_consumer_is_tried_again_by_its_own_rules(project: Any) -> None:
    from achannels import Channel as AsyncChannel
    from achannels import consumer
    from achannels.legacy.exceptions import ConsumeLater

    attempts: list[int] = []

    @consumer(durable=True, retries=1, backoff=0)
    def work(message: Any) -> None:
        attempts.append(message.attempt)
        raise ConsumeLater

    async with Node(project(route("work", work))) as node:
        await AsyncChannel("work").send({})
        await node.idle()
        (letter,) = await AsyncChannel("work").dead_letters()
    assert attempts == [1, 2]
    assert letter.attempts == 2


async def test_a_node_that_starts_is_ready(project: Any) -> None:
    told: list[Any] = []

    def ready(sender: Any, **kwargs: Any) -> None:
        told.append(type(sender))

    signals.worker_ready.connect(ready)
    try:
        async with Node(project()):
            assert told == [Worker]
    finally:
        signals.worker_ready.disconnect(ready)


async def test_a_receiver_of_it_that_fails_is_logged(
    project: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def ready(sender: Any, **kwargs: Any) -> None:
        raise ValueError("no")

    signals.worker_ready.connect(ready)
    try:
        with pytest.raises(ValueError, match="no"):  # the node tells what it found in the log
            async with Node(project()):
                assert "a receiver of worker_ready failed" in caplog.text
    finally:
        signals.worker_ready.disconnect(ready)
