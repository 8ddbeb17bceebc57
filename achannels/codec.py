"""A message's content as bytes and back: MessagePack, strict about types, on every layer.

A content that one layer refuses is refused by all: the in-memory layer encodes too, so what works
on a desk works between machines.
"""

from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any, cast

import ormsgpack

from achannels.exceptions import InvalidContent, MessageTooLarge
from achannels.types import Content

_STRICT = (
    ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_UUID
)
_ADVICE = {datetime: "isoformat()", date: "isoformat()", time: "isoformat()"}
_MAX_DEPTH = 128


class Encoded:
    """An encoded content, shared by everyone who gets it.

    Attributes:
        body: The encoded bytes.
        prepared: Room for what the receiving side makes of the content, so that a fan-out makes it
            once and not once per member. Never sent anywhere.
    """

    __slots__ = ("body", "prepared")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.prepared: Any = None

    def decode(self) -> Content:
        """Return a fresh content that its receiver may change."""
        return cast("Content", ormsgpack.unpackb(self.body))


def encode(content: Mapping[str, Any], target: str, limit: int) -> Encoded:
    """Encode a content.

    Args:
        content: A mapping with `str` keys and values of `bytes str int float list dict bool None`
            (`int` within 64 bits; tuples arrive as lists, members of an enum as their values).
        target: The name it is sent to, for the error text.
        limit: How many bytes the result may have.

    Raises:
        InvalidContent: It names the place in the content and the type found there.
        MessageTooLarge: The encoded content has more than `limit` bytes.
    """
    if type(content) is not dict:
        if not isinstance(content, Mapping):
            raise InvalidContent(
                f"content is of type {type(content).__name__}; a message is a dict with str keys."
            )
        content = dict(content)
    try:
        body = ormsgpack.packb(content, option=_STRICT)
    except ormsgpack.MsgpackEncodeError as error:
        raise InvalidContent(_explain(content, "content", 0) or f"content: {error}.") from error
    if len(body) > limit:
        raise MessageTooLarge(target, len(body), limit)
    return Encoded(body)


def _explain(value: object, place: str, depth: int) -> str | None:
    """Return what is wrong with a value that did not encode, and where in the content it is."""
    if depth > _MAX_DEPTH:
        return f"{place[:60]}... is nested deeper than messages may be ({_MAX_DEPTH} levels)."
    if isinstance(value, dict):
        return _explain_dict(value, place, depth)
    if isinstance(value, list | tuple):
        found = (_explain(item, f"{place}[{i}]", depth + 1) for i, item in enumerate(value))
        return next(filter(None, found), None)
    return _explain_leaf(value, place)


def _explain_dict(value: dict[Any, Any], place: str, depth: int) -> str | None:
    for key, item in value.items():
        if not isinstance(key, str):
            kind = type(key).__name__
            return f"{place} has the key {key!r} of type {kind}; keys are str. Send str({key!r})."
        if found := _explain(item, f"{place}[{key!r}]", depth + 1):
            return found
    return None


def _explain_leaf(value: object, place: str) -> str | None:
    if value is None or isinstance(value, bool | float | bytes | bytearray | memoryview):
        return None
    if isinstance(value, int):
        if -(2**63) <= value < 2**64:
            return None
        return f"{place} is {value!r}; an int has at most 64 bits. Send it as a str."
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            return (
                f"{place} is not Unicode text: it has a lone surrogate at position "
                f"{error.start}. Send bytes instead."
            )
        return None
    kind = type(value).__name__
    name = place.split("['")[-1].removesuffix("']")
    advice = _ADVICE.get(type(value))
    step = f"Send {name}.{advice}." if advice else f"Send str({name}) or its fields."
    article = "an" if kind[0].lower() in "aeiou" else "a"
    return (
        f"{place} is {article} {kind}; messages carry bytes, str, int, float, list, dict, bool "
        f"and None. {step}"
    )


__all__ = ["Encoded", "encode"]
