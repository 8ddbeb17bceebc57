"""Django's test cases with channels."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import override_settings
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from achannels import Channel, Group, Message, get_channel_layer, route, sync
from achannels.asgi import Application, get_asgi_application
from achannels.consumers.threads import set_runner
from achannels.django.testing import (
    ChannelLiveServerTestCase,
    ChannelServerThread,
    ChannelTestCase,
    ChannelTransactionTestCase,
    fresh_layers,
    memory_layer,
)
from achannels.exceptions import WrongContext
from achannels.layers.memory import MemoryLayer
from achannels.testing import HttpClient, Node, WebsocketClient
from tests.django.board.models import Note


def count(message: sync.Message) -> None:
    Note.objects.create(text="from a consumer")
    message.reply_channel.send({"text": str(Note.objects.count())})


async def count_async(message: Message) -> None:
    await Note.objects.acreate(text="from a consumer")
    await message.reply_channel.send({"text": str(await Note.objects.acount())})


counting = [
    route("websocket.receive", count, path="def/"),
    route("websocket.receive", count_async, path="async/"),
]


class InOneTransaction(ChannelTestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        Note.objects.create(text="of the class")

    async def check(self, path: str) -> None:
        await Note.objects.acreate(text="of the test")
        async with WebsocketClient(Application(counting), path) as socket:
            for expected in ("3", "4"):
                await socket.send("")
                assert await socket.receive() == expected
        assert await Note.objects.acount() == 4

    async def test_a_def_consumer_is_inside(self) -> None:
        await self.check("/def/")

    async def test_an_async_consumer_is_inside(self) -> None:
        await self.check("/async/")

    async def test_requests_of_the_kits_client_leave_the_connection_open(self) -> None:
        async with HttpClient(get_asgi_application()) as client:
            for _ in range(2):
                assert (await client.get("/notes/")).text == "of the class"
            await self.async_client.get("/notes/")
            assert (await client.get("/notes/")).text == "of the class"

    async def test_a_background_consumer_is_inside(self) -> None:
        async with Node(get_asgi_application()) as node:
            await Channel("notes").send({"text": "kept"})
            await node.idle()
        assert await Note.objects.acount() == 2

    async def test_what_is_sent_on_commit_reaches_a_socket(self) -> None:
        async with WebsocketClient(get_asgi_application(), "/board/") as socket:
            async with self.captureOnCommitCallbacks(execute=True):
                await Note.objects.acreate(text="news")
                assert await socket.receive_nothing()
            assert await socket.receive() == "news"

    async def test_captured_callbacks_can_be_called_later(self) -> None:
        async with WebsocketClient(get_asgi_application(), "/board/") as socket:
            async with self.captureOnCommitCallbacks() as callbacks:
                await Note.objects.acreate(text="news")
            assert await socket.receive_nothing()
            for callback in callbacks:
                await sync_to_async(callback)()
            assert await socket.receive() == "news"

    async def test_a_plain_with_on_the_loop_is_refused(self) -> None:
        with (
            pytest.raises(WrongContext, match="captures nothing on an event loop"),
            self.captureOnCommitCallbacks(),
        ):
            raise AssertionError("entered")


class WithTransactions(ChannelTransactionTestCase):
    async def test_consumers_see_what_was_committed(self) -> None:
        await Note.objects.acreate(text="of the test")
        async with WebsocketClient(Application(counting), "/def/") as socket:
            await socket.send("")
            assert await socket.receive() == "2"


def test_each_run_has_its_own_layer_and_gives_back_what_was_before() -> None:
    seen = []

    class Case(ChannelTransactionTestCase):
        databases: set[str] = set()  # noqa: RUF012 - as Django declares it

        def look(self) -> None:
            seen.append(get_channel_layer())

    before = get_channel_layer()
    Case("look").run()
    Case("look").debug()
    assert len({before, *seen}) == 3
    assert get_channel_layer() is before
    runner = set_runner(None)
    assert runner is None


def test_each_alias_has_a_memory_layer_whatever_its_backend() -> None:
    layers = {
        "default": {
            "BACKEND": "no.such.RedisLayer",
            "CONFIG": {"hosts": ["redis://nowhere"], "capacity": 7, "message_size": 100},
            "TEST_CONFIG": {"message_size": 50},
        },
        "jobs": {"BACKEND": "no.such.RedisLayer"},
    }
    with override_settings(CHANNEL_LAYERS=layers), fresh_layers():
        assert isinstance(get_channel_layer("jobs"), MemoryLayer)
        assert get_channel_layer() is not get_channel_layer("jobs")
        assert get_channel_layer().message_size == 50


def test_a_layer_for_tests_needs_no_settings() -> None:
    assert memory_layer({}).message_size == MemoryLayer().message_size


class Live(ChannelLiveServerTestCase):
    host = "localhost"

    def test_a_sync_view_reaches_a_socket(self) -> None:
        with connect(f"{self.live_server_ws_url}/board/", proxy=None) as socket:
            data = b"text=news"
            with urllib.request.urlopen(f"{self.live_server_url}/notes/", data) as response:
                assert response.status == 201
            assert socket.recv(timeout=5) == "news"
        assert Note.objects.get().text == "news"

    def test_a_test_reaches_a_socket(self) -> None:
        with connect(f"{self.live_server_ws_url}/board/", proxy=None) as socket:
            sync.Group("board").send({"text": "from the test"})
            assert socket.recv(timeout=5) == "from the test"
            socket.send("from a socket")
            assert socket.recv(timeout=5) == "from a socket"
        assert Note.objects.get().text == "from a socket"

    async def test_an_async_test_reaches_a_socket(self) -> None:
        async with connect_async(f"{self.live_server_ws_url}/board/", proxy=None) as socket:
            await Group("board").send({"text": "from the test"})
            async with asyncio.timeout(5):
                assert await socket.recv() == "from the test"

    def test_static_files_are_served(self) -> None:
        with urllib.request.urlopen(f"{self.live_server_url}/static/board/note.txt") as response:
            assert response.read() == b"a note\n"


class LiveWithItsOwnApplication(ChannelLiveServerTestCase):
    application = Application(counting)
    serve_static = False

    def test_it_is_served(self) -> None:
        with connect(f"{self.live_server_ws_url}/def/", proxy=None) as socket:
            socket.send("")
            assert socket.recv(timeout=5) == "1"

    def test_it_is_served_to_each_test(self) -> None:
        with connect(f"{self.live_server_ws_url}/async/", proxy=None) as socket:
            socket.send("")
            assert socket.recv(timeout=5) == "1"


@pytest.mark.django_db(transaction=True)
def test_sockets_of_a_live_test_are_closed_at_its_end() -> None:
    sockets = []

    class Case(ChannelLiveServerTestCase):
        application = Application(counting)

        def leave_open(self) -> None:
            opened = connect(f"{self.live_server_ws_url}/def/", proxy=None)
            sockets.append(stack.enter_context(opened))

    stack = ExitStack()
    Case.setUpClass()
    try:
        result = Case("leave_open").run()
        assert result is not None
        assert result.wasSuccessful(), result.errors
        with pytest.raises(ConnectionClosed) as closed:
            sockets[0].recv(timeout=5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    finally:
        stack.close()
        Case.tearDownClass()
        Case.doClassCleanups()
    assert not [each for each in threading.enumerate() if isinstance(each, ChannelServerThread)]


@pytest.mark.django_db(transaction=True)
def test_a_port_that_is_taken_fails_the_class() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:

        class Case(ChannelLiveServerTestCase):
            port = taken.getsockname()[1]

        try:
            with pytest.raises(OSError, match="in use"):
                Case.setUpClass()
        finally:
            Case.doClassCleanups()
    assert not [each for each in threading.enumerate() if isinstance(each, ChannelServerThread)]


PROJECT_TESTS = """
from django.test.utils import isolate_apps
from django.contrib.auth.models import User
from websockets.sync.client import connect
from achannels import route, sync
from achannels.asgi import Application, get_asgi_application
from achannels.django.testing import ChannelLiveServerTestCase, ChannelTestCase
from achannels.testing import WebsocketClient
import urllib.request

