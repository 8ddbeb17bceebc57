"""What the page on sessions and users says, and its snippets."""

import sys
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.models import Group as UserGroup
from django.contrib.sessions.models import Session
from django.core.exceptions import SynchronousOnlyOperation
from django.test import AsyncClient, RequestFactory, override_settings

from achannels import Channel, Message, route, route_class
from achannels.asgi import Application, get_asgi_application
from achannels.auth import http_user, set_user_loader
from achannels.consumers import AsyncJsonWebsocketConsumer
from achannels.django.auth import user_of
from achannels.exceptions import (
    ConfigurationError,
    DenyConnection,
    NoReplyChannel,
    NotLoaded,
)
from achannels.sessions import channel_session, http_session, set_http_sessions
from achannels.testing import ConnectionDenied, Node, WebsocketClient
from tests.docs.snippets import TEXTS

PAGE = "docs/guide/sessions-and-users.md"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def anna() -> User:
    return await get_user_model().objects.acreate_user("anna")


@pytest.fixture
async def browser(anna: User) -> AsyncClient:
    """A browser where anna has logged in."""
    client = AsyncClient()
    await client.aforce_login(anna)
    return client


def socket(application: Application, path: str, browser: AsyncClient) -> WebsocketClient:
    """Return a socket that the browser opens."""
    cookies = browser.cookies.output(attrs=[], header="", sep=";").strip()
    return WebsocketClient(application, path, headers={"cookie": cookies})


# The first example.


async def test_the_chat_knows_who_speaks(page: Any, browser: AsyncClient) -> None:
    async with socket(Application(page.channel_routing), "/chat/", browser) as ws:
        await ws.send("hi")
        assert await ws.receive() == "anna: hi"
        await ws.close(4000)
    session = await Session.objects.aget()
    assert session.get_decoded()["left_with"] == 4000


async def test_the_chat_refuses_a_stranger(page: Any) -> None:
    with pytest.raises(ConnectionDenied) as denied:
        async with WebsocketClient(Application(page.channel_routing), "/chat/"):
            pass
    assert (denied.value.status, denied.value.reason) == (401, "log in first")


async def test_a_class_has_the_user_in_its_scope(page: Any, browser: AsyncClient) -> None:
    application = Application([page.watcher_route])
    async with socket(application, "/watch/", browser) as ws:
        assert await ws.receive_json() == {"hello": "anna"}
    with pytest.raises(ConnectionDenied):
        async with WebsocketClient(application, "/watch/"):
            pass


async def test_what_was_not_asked_for(page: Any) -> None:
    texts = []

    async def receive(message: Message) -> None:
        with pytest.raises(NotLoaded) as error:
            _ = message.user
        texts.append(str(error.value))

    class Watcher(AsyncJsonWebsocketConsumer):
        async def connect(self) -> None:
            with pytest.raises(KeyError) as error:
                _ = self.scope["user"]
            texts.append(error.value.args[0])
            await self.accept()

    for consumer in (receive, Watcher):
        consumer.__module__ = "chat.consumers"
        consumer.__qualname__ = consumer.__name__
    application = Application(
        [route("websocket.receive", receive, path="a/"), route_class(Watcher, path="b/")]
    )
    async with WebsocketClient(application, "/a/") as one, WebsocketClient(application, "/b/"):
        await one.send("")
    assert len(texts) == 2
    for text in texts:
        assert text in TEXTS[PAGE]


# When it is loaded and saved.


async def test_the_channel_session_stays_when_the_consumer_raised() -> None:
    @channel_session
    async def connect(message: Message) -> None:
        message.channel_session["seen"] = []
        await message.reply_channel.send({"accept": True})

    @channel_session
    async def receive(message: Message) -> None:
        message.channel_session["seen"].append(message["text"])
        raise ZeroDivisionError

    kept: list[list[str]] = []

    @channel_session
    async def disconnect(message: Message) -> None:
        kept.append(message.channel_session["seen"])

    application = Application(
        {
            "websocket.connect": connect,
            "websocket.receive": receive,
            "websocket.disconnect": disconnect,
        }
    )
    async with WebsocketClient(application, "/") as ws:
        await ws.send("one")
        assert await ws.wait_closed() == 1011
    assert kept == [["one"]]


async def test_a_channel_session_of_a_background_message() -> None:
    @channel_session
    async def work(message: Message) -> None: ...

    async with Node(Application([route("work", work)])) as node:
        await Channel("work").send({})
        with pytest.raises(NoReplyChannel):
            await node.idle()


async def test_the_session_of_the_browser_is_loaded_for_each_call(browser: AsyncClient) -> None:
    @http_session
    async def receive(message: Message) -> None:
        await message.reply_channel.send({"text": str(message.http_session.get("color"))})

    async with socket(Application([route("websocket.receive", receive)]), "/", browser) as ws:
        await ws.send("?")
        assert await ws.receive() == "None"
        session = await browser.asession()
        await session.aset("color", "green")
        await session.asave()
        await ws.send("?")
        assert await ws.receive() == "green"


