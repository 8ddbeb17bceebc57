"""The old names: what `install()` puts in place, and where it refuses."""

import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from achannels import legacy
from achannels.exceptions import ConfigurationError
from achannels.legacy import alias
from tests.legacy.conftest import IS_TAKEN, forget_old_names

ROOT = Path(__file__).parents[2]

ROOT_NAMES = [
    "Channel",
    "DEFAULT_CHANNEL_LAYER",
    "Group",
    "__version__",
    "channel_layers",
    "default_app_config",
    "include",
    "route",
    "route_class",
]

NAMES = {
    "routing": "Router Route RouteClass Include null_consumer connect_consumer route route_class include",
    "message": "Message PendingMessageStore pending_message_store",
    "channel": "Channel Group",
    "handler": "AsgiRequest AsgiHandler ViewConsumer ResponseLater",
    "sessions": (
        "session_for_reply_channel channel_session enforce_ordering http_session "
        "channel_and_http_session"
    ),
    "auth": (
        "transfer_user channel_session_user http_session_user channel_session_user_from_http "
        "channel_and_http_session_user_from_http"
    ),
    "security.websockets": (
        "BaseOriginValidator AllowedHostsOnlyOriginValidator allowed_hosts_only"
    ),
    "generic": "BaseConsumer",
    "generic.base": "BaseConsumer",
    "generic.websockets": (
        "WebsocketConsumer JsonWebsocketConsumer WebsocketMultiplexer WebsocketDemultiplexer"
    ),
    "binding": "Binding",
    "binding.base": "Binding BindingMetaclass CREATE UPDATE DELETE",
    "binding.websockets": "WebsocketBinding WebsocketBindingWithMembers",
    "worker": "Worker WorkerGroup",
    "signals": "consumer_started consumer_finished worker_ready worker_process_ready",
    "exceptions": (
        "ConsumeLater ResponseLater RequestTimeout RequestAborted DenyConnection "
        "ChannelSocketException WebsocketCloseException SendNotAvailableOnDemultiplexer"
    ),
    "asgi": (
        "channel_layers ChannelLayerManager ChannelLayerWrapper InvalidChannelLayerError "
        "get_channel_layer"
    ),
    "staticfiles": "StaticFilesHandler StaticFilesConsumer",
    "log": "setup_logger",
    "utils": "name_that_thing",
    "apps": "ChannelsConfig",
    "delay.worker": "Worker",
    "test": (
        "ChannelTestCase TransactionChannelTestCase Client WSClient HttpClient "
        "ChannelLiveServerTestCase apply_routes"
    ),
    "test.base": "ChannelTestCase Client apply_routes",
    "test.http": "HttpClient",
    "test.websocket": "WSClient",
    "test.liveserver": "ChannelLiveServerTestCase",
}


@pytest.mark.usefixtures("old_names")
def test_the_root_has_its_names() -> None:
    channels = importlib.import_module("channels")
    assert channels is legacy
    for name in ROOT_NAMES:
        assert hasattr(channels, name), name
    assert channels.__version__ == "1.1.8"
    assert channels.default_app_config == "channels.apps.ChannelsConfig"
    assert channels.route is channels.routing.Route is channels.routing.route


@pytest.mark.usefixtures("old_names")
@pytest.mark.parametrize("name", NAMES)
def test_a_module_of_1_x_has_its_names_and_is_one_module(name: str) -> None:
    module = importlib.import_module(f"channels.{name}")
    assert module is importlib.import_module(f"achannels.legacy.{name}")
    assert module.__spec__ is not None
    assert module.__spec__.name == f"achannels.legacy.{name}"
    for each in NAMES[name].split():
        assert hasattr(module, each), each


@pytest.mark.usefixtures("old_names")
def test_the_layers_of_other_packages_have_their_names() -> None:
    from asgi_ipc import IPCChannelLayer  # type: ignore[import-not-found]
    from asgi_redis import (  # type: ignore[import-not-found]
        RedisChannelLayer,
        RedisLocalChannelLayer,
        RedisSentinelChannelLayer,
    )
    from asgiref.inmemory import ChannelLayer  # type: ignore[import-not-found]

    kinds = (
        ChannelLayer,
        IPCChannelLayer,
        RedisChannelLayer,
        RedisLocalChannelLayer,
        RedisSentinelChannelLayer,
    )
    assert all(isinstance(kind, type) for kind in kinds)


@pytest.mark.usefixtures("old_names")
def test_a_module_that_never_was_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"channels\.nonsense"):
        importlib.import_module("channels.nonsense")


@pytest.mark.skipif(IS_TAKEN, reason="a real package channels is installed here")
def test_installing_more_than_once_does_nothing_more() -> None:
    program = (
        "import sys, achannels.legacy as legacy\n"
        "legacy.install(); before = list(sys.meta_path)\n"
        "legacy.install(); assert sys.meta_path == before\n"
        "import channels; legacy.install()\n"
        "from achannels import dispatch, routing\n"
        "assert (len(dispatch.compilers), len(routing.adapters)) == (1, 1)\n"
    )
    assert run(program).returncode == 0


