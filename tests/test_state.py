"""What is loaded before a consumer's call and saved after it, and where it comes from."""

import copy
from typing import Any

import pytest

from achannels import Channel, Message
from achannels.exceptions import ConfigurationError, InvalidContent, NoReplyChannel
from achannels.layers.memory import MemoryLayer
from achannels.options import Options
from achannels.state import Connection, Loaders, State
from achannels.types import Content, Scope
from tests.doubles import RecordingSocket

ALL = Options(channel_session=True, http_session=True, http_user=True)


class Users:
    """Finds the user of a connection, and counts how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, scope: Scope) -> str:
        self.calls += 1
        return f"user of {scope['path']}"


class Browsers:
    """Sessions of browsers, by the path of the scope."""

    def __init__(self, **kept: Content) -> None:
        self.kept = kept
        self.saved: list[Any] = []

    async def load(self, scope: Scope) -> Any:
        return copy.deepcopy(self.kept.get(scope["path"]))

    async def save(self, session: Any) -> None:
        self.saved.append(session)


class Store:
    """Channel sessions outside of the socket."""

    def __init__(self, **kept: Content) -> None:
        self.kept = kept
        self.steps: list[str] = []

    async def load(self, channel: str) -> Content:
        self.steps.append(f"load {channel}")
        return copy.deepcopy(self.kept.get(channel, {}))

    async def save(self, channel: str, session: Content) -> None:
        self.steps.append(f"save {channel}")
        self.kept[channel] = copy.deepcopy(session)

    async def delete(self, channel: str) -> None:
        self.steps.append(f"delete {channel}")
        self.kept.pop(channel, None)


def connection(**scope: Any) -> Connection:
    socket = RecordingSocket(path="/", **scope)
    return Connection(socket.scope, MemoryLayer(), socket)


def state(options: Options = ALL, **loaders: Any) -> State:
    return State(options, "chat.consumers.receive", Loaders(**loaders))


def message() -> Message:
    return Message({}, Channel("websocket.receive"))


async def test_all_that_was_asked_for_is_on_the_message() -> None:
    browser = Browsers(**{"/": {"cart": 1}})
    loaded, there = message(), connection()
    await state(user=Users(), http_sessions=browser).load(there, loaded)
    assert loaded.user == "user of /"
    assert loaded.http_session == {"cart": 1}
    assert loaded.channel_session == {}


async def test_what_was_not_asked_for_is_not_loaded() -> None:
    users, browser, store = Users(), Browsers(), Store()
    loaded = message()
    asking = state(Options(), user=users, http_sessions=browser, channel_sessions=store)
    assert await asking.load(connection(), loaded) == b""
    assert (users.calls, store.steps) == (0, [])
    for name in ("user", "http_session", "channel_session"):
        assert not hasattr(loaded, name)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            Options(http_user=True),
            (
                "chat.consumers.receive asks for http_user, and nothing loads it. Put 'achannels' and "
                "ACHANNELS['USER'] (an async function from scope to user) into the settings, or leave "
                "the decorator out."
            ),
        ),
        (
            Options(http_session=True),
            (
                "chat.consumers.receive asks for http_session, and nothing loads it. Put 'achannels' "
                "and 'django.contrib.sessions' into the settings, or leave the decorator out."
            ),
        ),
    ],
)
def test_asking_for_what_nobody_loads_fails_at_start(options: Options, text: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        state(options)
    assert str(error.value) == text


# The user.


async def test_the_user_is_loaded_once_for_a_connection() -> None:
    users, there = Users(), connection()
    for asking in (
        state(Options(http_user=True), user=users),
        state(ALL, user=users, http_sessions=Browsers()),
    ):
        assert await asking.user(there) == "user of /"
    assert users.calls == 1


async def test_a_user_in_the_scope_wins() -> None:
    users = Users()
    assert await state(Options(http_user=True), user=users).user(connection(user="bert")) == "bert"
    assert users.calls == 0


# Sessions of browsers.


async def test_the_session_of_a_browser_is_loaded_afresh_each_time() -> None:
    browser = Browsers(**{"/": {"n": 1}})
    asking, there = state(Options(http_session=True), http_sessions=browser), connection()
    assert await asking.http_session(there) == {"n": 1}
    browser.kept["/"] = {"n": 2}
    assert await asking.http_session(there) == {"n": 2}


async def test_a_session_is_given_back_to_be_saved_unless_there_is_none() -> None:
    browser = Browsers()
    asking = state(Options(http_session=True), http_sessions=browser)
    await asking.save_http_session({"n": 1})
    await asking.save_http_session(None)
    assert browser.saved == [{"n": 1}]


# Channel sessions.


async def test_a_channel_session_is_one_dict_for_the_life_of_the_socket() -> None:
    asking, there = state(Options(channel_session=True)), connection()
    first, second = message(), message()
    await asking.load(there, first)
    first.channel_session["name"] = "anna"
    await asking.load(there, second)
    assert second.channel_session == {"name": "anna"}
    other = message()
    await asking.load(connection(), other)
    assert other.channel_session == {}


async def test_a_channel_session_belongs_to_a_socket() -> None:
    there = Connection({}, MemoryLayer())
    with pytest.raises(NoReplyChannel) as error:
        await state(Options(channel_session=True)).load(there, message())
    assert str(error.value) == (
        "chat.consumers.receive asks for channel_session, and its message has no reply channel: "
        "a channel session belongs to a socket."
    )


async def test_a_store_is_read_once_and_written_after_each_change() -> None:
    store = Store(**{"node!key": {"list": [1]}})
    asking, there = state(Options(channel_session=True), channel_sessions=store), connection()
    for change in (False, True, False):
        loaded = message()
        before = await asking.load(there, loaded)
        if change:
            loaded.channel_session["list"].append(2)
        await asking.save_channel_session(there, before)
    assert store.steps == ["load node!key", "save node!key"]
    assert store.kept == {"node!key": {"list": [1, 2]}}


async def test_without_a_store_nothing_is_written() -> None:
    asking, there = state(Options(channel_session=True)), connection()
    before = await asking.load(there, message())
    assert before == b""
    assert there.session is not None
    there.session["x"] = object()
    await asking.save_channel_session(there, before)
    assert list(there.session) == ["x"]


async def test_a_store_that_was_not_asked_is_not_written() -> None:
    store = Store()
    asking, there = state(Options(), channel_sessions=store), connection()
    await asking.save_channel_session(there, await asking.load(there, message()))
    assert store.steps == []


async def test_a_store_takes_what_a_message_may_carry() -> None:
    asking = state(Options(channel_session=True), channel_sessions=Store())
    there, loaded = connection(), message()
    before = await asking.load(there, loaded)
    loaded.channel_session["when"] = object()
    with pytest.raises(InvalidContent, match="content\\['when'\\] is an object"):
        await asking.save_channel_session(there, before)


# Connections.


def test_a_connection_answers_its_socket() -> None:
    there = connection()
    assert there.reply_channel is not None
    assert there.reply_channel.name == "node!key"
    assert there.reply_channel.channel_layer is there.layer
    assert Connection({}, MemoryLayer()).reply_channel is None
