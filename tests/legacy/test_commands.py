"""`runserver` and `runworker` with the options of 1.x."""

from typing import Any

import pytest
from django.core.management import CommandError, call_command, get_commands
from django.core.management.base import CommandParser
from django.test import override_settings

from achannels.legacy.management.commands import runserver, runworker
from tests.legacy.conftest import IS_TAKEN


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


def test_the_options_of_runworker() -> None:
    given = ["--only-channels", "a", "--only-channels", "b", "--threads", "3", "--layer", "x"]
    options = parsed(runworker.Command(), *given)
    found = {key: options[key] for key in ("only_channels", "exclude_channels", "threads", "layer")}
    assert found == {
        "only_channels": ["a", "b"],
        "exclude_channels": [],
        "threads": 3,
        "layer": "x",
    }
    defaults = parsed(runworker.Command())
    assert (defaults["threads"], defaults["layer"]) == (1, "default")


@pytest.mark.usefixtures("loggers")
def test_a_worker_needs_a_layer_between_processes() -> None:
    with pytest.raises(CommandError, match="carries nothing between processes"):
        call_command(runworker.Command())
    with pytest.raises(CommandError, match="--layer is 'other'; CHANNEL_LAYERS has"):
        call_command(runworker.Command(), "--layer", "other")


@pytest.mark.usefixtures("old_ways")
@pytest.mark.skipif(IS_TAKEN, reason="a real package channels is installed here")
def test_its_commands_are_the_ones_that_run() -> None:
    from achannels.django.commands import offer_all, prefer_runserver

    for ours in (["achannels.legacy"], ["achannels", "achannels.legacy"]):
        get_commands.cache_clear()  # type: ignore[attr-defined]
        with override_settings(INSTALLED_APPS=["django.contrib.staticfiles", *ours]):
            offer_all()
            prefer_runserver()
            found = get_commands()
            assert found["runserver"] == found["runworker"] == "achannels.legacy"
            assert found["deadletters"] == "achannels.django"
    get_commands.cache_clear()  # type: ignore[attr-defined]
    prefer_runserver()
