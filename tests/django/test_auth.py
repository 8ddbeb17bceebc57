"""The user of a connection: who logged in when it was made."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.models import Session
from django.test import AsyncClient, override_settings

from achannels import Message, route, route_class, sync
from achannels.asgi import Application, get_asgi_application
from achannels.auth import http_user
from achannels.consumers import AsyncJsonWebsocketConsumer
from achannels.django.auth import user_of
from achannels.testing import WebsocketClient
from achannels.types import Scope

pytestmark = pytest.mark.django_db(transaction=True)


@http_user
async def who(message: Message) -> None:
    await message.reply_channel.send({"text": str(message.user)})


@http_user
def who_too(message: sync.Message) -> None:
    message.reply_channel.send({"text": str(message.user)})


class Who(AsyncJsonWebsocketConsumer):
    http_user = True

    async def receive_json(self, content: Any) -> None:
        user = self.scope["user"]
        await self.send_json([str(user), user.is_authenticated])


user_routing = [
    route("websocket.receive", who, path="async/"),
    route("websocket.receive", who_too, path="sync/"),
    route_class(Who, path="class/"),
]


async def make_user() -> User:
    return await get_user_model().objects.acreate_user("anna", password="old")


async def log_in(user: User) -> Scope:
    """Return the scope of a connection from a browser where the user has logged in."""
    client = AsyncClient()
    await client.aforce_login(user)
    cookie = f"sessionid={client.cookies['sessionid'].value}"
    return {"type": "websocket", "headers": [(b"cookie", cookie.encode())]}


async def test_nobody_has_logged_in() -> None:
    assert isinstance(await user_of({"headers": []}), AnonymousUser)
    assert isinstance(
        await user_of({"headers": [(b"cookie", b"sessionid=nonsense")]}), AnonymousUser
    )


async def test_the_user_of_a_session_is_loaded_whole() -> None:
    scope = await log_in(await make_user())
    user = await user_of(scope)
    assert type(user) is User
    assert (user.username, user.is_authenticated) == ("anna", True)


async def test_a_user_who_was_deleted() -> None:
    user = await make_user()
    scope = await log_in(user)
    await user.adelete()
    assert isinstance(await user_of(scope), AnonymousUser)


async def test_a_changed_password_ends_the_log_in_and_leaves_the_session_to_django() -> None:
    user = await make_user()
    scope = await log_in(user)
    await sync_to_async(user.set_password)("new")
    await user.asave()
    assert isinstance(await user_of(scope), AnonymousUser)
    assert await Session.objects.acount() == 1


async def test_a_new_secret_key_does_not_log_the_browser_out() -> None:
    scope = await log_in(await make_user())
    before = await Session.objects.aget()
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["only for tests"]):
        user = await user_of(scope)
        after = await Session.objects.aget()
        assert SESSION_KEY in after.get_decoded()
    assert user.is_authenticated
    assert after.session_key == before.session_key


async def test_consumers_of_all_kinds_have_the_user() -> None:
    scope = await log_in(await make_user())
    headers = [(name.decode(), value) for name, value in scope["headers"]]
    with override_settings(CHANNEL_LAYERS={"default": {"ROUTING": f"{__name__}.user_routing"}}):
        application = get_asgi_application()
    async with (
        WebsocketClient(application, "/async/", headers=headers) as one,
        WebsocketClient(application, "/sync/", headers=headers) as two,
        WebsocketClient(application, "/class/", headers=headers) as three,
        WebsocketClient(application, "/class/") as stranger,
    ):
        for socket in (one, two):
            await socket.send("who?")
            assert await socket.receive() == "anna"
        await three.send_json("who?")
        assert await three.receive_json() == ["anna", True]
        await stranger.send_json("who?")
        assert await stranger.receive_json() == ["AnonymousUser", False]


async def user_from_token(scope: Scope) -> str:
    return f"bearer of {scope['query_string'].decode()}"


async def test_a_project_says_who_the_user_is() -> None:
    setting = {"USER": f"{__name__}.user_from_token"}
    layers = {"default": {"ROUTING": f"{__name__}.user_routing"}}
    with override_settings(CHANNEL_LAYERS=layers, ACHANNELS=setting):
        application = get_asgi_application()
    async with WebsocketClient(application, "/async/?token=7") as socket:
        await socket.send("who?")
        assert await socket.receive() == "bearer of token=7"


async def test_a_middlewares_user_wins() -> None:
    application = Application(user_routing)
    async with WebsocketClient(application, "/async/", user="from a middleware") as socket:
        await socket.send("who?")
        assert await socket.receive() == "from a middleware"
