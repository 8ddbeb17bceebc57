"""`runserver` and `runworker` with the options of 1.x."""

from typing import Any

import pytest
from django.core.management import CommandError, call_command, get_commands
from django.core.management.base import CommandParser
from django.test import override_settings

from achannels.asgi import Application
from achannels.django.application import application, is_own_host
from achannels.legacy.management.commands import runserver, runworker
from achannels.legacy.project import StoredSessions
from achannels.legacy.routing import route
from achannels.registry import get_channel_layer
from tests.legacy.conftest import IS_TAKEN


def parsed(command: Any, *arguments: str) -> dict[str, Any]:
    parser = CommandParser()
    command.add_arguments(parser)
    return vars(parser.parse_args(arguments))


def keywords(*arguments: str) -> Any:
    command = runserver.Command()
    return command.keywords(parsed(command, *arguments))


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


OPTIONS = ("--noworker", "--http_timeout", "5", "--websocket_handshake_timeout", "2")


@pytest.mark.parametrize("dotted", [None, "tests.legacy.test_commands.ours"])
def test_the_options_hold_for_an_application_of_ours(settings: Any, dotted: str | None) -> None:
    settings.ASGI_APPLICATION = dotted
    settings.ACHANNELS = {"HTTP_TIMEOUT": 7}
    command = runserver.Command()
    options = parsed(command, *OPTIONS, "--nothreading")
    served = command.get_application(**options)
    assert isinstance(served, Application)
    assert (served is ours) is (dotted is not None)
    found = served.settings
    assert (found.mode, found.threads, served.dispatcher.threads.limit) == ("interface", 1, 1)
    assert (found.http_timeout, found.handshake_timeout, found.drain_timeout) == (5, 2, 3)


def test_another_application_has_a_warning_that_they_do_not(
    settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.ASGI_APPLICATION = "tests.legacy.test_commands.own"
    command = runserver.Command()
    command.get_application(**parsed(command))
    assert capsys.readouterr().err == ""
    command.get_application(**parsed(command, *OPTIONS))
    assert (
        "--noworker, --http_timeout, --websocket_handshake_timeout without effect: "
        "tests.legacy.test_commands.own is no Application of achannels."
    ) in capsys.readouterr().err


ours = Application([], drain_timeout=20)


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
def test_the_application_of_another_layer_has_the_defaults_too(settings: Any) -> None:
    memory = {"BACKEND": "asgiref.inmemory.ChannelLayer"}
    settings.CHANNEL_LAYERS = {
        "default": {**memory, "ROUTING": []},
        "other": {**memory, "ROUTING": [route("mail", print)]},
    }
    settings.ACHANNELS = {"OUTBOX_CAPACITY": 7}
    made = application("other", threads=2)
    assert made.layer is get_channel_layer("other") is not get_channel_layer()
    assert made.router.channels == {"mail", "asgi.delay", "http.request"}
    assert (made.settings.outbox_capacity, made.settings.threads) == (7, 2)
    assert isinstance(made.channel_sessions, StoredSessions)
    assert made.hosts is is_own_host


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
