"""System checks: every wrong setting, with what to write instead."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core import checks
from django.test import override_settings

from achannels import Message, route
from achannels.auth import http_user
from achannels.sessions import http_session

MODERN = sys.version_info >= (3, 13)
MEMORY = "achannels.layers.memory.MemoryLayer"


@http_user
@http_session
async def needs_both(message: Message) -> None:
    await message.reply_channel.send({"text": str(message.user)})


needy_routing = [route("websocket.receive", needs_both)]


def found(*, deploy: bool = False, **settings: Any) -> dict[str, checks.CheckMessage]:
    """Return the messages of our checks by number."""
    with override_settings(**settings):
        messages = checks.run_checks(tags=["achannels"], include_deployment_checks=deploy)
    return {str(message.id).removeprefix("achannels."): message for message in messages}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An importable package `site_two`."""
    folder = tmp_path / "site_two"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "site_two"]:
        del sys.modules[name]


def test_a_project_without_mistakes_has_no_messages() -> None:
    assert found() == {}


@pytest.mark.parametrize(
    ("layers", "number", "text", "hint"),
    [
        (["redis"], "E001", "CHANNEL_LAYERS is ['redis'].", "Write a dict: {'default'"),
        ({"default": 7}, "E001", "CHANNEL_LAYERS['default'] is 7.", "Write a dict with the keys"),
        (
            {"default": {"BACKND": MEMORY}},
            "E002",
            "CHANNEL_LAYERS['default'] has the unknown key 'BACKND'.",
            "Did you mean 'BACKEND'?",
        ),
        (
            {"default": {"BACKEND": "no.such.Layer"}},
            "E003",
            "CHANNEL_LAYERS['default']['BACKEND'] is 'no.such.Layer', which cannot be imported: No",
            "Give the dotted name of a layer",
        ),
        (
            {"default": {"BACKEND": "json.loads"}},
            "E003",
            "CHANNEL_LAYERS['default']['BACKEND'] is 'json.loads', which is not a class.",
            "Give the dotted name of a layer",
        ),
        (
            {"default": {"CONFIG": {"capcity": 5}}},
            "E004",
            "CHANNEL_LAYERS['default']['CONFIG'] has the unknown key 'capcity'.",
            "Did you mean 'capacity'?",
        ),
        (
            {"default": {"CONFIG": ["capacity"]}},
            "E004",
            "CHANNEL_LAYERS['default']['CONFIG'] is ['capacity'].",
            "Write a dict.",
        ),
        (
            {"default": {"CONFIG": {"capacity": -1}}},
            "E004",
            "CONFIG 'capacity' is -1.",
            "It must be an int from 1 up.",
        ),
        (
            {"default": {"TEST_CONFIG": {"expiri": 5}}},
            "E004",
            "CHANNEL_LAYERS['default']['TEST_CONFIG'] has the unknown key 'expiri'.",
            "Did you mean 'expiry'?",
        ),
    ],
)
def test_a_wrong_layer(layers: Any, number: str, text: str, hint: str) -> None:
    messages = found(CHANNEL_LAYERS=layers)
    assert list(messages) == [number]
    assert messages[number].level == checks.ERROR
    assert messages[number].msg.startswith(text)
    assert (messages[number].hint or "").startswith(hint)


def test_layers_without_a_default_one() -> None:
    message = found(CHANNEL_LAYERS={"defualt": {}, "jobs": {}})["W007"]
    assert message.level == checks.WARNING
    assert message.hint == "Call one of these 'default': 'defualt', 'jobs'."


def test_settings_that_are_right_bring_nothing() -> None:
    layers = {"default": {"BACKEND": MEMORY, "CONFIG": {"capacity": 5}, "TEST_CONFIG": {}}}
    achannels = {"THREADS": 5, "ALLOWED_ORIGINS": ["https://example.org"]}
    assert found(CHANNEL_LAYERS=layers, ACHANNELS=achannels) == {}


@pytest.mark.parametrize(
    ("achannels", "number", "text", "hint"),
    [
        (["THREADS"], "E005", "ACHANNELS is ['THREADS'].", "Write a dict."),
        (
            {"OUTBOX_CAPCITY": 5},
            "E005",
            "ACHANNELS has the unknown key 'OUTBOX_CAPCITY'.",
            "Did you mean 'OUTBOX_CAPACITY'?",
        ),
        ({"THREADS": 0}, "E006", "ACHANNELS['THREADS'] is 0.", "It must be an int from 1 up."),
        ({"USER": "no.user"}, "E006", "the setting 'USER' is 'no.user', which", "Correct it, or"),
        (
            {"LIFESPAN": "os.no"},
            "E006",
            "the setting 'LIFESPAN' is 'os.no', which",
            "Correct it, or",
        ),
        (
            {"ALLOWED_ORIGINS": "*"},
            "E006",
            "ALLOWED_ORIGINS is the str '*'.",
            "Write a list: ['*']",
        ),
        (
            {"ALLOWED_ORIGINS": ["example.org"]},
            "E006",
            "ALLOWED_ORIGINS has 'example.org'.",
            "An origin is scheme, host and perhaps a port",
        ),
        (
            {"CHANNEL_SESSION_ENGINE": "no.engine"},
            "E006",
            "the session engine 'no.engine' cannot be imported: No module named 'no'.",
            "Correct it, or leave it out",
        ),
        (
            {"CHANNEL_SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies"},
            "E006",
            "CHANNEL_SESSION_ENGINE is 'django.contrib.sessions.backends.signed_cookies', which",
            "Use 'django.contrib.sessions.backends.cache'",
        ),
    ],
)
def test_a_wrong_setting(achannels: Any, number: str, text: str, hint: str) -> None:
    messages = found(ACHANNELS=achannels)
    assert list(messages) == [number]
    assert messages[number].msg.startswith(text)
    assert (messages[number].hint or "").startswith(hint)