async def test_without_cookie_there_is_none_and_after_a_log_out_it_is_empty(
    browser: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    @http_session
    async def receive(message: Message) -> None:
        session = message.http_session
        await message.reply_channel.send(
            {"text": "None" if session is None else str(len(session.keys()))}
        )
        if session is not None and message["text"] == "write":
            session["color"] = "green"

    application = Application([route("websocket.receive", receive)])
    async with (
        WebsocketClient(application, "/") as stranger,
        socket(application, "/", browser) as ws,
    ):
        await stranger.send("")
        assert await stranger.receive() == "None"
        await ws.send("")
        assert await ws.receive() == "3"
        await browser.alogout()
        await ws.send("write")
        assert await ws.receive() == "0"
        await ws.send("")
        assert await ws.receive() == "0"
    assert await Session.objects.acount() == 0
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_the_user_is_loaded_once(browser: AsyncClient, anna: User) -> None:
    @http_user
    async def receive(message: Message) -> None:
        await message.reply_channel.send({"text": message.user.first_name})

    async with socket(Application([route("websocket.receive", receive)]), "/", browser) as ws:
        for _ in range(2):
            await ws.send("?")
            assert await ws.receive() == ""
            anna.first_name = "Anna"
            await anna.asave()


async def test_what_the_user_has_not_loaded(browser: AsyncClient, anna: User) -> None:
    await anna.groups.aadd(await UserGroup.objects.acreate(name="writers"))

    @http_user
    async def receive(message: Message) -> None:
        with pytest.raises(SynchronousOnlyOperation):
            list(message.user.groups.all())
        names = [group.name async for group in message.user.groups.all()]
        await message.reply_channel.send({"text": ",".join(names)})

    async with socket(Application([route("websocket.receive", receive)]), "/", browser) as ws:
        await ws.send("?")
        assert await ws.receive() == "writers"


async def test_a_log_out_closes_the_sockets_of_the_user(page: Any, browser: AsyncClient) -> None:
    application = Application([route("websocket.connect", page.join)])
    async with (
        socket(application, "/", browser) as one,
        socket(application, "/", browser) as two,
        WebsocketClient(application, "/") as stranger,
    ):
        await sync_to_async(browser.logout)()
        assert [await one.wait_closed(), await two.wait_closed()] == [4401, 4401]
        assert await stranger.receive_nothing()


# Another user function.


async def test_a_ticket_says_who_it_is(page: Any, anna: User) -> None:
    @http_user
    async def connect(message: Message) -> None:
        await message.reply_channel.send({"accept": True})
        await message.reply_channel.send({"text": str(message.user)})

    request = RequestFactory().get("/ticket/")
    request.user = anna
    answer = page.ticket(request)
    assert answer.status_code == 200
    ticket = page.signer.sign(str(anna.pk))
    assert ticket.encode() in answer.content
    vars(sys.modules["mysite.auth"])["routing"] = [route("websocket.connect", connect)]
    layers = {"default": {"ROUTING": "mysite.auth.routing"}}
    with override_settings(CHANNEL_LAYERS=layers, ACHANNELS=page.ACHANNELS):
        application = get_asgi_application()
    for given, who in ((ticket, "anna"), ("forged", "AnonymousUser"), ("", "AnonymousUser")):
        async with WebsocketClient(application, f"/?ticket={given}") as ws:
            assert await ws.receive() == who
    assert (
        await page.user_from_ticket({"query_string": f"ticket={page.signer.sign('x')}".encode()})
        == AnonymousUser()
    )
    assert (
        await page.user_from_ticket({"query_string": f"ticket={page.signer.sign('0')}".encode()})
        == AnonymousUser()
    )


async def test_a_user_function_may_refuse() -> None:
    async def nobody(scope: Any) -> None:
        raise DenyConnection("no ticket", status=401)

    @http_user
    async def connect(message: Message) -> None: ...

    application = Application([route("websocket.connect", connect)], user=nobody)
    with pytest.raises(ConnectionDenied) as denied:
        async with WebsocketClient(application, "/"):
            pass
    assert (denied.value.status, denied.value.reason) == (401, "no ticket")


async def test_djangos_log_in_is_a_function(browser: AsyncClient) -> None:
    cookie = f"sessionid={browser.cookies['sessionid'].value}"
    assert str(await user_of({"headers": [(b"cookie", cookie.encode())]})) == "anna"


async def test_nobody_says_who_it_is() -> None:
    before = set_user_loader(None), set_http_sessions(None)
    try:
        for mark in (http_user, http_session):

            @mark
            async def connect(message: Message) -> None: ...

            with pytest.raises(ConfigurationError, match=mark.__name__):
                await Application([route("websocket.connect", connect)]).node()
    finally:
        set_user_loader(before[0])
        set_http_sessions(before[1])
