"""Django's settings as ours."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from achannels import registry
from achannels.asgi import get_asgi_application
from achannels.django import conf
from achannels.exceptions import ConfigurationError
from achannels.layers.memory import MemoryLayer


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An importable package `site_one` without modules."""
    folder = tmp_path / "site_one"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    import sys

    for name in [name for name in sys.modules if name.split(".")[0] == "site_one"]:
        del sys.modules[name]


def test_the_routing_is_found_beside_the_urls() -> None:
    assert conf.routing() == "tests.django.routing.channel_routing"


@pytest.mark.parametrize("urls", ["site_one.urls", "site_one.urls.main", None])
def test_without_a_routing_module_there_is_no_route(package: Path, urls: str | None) -> None:
    with override_settings(ROOT_URLCONF=urls):
        assert conf.routing() == []
        assert get_asgi_application().router.routes == ()


def test_urls_without_a_package_have_their_routing_beside_them() -> None:
    with override_settings(ROOT_URLCONF="urls"):
        assert conf.default_module() == "routing"


def test_the_setting_routing_wins() -> None:
    with override_settings(CHANNEL_LAYERS={"default": {"ROUTING": "chat.routing.here"}}):
        assert conf.routing() == "chat.routing.here"


def test_a_broken_routing_module_shows_its_own_error(package: Path) -> None:
    (package / "routing.py").write_text("from achannels import nothing_of_that_name\n")
    with (
        override_settings(ROOT_URLCONF="site_one.urls"),
        pytest.raises(ConfigurationError, match="nothing_of_that_name") as raised,
    ):
        get_asgi_application()
    assert isinstance(raised.value.__cause__, ImportError)


def test_a_broken_package_shows_its_own_error(package: Path) -> None:
    (package / "__init__.py").write_text("import no_such_module\n")
    with (
        override_settings(ROOT_URLCONF="site_one.urls"),
        pytest.raises(ModuleNotFoundError, match="no_such_module"),
    ):
        conf.routing()


def test_a_routing_module_without_routing_is_an_error(package: Path) -> None:
    (package / "routing.py").write_text("channel_ruoting = []\n")
    with (
        override_settings(ROOT_URLCONF="site_one.urls"),
        pytest.raises(ConfigurationError, match="Did you mean 'channel_ruoting'"),
    ):
        get_asgi_application()


def test_layers_are_made_of_channel_layers() -> None:
    layers = {"default": {"CONFIG": {"message_size": 5}}, "jobs": {"CONFIG": {"capacity": 7}}}
    with override_settings(CHANNEL_LAYERS=layers):
        layer = registry.make_layer()
        assert isinstance(layer, MemoryLayer)
        assert layer.message_size == 5
        assert isinstance(registry.make_layer("jobs"), MemoryLayer)


@pytest.mark.parametrize("wrong", [[], "redis://", {"default": "redis://"}, {1: {}}])
def test_channel_layers_of_a_wrong_shape_raise_when_used(wrong: Any) -> None:
    with override_settings(CHANNEL_LAYERS=wrong):
        with pytest.raises(ConfigurationError, match=r"CHANNEL_LAYERS.*Write a dict"):
            registry.make_layer()
        with pytest.raises(ConfigurationError, match="CHANNEL_LAYERS"):
            get_asgi_application()


def test_achannels_are_keywords_in_upper_case() -> None:
    with override_settings(ACHANNELS={"THREADS": 3, "SUBPROTOCOLS": ["chat"]}):
        settings = get_asgi_application().settings
    assert (settings.threads, settings.subprotocols) == (3, ["chat"])


def test_keywords_win_over_achannels(monkeypatch: pytest.MonkeyPatch) -> None:
    with override_settings(ACHANNELS={"THREADS": 3, "CONCURRENCY": 3}):
        settings = get_asgi_application(threads=4).settings
    assert (settings.threads, settings.concurrency) == (4, 3)


def test_the_environment_wins_over_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACHANNELS_THREADS", "5")
    with override_settings(ACHANNELS={"THREADS": 3}):
        assert get_asgi_application(threads=4).settings.threads == 5


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (["THREADS"], r"ACHANNELS is \['THREADS'\]. Write a dict."),
        ({"THREDS": 3}, "ACHANNELS has the unknown key 'THREDS'. Did you mean 'THREADS'?"),
        ({"COLOUR": 3}, "ACHANNELS has the unknown key 'COLOUR'. Known: ALLOWED_ORIGINS, "),
        ({7: 3}, "ACHANNELS has the unknown key 7. Known: "),
        ({"threads": 3}, "ACHANNELS has the key 'threads'. Write 'THREADS'."),
        ({"THREADS": 0}, r"ACHANNELS\['THREADS'\] is 0; it must be an int from 1 up."),
    ],
)
def test_a_wrong_achannels_says_what_is_right(given: Any, text: str) -> None:
    with (
        override_settings(ACHANNELS=given),
        pytest.raises(ConfigurationError, match=text),
    ):
        get_asgi_application()


def test_the_old_top_level_settings_are_understood() -> None:
    engine = "django.contrib.sessions.backends.cache"
    with override_settings(CHANNEL_SESSION_ENGINE=engine, CHANNELS_WS_PROTOCOLS=["wamp"]):
        application = get_asgi_application()
    assert application.settings.subprotocols == ["wamp"]
    assert application.settings.channel_session_engine == engine
    assert application.channel_sessions is not None


def test_a_new_setting_wins_over_the_old_one() -> None:
    with override_settings(CHANNELS_WS_PROTOCOLS=["wamp"], ACHANNELS={"SUBPROTOCOLS": ["chat"]}):
        assert get_asgi_application().settings.subprotocols == ["chat"]