def test_a_wrong_variable_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACHANNELS_THREADS", "many")
    assert "ACHANNELS_THREADS is 'many'" in found()["E006"].msg


def test_without_a_routing_nothing_is_called(site: Path) -> None:
    message = found(ROOT_URLCONF="site_two.urls")["W002"]
    assert message.msg == (
        "There is no routing: the module site_two.routing does not exist, so no consumer is ever "
        "called."
    )


def test_a_project_without_urls_is_no_website() -> None:
    assert found(ROOT_URLCONF=None) == {}


@pytest.mark.parametrize(
    ("module", "text", "line"),
    [
        ("x = 1\nfrom json import nothing\n", "cannot import name 'nothing' from 'json'", 2),
        ("import no_such_module\n", "No module named 'no_such_module'", 1),
        ("channel_routing = [\n", "SyntaxError", 1),
        ("import re\nre.compile('(')\n", "PatternError" if MODERN else "error: missing )", 2),
        ("x = 1\n\nchannel_routing = y\n", "NameError: name 'y' is not defined", 3),
    ],
)
def test_a_broken_routing_module_shows_its_error_and_its_line(
    site: Path, module: str, text: str, line: int
) -> None:
    (site / "routing.py").write_text(module)
    message = found(ROOT_URLCONF="site_two.urls")["E007"]
    assert text in message.msg
    assert message.hint == f"See {site / 'routing.py'}, line {line}."


def test_a_mistake_in_an_import_of_the_routing_module_is_found_there(site: Path) -> None:
    (site / "consumers.py").write_text("\n\nfrom json import nothing\n")
    (site / "routing.py").write_text("from site_two import consumers\n")
    message = found(ROOT_URLCONF="site_two.urls")["E007"]
    assert message.hint == f"See {site / 'consumers.py'}, line 3."


def test_a_wrong_route(site: Path) -> None:
    source = "from achannels import route\nchannel_routing = [route('x', 'site_two.consume')]\n"
    (site / "routing.py").write_text(source)
    (site / "__init__.py").write_text("def consumer(message): ...\n")
    message = found(ROOT_URLCONF="site_two.urls")["E007"]
    assert message.msg.endswith("route('x', 'site_two.consume'): module site_two has no 'consume'.")
    assert message.hint == f"Did you mean 'consumer'? See {site / 'routing.py'}, line 2."


def test_users_and_sessions_need_their_apps() -> None:
    layers = {"default": {"ROUTING": f"{__name__}.needy_routing"}}
    apps = ["django.contrib.contenttypes", "achannels", "tests.django.board"]
    messages = found(CHANNEL_LAYERS=layers, INSTALLED_APPS=apps)
    assert set(messages) == {"E008", "E009"}
    assert "needs_both asks for http_user" in messages["E009"].msg
    assert found(CHANNEL_LAYERS=layers) == {}


def test_a_user_function_needs_no_app() -> None:
    async def user(scope: Any) -> str:
        return "anna"

    layers = {"default": {"ROUTING": f"{__name__}.needy_routing"}}
    apps = ["django.contrib.contenttypes", "django.contrib.sessions", "achannels"]
    assert found(CHANNEL_LAYERS=layers, INSTALLED_APPS=apps, ACHANNELS={"USER": user}) == {}


PLAIN = "from django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (PLAIN, ["W001"]),
        ("import django.core.asgi\n", ["W001"]),
        (PLAIN.replace("django.core.asgi", "achannels.asgi"), []),
        (f"{PLAIN}from achannels.asgi import Application\n", []),
        ("application = None\n", []),
        ("not python", []),
    ],
)
def test_asgi_py_that_knows_no_sockets(site: Path, source: str, expected: list[str]) -> None:
    (site / "asgi.py").write_text(f"raise_if_imported = 1 / 0\n{source}")
    assert list(found(WSGI_APPLICATION="site_two.wsgi.application")) == expected
    assert list(found(ASGI_APPLICATION="site_two.asgi.application")) == expected
    assert "site_two.asgi" not in sys.modules


def test_asgi_py_that_is_not_there() -> None:
    assert found(ASGI_APPLICATION="no.such.application") == {}


def test_a_memory_layer_where_the_site_is_deployed() -> None:
    messages = found(deploy=True, CHANNEL_LAYERS={"default": {"BACKEND": MEMORY}})
    assert list(messages) == ["W004"]
    assert list(found(deploy=True, CHANNEL_LAYERS={})) == ["W004"]
    assert found(deploy=True, CHANNEL_LAYERS=["wrong"]).keys() == {"E001"}


def test_the_checks_run_in_a_project(tmp_path: Path) -> None:
    """As a user sees them, without the settings of the tests."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = {"cwd": tmp_path, "env": environ, "capture_output": True, "text": True}
    admin = [sys.executable, "-m", "django", "startproject", "mysite", "."]
    subprocess.run(admin, check=True, **run)  # type: ignore[call-overload]
    with (tmp_path / "mysite" / "settings.py").open("a") as settings:
        settings.write('INSTALLED_APPS += ["achannels"]\nACHANNELS = {"THREDS": 1}\n')
    environ.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, "manage.py", "check"]
    done = subprocess.run(command, check=False, **run)  # type: ignore[call-overload]
    assert done.returncode == 1
    assert "(achannels.E005) ACHANNELS has the unknown key 'THREDS'." in done.stderr
    assert "HINT: Did you mean 'THREADS'?" in done.stderr
    assert "(achannels.W001) mysite.asgi makes Django's plain application" in done.stderr
    assert "(achannels.W002) There is no routing: the module mysite.routing" in done.stderr
