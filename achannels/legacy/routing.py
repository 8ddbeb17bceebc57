"""`channels.routing`: routes of 1.x. They stand in any routing list, beside those of `achannels`.

A filter is a regular expression, matched from the start and open at the end; `path` as well. Only a
`path` with a converter in it (`"room/<int:number>/"`), which matches nothing as an expression, is
the Django path that it is in `achannels`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from django.core.exceptions import ImproperlyConfigured

from achannels import routing
from achannels.dotted import load
from achannels.exceptions import ConfigurationError
from achannels.legacy.conf import is_old_way
from achannels.legacy.utils import name_that_thing
from achannels.matching import Branch, Match, Node
from achannels.patterns import FilterSource, Kind
from achannels.routing import BaseRoute, Consumer, Routing

VIEW_CONSUMER = "achannels.legacy.handler.ViewConsumer"
"""What answers requests by default."""


class BadRouting(ConfigurationError, ImproperlyConfigured):
    """A route or a routing is wrong; both 1.x's and Django's errors of this kind."""


class OnChannel(Protocol):
    """A message, as far as routing looks at it."""

    @property
    def channel(self) -> Any:
        """The channel that it came on; it has a `name`."""

    @property
    def content(self) -> Mapping[str, Any]:
        """What it carries."""


class Route(routing.Route):
    """Messages of some channels, if all filters match, go to a consumer.

    Args:
        channels: One channel name or several.
        consumer: A function, a class, or a dotted name, which is imported now.
        **filters: Key of the content and regular expression.

    Raises:
        ValueError: A filter has a group without a name, or the route is wrong otherwise.
        ImproperlyConfigured: The consumer cannot be imported.
    """

    __slots__ = ("_node",)

    def __init__(
        self,
        channels: str | bytes | Iterable[str | bytes],
        consumer: Consumer,
        **filters: FilterSource,
    ) -> None:
        super().__init__(channels, _consumer(consumer), **filters)
        self._node: Node | None = None

    def __str__(self) -> str:
        filters = ", ".join(f"{each.key}={each.text}" for each in self.filters)
        shown = f"({filters})" if filters else ""
        return f"{'/'.join(self.channels)} {shown} -> {name_that_thing(self.consumer)}"

    def compile(self, inside: Kind | None) -> Node:
        """Compile it: a path is a regular expression, whatever is around it."""
        return super().compile(_kind(inside))

    def match(self, message: OnChannel) -> Match | None:
        """Return the consumer and its keyword arguments if it takes the message."""
        if message.channel.name not in self.channels:
            return None
        if self._node is None:
            self._node = self.compile(None)
        return self._node.match(message.content)


class RouteClass(routing.RouteClass, Route):
    """A `Route` whose channels are those that its class consumer names.

    Args:
        consumer: A class with a class method `channel_names()`, or its dotted name.
        **filters: As those of `Route`.

    Raises:
        ValueError: The consumer is no such class, or the route is wrong otherwise.
        ImproperlyConfigured: The consumer cannot be imported.
    """

    __slots__ = ()

    def __init__(self, consumer: Consumer, **filters: FilterSource) -> None:
        super().__init__(_consumer(consumer), **filters)
        self._node = None


class Include(routing.Include):
    """Routes that share prefixes, which they do not see; the consumer sees the whole.

    Args:
        routing: A list of routes, a dict, one route, or a dotted name of these.
        **prefixes: Key of the content and regular expression.

    Raises:
        ImproperlyConfigured: The routing cannot be imported.
        ValueError: It is none.
    """

    __slots__ = ("_node", "_nodes")

    def __init__(self, routing: Routing, **prefixes: FilterSource) -> None:
        super().__init__(Router.resolve_routing(routing), **prefixes)
        self._node: Node | None = None
        self._nodes: dict[str, Node] = {}

    def compile(self, inside: Kind | None) -> Node:
        """Compile it: its own path is a regular expression, and so are plain ones inside of that."""
        prefixes = tuple(
            (each.key, each.compile(_kind(inside), prefix=True)) for each in self.prefixes
        )
        inner = next((pattern.kind for key, pattern in prefixes if key == "path"), inside)
        return Branch(prefixes, tuple(child.compile(inner) for child in self.children))

    def match(self, message: OnChannel) -> Match | None:
        """Return the consumer and keyword arguments of the first route inside that takes it."""
        if self._node is None:
            self._node = self.compile(None)
            self._nodes = {name: on for name in self._node.channels if (on := self._node.on(name))}
        node = self._nodes.get(message.channel.name)
        return None if node is None else node.match(message.content)


class Router:
    """A routing with the defaults that `check_default` adds.

    Args:
        routing: A list or dict of routes, or its dotted name. It is never changed.
        added: Routes behind it; `add_route` appends to this list.

    Attributes:
        root: An include of everything.
        channels: The names of all channels that are routed.
    """

    root: Include
    channels: set[str]

    def __init__(self, routing: Routing, added: list[BaseRoute] | None = None) -> None:
        self._added = [] if added is None else added
        self._rebuild([*_children(self.resolve_routing(routing)), *self._added])

    def add_route(self, route: BaseRoute) -> None:
        """Append a route.

        Applications that are made later have it too, if this is the router of the layer `default`.
        """
        self._rebuild([*self.root.children, route])
        self._added.append(route)

    def match(self, message: OnChannel) -> Match | None:
        """Return the consumer and its keyword arguments, `None` if no route takes the message."""
        return self.root.match(message)

    def check_default(self, http_consumer: Consumer | None = None) -> None:
        """Append the default consumers behind all routes; once.

        Args:
            http_consumer: What answers requests; without it Django's views do.
        """
        if self._has_defaults:
            return
        self._has_defaults = True
        for channel, consumer in (
            ("http.request", http_consumer or load(VIEW_CONSUMER)()),
            ("websocket.connect", connect_consumer),
            ("websocket.receive", null_consumer),
            ("websocket.disconnect", null_consumer),
        ):
            self._rebuild([*self.root.children, Route(channel, consumer)])

    @classmethod
    def resolve_routing(cls, routing: Any) -> Any:
        """Return the routing that a dotted name leads to; a dict as a list of routes.

        Raises:
            ImproperlyConfigured: The name leads nowhere.
        """
        if isinstance(routing, str):
            try:
                return cls.resolve_routing(load(routing))
            except ConfigurationError as error:
                raise BadRouting(f"Cannot import channel routing {routing!r}: {error}") from error
        if isinstance(routing, Mapping):
            return [Route(channel, consumer) for channel, consumer in routing.items()]
        return routing

    @classmethod
    def normalise_re_arg(cls, value: Any) -> Any:
        """Return ASCII bytes as text, anything else as it is."""
        return value.decode("ascii") if isinstance(value, bytes) else value

    _has_defaults = False

    def _rebuild(self, routes: list[Any]) -> None:
        self.root = Include(routes)
        self.channels = self.root.channel_names()


def null_consumer(message: Any, *args: Any, **kwargs: Any) -> None:
    """Do nothing."""


def connect_consumer(message: Any, *args: Any, **kwargs: Any) -> None:
    """Accept the socket."""
    message.reply_channel.send({"accept": True})


route = Route
route_class = RouteClass
include = Include


def _kind(inside: Kind | None) -> Kind | None:
    return "regex" if is_old_way("CHANNELS_PATHS") else inside


def _children(routing: Any) -> Iterator[Any]:
    if isinstance(routing, BaseRoute):
        yield routing
    else:
        yield from routing


def _consumer(consumer: Consumer) -> Consumer:
    if not isinstance(consumer, str):
        return consumer
    try:
        found: Consumer = load(consumer)
    except ConfigurationError as error:
        raise BadRouting(f"Cannot import consumer {consumer!r}: {error}") from error
    return found


__all__ = [
    "Include",
    "Route",
    "RouteClass",
    "Router",
    "connect_consumer",
    "include",
    "null_consumer",
    "route",
    "route_class",
]
