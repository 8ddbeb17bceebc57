"""Compiled routes: trees of nodes that find the consumer of a message without copying it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from achannels.patterns import Pattern, as_text

EVERY_KEY = "*"
"""In `Node.keys`: this node may read any key of the content."""


class Match(NamedTuple):
    """A consumer, and the keyword arguments that the filters of its route found.

    Attributes:
        consumer: The function or class that the route names; a dotted string is already resolved.
        kwargs: Named groups as `str` (`None` when a group took no part), converters as typed
            values. A fresh dict for each match.
    """

    consumer: Any
    kwargs: dict[str, Any]


Matcher = Callable[[Mapping[str, Any]], Match | None]


class Node(Protocol):
    """A route or an include as it was compiled for its place in the routing."""

    @property
    def channels(self) -> frozenset[str]:
        """The names of the channels it takes messages from."""

    @property
    def keys(self) -> frozenset[str]:
        """The content keys that its filters read."""

    @property
    def match(self) -> Matcher:
        """Gives the match for a content; the channel is known to be one of `channels`."""

    def on(self, channel: str) -> "Node | None":
        """Return what is left of it for one channel."""

    def consumers(self) -> Iterator[Any]:
        """Give its consumers in order."""

    def claims(self, content: Mapping[str, Any]) -> bool:
        """Return whether it matches when filters on keys that are not there are ignored."""


class Leaf:
    """A compiled route."""

    __slots__ = ("_consumer", "_filters", "channels", "keys", "match")

    def __init__(
        self, channels: frozenset[str], consumer: Any, filters: tuple[tuple[str, Pattern], ...]
    ) -> None:
        self.channels = channels
        self.keys = frozenset(key for key, _ in filters)
        self.match = _matcher(consumer, filters)
        self._consumer = consumer
        self._filters = filters

    def on(self, channel: str) -> Node | None:
        """Return itself if it takes the channel."""
        return self if channel in self.channels else None

    def consumers(self) -> Iterator[Any]:
        """Give its consumer."""
        yield self._consumer

    def claims(self, content: Mapping[str, Any]) -> bool:
        """Return whether all filters on keys that are there match."""
        return all(
            key not in content or pattern.whole(content[key]) is not None
            for key, pattern in self._filters
        )


class Branch:
    """A compiled include."""

    __slots__ = ("_children", "_passed", "_prefixes", "channels", "keys", "match")

    def __init__(
        self, prefixes: tuple[tuple[str, Pattern], ...], children: tuple[Node, ...]
    ) -> None:
        self.channels = frozenset().union(*(child.channels for child in children))
        inner = frozenset().union(*(child.keys for child in children))
        taken = frozenset(key for key, _ in prefixes)
        self.keys = inner | taken
        self._passed = inner - taken
        self._prefixes = prefixes
        self._children = children
        matchers = tuple(child.match for child in children)
        self.match: Matcher = self._prefixed(matchers) if prefixes else _first(matchers)

    def on(self, channel: str) -> Node | None:
        """Return it with the children that take the channel, if there are any."""
        children = tuple(node for child in self._children if (node := child.on(channel)))
        if len(children) == 1 and not self._prefixes:
            return children[0]
        return Branch(self._prefixes, children) if children else None

    def consumers(self) -> Iterator[Any]:
        """Give the consumers of the children."""
        for child in self._children:
            yield from child.consumers()

    def claims(self, content: Mapping[str, Any]) -> bool:
        """Return whether all prefixes of keys that are there match, and a child claims the rest."""
        inner = self._inner(content)
        for key, pattern in self._prefixes:
            if key in content:
                found = pattern.prefix(content[key])
                if found is None:
                    return False
                inner[key] = found[1]
        return any(child.claims(inner) for child in self._children)

    def _inner(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the children read beside the prefixed keys."""
        if EVERY_KEY in self._passed:
            return dict(content)
        return {key: content[key] for key in self._passed if key in content}

    def _prefixed(self, matchers: tuple[Matcher, ...]) -> Matcher:
        prefixes, passed, first = self._prefixes, self._passed, _first(matchers)

        def prefixed(content: Mapping[str, Any]) -> Match | None:
            inner = self._inner(content) if passed else {}
            kwargs: dict[str, Any] = {}
            for key, pattern in prefixes:
                found = pattern.prefix(content.get(key))
                if found is None:
                    return None
                kwargs |= found[0]
                inner[key] = found[1]
            match = first(inner)
            if match is None or not kwargs:
                return match
            return _new(Match, (match.consumer, kwargs | match.kwargs))

        return prefixed


# Match(...) would cost 90 ns more: a named tuple's own __new__ is a Python function.
_new = tuple.__new__


def _first(matchers: tuple[Matcher, ...]) -> Matcher:
    if len(matchers) == 1:
        return matchers[0]

    def first(content: Mapping[str, Any]) -> Match | None:
        for matcher in matchers:
            match = matcher(content)
            if match is not None:
                return match
        return None

    return first


def _matcher(consumer: Any, filters: tuple[tuple[str, Pattern], ...]) -> Matcher:
    if not filters:
        return lambda content: _new(Match, (consumer, {}))
    if len(filters) == 1:
        return _single(consumer, *filters[0])

    def every(content: Mapping[str, Any]) -> Match | None:
        kwargs: dict[str, Any] = {}
        for key, pattern in filters:
            found = pattern.whole(content.get(key))
            if found is None:
                return None
            kwargs |= found
        return _new(Match, (consumer, kwargs))

    return every


def _single(consumer: Any, key: str, pattern: Pattern) -> Matcher:
    """The commonest route, on the path of every frame: `Pattern.whole` without its call."""
    _, matches, read = pattern

    def single(content: Mapping[str, Any]) -> Match | None:
        text = content.get(key)
        if type(text) is not str:
            text = as_text(text)
            if text is None:
                return None
        found = matches(text)
        if not found:
            return None
        if read is None:
            return _new(Match, (consumer, {}))
        kwargs = read(found)
        return None if kwargs is None else _new(Match, (consumer, kwargs))

    return single


__all__ = ["EVERY_KEY", "Branch", "Leaf", "Match", "Matcher", "Node"]
