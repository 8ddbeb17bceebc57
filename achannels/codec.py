"""A message's content as bytes and back: MessagePack, strict about types, on every layer.

A content that one layer refuses is refused by all: the in-memory layer encodes too, so what works
on a desk works between machines.
"""

from collections.abc import Mapping
from datetime import date, time
from typing import Any, cast

import ormsgpack

from achannels.exceptions import InvalidContent, MessageTooLarge
from achannels.types import Content

_STRICT = (
    ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_UUID
)
_ADVICE = (
    (date | time, "{}.isoformat()"),
    (tuple, "list({})"),
    (float, "float({})"),
    (bytes, "bytes({})"),
)
_MAX_DEPTH = 255
"""Levels of lists and dicts, the content itself included; the limit of the encoder."""


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

    @property
    def is_list(self) -> bool:
        """Whether it is a list, as a home answers in split mode, and no content."""
        return 0x90 <= self.body[0] <= 0x9F

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
        raise InvalidContent(_explain(content) or f"content: {error}.") from error
    if len(body) > limit:
        raise MessageTooLarge(target, len(body), limit)
    return Encoded(body)


def pack(value: object) -> Encoded:
    """Encode what one node tells another: any object of the types that messages carry.

    `Encoded(body).decode()` brings it back; tuples come as lists.
    """
    return Encoded(ormsgpack.packb(value, option=_STRICT))


def _explain(content: dict[Any, Any]) -> str | None:
    """Return what is wrong with a content that did not encode, and where in it that is."""
    waiting: list[tuple[object, str, int]] = [(content, "content", 1)]
    while waiting:
        value, place, level = waiting.pop()
        if isinstance(value, dict):
            found = _explain_keys(value, place)
            inside = [(item, f"{place}[{key!r}]") for key, item in value.items()]
        elif isinstance(value, list) or type(value) is tuple:
            found = None
            inside = [(item, f"{place}[{index}]") for index, item in enumerate(value)]
        else:
            if found := _explain_leaf(value, place):
                return found
            continue
        if level > _MAX_DEPTH:
            return f"{place[:60]}... is nested deeper than messages may be ({_MAX_DEPTH} levels)."
        if found:
            return found
        waiting += [(item, there, level + 1) for item, there in reversed(inside)]
    return None


def _explain_keys(value: dict[Any, Any], place: str) -> str | None:
    for key in value:
        if type(key) is not str:
            kind = type(key).__name__
            return f"{place} has the key {key!r} of type {kind}; keys are str. Send str({key!r})."
        if found := _surrogate(key):
            return f"{place} has the key {key!r}, which is not Unicode text: {found}."
    return None


def _explain_leaf(value: object, place: str) -> str | None:
    if value is None or type(value) in (bool, float, bytes, bytearray, memoryview):
        return None
    if isinstance(value, int):
        if -(2**63) <= value < 2**64:
            return None
        return f"{place} is {value!r}; an int has at most 64 bits. Send it as a str."
    if isinstance(value, str):
        found = _surrogate(value)
        return f"{place} is not Unicode text: {found}. Send bytes instead." if found else None
    kind = type(value).__name__
    last = place.rpartition("['")[2].removesuffix("']")
    name = last if last.isidentifier() else place
    advice = (text for types, text in _ADVICE if isinstance(value, types))
    step = next(advice, "str({}) or its fields").format(name)
    article = "an" if kind[0].lower() in "aeio" else "a"
    return (
        f"{place} is {article} {kind}; messages carry bytes, str, int, float, list, dict, bool "
        f"and None. Send {step}."
    )


def _surrogate(text: str) -> str | None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"it has a lone surrogate at position {error.start}"
    return None


__all__ = ["Encoded", "encode", "pack"]
