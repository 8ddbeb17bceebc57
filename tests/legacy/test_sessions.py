"""`channels.sessions`: sessions of sockets and browsers, and the order of messages."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.sessions.backends.base import CreateError
from django.contrib.sessions.backends.cache import SessionStore

from achannels import Message as AsyncMessage
from achannels.exceptions import ChannelFull, ConsumeLater
from achannels.layers.memory import MemoryLayer
from achannels.legacy.asgi import channel_layers
from achannels.legacy.facade import LayerFacade
from achannels.legacy.message import Message
from achannels.legacy.sessions import (
    channel_and_http_session,
    channel_session,
    enforce_ordering,
    http_session,
    session_for_reply_channel,
)

NAME = "reply.channel"


@pytest.fixture(autouse=True)
def _in_the_cache(settings: Any) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}


def message(channel: str = "websocket.receive", **content: Any) -> Message:
    return Message({"reply_channel": NAME, **content}, channel, None)


def browser(**values: Any) -> SessionStore:
    """Return a session of a browser, saved."""
    store = SessionStore()
    store.update(values)
    store.save()
    return store


def connect(store: SessionStore | None = None, query: Any = b"") -> Message:
    headers = []
    if store is not None:
        cookie = f"{django_settings.SESSION_COOKIE_NAME}={store.session_key}"
        headers = [[b"cookie", cookie.encode()]]
    return message("websocket.connect", path="/", headers=headers, query_string=query)


# The session of a reply channel.


def test_the_key_comes_from_the_name() -> None:
    session = session_for_reply_channel("ünïque")
    assert session.session_key == "chn" + hashlib.sha1("ünïque".encode()).hexdigest()[:29]
    assert len(session.session_key) == 32


def test_the_engine_can_be_another(settings: Any) -> None:
    settings.CHANNEL_SESSION_ENGINE = "django.contrib.sessions.backends.file"
    assert "file" in type(session_for_reply_channel(NAME)).__module__
    settings.CHANNEL_SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    with pytest.raises(ValueError, match="a socket sets no cookies"):
        session_for_reply_channel(NAME)


def test_it_is_loaded_and_keeps_its_key() -> None:
    first = session_for_reply_channel(NAME)
    first["a"] = 1
    first.save(must_create=not first.exists(str(first.session_key)))
    second = session_for_reply_channel(NAME)
    assert second._session_cache == {"a": 1}  # type: ignore[attr-defined]
    missing = session_for_reply_channel("other")
    assert str(missing.session_key).startswith("chn")
    missing.cycle_key()
    assert missing.modified
    assert missing.session_key == session_for_reply_channel("other").session_key


# channel_session.


def test_a_consumer_has_a_session_that_stays() -> None:
    @channel_session
    def count(message: Any) -> int:
        message.channel_session["n"] = message.channel_session.get("n", 0) + 1
        return int(message.channel_session["n"])

    assert [count(message()) for _ in range(3)] == [1, 2, 3]


def test_it_works_on_functions_and_methods_and_nowhere_else() -> None:
    class Consumer:
        @channel_session
        def method(self, message: Any, room: str) -> str:
            message.channel_session["room"] = room
            return room

    @channel_session
    def function(*args: Any) -> None:
        pass

    assert Consumer().method(message(), room="lobby") == "lobby"
    assert session_for_reply_channel(NAME)["room"] == "lobby"
    with pytest.raises(ValueError, match="without a message"):
        function(1, 2, message())


def test_a_message_without_reply_channel_has_none() -> None:
    @channel_session
    def consumer(message: Any) -> None:
        pass

    with pytest.raises(ValueError, match="belongs to a reply channel"):
        consumer(Message({}, "mail", None))


def test_a_new_session_is_saved_before_the_consumer_runs() -> None:
    @channel_session
    def consumer(message: Any) -> None:
        assert SessionStore().exists(message.channel_session.session_key)

    consumer(message(reply_channel="brand.new"))


def test_a_lost_race_is_tried_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(self: Any, must_create: bool = False) -> None:
        raise CreateError

    monkeypatch.setattr(SessionStore, "save", lost)
    with pytest.raises(ConsumeLater):
        channel_session(lambda message: None)(message(reply_channel="another.new"))


def test_it_is_saved_also_if_the_consumer_raised() -> None:
    @channel_session
    def fail(message: Any) -> None:
        message.channel_session["kept"] = True
        raise RuntimeError

    with pytest.raises(RuntimeError):
        fail(message(reply_channel="failing"))
    assert session_for_reply_channel("failing")["kept"] is True


def test_a_session_that_was_flushed_stays_away() -> None:
    @channel_session
    def flush(message: Any) -> None:
        message.channel_session["a"] = 1
        message.channel_session.flush()

    sent = message(reply_channel="flushed")
    flush(sent)
    assert not SessionStore().exists(session_for_reply_channel("flushed").session_key or "")


def test_stacking_it_changes_nothing() -> None:
    seen: list[Any] = []

    @channel_session
    @channel_session
    def consumer(message: Any) -> None:
        message.channel_session["a"] = message.channel_session.get("a", 0) + 1
        seen.append(message.channel_session)

    consumer(message(reply_channel="stacked"))
    consumer(message(reply_channel="stacked"))
    assert session_for_reply_channel("stacked")["a"] == 2


# http_session.


def test_a_browser_session_is_found_by_cookie_or_query() -> None:
    store = browser(color="red")

    @http_session
    def color(message: Any) -> Any:
        return message.http_session["color"]

    assert color(connect(store)) == "red"
    assert color(connect(query=f"session_key={store.session_key}")) == "red"
    other = browser(color="blue")
    both = connect(store, query=f"session_key={other.session_key}".encode())
    assert color(both) == "blue"
    assert both["method"] == "FAKE"


def test_without_a_key_there_is_no_session() -> None:
    @http_session
    def consumer(message: Any) -> Any:
        return message.http_session

    assert consumer(connect()) is None


def test_a_changed_browser_session_is_saved_unless_the_consumer_raised() -> None:
    store = browser(n=0)

    @http_session
    def change(message: Any, n: int) -> None:
        message.http_session["n"] = n
        if n == 2:
            raise RuntimeError

    change(connect(store), n=1)
    with pytest.raises(RuntimeError):
        change(connect(store), n=2)
    assert SessionStore(store.session_key)["n"] == 1


def test_one_that_is_there_is_used_and_saved_also_on_errors() -> None:
    store = browser(n=0)

    @http_session
    def change(message: Any) -> None:
        message.http_session["n"] = 3
        raise RuntimeError

    sent = connect()
    sent.http_session = store
    with pytest.raises(RuntimeError):
        change(sent)
    assert SessionStore(store.session_key)["n"] == 3
    sent.http_session = None
    http_session(lambda message: None)(sent)


def test_a_message_without_path_has_nothing_of_a_browser() -> None:
    consumer: Any = http_session(lambda message: None)
    with pytest.raises(ValueError, match="KeyError"):
        consumer(message())
    with pytest.raises(ValueError, match="without a message"):
        consumer(object(), message())


# Both.


def test_connect_remembers_the_browser_for_later_messages() -> None:
    store = browser(color="red")

    @channel_and_http_session
    def consumer(message: Any) -> Any:
        return message.http_session and message.http_session["color"]

    for sent in (connect(store), message(path="/"), message(path="/")):
        sent.content["reply_channel"] = "both"
        assert consumer(Message(sent.content, sent.channel.name)) == "red"
    other = message(path="/", reply_channel="neither")
    assert consumer(other) is None


def test_a_session_that_was_remembered_is_not_saved() -> None:
    store = browser(n=0)

    @channel_and_http_session
    def change(message: Any) -> None:
        message.http_session["n"] += 1

    change(connect(store))
    change(message(path="/"))
    assert SessionStore(store.session_key)["n"] == 1


# Order.


def ordered(seen: list[Any], **decorating: Any) -> Callable[..., Any]:
    def consumer(message: Any) -> str:
        seen.append(message["order"])
        if message.get("fail"):
            raise RuntimeError
        if message.get("later") and seen.count(message["order"]) == 1:
            raise ConsumeLater
        return "ignored"

    return enforce_ordering(**decorating)(consumer) if decorating else enforce_ordering(consumer)


def requeued() -> Any:
    """Return the message that was sent back to its channel, if there is one."""
    channel, content = channel_layers["default"].receive(["websocket.receive"])
    return None if content is None else Message(content, str(channel), channel_layers["default"])


@pytest.mark.parametrize("decorating", [{}, {"slight": False}])
def test_messages_are_handled_in_order(decorating: dict[str, Any]) -> None:
    name, seen = f"ordered{len(decorating)}", []  # type: ignore[var-annotated]
    consumer = ordered(seen, **decorating)
    for order in (2, "1"):
        assert consumer(message(order=order, reply_channel=name)) is None
    assert seen == []
    assert consumer(message(order=0, reply_channel=name)) is None
    assert seen == [0]
    again = requeued()
    while again is not None:
        consumer(again)
        assert "original_channel" not in again or again["order"] not in seen
        again = requeued()
    assert [int(order) for order in seen] == [0, 1, 2]


def test_those_that_wait_are_in_a_channel_beside_the_reply_channel() -> None:
    ordered([])(message(order=1, reply_channel="some!where"))
    content = channel_layers["default"].receive(["__wait__.some?where"])[1]
    assert content is not None
    assert content["original_channel"] == "websocket.receive"


def test_an_order_is_required_and_slight_is_gone() -> None:
    with pytest.raises(ValueError, match="has no 'order'"):
        ordered([])(message())
    with pytest.raises(ValueError, match="slight"):
        enforce_ordering(slight=True)


def test_a_consumer_that_raised_had_its_turn() -> None:
    seen: list[Any] = []
    consumer = ordered(seen)
    with pytest.raises(RuntimeError):
        consumer(message(order=0, fail=True, reply_channel="stall"))
    consumer(message(order=1, reply_channel="stall"))
    assert seen == [0, 1]


def test_one_that_asked_for_later_has_its_turn_again() -> None:
    seen: list[Any] = []
    consumer = ordered(seen)
    sent = message(order=0, later=True, reply_channel="later")
    with pytest.raises(ConsumeLater):
        consumer(sent)
    consumer(message(order=1, reply_channel="later"))
    assert seen == [0]
    consumer(sent.copy())
    consumer(requeued())
    assert seen == [0, 0, 1]


def test_an_order_that_was_handled_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Any] = []
    consumer = ordered(seen)
    for _ in range(2):
        consumer(message(order=0, reply_channel="twice"))
    assert seen == [0]
    assert "was handled already: order 0" in caplog.text
    assert requeued() is None


def test_a_message_whose_turn_came_while_it_was_put_aside_is_sent_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send = LayerFacade.send

    def meanwhile(self: LayerFacade, channel: str, content: Any) -> None:
        send(self, channel, content)
        if channel.startswith("__wait__"):
            session = session_for_reply_channel("race")
            session["__channels_next_order"] = 1
            session.save()

    monkeypatch.setattr(LayerFacade, "send", meanwhile)
    ordered([])(message(order=1, reply_channel="race"))
    assert requeued()["order"] == 1


def test_a_waiting_channel_that_is_full_says_what_is_lost() -> None:
    layer = channel_layers.over(MemoryLayer(capacity=1))
    consumer = ordered([])
    for order in (1, 2):
        content = {"order": order, "reply_channel": "crowded"}
        sent = Message(content, "websocket.receive", layer)
        if order == 1:
            consumer(sent)
            continue
        with pytest.raises(ChannelFull) as error:
            consumer(sent)
        assert "a message of 'crowded' is lost while it waited" in error.value.__notes__[0]


# On async def.


@pytest.mark.django_db
async def test_they_work_on_async_def() -> None:
    from achannels.channel import Channel

    def sent(order: int, **content: Any) -> AsyncMessage:
        store = {"path": "/", "order": order, "headers": [], **content}
        return AsyncMessage(store, Channel("websocket.receive"), Channel("async.reply"))

    seen: list[int] = []

    @enforce_ordering
    @channel_and_http_session
    async def consumer(message: AsyncMessage) -> None:
        session: Any = message.channel_session
        session["n"] = session.get("n", 0) + 1
        assert message.http_session is None
        seen.append(session["n"])
        if message.get("fail"):
            raise RuntimeError

    await consumer(sent(0))
    await consumer(sent(2))
    with pytest.raises(RuntimeError):
        await consumer(sent(1, fail=True))
    assert seen == [1, 2]
    assert (await Channel("x").channel_layer.receive("websocket.receive"))["order"] == 2
