"""Which consumer takes a message: routes and includes, compiled once into a router."""

import re
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeAlias

from achannels.dotted import load, near
from achannels.exceptions import ConfigurationError, InvalidName, NoRoute
from achannels.matching import Branch, Leaf, Match, Node
from achannels.names import check_channel
from achannels.patterns import NOTHING_LEFT, Filter, FilterSource, Kind


class BaseRoute(ABC):
    """What may stand in a routing list."""

    __slots__ = ()

    @abstractmethod
    def channel_names(self) -> set[str]:
        """Return the names of the channels it takes messages from."""

    @abstractmethod
    def compile(self, inside: Kind | None) -> Node:
        """Compile it for its place.

        Args:
            inside: The syntax of the nearest include around it that has a `path`.
        """

    @abstractmethod
    def lines(self, prefixes: Mapping[str, str]) -> Iterator[str]:
        """Give one line for each route, with the filters of the includes around it."""


Consumer: TypeAlias = Callable[..., Any] | str
"""A function, a class, or a dotted name of one."""

Routing: TypeAlias = BaseRoute | Sequence[BaseRoute] | Mapping[str, Consumer] | str
"""A list of routes, a dict of channel names and consumers, one route, or a dotted name of these."""

adapters: list[Callable[[object], BaseRoute | None]] = []
"""Asked in turn what stands for an item of a routing list, before a route stands for itself."""


class Route(BaseRoute):
    """Messages of some channels, if all filters match, go to a consumer.

    Args:
        channels: One channel name or several.
        consumer: A function, a class, or a dotted name, which is imported now.
        **filters: Content key and what its text must match. Regular expressions match from the
            start and are open at the end; `path` also takes Django paths. A key that is not in the
            content, or whose value is neither text nor ASCII bytes, does not match.

    Raises:
        ConfigurationError: Anything about it is wrong. The text begins with the route.
    """

    __slots__ = ("_text", "channels", "consumer", "filters")

    channels: tuple[str, ...]
    consumer: Any
    filters: tuple[Filter, ...]

    def __init__(
        self,
        channels: str | bytes | Iterable[str | bytes],
        consumer: Consumer,
        **filters: FilterSource,
    ) -> None:
        names = _listed(channels)
        self._text = _call("route", _literal(names), _literal(consumer), filters=filters)
        self.consumer = _consumer(consumer, self._text)
        self.channels = _channels(names, self._text)
        self.filters = _filters(filters, self._text, named=True)

    def __repr__(self) -> str:
        return self._text

    def __str__(self) -> str:
        return next(self.lines({}))

    def channel_names(self) -> set[str]:
        """Return the names of its channels."""
        return set(self.channels)

    def compile(self, inside: Kind | None) -> Node:
        """Compile it for its place."""
        filters = [(each.key, each.compile(inside, prefix=False)) for each in self.filters]
        if inside == "path" and all(key != "path" for key, _ in filters):
            filters.append(("path", NOTHING_LEFT))
        return Leaf(frozenset(self.channels), self.consumer, tuple(filters))

    def lines(self, prefixes: Mapping[str, str]) -> Iterator[str]:
        """Give `channel/channel (key=filter, …) -> dotted.name`."""
        texts = _joined(prefixes, self.filters)
        filters = ", ".join(f"{key}={text}" for key, text in texts.items())
        consumer = self.consumer if hasattr(self.consumer, "__qualname__") else type(self.consumer)
        module = getattr(consumer, "__module__", None)
        name = f"{module}.{consumer.__qualname__}" if module else consumer.__qualname__
        yield f"{'/'.join(self.channels)}{f' ({filters})' if filters else ''} -> {name}"


class RouteClass(Route):
    """A `Route` whose channels are those that its class consumer names.

    Args:
        consumer: A class with a class method `channel_names()`, or its dotted name.
        **filters: As those of `Route`.

    Raises:
        ConfigurationError: Anything about it is wrong. The text begins with the route.
    """

    __slots__ = ()

    def __init__(self, consumer: Consumer, **filters: FilterSource) -> None:
        self._text = _call("route_class", _literal(consumer), filters=filters)
        self.consumer = _consumer(consumer, self._text)
        channel_names = getattr(self.consumer, "channel_names", None)
        if not callable(channel_names):
            raise ConfigurationError(
                f"{self._text}: {_literal(self.consumer)} is no class with channel_names(). "
                "Give a class consumer, or name the channels with route()."
            )
        try:
            names = _listed(channel_names())
        except TypeError as error:
            raise ConfigurationError(
                f"{self._text}: channel_names() failed: {error}. Make it a class method."
            ) from error
        self.channels = _channels(names, self._text)
        self.filters = _filters(filters, self._text, named=True)


