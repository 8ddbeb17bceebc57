"""From a message to the consumer that the routing names, and what is done around its call."""

import asyncio
import functools
import logging
import threading
import traceback
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from achannels import Channel, Message, consumer, handlers, route, route_class, sync
from achannels.auth import http_user
from achannels.consumers import AsyncConsumer, AsyncWebsocketConsumer
from achannels.consumers.sync import SyncConsumer
from achannels.consumers.threads import Threads
from achannels.dispatch import Dispatcher, log_error
from achannels.exceptions import ChannelFull, ConfigurationError, InvalidContent, NotLoaded
from achannels.layers.memory import MemoryLayer
from achannels.routing import Router, Routing
from achannels.sessions import channel_session, http_session
from achannels.state import Connection, Loaders
from achannels.types import Content
from tests.doubles import RecordingSocket, errors
from tests.test_state import Browsers, Store, Users

Make = Callable[..., Dispatcher]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make a dispatcher for a routing."""
    threads = Threads(1)

    def make(routing: Routing, send_timeout: float = 2.0, **loaders: Any) -> Dispatcher:
        return Dispatcher(Router(routing), threads, Loaders(**loaders), send_timeout=send_timeout)

    yield make
    threads.close()


async def handle(
    dispatcher: Dispatcher,
    channel: str = "news",
    content: Content | None = None,
    connection: Connection | None = None,
    **more: Any,
) -> bool:
    """Handle one message as a worker does."""
    content = {} if content is None else content
    found = dispatcher.find(channel, content)
    assert found is not None
    handler, kwargs = found
    connection = connection or Connection({}, MemoryLayer())
    return await handler.handle(connection, Channel(channel), content, kwargs, **more)


def socket_connection(layer: MemoryLayer, **scope: Any) -> Connection:
    socket = RecordingSocket(path="/", **scope)
    return Connection(socket.scope, layer, socket)


async def awaited(message: Message, **kwargs: Any) -> None:
    message["done"] = kwargs


# Which consumer.


def test_the_first_route_that_takes_the_message_decides(make: Make) -> None:
    async def other(message: Message) -> None: ...

    dispatcher = make([route("news", awaited, kind="^(?P<kind>a)"), route("news", other)])
    found, fallback = dispatcher.find("news", {"kind": "a"}), dispatcher.find("news", {"kind": "b"})
    assert found is not None
    assert fallback is not None
    assert (found[0], found[1]) == (dispatcher.handler(awaited), {"kind": "a"})
    assert (fallback[0], fallback[1]) == (dispatcher.handler(other), {})
    assert dispatcher.find("other", {}) is None


def test_the_handlers_of_a_channel_are_those_of_its_routes(make: Make) -> None:
    @consumer(concurrency=2)
    async def slow(message: Message) -> None: ...

    dispatcher = make([route("news", awaited), route("news", slow), route("other", awaited)])
    options = [handler.options for handler in dispatcher.handlers("news")]
    assert [each.concurrency for each in options] == [None, 2]
    assert dispatcher.handlers("unknown") == []


def test_a_consumer_has_one_handler_with_its_name(make: Make) -> None:
    dispatcher = make([route("news", awaited), route("other", awaited)])
    assert dispatcher.find("news", {}) == dispatcher.find("other", {})
    assert dispatcher.handler(awaited).name == f"{__name__}.awaited"


def test_a_wrong_option_stops_the_start(make: Make) -> None:
    def wrong(message: Message) -> None: ...

    wrong.max_size = 0  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match=r"wrong: max_size=0; it must be"):
        make([route("news", wrong)])


def test_asking_for_what_nobody_loads_stops_the_start(make: Make) -> None:
    for mark in (http_user, http_session):

        async def asking(message: Message) -> None: ...

        with pytest.raises(ConfigurationError, match="and nothing loads it"):
            make([route("news", mark(asking))])


# How it is called.


class Awaited:
    async def __call__(self, message: Message, **kwargs: Any) -> None:
        await awaited(message, **kwargs)


class Equal(Awaited):
    """A consumer that cannot be hashed."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True


