"""Delayed messages: in the database with `rundelay`, and in the layer without."""

import json
import logging
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections
from django.utils import timezone

from achannels import Channel, Message, route
from achannels.asgi import Application
from achannels.exceptions import ChannelFull
from achannels.layers.memory import MemoryLayer
from achannels.legacy.asgi import channel_layers
from achannels.legacy.delay import delayed
from achannels.legacy.delay.delayed import Delayed
from achannels.legacy.delay.management.commands.rundelay import Command
from achannels.legacy.delay.models import DelayedMessage
from achannels.legacy.delay.worker import Worker
from achannels.testing import Clock, Node, WebsocketClient

in_database = pytest.mark.django_db(transaction=True)

LOGGER = "django.channels"


@pytest.fixture
def table(transactional_db: None) -> Iterator[None]:
    """The table of delayed messages; the app is not installed here."""
    with connection.schema_editor() as editor:
        editor.create_model(DelayedMessage)
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(DelayedMessage)


def layer() -> Any:
    return channel_layers["default"]


def received(channel: str, *, block: bool = False) -> Any:
    """Return the content of the next message, `None` if there is none."""
    return layer().receive([channel], block=block)[1]


def ask(**message: Any) -> None:
    layer().send("asgi.delay", message)


def past() -> Any:
    return timezone.now() - timedelta(seconds=1)


def texts(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == LOGGER and record.levelno == level
    ]


# The model.


def test_a_delay_is_a_date_from_now() -> None:
    before = timezone.now()
    message = DelayedMessage(channel_name="a", content="{}", delay=1500)
    after = timezone.now()
    assert before <= message.due_date - timedelta(milliseconds=1500) <= after
    assert message.delay == 1500


def test_a_loaded_message_says_how_long_it_waits_still() -> None:
    message = DelayedMessage(due_date=timezone.now() + timedelta(minutes=1))
    assert 59_000 < message.delay <= 60_000
    message.due_date = past()
    assert message.delay == 0


def test_due_are_those_whose_time_has_come(table: None) -> None:
    late = DelayedMessage.objects.create(channel_name="a", content="{}", due_date=past())
    DelayedMessage.objects.create(channel_name="a", content="{}", delay=60_000)
    later = DelayedMessage.objects.create(channel_name="a", content="{}", delay=0)
    assert list(DelayedMessage.objects.is_due()) == [late, later]


def test_a_message_that_was_sent_has_no_row(table: None) -> None:
    message = DelayedMessage.objects.create(channel_name="a", content='{"n": 1}', delay=0)
    message.send()
    assert received("a") == {"n": 1}
    assert not DelayedMessage.objects.exists()


def test_a_message_to_a_full_channel_waits_again(table: None) -> None:
    for number in range(100):
        layer().send("a", {"number": number})
    message = DelayedMessage.objects.create(channel_name="a", content="{}", due_date=past())
    message.send(channel_layer=layer(), requeue_delay=60_000)
    (waiting,) = DelayedMessage.objects.all()
    assert 59_000 < waiting.delay <= 60_000


def test_what_is_no_object_is_not_sent(table: None) -> None:
    message = DelayedMessage.objects.create(channel_name="a", content="[1]", delay=0)
    with pytest.raises(ValueError, match="is no JSON object"):
        message.send()
    assert DelayedMessage.objects.exists()


# The worker.


@pytest.fixture
def running(table: None) -> Iterator[Worker]:
    """A worker in a thread, which looks into the database all the time."""
    worker = Worker(layer(), signal_handlers=False, database_sleep_duration=0)

    def run() -> None:
        worker.run()
        connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    yield worker
    worker.termed = True
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.parametrize("delay", [0, -5, 1, 1.5])
def test_a_message_comes_when_it_is_due(running: Worker, delay: float) -> None:
    ask(channel="a", delay=delay, content={"text": "Grüße"})
    assert received("a", block=True) == {"text": "Grüße"}


