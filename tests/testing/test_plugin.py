"""The pytest plugin, in runs of pytest of its own, with the runners that people use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

PROJECT = """
import pytest
from achannels import Group, Message, registry, route
from achannels.asgi import Application
from achannels.layers.memory import MemoryLayer
from achannels.testing import Clock, WebsocketClient

async def connect(message: Message) -> None:
    await Group("room").add(message.reply_channel)
    await message.reply_channel.send({"accept": True})

application = Application([route("websocket.connect", connect), route("work", connect)])
seen: list[MemoryLayer] = []
"""

ASYNC_TESTS = """
@pytest.mark.parametrize("number", range(3))
async def test_each_test_has_a_fresh_layer(number: int, channel_layer: MemoryLayer) -> None:
    assert registry.get_channel_layer() is channel_layer
    assert channel_layer not in seen
    seen.append(channel_layer)
    async with WebsocketClient(application, "/") as ws:
        await Group("room").send({"text": str(number)})
        assert await ws.receive() == str(number)
        assert len(await channel_layer.group_channels("room")) == 1

async def test_time_stands_still(channel_layer: MemoryLayer, channel_clock: Clock) -> None:
    await channel_layer.send("work.later", {"a": 1}, delay=3600)
    channel_clock.advance(3600)
    assert await channel_layer.receive("work.later") == {"a": 1}

async def test_a_server_runs(channel_server) -> None:
    async with channel_server.websocket("/") as ws:
        await Group("room").send({"text": "hello"})
        assert await ws.receive() == "hello"
"""

SYNC_TESTS = """
import urllib.error
import urllib.request

def test_a_layer_is_there_without_any_loop(channel_layer: MemoryLayer) -> None:
    assert registry.get_channel_layer() is channel_layer

def test_a_server_runs_for_a_plain_function(channel_server) -> None:
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(channel_server.url)
    assert error.value.code == 404
"""


def run(
    folder: Path, tests: str, *, plugins: tuple[str, ...] = (), ini: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run pytest in a fresh process with our plugin and these, and no other."""
    (folder / "test_project.py").write_text(PROJECT + tests)
    (folder / "pytest.ini").write_text(f"[pytest]\nfilterwarnings = error\n{ini}")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        **environ,
    }
    arguments = [f"-p{name}" for name in ("achannels.testing.plugin", *plugins)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


APPLICATION = "channel_application = test_project:application\n"


@pytest.mark.parametrize("loop_scope", ["function", "session"])
def test_it_works_with_pytest_asyncio(tmp_path: Path, loop_scope: str) -> None:
    ini = (
        "asyncio_mode = auto\n"
        f"asyncio_default_test_loop_scope = {loop_scope}\n"
        f"asyncio_default_fixture_loop_scope = {loop_scope}\n"
    )
    ran = run(tmp_path, ASYNC_TESTS, plugins=("pytest_asyncio.plugin",), ini=ini + APPLICATION)
    assert "5 passed" in ran.stdout, ran.stdout + ran.stderr


def test_it_works_with_anyio(tmp_path: Path) -> None:
    tests = (
        "pytestmark = pytest.mark.anyio\n"
        "@pytest.fixture\n"
        "def anyio_backend() -> str:\n    return 'asyncio'\n" + ASYNC_TESTS
    )
    ran = run(tmp_path, tests, plugins=("anyio.pytest_plugin",), ini=APPLICATION)
    assert "5 passed" in ran.stdout, ran.stdout + ran.stderr


def test_it_works_without_any_runner(tmp_path: Path) -> None:
    ran = run(tmp_path, SYNC_TESTS, ini=APPLICATION)
    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr


def test_the_fixture_of_the_application_can_be_overridden(tmp_path: Path) -> None:
    tests = "@pytest.fixture\ndef channel_application():\n    return application\n" + SYNC_TESTS
    ran = run(tmp_path, tests)
    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr


def test_a_server_without_an_application_says_what_to_set(tmp_path: Path) -> None:
    ran = run(tmp_path, SYNC_TESTS)
    assert "Set channel_application = 'module:name'" in ran.stdout


def test_settings_of_the_layer_are_kept_as_far_as_they_fit(tmp_path: Path) -> None:
    tests = """
registry.configure({
    "default": {
        "BACKEND": "achannels.layers.redis.RedisLayer",
        "CONFIG": {"hosts": ["redis://nowhere"], "capacity": 7, "message_size": 10_000},
        "TEST_CONFIG": {"message_size": 5_000},
    },
    "second": {"BACKEND": "nobody.made.This"},
})

def test_layers() -> None:
    default, second = registry.get_channel_layer(), registry.get_channel_layer("second")
    assert isinstance(default, MemoryLayer)
    assert default.message_size == 5_000
    assert isinstance(second, MemoryLayer)
    assert default is not second
"""
    ran = run(tmp_path, tests)
    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr


def test_django_is_not_imported_where_it_is_not_used(tmp_path: Path) -> None:
    tests = """
import sys

def test_no_django(channel_layer: MemoryLayer) -> None:
    assert "django" not in sys.modules
"""
    ran = run(tmp_path, tests)
    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr


def test_the_server_of_a_django_project_needs_no_setting(tmp_path: Path) -> None:
    (tmp_path / "mysettings.py").write_text(
        'SECRET_KEY = "only for tests"\nINSTALLED_APPS = ["achannels"]\nROOT_URLCONF = "mysite.urls"\n'
    )
    (tmp_path / "mysite").mkdir()
    (tmp_path / "mysite" / "urls.py").write_text("urlpatterns = []\n")
    (tmp_path / "mysite" / "routing.py").write_text(
        "from test_project import connect\nfrom achannels import route\n"
        'channel_routing = [route("websocket.connect", connect, path="found/")]\n'
    )
    tests = """
async def test_its_routing_is_served(channel_server) -> None:
    async with channel_server.websocket("/found/") as ws:
        await Group("room").send({"text": "hello"})
        assert await ws.receive() == "hello"
"""
    ran = run(
        tmp_path,
        tests,
        plugins=("pytest_asyncio.plugin",),
        ini="asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n",
        DJANGO_SETTINGS_MODULE="mysettings",
        PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}",
    )
    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr
