"""Whose `runserver` runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import get_commands
from django.test import modify_settings, override_settings

from achannels.django.checks import check_server
from achannels.django.commands import prefer_runserver

STATIC = "django.contrib.staticfiles"


@pytest.fixture(autouse=True)
def _commands_as_before() -> Iterator[None]:
    yield
    get_commands.cache_clear()  # type: ignore[attr-defined]
    prefer_runserver()


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An app with a `runserver` of its own."""
    commands = tmp_path / "other_server" / "management" / "commands"
    commands.mkdir(parents=True)
    (tmp_path / "other_server" / "__init__.py").touch()
    (commands / "runserver.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    return "other_server"


def runserver(*apps: str) -> str:
    """Return whose command runs with these apps."""
    with override_settings(INSTALLED_APPS=[*apps]):
        prefer_runserver()
        return str(get_commands()["runserver"])


@pytest.mark.parametrize(
    "apps", [["achannels"], ["achannels", STATIC], [STATIC, "achannels"], [STATIC]]
)
def test_ours_wins_over_djangos_two_in_any_order(apps: list[str]) -> None:
    assert runserver(*apps) == "achannels.django"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_anothers_wins_over_ours_in_any_order(other: str, place: int) -> None:
    apps = [STATIC, "achannels"]
    apps.insert(place, other)
    assert runserver(*apps) == other


def test_a_check_says_that_anothers_runs(other: str) -> None:
    assert check_server() == []
    with modify_settings(INSTALLED_APPS={"append": other}):
        (message,) = check_server()
    assert message.id == "achannels.W003"
    assert "'other_server', not the one of achannels" in message.msg


def test_the_table_is_ours_when_django_has_started() -> None:
    assert get_commands()["runserver"] == "achannels.django"