@pytest.mark.skipif(IS_TAKEN, reason="a real package channels is installed here")
def test_the_settings_may_install_it_in_their_first_lines(tmp_path: Path) -> None:
    """Nothing that it imports reads the settings, which are not complete yet."""
    (tmp_path / "first_settings.py").write_text(
        "import achannels.legacy\n"
        "achannels.legacy.install()\n"
        "from channels.routing import route\n"
        "from channels import Group\n"
        "INSTALLED_APPS = ['channels', 'django.contrib.auth', 'django.contrib.contenttypes']\n"
    )
    done = run(
        "import django; django.setup()\n"
        "from django.apps import apps\n"
        "assert apps.get_app_config('channels').name == 'achannels.legacy'\n",
        DJANGO_SETTINGS_MODULE="first_settings",
        PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}",
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(IS_TAKEN, reason="a real package channels is installed here")
def test_the_entry_in_installed_apps_is_enough(tmp_path: Path) -> None:
    (tmp_path / "other_settings.py").write_text("INSTALLED_APPS = ['achannels.legacy']\n")
    done = run(
        "import django; django.setup()\n"
        "from channels import Group\n"
        "from achannels.asgi.settings import Settings\n"
        "assert Settings.make({}).unrouted == 'accept'\n",
        DJANGO_SETTINGS_MODULE="other_settings",
        PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}",
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A real package `channels`, which cannot be imported."""
    package = tmp_path / "channels"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('it was imported')\n")
    metadata = tmp_path / "channels-4.9.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: channels\nVersion: 4.9\n")
    return package


def test_a_real_package_is_refused_and_not_imported(package: Path) -> None:
    done = run(
        "import achannels.legacy; achannels.legacy.install()",
        PYTHONPATH=f"{package.parent}{os.pathsep}{ROOT}",
    )
    assert done.returncode == 1
    text = done.stderr.splitlines()[-1]
    assert text.startswith(
        "achannels.exceptions.ConfigurationError: achannels.legacy.install() puts"
    )
    assert f"taken by the package channels 4.9 in {package / '__init__.py'}" in text
    assert "Uninstall it (pip uninstall channels), or write `from achannels.legacy import" in text
    assert text.endswith("and install(names=False).")


BESIDE = """
import asyncio
import sys

from django.conf import settings

if sys.argv[1] == "call":
    import achannels.legacy

    achannels.legacy.install(names=False)
settings.configure(
    INSTALLED_APPS=["achannels.legacy", "django.contrib.sessions"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    CHANNEL_LAYERS={"default": {"BACKEND": "asgiref.inmemory.ChannelLayer", "ROUTING": []}},
)
import django

django.setup()
from django.apps import apps
from django.core.management import get_commands

from achannels.asgi import get_asgi_application
from achannels.legacy import Group
from achannels.legacy.message import Message
from achannels.legacy.routing import route
from achannels.testing import WebsocketClient


def receive(message):
    assert type(message) is Message
    Group("all").add(message.reply_channel)
    Group("all").send({"text": ""})
    Group("all").send({"text": message["text"]})


async def main():
    settings.CHANNEL_LAYERS["default"]["ROUTING"].append(route("websocket.receive", receive))
    async with WebsocketClient(get_asgi_application(), "/anywhere/") as ws:
        await ws.send("hi")
        assert await ws.receive() == "hi"


asyncio.run(main())
assert apps.get_app_config("achannels_legacy").name == "achannels.legacy"
assert get_commands()["runserver"] == get_commands()["runworker"] == "achannels.legacy"
assert "channels" not in sys.modules
"""


@pytest.mark.parametrize("how", ["call", "entry"])
def test_beside_a_real_package_the_shim_works_by_its_own_name(package: Path, how: str) -> None:
    done = run(BESIDE, how, PYTHONPATH=f"{package.parent}{os.pathsep}{ROOT}")
    assert done.returncode == 0, done.stderr


def test_a_package_of_ones_own_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if IS_TAKEN:
        pytest.skip("a real package channels is installed here")
    (tmp_path / "channels.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    with pytest.raises(
        ConfigurationError, match=r"a package 'channels' of your own in .*\. Give that"
    ):
        alias.refuse_beside_another()


def test_a_folder_that_is_no_package_is_not_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if IS_TAKEN:
        pytest.skip("a real package channels is installed here")
    (tmp_path / "channels").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    alias.refuse_beside_another()


def test_without_the_finder_nothing_has_an_old_name() -> None:
    alias.put_in_place()
    importlib.import_module("channels.routing")
    forget_old_names()
    assert not any(name.partition(".")[0] == "channels" for name in sys.modules)


def test_every_module_of_the_shim_can_be_imported() -> None:
    for info in pkgutil.walk_packages(legacy.__path__, "achannels.legacy."):
        if ".management." not in info.name and ".migrations." not in info.name:
            importlib.import_module(info.name)


def run(program: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a Python of its own."""
    inherited = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env={**inherited, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
