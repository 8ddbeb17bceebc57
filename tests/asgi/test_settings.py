"""Settings of an application: keywords, the environment over them, and what is wrong with either."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Any, get_type_hints

import pytest

from achannels import route
from achannels.asgi import Application
from achannels.asgi.settings import SettingKeywords, Settings, resolve
from achannels.exceptions import ConfigurationError
from achannels.testing import ConnectionDenied, WebsocketClient
from achannels.types import Scope
from tests.asgi.test_application import echo


async def user(scope: Scope) -> str:
    return "anna"


@asynccontextmanager
async def around(app: Application) -> AsyncIterator[None]:
    yield


def refused(given: dict[str, Any], environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as error:
        Settings.make(given, environ or {})
    return str(error.value)


def test_every_keyword_is_a_setting() -> None:
    assert set(get_type_hints(SettingKeywords)) == {field.name for field in fields(Settings)}


def test_what_is_not_given_has_its_default() -> None:
    settings = Settings.make({"threads": 3}, {})
    assert settings == Settings(threads=3)
    assert (settings.threads, settings.concurrency, settings.overflow) == (3, 64, "close")
    assert (settings.outbox_capacity, settings.outbox_bytes, settings.max_size) == (
        1024,
        1_048_576,
        1_048_576,
    )
    assert (
        settings.handshake_timeout,
        settings.http_timeout,
        settings.stall_timeout,
        settings.drain_timeout,
    ) == (5.0, 60.0, 10.0, 10.0)


def test_right_values_are_kept_as_they_are() -> None:
    given: dict[str, Any] = {
        "unrouted": "accept",
        "overflow": "drop_new",
        "subprotocols": ("v1", "v2"),
        "user": user,
        "lifespan": around,
        "send_on_commit": True,
        "drain_timeout": 1,
        "http_timeout": math.inf,
        "allowed_origins": {"https://example.org"},
    }
    settings = Settings.make(given, {})
    assert {key: getattr(settings, key) for key in given} == given


def test_origins_may_come_from_a_generator() -> None:
    settings = Settings.make({"allowed_origins": iter(["https://example.org"])}, {})
    for _ in range(2):
        assert settings.allowed_origins is not None
        assert list(settings.allowed_origins) == ["https://example.org"]


@pytest.mark.parametrize(
    ("key", "wrong", "allowed"),
    [
        *[
            (key, wrong, "an int from 1 up")
            for key in ("threads", "concurrency", "outbox_capacity", "outbox_bytes", "max_size")
            for wrong in (0, -1, 1.5, "5", True, None)
        ],
        *[
            (key, wrong, "seconds above 0")
            for key in ("handshake_timeout", "http_timeout", "stall_timeout", "drain_timeout")
            for wrong in (0, -1.5, "5", True, None, math.nan)
        ],
        ("overflow", "drop", "'close' or 'drop_oldest' or 'drop_new'"),
        ("unrouted", "allow", "'reject' or 'accept'"),
        ("state", "socket", "'connection' or 'message'"),
        ("send_on_commit", 1, "True or False"),
        *[("subprotocols", wrong, "a list of str") for wrong in ("v1", ["v1", 2], 5, None, b"v1")],
        ("user", 5, "a function, its dotted name, or None"),
        ("lifespan", [], "a function, its dotted name, or None"),
    ],
)
def test_a_wrong_value_is_told_what_it_may_be(key: str, wrong: object, allowed: str) -> None:
    assert refused({key: wrong}) == f"the setting {key!r} is {wrong!r}; it must be {allowed}."


def test_a_mode_that_there_is_not() -> None:
    assert refused({"mode": "elsewhere"}).startswith(
        "the setting 'mode' is 'elsewhere'; it must be"
    )


def test_an_unknown_key_is_told_the_nearest() -> None:
    assert refused({"outbox_capasity": 5}) == (
        "the setting 'outbox_capasity' is unknown. Did you mean 'outbox_capacity'?"
    )
    assert refused({"THREADS": 5}) == "the setting 'THREADS' is unknown. Did you mean 'threads'?"
    assert refused({"zzz": 5}).startswith("the setting 'zzz' is unknown. Known: mode, ")


# The environment.


def test_the_environment_wins_over_keywords() -> None:
    environ = {
        "ACHANNELS_THREADS": "5",
        "ACHANNELS_DRAIN_TIMEOUT": "2.5",
        "ACHANNELS_OVERFLOW": "drop_new",
        "ACHANNELS_UNROUTED": "accept",
        "ACHANNELS_SEND_ON_COMMIT": "Yes",
        "THREADS": "7",
        "ACHANNELS_UNKNOWN": "7",
    }
    settings = Settings.make({"threads": 9, "concurrency": 9, "send_on_commit": False}, environ)
    assert settings == Settings(
        threads=5,
        concurrency=9,
        drain_timeout=2.5,
        overflow="drop_new",
        unrouted="accept",
        send_on_commit=True,
    )


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("FALSE", False), ("0", False), ("no", False)]
)
def test_a_flag_is_true_or_false(text: str, value: bool) -> None:
    settings = Settings.make({}, {"ACHANNELS_SEND_ON_COMMIT": text})
    assert settings.send_on_commit is value


def test_lists_and_functions_are_not_read_from_the_environment() -> None:
    environ = {"ACHANNELS_SUBPROTOCOLS": "v1", "ACHANNELS_USER": "x", "ACHANNELS_LIFESPAN": "y"}
    assert Settings.make({}, environ) == Settings()


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("THREADS", "many", "a number"),
        ("THREADS", "1.5", "a number"),
        ("THREADS", "", "a number"),
        ("DRAIN_TIMEOUT", "10s", "a number"),
        ("SEND_ON_COMMIT", "maybe", "true or false"),
    ],
)
def test_a_wrong_variable_is_named(key: str, text: str, expected: str) -> None:
    assert refused({}, {f"ACHANNELS_{key}": text}) == (
        f"the environment variable ACHANNELS_{key} is {text!r}; it must be {expected}."
    )


def test_a_variable_that_is_out_of_range_is_a_wrong_value() -> None:
    assert refused({}, {"ACHANNELS_THREADS": "0"}) == (
        "the setting 'threads' is 0; it must be an int from 1 up."
    )
    assert refused({}, {"ACHANNELS_OVERFLOW": "drop"}).startswith(
        "the setting 'overflow' is 'drop'"
    )


def test_an_application_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACHANNELS_THREADS", "7")
    assert Application([], threads=3).settings.threads == 7


# Dotted names.


def test_a_dotted_name_is_imported() -> None:
    assert resolve("user", f"{__name__}.user") is user
    assert resolve("user", user) is user
    assert resolve("user", None) is None


@pytest.mark.parametrize("name", ["nowhere.user", f"{__name__}.usr", "user", "", "."])
def test_a_name_that_leads_nowhere_is_told(name: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        resolve("user", name)
    assert str(error.value).startswith(
        f"the setting 'user' is {name!r}, which cannot be imported: "
    )


def test_a_lifespan_that_leads_nowhere_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match=r"the setting 'lifespan' is 'nowhere\.around'"):
        Application([], lifespan="nowhere.around")


async def test_a_wrong_list_of_origins_is_told_when_the_node_starts() -> None:
    app = Application([], allowed_origins=["example.org"])
    with pytest.raises(ConfigurationError, match=r"ALLOWED_ORIGINS has 'example\.org'"):
        await app.node()


async def test_the_origins_of_a_generator_hold_for_each_node() -> None:
    app = Application(
        [route("websocket.receive", echo)], allowed_origins=iter(["https://example.org"])
    )
    for _ in range(2):
        async with WebsocketClient(app, "/", headers={"origin": "https://example.org"}):
            pass
        with pytest.raises(ConnectionDenied):
            async with WebsocketClient(app, "/", headers={"origin": "https://other.org"}):
                pass
        await (await app.node()).stop()