def test_messages_come_in_the_order_of_their_dates(running: Worker) -> None:
    for number, delay in enumerate([400, 1, 200]):
        ask(channel="a", delay=delay, content={"number": number})
    assert [received("a", block=True)["number"] for _ in range(3)] == [1, 2, 0]


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"delay": 1, "content": {}}, "it has no 'channel'. Send {'channel': ..., 'delay': "),
        ({"channel": "a"}, "it has no 'delay' and no 'content'. Send {"),
        ({"channel": "a b", "delay": 1, "content": {}}, "channel name 'a b' has ' ' at position 1"),
        ({"channel": 5, "delay": 1, "content": {}}, "channel name"),
        ({"channel": "a", "delay": "1", "content": {}}, "its delay is '1'"),
        ({"channel": "a", "delay": 1e300, "content": {}}, "its delay is 1e+300, which no date is"),
        ({"channel": "a", "delay": float("nan"), "content": {}}, "its delay is nan, which no date"),
        ({"channel": "a", "delay": 1, "content": [1]}, "its content is [1], and no dict"),
        ({"channel": "a", "delay": 1, "content": {"b": b"1"}}, "bytes is not JSON serializable"),
    ],
)
def test_a_message_that_is_wrong_stops_nothing(
    running: Worker, caplog: pytest.LogCaptureFixture, message: dict[str, Any], why: str
) -> None:
    ask(**message)
    ask(channel="good", delay=0, content={"good": True})
    assert received("good", block=True) == {"good": True}
    (error,) = texts(caplog, logging.ERROR)
    assert error.startswith("A message on asgi.delay was dropped: ")
    assert why in error


def test_a_row_that_cannot_be_sent_is_dropped(
    table: None, caplog: pytest.LogCaptureFixture
) -> None:
    for channel, content in (("a", "not JSON"), ("a b", "{}"), ("a", '{"a": ' + "1" * 30 + "}")):
        DelayedMessage.objects.create(channel_name=channel, content=content, due_date=past())
    DelayedMessage.objects.create(channel_name="good", content="{}", delay=0)
    Worker(layer(), signal_handlers=False).send_due()
    assert received("good") == {}
    assert [error.partition(" was")[0] for error in texts(caplog, logging.ERROR)] == [
        "A message to 'a'",
        "A message to 'a b'",
        "A message to 'a'",
    ]
    assert not DelayedMessage.objects.exists()


def test_a_database_that_is_away_loses_no_message(transactional_db: None) -> None:
    worker = Worker(layer(), signal_handlers=False)
    ask(channel="a", delay=0, content={"n": 1})
    for _ in range(2):
        with pytest.raises(DatabaseError):
            worker.take()
    with connection.schema_editor() as editor:
        editor.create_model(DelayedMessage)
    try:
        assert worker.take() is True
        assert worker.take() is False
        worker.send_due()
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(DelayedMessage)
    assert received("a") == {"n": 1}