def count(message):
    User.objects.create(username=message["text"])
    message.reply_channel.send({"text": str(User.objects.count())})

async def acount(message):
    await User.objects.acreate(username=message["text"])
    await message.reply_channel.send({"text": str(await User.objects.acount())})

channel_routing = [
    route("websocket.receive", count, path="def/"), route("websocket.receive", acount, path="async/"),
]

class InProcess(ChannelTestCase):
    async def test_it(self):
        async with WebsocketClient(get_asgi_application(), "/def/") as socket:
            await socket.send("anna")
            assert await socket.receive() == "1"

class Live(ChannelLiveServerTestCase):
    def test_threads_share_the_database_in_memory(self):
        User.objects.create(username="of the test")
        for number, path in enumerate(["def", "async", "def"], 2):
            with connect(f"{self.live_server_ws_url}/{path}/", proxy=None) as socket:
                socket.send(path + str(number))
                assert socket.recv(timeout=5) == str(number)
        with urllib.request.urlopen(f"{self.live_server_url}/count/") as response:
            assert response.read() == b"4"
        assert User.objects.count() == 4
"""

PROJECT_URLS = """
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("count/", lambda request: HttpResponse(str(User.objects.count())))]
"""


def test_djangos_own_runner_and_a_database_in_memory(tmp_path: Path) -> None:
    environ: dict[str, Any] = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environ.pop("DJANGO_SETTINGS_MODULE", None)

    def run(*command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-Wa", *command],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )

    assert run("-m", "django", "startproject", "mysite", ".").returncode == 0
    with (tmp_path / "mysite" / "settings.py").open("a") as settings:
        settings.write('INSTALLED_APPS += ["achannels"]\n')
        routing = '{"ROUTING": "mysite.tests.channel_routing"}'
        settings.write(f'CHANNEL_LAYERS = {{"default": {routing}}}\n')
    (tmp_path / "mysite" / "tests.py").write_text(PROJECT_TESTS)
    (tmp_path / "mysite" / "urls.py").write_text(PROJECT_URLS)
    done = run("manage.py", "test")
    assert done.returncode == 0, done.stderr
    assert "Ran 2 tests" in done.stderr
    assert "Warning" not in done.stderr, done.stderr
