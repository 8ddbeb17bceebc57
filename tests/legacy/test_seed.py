"""The introduction to Channels 1.x through the shim: its snippets as printed, over real sockets.

Each test makes a project of them, with the two lines of `install()` in its settings, and runs it with
`manage.py runserver`.
"""

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.async_api import Dialog
from websockets.sync.client import ClientConnection, connect

from tests.e2e.browser import chromium, needs_chromium
from tests.e2e.server import Server, run
from tests.legacy.conftest import IS_TAKEN
from tests.seed.snippets import PRINTED

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(IS_TAKEN, reason="a real package channels is installed here"),
]


@pytest.fixture(autouse=True)
def _no_blocking_calls() -> None:
    """Playwright looks at files on the event loop."""


SETTINGS = f"""\
import achannels.legacy

achannels.legacy.install()
{PRINTED["settings"]}
SECRET_KEY = "only for tests"
DEBUG = True
ROOT_URLCONF = "myproject.urls"
INSTALLED_APPS = ["channels", "django.contrib.sessions", "myapp"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}}}
"""

MANAGE = """\
import os
import sys

from django.core.management import execute_from_command_line

os.environ["DJANGO_SETTINGS_MODULE"] = "myproject.settings"
execute_from_command_line(sys.argv)
"""

MODELS = """\
from django.db import models


class BlogUpdate(models.Model):
    content = models.TextField()

    class Meta:
        app_label = "myapp"
"""

PUBLISH = """\
from django.http import HttpResponse
from django.urls import path

from myapp.models import BlogUpdate


def publish(request):
    return HttpResponse(str(BlogUpdate.objects.create(content=request.GET["content"]).pk))


urlpatterns = [path("publish/", publish)]
"""


@contextmanager
def project(folder: Path, consumers: str, routing: str, **files: str) -> Iterator[Server]:
    """Serve a project with these consumers and this routing, and further files of `myapp`."""
    texts = {
        "manage.py": MANAGE,
        "myproject/__init__.py": "",
        "myproject/settings.py": SETTINGS,
        "myproject/urls.py": files.pop("urls", "urlpatterns = []\n"),
        "myproject/routing.py": routing,
        "myapp/__init__.py": "",
        "myapp/consumers.py": consumers,
        **{f"myapp/{name}.py": text for name, text in files.items()},
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    run("manage.py", "migrate", "--run-syncdb", "--verbosity", "0", folder=folder, more={})
    server = Server("manage.py", "runserver", "--noreload", "127.0.0.1:{port}", folder=folder)
    with server:
        yield server


def get(server: Server, path: str) -> str:
    with urllib.request.urlopen(f"{server.url}{path}", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def socket(server: Server, path: str) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{server.port}{path}", proxy=None)


def test_a_consumer_answers_every_request(tmp_path: Path) -> None:
    with project(tmp_path, PRINTED["http consumer"], PRINTED["http routing"]) as server:
        assert get(server, "/some/page") == "Hello world! You asked for /some/page"


def test_a_consumer_runs_a_view(tmp_path: Path) -> None:
    consumers = f"""\
from channels.handler import AsgiHandler, AsgiRequest
from django.http import HttpResponse


def view(request):
    return HttpResponse("%s %s" % (request.method, request.GET["a"]))


{PRINTED["a view in a consumer"]}
"""
    routing = 'channel_routing = {"http.request": "myapp.consumers.my_consumer"}\n'
    with project(tmp_path, consumers, routing) as server:
        assert get(server, "/?a=1") == "GET 1"


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[Server]:
    """The echo of the introduction, served."""
    with project(tmp_path, PRINTED["echo"], PRINTED["echo routing"]) as server:
        yield server


@pytest.mark.browser
@needs_chromium
async def test_a_page_alerts_what_comes_back(echo: Server) -> None:
    async with chromium() as browser:
        tab = await browser.new_page()
        shown = asyncio.get_running_loop().create_future()

        async def take(dialog: Dialog) -> None:
            shown.set_result(dialog.message)
            await dialog.accept()

        tab.on("dialog", take)
        await tab.goto(f"{echo.url}/any/page")
        await tab.evaluate(PRINTED["page"])
        assert await shown == "hello world"


def test_a_socket_hears_its_echo(echo: Server) -> None:
    with socket(echo, "/chat/") as ws:
        ws.send("hello world")
        assert ws.recv(10) == "hello world"


def test_everybody_in_the_group_hears_what_one_says(tmp_path: Path) -> None:
    with (
        project(tmp_path, PRINTED["chat"], PRINTED["chat routing"]) as server,
        socket(server, "/") as anna,
    ):
        with socket(server, "/any/path") as bert:
            anna.send("hello")
            assert [anna.recv(10), bert.recv(10)] == ["[user] hello"] * 2
        anna.send("alone")
        assert anna.recv(10) == "[user] alone"


def test_a_name_is_kept_in_the_channel_session(tmp_path: Path) -> None:
    consumers, routing = PRINTED["chat with sessions"], PRINTED["chat with sessions, routing"]
    with project(tmp_path, consumers, routing) as server:
        with (
            socket(server, "/lobby/?username=anna") as anna,
            socket(server, "/lobby/?username=bert") as bert,
        ):
            anna.send("hi")
            for ws in (anna, bert):
                assert json.loads(ws.recv(10)) == {"text": "hi", "username": "anna"}
            bert.send("servus")
            for ws in (anna, bert):
                assert json.loads(ws.recv(10)) == {"text": "servus", "username": "bert"}
        with socket(server, "/lobby/") as nobody:
            assert wait_closed(nobody) == 1000


def wait_closed(ws: ClientConnection) -> int | None:
    for _ in ws:
        pass
    return ws.close_code


def test_whoever_reads_the_blog_hears_what_is_saved(tmp_path: Path) -> None:
    imports = """\
import json

from channels import Group
from django.db.models.signals import post_save
from django.dispatch import receiver

from myapp.models import BlogUpdate

"""
    routing = """\
channel_routing = {
    "websocket.connect": "myapp.consumers.ws_connect",
    "websocket.disconnect": "myapp.consumers.ws_disconnect",
}
"""
    consumers = imports + PRINTED["liveblog"]
    with (
        project(tmp_path, consumers, routing, models=MODELS, urls=PUBLISH) as server,
        socket(server, "/liveblog/") as reader,
    ):
        key = int(get(server, "/publish/?content=news"))
        assert json.loads(reader.recv(10)) == {"id": key, "content": "news"}


def test_a_channel_is_a_queue_of_work(tmp_path: Path) -> None:
    consumers = PRINTED["a consumer"].replace("    pass\n", "    print(message.content)\n")
    urls = """\
from channels import Channel
from django.http import HttpResponse
from django.urls import path


def work(request):
    Channel("some-channel").send({"some": "data"})
    return HttpResponse("sent")


urlpatterns = [path("work/", work)]
"""
    with project(tmp_path, consumers, PRINTED["its routing"], urls=urls) as server:
        assert get(server, "/work/") == "sent"
        server.wait_for("{'some': 'data'}")
