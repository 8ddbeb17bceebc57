"""Class consumers: the table of methods, the options, the scope, and what is wrong at class creation."""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from achannels.consumers import AsyncConsumer, AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer
from achannels.consumers.base import BadFrame, ConsumerScope
from achannels.exceptions import AChannelsError, ConfigurationError
from achannels.options import Options
from achannels.types import Content


def noted(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Mixin:
    async def from_mixin(self, event: Content) -> None:
        event["by"] = "mixin"


class News(Mixin, AsyncConsumer):
    attribute = 5

    async def news_flash(self, event: Content) -> None:
        event["by"] = "news"

    @noted
    async def news_noted(self, event: Content) -> None:
        event["by"] = "noted"

    def plain(self, event: Content) -> None:
        raise AssertionError("not awaited")

    async def _private(self, event: Content) -> None:
        raise AssertionError("private")

    @property
    def property(self) -> str:
        raise AssertionError("no method")


class Special(News):
    news_noted = None  # type: ignore[assignment]

    async def news_flash(self, event: Content) -> None:
        event["by"] = "special"

    async def receive(self, event: Content) -> None:
        event["by"] = "receive"


# The table.


@pytest.mark.parametrize(
    ("cls", "kind", "by"),
    [
        (News, "news.flash", "news"),
        (News, "news_flash", "news"),
        (News, "news.noted", "noted"),
        (News, "from.mixin", "mixin"),
        (Special, "news.flash", "special"),
        (Special, "from.mixin", "mixin"),
        (Special, "receive", "receive"),
    ],
)
async def test_a_type_names_a_public_method_of_the_class(
    cls: type[AsyncConsumer], kind: str, by: str
) -> None:
    content = {"type": kind}
    assert await cls().dispatch(content)
    assert content["by"] == by


@pytest.mark.parametrize(
    "kind",
    [
        *("unknown", "", None, 5, [], "plain", "_private", ".private", "attribute", "property"),
        *("dispatch", "__init__", "near", "as.route", "channel_names", "News.flash"),
    ],
)
async def test_a_type_names_nothing_else(kind: object) -> None:
    assert not await News().dispatch({"type": kind})
    assert not await News().dispatch({})


async def test_a_method_that_a_subclass_took_away_is_none() -> None:
    assert await News().dispatch({"type": "news.noted"})
    assert not await Special().dispatch({"type": "news.noted"})


@pytest.mark.parametrize(
    "hook",
    [
        "connect",
        "receive",
        "disconnect",
        "gap",
        "accept",
        "send",
        "close",
        "take_frame",
        "dispatch",
    ],
)
async def test_a_message_cannot_call_what_a_socket_consumer_is_made_of(hook: str) -> None:
    class Socket(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            raise AssertionError("called")

        async def receive(self, text_data: str) -> None:
            raise AssertionError("called")

    class Json(AsyncJsonWebsocketConsumer):
        async def receive_json(self, content: Any) -> None:
            raise AssertionError("called")

    assert not await Socket().dispatch({"type": hook})
    for kind in (hook, "receive.json", "send_json", "decode_json", "encode_json"):
        assert not await Json().dispatch({"type": kind})


def test_the_hint_for_an_unknown_type() -> None:
    assert News.near("news.flahs") == "Did you mean 'news_flash'?"
    assert News.near("zzz") == "Write `async def zzz(self, event)` into News."
    assert News.near(5) == "Write `async def 5(self, event)` into News."


# At class creation.


@pytest.mark.parametrize("hook", ["connect", "receive", "disconnect", "gap"])
def test_a_hook_that_is_no_coroutine_function_is_refused(hook: str) -> None:
    def plain(self: object, **kwargs: object) -> None: ...

    with pytest.raises(ConfigurationError) as error:
        type("Ticker", (AsyncWebsocketConsumer,), {"__module__": "prices", hook: plain})
    assert str(error.value) == (
        f"prices.Ticker.{hook} must be an `async def`: hooks of an async consumer are awaited."
    )


def test_the_hook_of_a_json_consumer_too() -> None:
    with pytest.raises(ConfigurationError, match=r"Ticker.receive_json must be an `async def`"):

        class Ticker(AsyncJsonWebsocketConsumer):
            def receive_json(self, content: Any) -> None: ...  # type: ignore[override]


def test_a_decorated_hook_is_a_hook() -> None:
    class Ticker(AsyncWebsocketConsumer):
        @noted
        async def connect(self) -> None: ...

    assert Ticker.channel_names() >= {"websocket.connect"}


def test_groups_are_a_list() -> None:
    with pytest.raises(ConfigurationError) as error:

        class Ticker(AsyncWebsocketConsumer):
            groups = "prices"

    assert str(error.value).endswith("Ticker: groups='prices' is a str; write ['prices'].")


def test_a_wrong_option_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"Ticker: overflow='drop'; it must be"):

        class Ticker(AsyncWebsocketConsumer):
            overflow = "drop"  # type: ignore[assignment]


# Routes.


class Greeter(AsyncWebsocketConsumer):
    greeting = "hello"

    async def greet(self, event: Content) -> None: ...


def test_as_route_routes_the_class_itself() -> None:
    route = Greeter.as_route(path="greet/")
    assert route.consumer is Greeter
    assert set(route.channels) == Greeter.channel_names()


def test_as_route_changes_attributes_for_its_route_alone() -> None:
    changed = Greeter.as_route({"greeting": "moin", "outbox_capacity": 5}, path="north/").consumer
    assert issubclass(changed, Greeter)
    assert (changed.greeting, Greeter.greeting) == ("moin", "hello")
    assert Options.of(changed).outbox_capacity == 5
    assert Options.of(Greeter).outbox_capacity is None
    assert (changed.__module__, changed.__qualname__) == (__name__, "Greeter")
    assert changed.near("greet") == Greeter.near("greet")


def test_as_route_checks_the_attributes() -> None:
    with pytest.raises(ConfigurationError, match=r"Greeter: max_size=0; it must be"):
        Greeter.as_route({"max_size": 0})


def test_a_class_for_named_channels_has_no_channels_of_its_own() -> None:
    assert News.channel_names() == frozenset()
    with pytest.raises(ConfigurationError, match="News"):
        News.as_route()


# The scope.


def test_what_a_consumer_writes_into_its_scope_is_seen_by_it_alone() -> None:
    server = {"path": "/", "headers": []}
    scope = ConsumerScope(server, "prices.Ticker", url_route={"kwargs": {}})
    scope["path"] = "/changed/"
    assert (scope["path"], scope["headers"], scope["url_route"]) == (
        "/changed/",
        [],
        {"kwargs": {}},
    )
    assert server == {"path": "/", "headers": []}
    assert ConsumerScope(server, "prices.Ticker")["path"] == "/"


@pytest.mark.parametrize(
    ("key", "attribute"),
    [
        ("user", "http_user"),
        ("session", "http_session"),
        ("channel_session", "channel_session"),
    ],
)
def test_state_that_was_not_asked_for_names_the_attribute(key: str, attribute: str) -> None:
    scope = ConsumerScope({}, "prices.Ticker")
    with pytest.raises(KeyError) as error:
        scope[key]
    assert error.value.args == (
        f"scope[{key!r}] was not asked for. Write `{attribute} = True` into prices.Ticker.",
    )
    assert scope.get(key) is None
    assert key not in scope


def test_another_key_is_pythons_own_error() -> None:
    with pytest.raises(KeyError) as error:
        ConsumerScope({}, "prices.Ticker")["usr"]
    assert error.value.args == ("usr",)


def test_a_bad_frame_has_a_code_and_is_no_error_of_the_package() -> None:
    bad = BadFrame(1003, "binary")
    assert (bad.code, bad.reason, str(bad)) == (1003, "binary", "binary")
    assert not isinstance(bad, AChannelsError)