def passes_on(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(message: Message, **kwargs: Any) -> Any:
        return function(message, **kwargs)

    return wrapper


async def with_two(number: int, message: Message) -> None:
    await awaited(message)


@pytest.mark.parametrize(
    "function",
    [
        awaited,
        Awaited(),
        Awaited().__call__,
        Equal(),
        passes_on(awaited),
        functools.partial(with_two, 2),
    ],
)
async def test_what_returns_a_coroutine_is_awaited(make: Make, function: Any) -> None:
    content: Content = {}
    assert await handle(make([route("news", function)]), content=content)
    assert content == {"done": {}}


async def test_consumers_that_cannot_be_hashed_are_told_apart(make: Make) -> None:
    class Named(Equal):
        def __init__(self, name: str) -> None:
            self.name = name

        async def __call__(self, message: Message, **kwargs: Any) -> None:
            message["name"] = self.name

    dispatcher = make([route("one", Named("one")), route("two", Named("two"))])
    for name in ("one", "two"):
        content: Content = {}
        await handle(dispatcher, name, content)
        assert content == {"name": name}


@pytest.mark.parametrize("as_object", [False, True])
async def test_a_plain_function_runs_in_a_thread(make: Make, as_object: bool) -> None:
    places = []

    def function(message: sync.Message) -> None:
        places.append((threading.current_thread().name, type(message)))

    class Object:
        def __call__(self, message: sync.Message) -> None:
            function(message)

    assert await handle(make([route("news", Object() if as_object else function)]))
    assert places == [("achannels-consumer", sync.Message)]


@pytest.mark.parametrize("is_async", [True, False])
async def test_the_message_has_what_the_dispatcher_was_given(make: Make, is_async: bool) -> None:
    seen: list[Any] = []

    class Body:
        async def read(self) -> bytes:
            return b"body"

    async def on_loop(message: Message, n: str) -> None:
        seen.extend([message.channel.name, message.attempt, await message.body(), n])
        seen.append(message.reply_channel.name)

    def in_thread(message: sync.Message, n: str) -> None:
        seen.extend([message.channel.name, message.attempt, message.body(), n])
        seen.append(message.reply_channel.name)

    layer = MemoryLayer()
    await layer.open()
    function: Any = on_loop if is_async else in_thread
    await handle(
        make([route("news", function, key="(?P<n>[0-9])")]),
        content={"key": "5"},
        connection=socket_connection(layer),
        attempt=3,
        body=Body(),
    )
    assert seen == ["news", 3, b"body", "5", "node!key"]


async def test_an_error_that_asks_for_state_names_the_consumer(make: Make) -> None:
    async def ws_receive(message: Message) -> None:
        assert message.user

    with pytest.raises(NotLoaded) as error:
        await handle(make([route("news", ws_receive)]))
    assert str(error.value).endswith("<locals>.ws_receive.")


# State.


def in_both_worlds(
    change: Callable[[Any], None],
) -> list[Callable[..., Coroutine[Any, Any, None]] | Callable[..., None]]:
    async def on_loop(message: Message) -> None:
        change(message)

    def in_thread(message: sync.Message) -> None:
        change(message)

    return [on_loop, in_thread]


async def test_state_is_loaded_before_and_saved_after_the_call(make: Make) -> None:
    def change(message: Any) -> None:
        message.channel_session["seen"] = message.user
        message.http_session["cart"] += 1

    for function in in_both_worlds(change):
        browsers, store = Browsers(**{"/": {"cart": 1}}), Store()
        asking = channel_session(http_session(http_user(function)))
        dispatcher = make(
            [route("news", asking)], user=Users(), http_sessions=browsers, channel_sessions=store
        )
        await handle(dispatcher, connection=socket_connection(MemoryLayer()))
        assert store.kept == {"node!key": {"seen": "user of /"}}
        assert browsers.saved == [{"cart": 2}]


async def test_of_a_consumer_that_raised_the_channel_session_alone_is_saved(make: Make) -> None:
    def change(message: Any) -> None:
        message.channel_session["seen"] = True
        message.http_session["cart"] = 2
        raise RuntimeError("broken")

    for function in in_both_worlds(change):
        browsers, store = Browsers(**{"/": {"cart": 1}}), Store()
        dispatcher = make(
            [route("news", channel_session(http_session(function)))],
            http_sessions=browsers,
            channel_sessions=store,
        )
        with pytest.raises(RuntimeError, match="broken"):
            await handle(dispatcher, connection=socket_connection(MemoryLayer()))
        assert store.kept == {"node!key": {"seen": True}}
        assert browsers.saved == []


async def test_a_class_has_its_state_in_the_scope(make: Make) -> None:
    class Asking(AsyncWebsocketConsumer):
        channel_session = True
        http_session = True
        http_user = True

        async def connect(self) -> None:
            self.scope["channel_session"]["name"] = self.scope["user"]
            self.scope["session"]["cart"] += 1

        async def receive(self, text_data: str) -> None:
            self.scope["channel_session"]["text"] = text_data
            self.scope["session"]["cart"] += 1
            raise RuntimeError("broken")

    users, browsers, store = Users(), Browsers(**{"/": {"cart": 1}}), Store()
    dispatcher = make(
        [route_class(Asking)], user=users, http_sessions=browsers, channel_sessions=store
    )
    connection = socket_connection(MemoryLayer())
    await handle(dispatcher, "websocket.connect", connection=connection)
    with pytest.raises(RuntimeError):
        await handle(dispatcher, "websocket.receive", {"text": "hi"}, connection)
    assert store.kept == {"node!key": {"name": "user of /", "text": "hi"}}
    assert browsers.saved == [{"cart": 2}]
    assert users.calls == 1
    assert set(connection.scope) == {"path"}


async def test_a_channel_session_is_forgotten_with_its_socket(make: Make) -> None:
    store = Store()
    asking = channel_session(passes_on(awaited))
    dispatcher = make([route("news", asking), route("other", Awaited())], channel_sessions=store)
    connection = socket_connection(MemoryLayer())
    await handle(dispatcher, "other", connection=connection)
    assert not dispatcher.remembers(connection)
    await dispatcher.forget(connection)
    assert store.steps == []

    await handle(dispatcher, connection=connection)
    assert dispatcher.remembers(connection)
    await dispatcher.forget(connection)
    assert store.steps[-1] == "delete node!key"


async def test_a_scope_that_was_replaced_cannot_carry_state(make: Make) -> None:
    class Replacing(AsyncWebsocketConsumer):
        channel_session = True

        async def connect(self) -> None:
            self.scope = {}

    dispatcher = make([route_class(Replacing)])
    connection = socket_connection(MemoryLayer())
    await handle(dispatcher, "websocket.connect", connection=connection)
    with pytest.raises(TypeError) as error:
        await handle(dispatcher, "websocket.receive", {"text": "hi"}, connection)
    assert str(error.value).endswith(
        "Replacing: self.scope was replaced; change its items instead."
    )


# Classes.


async def test_a_background_class_is_made_anew_for_each_message(make: Make) -> None:
    seen: list[AsyncConsumer] = []

    class Mail(AsyncConsumer):
        async def news_letter(self, event: Content) -> None:
            seen.append(self)

    layer = MemoryLayer()
    dispatcher = make([route("mail", Mail, type="(?P<kind>[a-z]+)")])
    for _ in range(2):
        content = {"type": "news.letter"}
        assert await handle(dispatcher, "mail", content, Connection({}, layer))
    first, second = seen
    assert first is not second
    assert (first.channel_name, first.channel_layer) == ("mail", layer)
    assert first.kwargs == first.scope["url_route"]["kwargs"] == {"kind": "news"}
    assert dict(first.scope) == {"url_route": {"args": (), "kwargs": {"kind": "news"}}}


async def test_a_class_without_a_method_for_the_type_says_so(make: Make) -> None:
    class Mail(AsyncConsumer):
        async def news(self, event: Content) -> None: ...

    dispatcher = make([route("mail", Mail)])
    for content in ({"type": "olds"}, {"type": 5}, {"type": "dispatch"}, {}):
        assert not await handle(dispatcher, "mail", content)
    assert await handle(dispatcher, "mail", {"type": "news"})


async def test_the_hooks_of_a_socket_are_called_by_channel(make: Make) -> None:
    steps: list[Any] = []

    class Steps(AsyncWebsocketConsumer):
        groups = ("room", "hall")

        async def connect(self) -> None:
            steps.append(await self.channel_layer.group_channels("hall"))

        async def receive(self, text_data: str | None = None, bytes_data: bytes = b"") -> None:
            steps.append(text_data if text_data is not None else bytes_data)

        async def disconnect(self, code: int) -> None:
            steps.append(code)

        async def gap(self, event: Content) -> None:
            steps.append(event["reason"])

    layer = MemoryLayer()
    socket = RecordingSocket()
    name = socket.channel_name = await layer.new_channel()
    dispatcher = make([route_class(Steps)])
    connection = Connection({}, layer, socket)
    for channel, content in (
        ("websocket.connect", {}),
        ("websocket.receive", {"text": "hi"}),
        ("websocket.receive", {"bytes": b"hi"}),
        ("websocket.gap", {"reason": "log_full"}),
        ("websocket.disconnect", {"code": 1000}),
    ):
        assert await handle(dispatcher, channel, content, connection)
    assert steps == [{name}, "hi", b"hi", "log_full", 1000]
    assert await layer.group_channels("room") == {name}


# Sends of plain functions.


async def test_collected_sends_leave_in_order_also_when_one_fails(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(MemoryLayer):
        async def group_send(self, group: str, content: Any) -> None:
            raise OSError("no network")

    layer, broken = MemoryLayer(), Broken()

    def sends(message: sync.Message) -> None:
        sync.Channel("named", channel_layer=layer).send({"n": 1})
        sync.Group("room", channel_layer=broken).send({})
        sync.Channel("named", channel_layer=layer).send({"n": 2})

    await handle(make([route("news", sends)]))
    assert [await layer.receive("named") for _ in range(2)] == [{"n": 1}, {"n": 2}]
    [record] = errors(caplog.records, "achannels.consumer")
    assert record.getMessage().endswith("sends failed")
    assert record.getMessage().startswith("a send of tests.test_dispatch.")
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], OSError)


