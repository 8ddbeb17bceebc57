"""A content as bytes and back, and what no layer carries."""

import enum
import types
import uuid
from collections import OrderedDict, namedtuple
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from achannels.codec import Encoded, encode
from achannels.exceptions import InvalidContent, MessageTooLarge

LIMIT = 1_048_576
CARRIED = "messages carry bytes, str, int, float, list, dict, bool and None."

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.binary(max_size=20),
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=10,
)
contents = st.dictionaries(st.text(), values)


def typed(value: object) -> object:
    """Return a value in which 1, 1.0 and True differ, and 0.0 and -0.0."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return type(value), repr(value)


def sent(content: Any) -> Any:
    return encode(content, "news", LIMIT).decode()


def refused(content: Any) -> str:
    with pytest.raises(InvalidContent) as error:
        encode(content, "news", LIMIT)
    return str(error.value)


class Plain(enum.Enum):
    ONE = 1


class Text(str):
    __slots__ = ()


class Number(float):
    __slots__ = ()


class Blob(bytes):
    __slots__ = ()


Point = namedtuple("Point", "x y")


@given(contents)
def test_a_content_arrives_as_it_was_sent(content: dict[str, Any]) -> None:
    assert typed(sent(content)) == typed(content)


@pytest.mark.parametrize(
    ("given_", "arrives"),
    [
        ((1, (2, [3])), [1, [2, [3]]]),
        (bytearray(b"a"), b"a"),
        (memoryview(b"a"), b"a"),
        (Plain.ONE, 1),
        (Text("a"), "a"),
        (OrderedDict(a=1), {"a": 1}),
        (True, True),
    ],
)
def test_some_values_arrive_as_their_plain_type(given_: object, arrives: object) -> None:
    assert typed(sent({"value": given_})) == typed({"value": arrives})


@pytest.mark.parametrize("make", [types.MappingProxyType, OrderedDict])
def test_a_content_may_be_any_mapping(make: Any) -> None:
    assert sent(make({"text": "hi"})) == {"text": "hi"}


def test_each_receiver_gets_a_content_of_its_own() -> None:
    encoded = encode({"list": [1]}, "news", LIMIT)
    encoded.decode()["list"].append(2)
    assert encoded.decode() == {"list": [1]}


def test_what_a_receiver_prepares_is_not_part_of_the_message() -> None:
    encoded = encode({"text": "hi"}, "news", LIMIT)
    assert encoded.prepared is None
    encoded.prepared = object()
    assert encoded.decode() == {"text": "hi"}
    assert Encoded(encoded.body).decode() == {"text": "hi"}


def test_the_limit_counts_encoded_bytes() -> None:
    size = len(encode({"data": bytes(1_000)}, "news", LIMIT).body)
    assert encode({"data": bytes(1_000)}, "news", size).decode() == {"data": bytes(1_000)}
    with pytest.raises(MessageTooLarge) as error:
        encode({"data": bytes(1_001)}, "news", size)
    assert (error.value.target, error.value.size, error.value.limit) == ("news", size + 1, size)


def test_255_levels_of_lists_and_dicts_are_carried_and_no_more() -> None:
    def nested(levels: int) -> dict[str, Any]:
        inner: Any = 1
        for _ in range(levels - 1):
            inner = [inner]
        return {"deep": inner}

    assert sent(nested(255)) == nested(255)
    for levels in (256, 5_000):
        assert refused(nested(levels)) == (
            f"content['deep']{'[0]' * 15}... is nested deeper than messages may be (255 levels)."
        )


def test_a_list_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert "nested deeper" in refused({"endless": endless})


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "content is of type NoneType; a message is a dict with str keys."),
        (["hi"], "content is of type list; a message is a dict with str keys."),
        ("hi", "content is of type str; a message is a dict with str keys."),
        ({1: "a"}, "content has the key 1 of type int; keys are str. Send str(1)."),
        (
            {"a": {b"b": 1}},
            "content['a'] has the key b'b' of type bytes; keys are str. Send str(b'b').",
        ),
        ({Text("a"): 1}, "content has the key 'a' of type Text; keys are str. Send str('a')."),
        (
            {"a\ud800": 1},
            (
                r"content has the key 'a\ud800', which is not Unicode text: it has a lone surrogate at "
                "position 1."
            ),
        ),
        (
            {"name": "a\ud800"},
            (
                "content['name'] is not Unicode text: it has a lone surrogate at position 1. "
                "Send bytes instead."
            ),
        ),
        (
            {"n": [2**64]},
            "content['n'][0] is 18446744073709551616; an int has at most 64 bits. Send it as a str.",
        ),
        (
            {"n": -(2**63) - 1},
            "content['n'] is -9223372036854775809; an int has at most 64 bits. Send it as a str.",
        ),
        (
            {"when": datetime(2026, 11, 22, tzinfo=UTC)},
            f"content['when'] is a datetime; {CARRIED} Send when.isoformat().",
        ),
        ({"on": date(2026, 11, 22)}, f"content['on'] is a date; {CARRIED} Send on.isoformat()."),
        ({"at": time(12)}, f"content['at'] is a time; {CARRIED} Send at.isoformat()."),
        (
            {"price": Decimal("1.5")},
            f"content['price'] is a Decimal; {CARRIED} Send str(price) or its fields.",
        ),
        (
            {"id": uuid.UUID(int=1)},
            f"content['id'] is a UUID; {CARRIED} Send str(id) or its fields.",
        ),
        ({"x": object()}, f"content['x'] is an object; {CARRIED} Send str(x) or its fields."),
        ({"at": Point(1, 2)}, f"content['at'] is a Point; {CARRIED} Send list(at)."),
        ({"mean": Number(1.5)}, f"content['mean'] is a Number; {CARRIED} Send float(mean)."),
        ({"blob": Blob(b"a")}, f"content['blob'] is a Blob; {CARRIED} Send bytes(blob)."),
        (
            {"ok": 1, "a": [0, {"b": ({1, 2},)}]},
            (
                f"content['a'][1]['b'][0] is a set; {CARRIED} "
                "Send str(content['a'][1]['b'][0]) or its fields."
            ),
        ),
        (
            {"it's": {1}},
            f'content["it\'s"] is a set; {CARRIED} Send str(content["it\'s"]) or its fields.',
        ),
        (
            {"n": 2**64 - 1, "m": -(2**63), "x": {1}},
            f"content['x'] is a set; {CARRIED} Send str(x) or its fields.",
        ),
        ({"a": {1}, "b": object()}, f"content['a'] is a set; {CARRIED} Send str(a) or its fields."),
    ],
)
def test_the_error_names_the_place_and_what_to_send(content: object, text: str) -> None:
    assert refused(content) == text


def test_what_only_the_encoder_knows_is_said_in_its_words() -> None:
    view = memoryview(b"abcd")[::2]
    assert refused({"view": view}).startswith("content: ")