def test_a_database_that_is_away_for_a_moment_stops_nothing(
    running: Worker,
) -> None:
    class Tells(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("Waiting, since something does not answer: "):
                waits.set()

    waits, tells = threading.Event(), Tells()
    logging.getLogger(LOGGER).addHandler(tells)
    ask(channel="a", delay=0, content={"n": 1})
    assert received("a", block=True) == {"n": 1}
    with connection.schema_editor() as editor:
        editor.delete_model(DelayedMessage)
    try:
        ask(channel="a", delay=0, content={"n": 2})
        assert waits.wait(10)
        assert received("a") is None
    finally:
        logging.getLogger(LOGGER).removeHandler(tells)
        with connection.schema_editor() as editor:
            editor.create_model(DelayedMessage)
    assert received("a", block=True) == {"n": 2}


def test_it_can_be_told_to_go_on() -> None:
    worker = Worker(layer(), signal_handlers=False)
    worker.termed = True
    worker.termed = False
    assert worker.termed is False


def test_it_ends_at_sigterm(table: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    worker = Worker(layer())

    class Ends(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == "Listening on asgi.delay":
                signal.raise_signal(signal.SIGTERM)

    ends = Ends()
    logging.getLogger(LOGGER).addHandler(ends)
    try:
        worker.run()
    finally:
        logging.getLogger(LOGGER).removeHandler(ends)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert worker.termed


def test_no_room_to_wait_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    full = channel_layers.over(MemoryLayer(capacity=1))
    worker = Worker(full, signal_handlers=False)
    for _ in range(2):
        full.send("asgi.delay", {"channel": "a", "delay": 60_000, "content": {}})
        assert worker.take(in_table=False) is True
    (error,) = texts(caplog, logging.ERROR)
    assert error.startswith("A message on asgi.delay was dropped: channel 'a' is full")


def test_it_says_what_it_sends(table: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    DelayedMessage.objects.create(channel_name="a", content="{}", due_date=past())
    DelayedMessage.objects.create(channel_name="full", content="{}", due_date=past())
    for _ in range(100):
        layer().send("full", {})
    Worker(layer(), signal_handlers=False).send_due()
    assert texts(caplog, logging.INFO) == ["Sent a delayed message to a"]
    assert texts(caplog, logging.WARNING) == ["full is full; a delayed message waits again"]


def test_without_the_table_the_layer_waits(
    transactional_db: None, channel_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(layer(), signal_handlers=False)

    def run() -> None:
        worker.run()
        connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        ask(channel="a", delay=60_000, content={"n": 1})
        ask(channel="b", delay=0, content={})
        assert received("b", block=True) == {}
        channel_clock.advance(59.9)
        assert received("a") is None
        channel_clock.advance(0.1)
        assert received("a") == {"n": 1}
    finally:
        worker.termed = True
        thread.join(5)
    assert texts(caplog, logging.WARNING) == [
        "There is no table for delayed messages (run migrate); they wait in the layer."
    ]


def test_rundelay_wants_a_layer_between_processes() -> None:
    with pytest.raises(CommandError, match="carries nothing between processes"):
        call_command(Command())


# Without a table and without rundelay.

APPLICATION = [route("asgi.delay", delayed.consumer)]


@pytest.mark.parametrize(
    ("backend", "installed", "channels"),
    [
        ("asgiref.inmemory.ChannelLayer", False, ["asgi.delay"]),
        ("asgiref.inmemory.ChannelLayer", True, ["asgi.delay"]),
        ("tests.legacy.test_delay.BetweenProcesses", False, ["asgi.delay"]),
        ("tests.legacy.test_delay.BetweenProcesses", True, []),
    ],
)
def test_where_rundelay_does_it_the_application_does_not(
    settings: Any, backend: str, installed: bool, channels: list[str]
) -> None:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend, "ROUTING": []}}
    if installed:
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "achannels.legacy.delay"]
    routes = delayed.default_routes()
    assert [name for each in routes for name in each.channels] == channels


class BetweenProcesses:
    """Stands for a layer that is not in memory."""


async def test_the_application_itself_waits(
    channel_layer: MemoryLayer, channel_clock: Clock
) -> None:
    got = []

    async def reminder(message: Message) -> None:
        got.append(message.content)

    async with Node(Application([*APPLICATION, route("reminders", reminder)])) as node:
        await Channel("asgi.delay").send(
            {"channel": "reminders", "delay": 60_000, "content": {"bytes": b"\x00"}}
        )
        await node.idle()
        channel_clock.advance(59.9)
        await node.idle()
        assert got == []
        channel_clock.advance(0.1)
        await node.idle()
    assert got == [{"bytes": b"\x00"}]


async def test_a_socket_can_be_answered_later(channel_clock: Clock) -> None:
    async def receive(message: Message) -> None:
        channel, content = message.reply_channel.name, {"text": message["text"]}
        later = {"channel": channel, "delay": 5000, "content": content}
        await Channel("asgi.delay").send(later)
        await message.reply_channel.send({"text": "wait"})

    application = Application([*APPLICATION, route("websocket.receive", receive)])
    async with Node(application) as node, WebsocketClient(application, "/") as socket:
        await socket.send("hello")
        assert await socket.receive() == "wait"
        await node.idle()
        assert await socket.receive_nothing()
        channel_clock.advance(5)
        assert await socket.receive() == "hello"


async def test_a_channel_that_is_full_gets_it_later(
    channel_layer: MemoryLayer, channel_clock: Clock
) -> None:
    for _ in range(100):
        await Channel("a").send({})
    async with Node(Application(APPLICATION)) as node:
        await Channel("asgi.delay").send({"channel": "a", "delay": 0, "content": {"late": 1}})
        await node.idle()
        await channel_layer.receive("a")
        channel_clock.advance(delayed.REQUEUE_DELAY / 1000)
        await node.idle()
    found = [await channel_layer.receive("a") for _ in range(100)]
    assert found[-1] == {"late": 1}


async def test_a_wrong_message_is_logged(
    channel_layer: MemoryLayer, caplog: pytest.LogCaptureFixture
) -> None:
    async with Node(Application(APPLICATION)) as node:
        await Channel("asgi.delay").send({"channel": "a"})
        await node.idle()
    (error,) = texts(caplog, logging.ERROR)
    assert error == (
        "A message on asgi.delay was dropped: it has no 'delay' and no 'content'. Send "
        "{'channel': ..., 'delay': milliseconds, 'content': {...}}."
    )


def test_no_room_to_wait_is_an_error() -> None:
    full = MemoryLayer(capacity=1)
    delayed.wait_in_layer(Delayed("a", 60_000, {}), full)
    with pytest.raises(ChannelFull):
        delayed.wait_in_layer(Delayed("a", 60_000, {}), full)


def test_what_is_kept_is_json(table: None) -> None:
    worker = Worker(layer(), signal_handlers=False)
    ask(channel="a", delay=60_000, content={"nested": [1, None, {"a": True}]})
    worker.take()
    assert json.loads(DelayedMessage.objects.get().content) == {"nested": [1, None, {"a": True}]}