class Include(BaseRoute):
    """Routes that share prefixes.

    Each prefix is matched from the start of its key's text, and the routes inside see what is left
    of it; the consumer sees the whole. The first route inside that matches wins; when none does,
    the search goes on behind the include. Arguments found inside override those of the prefixes.

    Args:
        routing: What is inside: a list, a dict, one route, or a dotted name, which is imported now.
        **prefixes: Content key and prefix, written as the filters of `Route`.

    Raises:
        ConfigurationError: Anything about it is wrong. The text begins with the include.
    """

    __slots__ = ("_text", "children", "prefixes")

    children: tuple[BaseRoute, ...]
    prefixes: tuple[Filter, ...]

    def __init__(self, routing: Routing, **prefixes: FilterSource) -> None:
        self._text = _call("include", _routing_text(routing), filters=prefixes)
        self.children = _routes(routing, self._text)
        self.prefixes = _filters(prefixes, self._text, named=False)

    def __repr__(self) -> str:
        return self._text

    def channel_names(self) -> set[str]:
        """Return the names of the channels of all routes inside."""
        return {name for child in self.children for name in child.channel_names()}

    def compile(self, inside: Kind | None) -> Node:
        """Compile it and what is inside for its place."""
        prefixes = tuple((each.key, each.compile(inside, prefix=True)) for each in self.prefixes)
        inner = next((pattern.kind for key, pattern in prefixes if key == "path"), inside)
        return Branch(prefixes, tuple(child.compile(inner) for child in self.children))

    def lines(self, prefixes: Mapping[str, str]) -> Iterator[str]:
        """Give the lines of all routes inside."""
        for child in self.children:
            yield from child.lines(_joined(prefixes, self.prefixes))


class Router:
    """A routing, compiled once. It copies no content and can be used from any thread.

    Args:
        routing: A list of routes, a dict of channel names and consumers, one route, or a dotted
            name of these. Later changes of a list or dict have no effect.

    Attributes:
        channels: The names of all channels that are routed.
        routes: One line for each route, in order, for printing.

    Raises:
        ConfigurationError: The routing is none.
    """

    __slots__ = ("_matchers", "_nodes", "_root", "channels", "routes")

    channels: frozenset[str]
    routes: tuple[str, ...]

    def __init__(self, routing: Routing) -> None:
        children = _routes(routing, f"routing {_routing_text(routing)}")
        root = Branch((), tuple(child.compile(None) for child in children))
        self.channels = root.channels
        self.routes = tuple(line for child in children for line in child.lines({}))
        self._root = root
        self._nodes: dict[str, Node] = {
            name: node for name in root.channels if (node := root.on(name))
        }
        self._matchers = {name: node.match for name, node in self._nodes.items()}

    def match(self, channel: str, content: Mapping[str, Any]) -> Match | None:
        """Return the consumer of the first route that matches, `None` if there is none."""
        matcher = self._matchers.get(channel)
        return None if matcher is None else matcher(content)

    def find(self, channel: str, content: Mapping[str, Any]) -> Match:
        """Return the consumer of the first route that matches.

        Raises:
            NoRoute: None does. The text names the channel and the path.
        """
        match = self.match(channel, content)
        if match is not None:
            return match
        if channel not in self.channels:
            raise NoRoute(f"no route takes channel {channel!r}.{near(channel, self.channels)}")
        path = f" with path {content['path']!r}" if "path" in content else ""
        raise NoRoute(f"no route takes this message of channel {channel!r}{path}.")

    def keys(self, channel: str) -> frozenset[str]:
        """Return the content keys that the filters on a channel read.

        As long as the values of these keys stay the same, so does the match. `EVERY_KEY` in it
        says that nothing is known.
        """
        node = self._nodes.get(channel)
        return frozenset() if node is None else node.keys

    def claims(self, prefix: str, content: Mapping[str, Any]) -> bool:
        """Return whether a message to come may have a route.

        Args:
            prefix: Begin of the names of the channels that count, as `"websocket."`.
            content: What is known already. Filters on other keys are taken to match.
        """
        return any(
            node.claims(content) for name, node in self._nodes.items() if name.startswith(prefix)
        )

    def consumers(self, channel: str | None = None) -> Iterator[Any]:
        """Give each consumer (of one channel, or of all) once, in order."""
        node = self._root if channel is None else self._nodes.get(channel)
        found = () if node is None else node.consumers()
        return iter({id(consumer): consumer for consumer in found}.values())


route = Route
route_class = RouteClass
include = Include


def _joined(prefixes: Mapping[str, str], filters: tuple[Filter, ...]) -> dict[str, str]:
    texts = dict(prefixes)
    for each in filters:
        before = texts.get(each.key)
        texts[each.key] = each.text if before is None else f"{before} + {each.text}"
    return texts


def _call(name: str, *arguments: str, filters: Mapping[str, FilterSource]) -> str:
    keywords = (f"{key}={_literal(source)}" for key, source in filters.items())
    return f"{name}({', '.join([*arguments, *keywords])})"


def _literal(value: object) -> str:
    """Return a value as a user would write it: a name, a route, a raw string."""
    if isinstance(value, str):
        raw = "\\" in value and "'" not in value and value.isprintable()
        return f"r'{value}'" if raw and not value.endswith("\\") else repr(value)
    if isinstance(value, re.Pattern):
        return f"re.compile({_literal(value.pattern)})"
    if isinstance(value, list | tuple):
        listed = ", ".join(map(_literal, value))
        return f"[{listed}]" if isinstance(value, list) else f"({listed})"
    if isinstance(value, BaseRoute):
        return repr(value)
    name = getattr(value, "__qualname__", None)
    return reprlib.repr(value) if name is None else str(name).rpartition("<locals>.")[2]


def _routing_text(routing: object) -> str:
    if isinstance(routing, str):
        return repr(routing)
    if isinstance(routing, Mapping):
        return "{...}"
    return "[...]" if isinstance(routing, list | tuple) else _literal(routing)


def _consumer(consumer: object, text: str) -> Any:
    found = _loaded(consumer, text) if isinstance(consumer, str) else consumer
    if callable(found):
        return found
    raise ConfigurationError(
        f"{text}: {_literal(found)} cannot be called. "
        "Give a function, a class or a dotted name of one."
    )


def _listed(names: object) -> Any:
    """Return several names as a list, one name or something else as it is; bytes are decoded."""
    if isinstance(names, bytes):
        return names.decode("ascii", "backslashreplace")
    if isinstance(names, str) or not isinstance(names, Iterable):
        return names
    listed = [_listed(name) if isinstance(name, bytes) else name for name in names]
    return sorted(listed, key=repr) if isinstance(names, AbstractSet) else listed


def _channels(names: Any, text: str) -> tuple[str, ...]:
    checked = []
    for name in names if isinstance(names, list) else [names]:
        try:
            checked.append(check_channel(name))
        except InvalidName as error:
            raise ConfigurationError(f"{text}: {error}") from None
    if not checked:
        raise ConfigurationError(f"{text}: it names no channel, so nothing would reach it.")
    return tuple(dict.fromkeys(checked))


def _filters(sources: Mapping[str, FilterSource], text: str, *, named: bool) -> tuple[Filter, ...]:
    try:
        return tuple(Filter(key, source, named=named) for key, source in sources.items())
    except ConfigurationError as error:
        raise ConfigurationError(f"{text}: {error}") from error.__cause__


def _routes(routing: object, text: str) -> tuple[BaseRoute, ...]:
    found = _loaded(routing, text) if isinstance(routing, str) else routing
    if isinstance(found, Mapping):
        return tuple(Route(name, consumer) for name, consumer in found.items())
    items = [found] if isinstance(found, BaseRoute) else found
    if not isinstance(items, list | tuple):
        raise ConfigurationError(
            f"{text}: {_literal(found)} is no routing. Give a list of routes, a dict of channel "
            "names and consumers, or a dotted name of these."
        )
    return tuple(_route(item, number, text) for number, item in enumerate(items, 1))


def _route(item: object, number: int, text: str) -> BaseRoute:
    for adapt in adapters:
        adapted = adapt(item)
        if adapted is not None:
            return adapted
    if isinstance(item, BaseRoute):
        return item
    raise ConfigurationError(
        f"{text}: item {number} is {_literal(item)}, which is no route. "
        "Write route(...), route_class(...) or include(...)."
    )


def _loaded(dotted: str, text: str) -> Any:
    try:
        return load(dotted)
    except ConfigurationError as error:
        raise ConfigurationError(f"{text}: {error}") from error.__cause__


__all__ = [
    "BaseRoute",
    "Consumer",
    "Include",
    "Match",
    "Route",
    "RouteClass",
    "Router",
    "Routing",
    "adapters",
    "include",
    "route",
    "route_class",
]