async def test_a_collected_send_waits_for_room(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "FULL_RETRY", 0.001)
    layer = MemoryLayer(capacity=1)
    await layer.send("named", {"n": 1})

    def sends(message: sync.Message) -> None:
        sync.Channel("named", channel_layer=layer).send({"n": 2})

    handling = asyncio.create_task(handle(make([route("news", sends)], send_timeout=5.0)))
    assert [await layer.receive("named") for _ in range(2)] == [{"n": 1}, {"n": 2}]
    await handling


async def test_a_collected_send_that_finds_no_room_in_time_is_logged(
    make: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "FULL_RETRY", 0.001)
    layer = MemoryLayer(capacity=1)
    await layer.send("named", {"n": 1})

    def sends(message: sync.Message) -> None:
        sync.Channel("named", channel_layer=layer).send({"n": 2})
        sync.Channel("other", channel_layer=layer).send({"n": 3})

    await handle(make([route("news", sends)], send_timeout=0.01))
    [record] = errors(caplog.records, "achannels.consumer")
    assert "sends was dropped: channel 'named' is full" in record.getMessage()
    assert await layer.receive("named") == {"n": 1}
    assert await layer.receive("other") == {"n": 3}


async def test_all_collected_sends_wait_for_room_no_longer_than_one(
    make: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    class Full(MemoryLayer):
        async def send(self, channel: str, *args: Any, **kwargs: Any) -> None:
            tries.append(channel)
            raise ChannelFull(channel, 1)

    monkeypatch.setattr(handlers, "FULL_RETRY", 0.02)
    layer = Full()

    def sends(message: sync.Message) -> None:
        for name in ("first", "second", "third"):
            sync.Channel(name, channel_layer=layer).send({})

    await handle(make([route("news", sends)], send_timeout=0.01))
    assert len(errors(caplog.records, "achannels.consumer")) == 3
    assert tries == ["first", "first", "second", "third"]


async def test_an_error_is_raised_after_the_sends(make: Make) -> None:
    layer = MemoryLayer()

    def sends(message: sync.Message) -> None:
        sync.Channel("named", channel_layer=layer).send({"n": 1})
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await handle(make([route("news", sends)]))
    assert (await layer.statistics())["pending"] == 1


async def test_the_sends_of_a_cancelled_call_leave_and_its_session_is_kept(make: Make) -> None:
    layer, store = MemoryLayer(), Store()
    began, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def sends(message: sync.Message) -> None:
        sync.Channel("named", channel_layer=layer).send({"n": 1})
        message.channel_session["seen"] = True
        loop.call_soon_threadsafe(began.set)
        go.wait(5)
        sync.Channel("named", channel_layer=layer).send({"n": 2})

    dispatcher = make([route("news", channel_session(sends))], channel_sessions=store)
    connection = socket_connection(layer)
    handling = asyncio.create_task(handle(dispatcher, connection=connection))
    await began.wait()
    handling.cancel()
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await handling
    assert [await layer.receive("named") for _ in range(2)] == [{"n": 1}, {"n": 2}]
    assert store.kept == {"node!key": {"seen": True}}


async def test_the_sends_of_a_cancelled_method_leave(make: Make) -> None:
    layer = MemoryLayer()
    began, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    class Mail(SyncConsumer):
        def news_letter(self, event: Content) -> None:
            loop.call_soon_threadsafe(began.set)
            go.wait(5)
            sync.Channel("named", channel_layer=layer).send({"n": 1})

    content = {"type": "news.letter"}
    handling = asyncio.create_task(handle(make([route("news", Mail)]), content=content))
    await began.wait()
    handling.cancel()
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await handling
    assert await layer.receive("named") == {"n": 1}


async def test_sends_leave_also_when_the_session_cannot_be_kept(make: Make) -> None:
    layer = MemoryLayer()

    def sends(message: sync.Message) -> None:
        message.channel_session["when"] = object()
        sync.Channel("named", channel_layer=layer).send({"n": 1})
        raise RuntimeError("broken")

    dispatcher = make([route("news", channel_session(sends))], channel_sessions=Store())
    with pytest.raises(InvalidContent) as unsaved:
        await handle(dispatcher, connection=socket_connection(layer))
    assert "RuntimeError: broken" in "".join(traceback.format_exception(unsaved.value))
    assert await layer.receive("named") == {"n": 1}


# What others cancelled.


async def wait_for_nothing(*args: Any) -> None:
    waiting = asyncio.get_running_loop().create_future()
    waiting.cancel()
    await waiting


class Waiting(AsyncConsumer):
    news = wait_for_nothing


class WaitingWithSession(Waiting):
    channel_session = True


@pytest.mark.parametrize(
    "consumer",
    [
        wait_for_nothing,
        channel_session(functools.partial(wait_for_nothing)),
        Waiting,
        WaitingWithSession,
    ],
)
async def test_a_wait_that_others_cancelled_is_an_error_like_any_other(
    make: Make, consumer: Any
) -> None:
    dispatcher = make([route("news", consumer)])
    with pytest.raises(RuntimeError, match="waited for was cancelled") as raised:
        await handle(
            dispatcher,
            content={"type": "news"},
            connection=socket_connection(MemoryLayer()),
        )
    assert isinstance(raised.value.__cause__, asyncio.CancelledError)


# The log.


@pytest.mark.parametrize(("path", "text"), [("/shop/", " at /shop/"), (None, "")])
def test_an_error_is_one_record_with_all_that_is_known(
    make: Make, caplog: pytest.LogCaptureFixture, path: str | None, text: str
) -> None:
    handler = make([route("news", awaited)]).handler(awaited)
    error = ValueError("broken")
    with caplog.at_level(logging.INFO):
        log_error(handler, "news", path, error)
    [record] = errors(caplog.records, "achannels.consumer")
    assert record.getMessage() == f"{__name__}.awaited raised on news{text}"
    extra = record.__dict__
    assert (extra["consumer"], extra["channel"], extra["path"]) == (handler.name, "news", path)
    assert record.exc_info is not None
    assert record.exc_info[1] is error
