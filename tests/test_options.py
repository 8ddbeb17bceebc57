"""Options of consumers: written by a decorator or as class attributes, read by one reader."""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from achannels import consumer
from achannels.auth import http_user
from achannels.consumers import AsyncWebsocketConsumer
from achannels.exceptions import ConfigurationError
from achannels.options import Options
from achannels.sessions import channel_session, http_session


async def handle(message: object) -> None: ...


def fresh() -> Callable[..., Any]:
    async def handle(message: object) -> None: ...

    return handle


def named(**attributes: Any) -> Any:
    """Return a consumer with attributes, without a decorator that checks them."""
    found = fresh()
    found.__module__, found.__qualname__ = "chat.consumers", "ws_receive"
    for name, value in attributes.items():
        setattr(found, name, value)
    return found


def test_a_plain_function_has_the_defaults() -> None:
    assert Options.of(handle) == Options(
        durable=False, retries=5, backoff=(1.0,), timeout=None, concurrency=None, overflow=None
    )


def test_the_decorator_writes_options_and_returns_the_function() -> None:
    function = fresh()
    decorated = consumer(
        durable=True, retries=0, backoff=(1, 10, 60), timeout=120, concurrency=4,
        overflow="drop_oldest", outbox_capacity=50, outbox_bytes=1024, max_size=4096,
    )(function)  # fmt: skip
    assert decorated is function
    assert Options.of(function) == Options(
        durable=True, retries=0, backoff=(1.0, 10.0, 60.0), timeout=120, concurrency=4,
        overflow="drop_oldest", outbox_capacity=50, outbox_bytes=1024, max_size=4096,
    )  # fmt: skip


def test_a_class_writes_them_as_attributes() -> None:
    class Feed(AsyncWebsocketConsumer):
        overflow = "drop_new"
        outbox_capacity = 5
        http_user = True

    assert Options.of(Feed) == Options(overflow="drop_new", outbox_capacity=5, http_user=True)


def test_the_state_decorators_are_options_too_and_their_order_is_free() -> None:
    one = channel_session(http_session(http_user(consumer(max_size=10)(fresh()))))
    other = consumer(max_size=10)(http_user(http_session(channel_session(fresh()))))
    assert Options.of(one) == Options.of(other)
    assert Options.of(one) == Options(
        max_size=10, channel_session=True, http_session=True, http_user=True
    )


def test_a_wrapper_that_copies_attributes_keeps_them() -> None:
    @channel_session
    @consumer(max_size=10)
    async def handle(message: object) -> None: ...

    @functools.wraps(handle)
    async def logged(message: object) -> None: ...

    assert Options.of(logged) == Options(max_size=10, channel_session=True)


def test_one_number_is_one_backoff() -> None:
    assert Options.of(consumer(backoff=2)(fresh())).backoff == (2.0,)
    assert Options.of(consumer(backoff=[0, 0.5])(fresh())).backoff == (0.0, 0.5)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        *[(name, "yes", "True or False") for name in ("durable", "channel_session")],
        *[(name, 1, "True or False") for name in ("http_session", "http_user")],
        *[
            (name, wrong, "an int from 1 up, or None")
            for name in ("concurrency", "outbox_capacity", "outbox_bytes", "max_size")
            for wrong in (0, -1, 1.5, "5", True)
        ],
        *[("retries", wrong, "an int from 0 up") for wrong in (-1, 1.5, "5", True)],
        *[("timeout", wrong, "seconds above 0, or None") for wrong in (0, -1, "5")],
        *[
            ("backoff", wrong, "seconds from 0 up, or several of them")
            for wrong in (-1, (), (1, -1), "5", (1, "5"), None)
        ],
        ("overflow", "drop", "'close' or 'drop_oldest' or 'drop_new'"),
        ("overflow", ["close"], "'close' or 'drop_oldest' or 'drop_new'"),
    ],
)
def test_a_wrong_value_is_told_what_it_may_be(name: str, value: object, allowed: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        Options.of(named(**{name: value}))
    assert str(error.value) == (
        f"chat.consumers.ws_receive: {name}={value!r}; it must be {allowed}."
    )


def test_a_wrong_value_is_refused_where_it_is_written() -> None:
    with pytest.raises(ConfigurationError, match=r"fresh.<locals>.handle: retries=-1; it must be"):
        consumer(retries=-1)(fresh())
    with pytest.raises(ConfigurationError, match=r"Slow: max_size=0; it must be"):

        class Slow(AsyncWebsocketConsumer):
            max_size = 0


class Object:
    """A consumer that is an object."""

    async def __call__(self, message: object) -> None: ...

    async def method(self, message: object) -> None: ...


def test_an_object_can_carry_options() -> None:
    found = Object()
    consumer(max_size=10)(found)
    assert Options.of(found).max_size == 10


@pytest.mark.parametrize("thing", [Object().method, print])
@pytest.mark.parametrize("mark", [consumer(max_size=10), channel_session, http_session, http_user])
def test_what_cannot_carry_attributes_is_told_so(thing: Any, mark: Callable[[Any], Any]) -> None:
    with pytest.raises(ConfigurationError, match="cannot carry the option") as error:
        mark(thing)
    assert str(error.value).endswith("put it on a function or a class.")


def test_the_error_of_an_object_shows_the_object() -> None:
    found = Object()
    found.max_size = 0  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match=r"<.*Object object at .*>: max_size=0"):
        Options.of(found)
