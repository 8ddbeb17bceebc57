"""Database connections: how many there are, when they are closed, and that a broken one heals."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any
from weakref import WeakSet

import pytest
from asgiref.sync import sync_to_async
from django.db import (
    OperationalError,
    ProgrammingError,
    connection,
    connections,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from achannels import Message, route, sync
from achannels.asgi import Application
from achannels.django import db
from achannels.django.db import close_old_connections, database_sync_to_async
from achannels.testing import WebsocketClient
from tests.django.board.models import Note

pytestmark = pytest.mark.django_db(transaction=True)


class Opened:
    """The connections that were opened since the test began."""

    def __init__(self) -> None:
        self.all: WeakSet[BaseDatabaseWrapper] = WeakSet()
        self.count = 0

    def note(self, *, connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
        self.all.add(connection)
        self.count += 1

    @property
    def open(self) -> int:
        return sum(each.connection is not None for each in self.all)


@pytest.fixture
def opened() -> Iterator[Opened]:
    opened = Opened()
    connection_created.connect(opened.note)
    yield opened
    connection_created.disconnect(opened.note)


@pytest.fixture(autouse=True)
async def _no_connection_of_async_code() -> AsyncIterator[None]:
    await sync_to_async(connections.close_all)()
    yield
    await sync_to_async(connections.close_all)()


def use_three_times() -> int:
    Note.objects.create(text="one")
    Note.objects.filter(text="two").first()
    return Note.objects.count()


def consume(message: sync.Message) -> None:
    Note.objects.filter(text="one").first()
    Note.objects.filter(text="two").exists()
    Note.objects.count()
    message.reply_channel.send({"text": threading.current_thread().name})


async def consume_async(message: Message) -> None:
    await Note.objects.filter(text="one").afirst()
    await Note.objects.filter(text="two").aexists()
    await Note.objects.acount()
    await message.reply_channel.send({"text": "done"})


@pytest.mark.timeout(120)
@pytest.mark.parametrize("consumer", [consume, consume_async])
async def test_a_thousand_sockets_leave_no_more_connections_than_threads(
    opened: Opened, consumer: Any
) -> None:
    threads = 4
    application = Application([route("websocket.receive", consumer)], threads=threads)
    most = 0

    async def live() -> None:
        nonlocal most
        async with WebsocketClient(application, "/") as socket:
            await socket.send("")
            await socket.receive(timeout=60)
            most = max(most, opened.open)

    asyncio.get_running_loop().set_debug(False)  # of so many tasks it would take most of the time
    async with application:
        await asyncio.gather(*(live() for _ in range(1000)))
    assert 0 < most <= threads + 1  # and one for what `async def` code asks
    assert opened.open <= 1


async def test_a_def_consumer_leaves_no_connection_open(opened: Opened) -> None:
    application = Application([route("websocket.receive", consume)])
    async with WebsocketClient(application, "/") as socket:
        for _ in range(3):
            await socket.send("")
            await socket.receive()
            assert opened.open == 0
    assert opened.count == 3


@pytest.mark.usefixtures("_asks_the_database")
async def test_a_def_consumer_survives_a_connection_that_the_server_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A connection that stays open for a while, broken between two messages."""
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 60)
    application = Application([route("websocket.receive", consume_and_break)], threads=1)
    async with WebsocketClient(application, "/") as socket:
        for _ in range(3):
            await socket.send("")
            assert await socket.receive() == "still here"
        await socket.send("close")
        await socket.receive()


def consume_and_break(message: sync.Message) -> None:
    Note.objects.count()
    message.reply_channel.send({"text": "still here"})
    if message["text"] == "close":
        connection.close()
    else:
        break_connection()


def break_connection() -> None:
    """Leave the connection of this thread as a database that restarted leaves it."""
    assert connection.connection is not None
    connection.connection.close()
    connection.errors_occurred = True


@pytest.fixture
def _asks_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have SQLite's connections tell whether they are usable, as those of servers do."""

    def is_usable(self: BaseDatabaseWrapper) -> bool:
        try:
            self.connection.execute("SELECT 1")
        except sqlite3.Error:
            return False
        return True

    monkeypatch.setattr(type(connections["default"]), "is_usable", is_usable)


@pytest.mark.parametrize("decorated", ["plain", "called", "method"])
async def test_database_sync_to_async_closes_what_it_opened(opened: Opened, decorated: str) -> None:
    if decorated == "plain":
        assert await database_sync_to_async(use_three_times)() == 1
    elif decorated == "called":

        @database_sync_to_async(thread_sensitive=False)
        def use() -> int:
            return use_three_times()

        assert await use() == 1
    else:

        class Board:
            @database_sync_to_async
            def use(self) -> int:
                return use_three_times()

        assert await Board().use() == 1
    assert opened.open == 0


async def test_database_sync_to_async_closes_also_when_it_raises(opened: Opened) -> None:
    def fail() -> None:
        Note.objects.count()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database_sync_to_async(fail)()
    assert opened.open == 0


def test_a_connection_with_an_open_transaction_stays() -> None:
    with transaction.atomic():
        Note.objects.create(text="in a transaction")
        close_old_connections()
        assert Note.objects.count() == 1
    close_old_connections()
    assert connection.connection is None


@pytest.mark.usefixtures("_asks_the_database")
async def test_a_broken_connection_of_async_code_heals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "LOOK", 0.001)
    await Note.objects.acount()
    await sync_to_async(break_connection)()

    answers = 0
    async with asyncio.timeout(10):
        while not answers:
            with suppress(ProgrammingError):  # the connection is broken still
                assert await Note.objects.acount() == 0
                answers += 1


async def test_a_healthy_connection_of_async_code_stays(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An async iteration may be in the middle of it."""
    monkeypatch.setattr(db, "LOOK", 0.001)
    await Note.objects.abulk_create([Note(text=str(number)) for number in range(3)])
    looked = asyncio.Event()
    look = db._Watch._look

    def telling(self: db._Watch) -> None:
        look(self)
        looked.set()

    monkeypatch.setattr(db._Watch, "_look", telling)
    async for _ in Note.objects.aiterator(chunk_size=1):
        looked.clear()
        async with asyncio.timeout(10):
            await looked.wait()
    assert opened.count == 1


async def test_an_error_that_leaves_the_connection_usable_closes_nothing(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "LOOK", 0.001)
    healed = asyncio.Event()
    loop = asyncio.get_running_loop()
    close = db.close_broken_connections

    def counted() -> None:
        close()
        loop.call_soon_threadsafe(healed.set)

    monkeypatch.setattr(db, "close_broken_connections", counted)
    with pytest.raises(OperationalError):
        await sync_to_async(run_sql)("SELECT nothing FROM nowhere")
    async with asyncio.timeout(10):
        await healed.wait()
    assert await Note.objects.acount() == 0
    assert opened.count == 1


def run_sql(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
