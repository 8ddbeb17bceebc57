"""`channels.auth`: users of sockets and browsers."""

from typing import Any

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.db import SessionStore

from achannels import Message as AsyncMessage
from achannels.channel import Channel
from achannels.legacy.auth import (
    channel_and_http_session_user_from_http,
    channel_session_user,
    channel_session_user_from_http,
    http_session_user,
    transfer_user,
)
from achannels.legacy.message import Message
from achannels.legacy.sessions import session_for_reply_channel

pytestmark = pytest.mark.django_db

KEYS = (BACKEND_SESSION_KEY, SESSION_KEY, HASH_SESSION_KEY)


@pytest.fixture
def anna() -> User:
    return User.objects.create_user("anna", password="secret")


def log_in(store: Any, user: User) -> Any:
    store[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    store[SESSION_KEY] = str(user.pk)
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.save(must_create=not store.session_key or not store.exists(store.session_key))
    return store


def connect(store: Any = None, reply_channel: str = "reply") -> Message:
    key = store.session_key if store else ""
    query = f"session_key={key}".encode()
    content = {"path": "/", "query_string": query, "reply_channel": reply_channel}
    return Message(content, "websocket.connect")


def receive(reply_channel: str = "reply") -> Message:
    return Message({"path": "/", "reply_channel": reply_channel}, "websocket.receive")


def who(message: Any) -> Any:
    return message.user


def test_the_user_of_a_socket(anna: User) -> None:
    assert isinstance(channel_session_user(who)(receive()), AnonymousUser)
    log_in(session_for_reply_channel("reply"), anna)
    assert channel_session_user(who)(receive()) == anna


def test_it_works_on_methods(anna: User) -> None:
    class Consumer:
        @channel_session_user
        def method(self, message: Any) -> Any:
            return message.user

    log_in(session_for_reply_channel("reply"), anna)
    assert Consumer().method(receive()) == anna


def test_the_user_of_a_browser(anna: User) -> None:
    assert http_session_user(who)(connect(log_in(SessionStore(), anna))) == anna
    assert isinstance(http_session_user(who)(connect()), AnonymousUser)


def test_a_socket_remembers_the_user_of_its_browser(anna: User) -> None:
    consumer = channel_session_user_from_http(who)
    assert consumer(connect(log_in(SessionStore(), anna))) == anna
    assert [session_for_reply_channel("reply")[key] for key in KEYS][1] == str(anna.pk)
    assert channel_session_user(who)(receive()) == anna


def test_a_socket_can_remember_the_session_too(anna: User) -> None:
    store = log_in(SessionStore(), anna)
    store["color"] = "red"
    store.save()

    @channel_and_http_session_user_from_http
    def consumer(message: Any) -> Any:
        message.http_session["seen"] = message.http_session.get("seen", 0) + 1
        return message.http_session["color"], message.user

    assert consumer(connect(store)) == ("red", anna)
    color, user = consumer(receive())
    assert color == "red"
    assert isinstance(user, AnonymousUser)  # the outer decorator knows no browser yet
    inner = channel_and_http_session_user_from_http(channel_session_user(who))
    assert inner(receive()) == anna
    assert SessionStore(store.session_key)["seen"] == 2


def test_a_user_is_transferred_whole_or_not() -> None:
    whole = dict.fromkeys(KEYS, "x")
    to: dict[str, str] = {}
    transfer_user({**whole, "other": "y"}, to)
    assert to == whole
    to = {}
    transfer_user({KEYS[0]: "x", KEYS[1]: "x"}, to)
    assert to == {}


def test_a_message_without_the_session_is_an_error() -> None:
    from achannels.legacy.auth import _user

    with pytest.raises(ValueError, match="has no http_session"):
        _user(receive(), "http_session")


def test_the_user_is_read_anew_and_a_new_password_ends_the_log_in(anna: User) -> None:
    consumer = channel_session_user_from_http(who)
    consumer(connect(log_in(SessionStore(), anna)))
    User.objects.filter(pk=anna.pk).update(first_name="Anna")
    assert channel_session_user(who)(receive()).first_name == "Anna"
    anna.set_password("other")
    anna.save()
    assert isinstance(channel_session_user(who)(receive()), AnonymousUser)
    assert SESSION_KEY not in session_for_reply_channel("reply")


def test_a_new_secret_key_leaves_the_session_where_it_is(anna: User, settings: Any) -> None:
    log_in(session_for_reply_channel("reply"), anna)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a new one"
    for _ in range(2):
        assert channel_session_user(who)(receive()) == anna


@pytest.mark.parametrize(
    "decorate",
    [
        http_session_user,
        channel_session_user_from_http,
        channel_and_http_session_user_from_http,
    ],
)
def test_a_new_secret_key_leaves_the_browser_logged_in(
    decorate: Any, anna: User, settings: Any
) -> None:
    store = log_in(SessionStore(), anna)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a new one"
    assert decorate(who)(connect(store)) == anna
    settings.SECRET_KEY_FALLBACKS = []
    kept = SessionStore(store.session_key)
    assert kept[HASH_SESSION_KEY] == anna.get_session_auth_hash()


def test_a_consumer_may_give_the_session_of_a_browser_another_key(anna: User) -> None:
    store = log_in(SessionStore(), anna)

    @http_session_user
    def cycle(message: Any) -> None:
        message.http_session.cycle_key()

    cycle(connect(store))
    assert not SessionStore().exists(store.session_key)


@pytest.mark.django_db(transaction=True)
async def test_they_work_on_async_def() -> None:
    user = await User.objects.acreate_user("bert")

    def prepare() -> Any:
        return log_in(SessionStore(), user)

    from achannels.django.db import database_sync_to_async

    store = await database_sync_to_async(prepare)()
    content = {"path": "/", "query_string": f"session_key={store.session_key}".encode()}

    @channel_session_user_from_http
    async def consumer(message: AsyncMessage) -> Any:
        return message.user

    sent = AsyncMessage(content, Channel("websocket.connect"), Channel("async.reply"))
    assert await consumer(sent) == user
