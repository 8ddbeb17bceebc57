"""Sessions of browsers and of channels, over Django's engines."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.sessions.backends.base import CreateError, SessionBase
from django.contrib.sessions.models import Session
from django.test import override_settings

from achannels import Message, route, sync
from achannels.asgi import Application, get_asgi_application
from achannels.django.sessions import (
    BrowserSessions,
    EngineSessions,
    is_available,
    key_of,
    session_key,
    store_class,
)
from achannels.exceptions import ConfigurationError
from achannels.sessions import channel_session, http_session
from achannels.testing import WebsocketClient
from achannels.types import Scope

BACKENDS = "django.contrib.sessions.backends"
ENGINES = [f"{BACKENDS}.{name}" for name in ("db", "cached_db", "cache", "file")]
COOKIES = f"{BACKENDS}.signed_cookies"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    with override_settings(SESSION_ENGINE=request.param, SESSION_FILE_PATH=str(tmp_path)):
        yield request.param


def make_session(**items: Any) -> SessionBase:
    """Return a session as a view leaves it behind."""
    session = store_class(settings.SESSION_ENGINE)()
    session.update(items)
    session.save()
    return session


def scope_with(session: SessionBase | str | None) -> Scope:
    key = session.session_key if isinstance(session, SessionBase) else session
    cookies = [] if key is None else [(b"cookie", f"theme=dark; sessionid={key}".encode())]
    return {"type": "websocket", "headers": [(b"host", b"testserver"), *cookies]}


def read(key: str | None) -> dict[str, Any]:
    return dict(store_class(settings.SESSION_ENGINE)(key).items())


async def test_a_browsers_session_is_loaded_and_saved(engine: str) -> None:
    session = await sync_to_async(make_session)(name="anna")
    sessions = BrowserSessions()

    loaded = await sessions.load(scope_with(session))
    assert loaded is not None
    assert loaded["name"] == "anna"  # no I/O: the loop is not blocked, and Django does not object
    loaded["visits"] = 1
    await sessions.save(loaded)

    again = await sync_to_async(read)(session.session_key)
    assert again == {"name": "anna", "visits": 1}


async def test_a_session_that_was_deleted_meanwhile_stays_deleted(
    engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    session = await sync_to_async(make_session)(name="anna")
    loaded = await BrowserSessions().load(scope_with(session))
    assert loaded is not None
    await sync_to_async(session.delete)()

    loaded["visits"] = 1
    await BrowserSessions().save(loaded)

    assert await sync_to_async(read)(session.session_key) == {}
    assert "the session was deleted meanwhile" in caplog.text


async def test_an_unknown_session_is_empty_and_never_created(
    engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = await BrowserSessions().load(scope_with("abcdefghijklmnop"))
    assert loaded is not None
    assert dict(loaded.items()) == {}
    await BrowserSessions().save(loaded)
    loaded["visits"] = 1
    await BrowserSessions().save(loaded)
    assert loaded.session_key is None
    assert "the cookie names no session" in caplog.text


async def test_a_session_that_was_flushed_is_not_created_again(engine: str) -> None:
    session = await sync_to_async(make_session)(name="anna")
    loaded = await BrowserSessions().load(scope_with(session))
    assert loaded is not None
    await sync_to_async(loaded.flush)()
    await BrowserSessions().save(loaded)
    assert await Session.objects.acount() == 0


async def test_without_cookie_there_is_no_session() -> None:
    assert await BrowserSessions().load(scope_with(None)) is None
    assert await BrowserSessions().load(scope_with("")) is None


def test_cookies_may_come_in_several_headers() -> None:
    headers = [(b"cookie", b"theme=dark"), (b"cookie", b"sessionid=abc123")]
    assert session_key({"headers": headers}) == "abc123"
    with override_settings(SESSION_COOKIE_NAME="theme"):
        assert session_key({"headers": headers}) == "dark"


async def test_a_session_in_a_cookie_can_be_read_and_not_changed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with override_settings(SESSION_ENGINE=COOKIES):
        session = make_session(name="anna")
        loaded = await BrowserSessions().load(scope_with(session))
        assert loaded is not None
        assert loaded["name"] == "anna"
        loaded["visits"] = 1
        await BrowserSessions().save(loaded)
    assert "a change of http_session is lost" in caplog.text
    assert caplog.records[-1].levelno == logging.ERROR


async def test_consumers_use_it_as_a_dict() -> None:
    @http_session
    async def count(message: Message) -> None:
        message.http_session["visits"] = message.http_session.get("visits", 0) + 1
        await message.reply_channel.send({"text": str(message.http_session["visits"])})

    @http_session
    def count_too(message: sync.Message) -> None:
        message.http_session["visits"] = message.http_session.get("visits", 0) + 1
        message.reply_channel.send({"text": str(message.http_session["visits"])})

    @http_session
    async def count_and_fail(message: Message) -> None:
        message.http_session["visits"] = 100
        raise ZeroDivisionError

    session = await sync_to_async(make_session)()
    application = Application(
        [
            route("websocket.receive", count, path="async/"),
            route("websocket.receive", count_too, path="sync/"),
            route("websocket.receive", count_and_fail, path="fail/"),
        ]
    )
    headers = {"cookie": f"sessionid={session.session_key}"}
    async with (
        WebsocketClient(application, "/async/", headers=headers) as one,
        WebsocketClient(application, "/sync/", headers=headers) as two,
    ):
        for number, socket in enumerate([one, two, one, two], 1):
            await socket.send("")
            assert await socket.receive() == str(number)
    async with WebsocketClient(application, "/fail/", headers=headers) as socket:
        await socket.send("")
        assert await socket.wait_closed() == 1011
    assert (await sync_to_async(read)(session.session_key))["visits"] == 4


async def test_a_channel_session_carries_what_a_message_carries(engine: str) -> None:
    sessions = EngineSessions(engine)
    channel = "node!key"
    assert await sessions.load(channel) == {}
    content = {"name": "Zoë", "raw": b"\x00\xff", "n": [1, 2.5, None, {"deep": True}]}

    await sessions.save(channel, content)
    assert await sessions.load(channel) == content
    await sessions.save(channel, {"name": "anna"})
    assert await sessions.load(channel) == {"name": "anna"}
    assert await sessions.load("node!other") == {}

    await sessions.delete(channel)
    await sessions.delete(channel)
    assert await sessions.load(channel) == {}


async def test_two_processes_that_save_a_new_channel_session_agree() -> None:
    sessions = EngineSessions(f"{BACKENDS}.db")

    class SessionStore(store_class(f"{BACKENDS}.db")):  # type: ignore[misc]
        """Another process creates the session at the worst moment."""

        async def asave(self, must_create: bool = False) -> None:
            if must_create:
                await sessions.save("node!key", {"by": "the other"})
            await super().asave(must_create)

    SessionStore.__qualname__ = "SessionStore"  # the salt of what it signs

    late = EngineSessions(f"{BACKENDS}.db")
    late._store = SessionStore
    await late.save("node!key", {"by": "this one"})
    assert await sessions.load("node!key") == {"by": "this one"}


def test_the_key_is_that_of_channels_1() -> None:
    digest = hashlib.sha1(b"node!key", usedforsecurity=False).hexdigest()
    assert key_of("node!key") == f"chn{digest[:29]}"


async def test_a_channel_session_in_an_engine_ends_with_its_socket() -> None:
    @channel_session
    async def count(message: Message) -> None:
        message.channel_session["n"] = message.channel_session.get("n", 0) + 1
        await message.reply_channel.send({"text": str(message.channel_session["n"])})

    routing = [route("websocket.receive", count)]
    layers = {"default": {"ROUTING": f"{__name__}.counting"}}
    globals()["counting"] = routing
    with override_settings(
        CHANNEL_LAYERS=layers, ACHANNELS={"CHANNEL_SESSION_ENGINE": f"{BACKENDS}.db"}
    ):
        application = get_asgi_application()
    async with WebsocketClient(application, "/") as socket:
        for number in ("1", "2"):
            await socket.send("")
            assert await socket.receive() == number
        assert await Session.objects.acount() == 1
    assert await Session.objects.acount() == 0


@pytest.mark.parametrize(
    ("engine_name", "text"),
    [
        ("no.such.engine", "'no.such.engine' cannot be imported"),
        (COOKIES, "a socket has none"),
    ],
)
def test_an_engine_that_cannot_be(engine_name: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        EngineSessions(engine_name)


def test_an_engine_whose_table_is_missing() -> None:
    with override_settings(INSTALLED_APPS=["achannels"]):
        assert not is_available()
        with pytest.raises(ConfigurationError, match="Put 'django"):
            EngineSessions(f"{BACKENDS}.db")
        with override_settings(SESSION_ENGINE=f"{BACKENDS}.cache"):
            assert is_available()


def test_an_engine_that_is_no_name() -> None:
    with (
        override_settings(ACHANNELS={"CHANNEL_SESSION_ENGINE": 5}),
        pytest.raises(ConfigurationError, match="Give the dotted name"),
    ):
        get_asgi_application()


def test_creating_twice_is_an_error_of_django() -> None:
    """What `EngineSessions.save` relies on."""
    store = store_class(f"{BACKENDS}.db")("k" * 32)
    store["a"] = 1
    store.save(must_create=True)
    with pytest.raises(CreateError):
        store.save(must_create=True)
