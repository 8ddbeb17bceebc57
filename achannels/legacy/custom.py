"""Routing objects of one's own: anything with `match(message)` and `channel_names()`.

A subclass of a route of the shim is one, too, where it has a `match` of its own.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from achannels import channel, routing
from achannels.legacy.message import Message
from achannels.legacy.routing import Include, Route
from achannels.matching import EVERY_KEY, Match, Matcher, Node
from achannels.patterns import Kind
from achannels.routing import BaseRoute

_PLAIN = (Route.match, Include.match)
"""What a compiled route does as well, without a message."""


class CustomRoute(BaseRoute):
    """A routing object of 1.x as a route.

    Args:
        thing: The object.
    """

    __slots__ = ("thing",)

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __repr__(self) -> str:
        return repr(self.thing)

    def channel_names(self) -> set[str]:
        """Return the names of its channels."""
        return set(self.thing.channel_names())

    def compile(self, inside: Kind | None) -> Node:
        """Return what asks it."""
        thing = self.thing
        plain = thing.compile(inside) if isinstance(thing, BaseRoute) else None
        return CustomNode(thing, frozenset(self.channel_names()), plain)

    def lines(self, prefixes: Mapping[str, str]) -> Iterator[str]:
        """Give the one line for it, or the lines of a route."""
        if isinstance(self.thing, BaseRoute):
            yield from self.thing.lines(prefixes)
            return
        yield f"{'/'.join(sorted(self.channel_names()))} -> {self.thing}"


class CustomNode:
    """Asks a routing object with a message, as 1.x did.

    Args:
        thing: The object.
        channels: The channels that it takes messages from.
        plain: What it is without a `match` of its own, if it is a route.
    """

    def __init__(self, thing: Any, channels: frozenset[str], plain: Node | None) -> None:
        self.thing = thing
        self.plain = plain
        self.channels = channels
        self.keys = frozenset({EVERY_KEY})

    @property
    def match(self) -> Matcher:
        """Gives the match for a content on its channel; a router has asked `on` before."""
        there = channel.Channel(min(self.channels))

        def match(content: Mapping[str, Any]) -> Match | None:
            found = self.thing.match(Message.of(dict(content), there, None))
            return None if found is None else Match(*found)

        return match

    def on(self, channel: str) -> Node | None:
        """Return it for one channel."""
        if channel not in self.channels:
            return None
        return CustomNode(self.thing, frozenset({channel}), self.plain and self.plain.on(channel))

    def consumers(self) -> Iterator[Any]:
        """Give those of a route; of another object none: which there are shows with a message."""
        return iter(()) if self.plain is None else self.plain.consumers()

    def claims(self, content: Mapping[str, Any]) -> bool:
        """Return that it may match."""
        return True


def adapt(item: object) -> BaseRoute | None:
    """Return a route for a routing object of 1.x, `None` for what is none or stands for itself."""
    if isinstance(item, type) or getattr(type(item), "match", None) in _PLAIN:
        return None
    is_one = callable(getattr(item, "match", None)) and callable(
        getattr(item, "channel_names", None)
    )
    return CustomRoute(item) if is_one else None


def install() -> None:
    """Have such objects understood in every routing list."""
    if adapt not in routing.adapters:
        routing.adapters.append(adapt)


__all__ = ["CustomRoute", "adapt", "install"]
