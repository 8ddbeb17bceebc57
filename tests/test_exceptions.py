"""The tree of errors, and the texts of those that carry numbers."""

import inspect
import re

import pytest

from achannels import exceptions
from achannels.exceptions import (
    AChannelsError,
    ChannelFull,
    ConfigurationError,
    ConsumeLater,
    ControlFlow,
    DenyConnection,
    InvalidContent,
    InvalidName,
    LayerUnavailable,
    MessageTooLarge,
    NoReplyChannel,
    NoRoute,
    NotLoaded,
    Reject,
    StopConsumer,
    WrongContext,
)


def test_every_error_is_under_one_of_the_two_roots() -> None:
    for name in exceptions.__all__:
        error = getattr(exceptions, name)
        assert issubclass(error, AChannelsError) != issubclass(error, ControlFlow), name


def test_the_docstring_draws_the_tree() -> None:
    names = re.findall(r"^[├└─│ ]*(\w+)", inspect.getdoc(exceptions) or "", re.MULTILINE)
    drawn = [name for name in names if hasattr(exceptions, name)]
    assert sorted(drawn) == sorted(exceptions.__all__)


def test_control_flow_is_not_swallowed_with_the_errors() -> None:
    for raised in (DenyConnection(), ConsumeLater(), Reject(), StopConsumer()):
        assert isinstance(raised, ControlFlow)
        assert not isinstance(raised, AChannelsError)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (ConfigurationError, ValueError),
        (InvalidName, TypeError),
        (InvalidContent, TypeError),
        (LayerUnavailable, ConnectionError),
        (WrongContext, RuntimeError),
        (NotLoaded, AttributeError),
        (NoReplyChannel, AttributeError),
        (NoRoute, LookupError),
    ],
)
def test_an_error_is_caught_as_its_builtin_too(error: type, builtin: type) -> None:
    assert issubclass(error, builtin)


def test_a_message_that_is_too_large() -> None:
    error = MessageTooLarge("uploads", 2_097_152, 1_048_576)
    assert str(error) == (
        "the message to 'uploads' is 2097152 bytes, the limit is 1048576 (CONFIG 'message_size'). "
        "Store the data and send its key."
    )
    assert (error.target, error.size, error.limit) == ("uploads", 2_097_152, 1_048_576)


def test_a_channel_that_is_full() -> None:
    error = ChannelFull("thumbnails", 100)
    assert str(error) == (
        "channel 'thumbnails' is full: 100 messages wait, its capacity is 100. "
        "Start more workers or raise 'channel_capacity'."
    )
    assert (error.channel, error.capacity) == ("thumbnails", 100)


def test_a_socket_that_is_full() -> None:
    assert str(ChannelFull("node!key", 1024)) == (
        "channel 'node!key' is full: 1024 messages wait, its capacity is 1024. Its client reads "
        "too slowly: send less, or raise 'outbox_capacity' and 'outbox_bytes'."
    )


def test_a_layer_that_is_unavailable_says_what_may_have_become_of_the_message() -> None:
    error = LayerUnavailable("no answer", outcome="unknown")
    assert (str(error), error.outcome) == ("no answer", "unknown")


def test_a_denial_has_a_status_a_reason_and_headers() -> None:
    denial = DenyConnection("log in first", status=401, headers=[(b"www-authenticate", b"Basic")])
    assert (denial.reason, denial.status) == ("log in first", 401)
    assert denial.headers == ((b"www-authenticate", b"Basic"),)
    assert str(denial) == "log in first"

    plain = DenyConnection()
    assert (plain.reason, plain.status, plain.headers) == ("", 403, ())


@pytest.mark.parametrize("status", [400, 599])
def test_a_denial_is_an_http_error(status: int) -> None:
    assert DenyConnection(status=status).status == status


@pytest.mark.parametrize("status", [101, 200, 302, 399, 600])
def test_a_denial_is_no_other_http_status(status: int) -> None:
    with pytest.raises(ConfigurationError) as error:
        DenyConnection(status=status)
    assert str(error.value) == (
        f"DenyConnection(status={status}): a refusal is an HTTP status from 400 to 599."
    )


def test_later_and_reject_carry_what_they_were_given() -> None:
    assert ConsumeLater().delay is None
    assert ConsumeLater(delay=5).delay == 5
    assert Reject().reason == ""
    assert (Reject("not an image").reason, str(Reject("not an image"))) == (
        "not an image",
        "not an image",
    )
