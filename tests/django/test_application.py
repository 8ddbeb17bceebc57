"""The application of a Django project."""

import pytest
from django.test import override_settings

from achannels import Message, route
from achannels.asgi import Application, get_asgi_application
from achannels.auth import http_user
from achannels.django.application import is_own_host
from achannels.django.testing import ChannelTestCase
from achannels.exceptions import ConfigurationError
from achannels.testing import ConnectionDenied, HttpClient, WebsocketClient
from tests.django.board.models import Note


@http_user
async def needs_a_user(message: Message) -> None:
    await message.reply_channel.send({"text": str(message.user)})


user_routing = [route("websocket.receive", needs_a_user)]


class Pages(ChannelTestCase):
    async def test_requests_go_to_django(self) -> None:
        await Note.objects.acreate(text="first")
        async with HttpClient(get_asgi_application()) as client:
            response = await client.get("/notes/")
            assert (response.status, response.text) == (200, "first")
            assert (await client.get("/stream/")).text == "one two"
            assert (await client.get("/nothing/")).status == 404


@pytest.mark.parametrize(
    ("allowed", "debug", "host", "own"),
    [
        ([], True, "localhost", True),
        ([], True, "app.localhost", True),
        ([], True, "127.0.0.1", True),
        ([], True, "::1", True),
        ([], True, "example.org", False),
        ([], False, "localhost", False),
        (["example.org"], True, "example.org", True),
        (["example.org"], True, "localhost", False),
        ([".example.org"], False, "www.example.org", True),
        (["[::1]"], False, "::1", True),
        (["*"], False, "anything.test", True),
    ],
)
def test_allowed_hosts_are_our_hosts(allowed: list[str], debug: bool, host: str, own: bool) -> None:
    with override_settings(ALLOWED_HOSTS=allowed, DEBUG=debug):
        assert is_own_host(host) is own


@override_settings(ALLOWED_HOSTS=["www.example.org", "api.example.org"])
async def test_a_page_of_an_allowed_host_may_open_a_socket() -> None:
    headers = {"host": "api.example.org"}
    application = get_asgi_application()
    own, foreign = "http://www.example.org", "http://evil.example"
    async with WebsocketClient(application, "/board/", headers=headers, origin=own):
        pass
    with pytest.raises(ConnectionDenied):
        async with WebsocketClient(application, "/board/", headers=headers, origin=foreign):
            pass


def test_a_consumer_that_asks_for_what_nobody_loads_stops_the_start() -> None:
    here = f"{__name__}.user_routing"
    apps = ["django.contrib.contenttypes", "achannels", "tests.django.board"]
    layers = {"default": {"ROUTING": here}}
    with (
        override_settings(CHANNEL_LAYERS=layers, INSTALLED_APPS=apps),
        pytest.raises(ConfigurationError, match="http_user"),
    ):
        get_asgi_application()


def test_a_project_without_the_app_is_told_so() -> None:
    with (
        override_settings(INSTALLED_APPS=["django.contrib.contenttypes"]),
        pytest.raises(ConfigurationError, match="Put 'achannels' into INSTALLED_APPS"),
    ):
        get_asgi_application()


def test_it_is_an_application() -> None:
    application = get_asgi_application()
    assert isinstance(application, Application)
    assert application.channel_sessions is None
