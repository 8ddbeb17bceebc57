"""AsyncConsumer and what all class consumers share: one instance per socket, or per background message; `type` picks the method."""

import difflib
import inspect
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, ClassVar, NoReturn

from achannels.contracts import ChannelLayer
from achannels.exceptions import ConfigurationError, ControlFlow
from achannels.options import Options, Overflow
from achannels.routing import Route, RouteClass
from achannels.types import Content

_ASKED = {
    "user": "http_user = True",
    "session": "http_session = True",
    "channel_session": "channel_session = True",
}


class BadFrame(ControlFlow):
    """A frame that this consumer cannot take: the socket closes with `code`."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class ConsumerScope(ChainMap[str, Any]):
    """The ASGI scope as a class consumer sees it; what it writes lies over it, for it alone."""

    def __init__(self, scope: MutableMapping[str, Any], consumer: str, **over: Any) -> None:
        super().__init__(over, scope)
        self.consumer = consumer

    def __missing__(self, key: str) -> NoReturn:
        if key in _ASKED:
            raise KeyError(
                f"scope[{key!r}] was not asked for. Write `{_ASKED[key]}` into {self.consumer}."
            )
        raise KeyError(key)


class BaseConsumer:
    """What class consumers have in common.

    On a named channel there is one instance per message. The table from `type` to method is made
    when the class is made; dots in a `type` stand for underscores.

    Attributes:
        scope: The ASGI scope of the connection, with `url_route`, and `user`, `session`,
            `channel_session` where the class asks for them; empty for a background message.
        kwargs: The named groups and converters of the route.
        channel_name: Name of the channel to this consumer's socket (on a named channel: that one).
        channel_layer: The layer.
        groups: Groups that the socket joins before `connect()`.

    Raises:
        ConfigurationError: When the class is made: a hook is of the other kind, an option is wrong.
    """

    groups: Iterable[str] = ()
    channel_session: bool = False
    http_session: bool = False
    http_user: bool = False
    overflow: Overflow | None = None
    outbox_capacity: int | None = None
    outbox_bytes: int | None = None
    max_size: int | None = None

    scope: MutableMapping[str, Any]
    kwargs: Mapping[str, Any]
    channel_name: str
    channel_layer: ChannelLayer

    _handlers: ClassVar[Mapping[str, str]] = {}
    _hooks: ClassVar[frozenset[str]] = frozenset()
    _is_async: ClassVar[bool]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith("achannels.consumers."):
            return
        Options.of(cls)
        if isinstance(cls.groups, str):
            raise ConfigurationError(
                f"{cls.__qualname__}: groups={cls.groups!r} is a str; write [{cls.groups!r}]."
            )
        for name in cls._hooks:
            if inspect.iscoroutinefunction(inspect.unwrap(getattr(cls, name))) != cls._is_async:
                raise ConfigurationError(
                    f"{cls.__module__}.{cls.__qualname__}.{name} must be {_KINDS[cls._is_async]}."
                )
        cls._handlers = _table(cls)

    @classmethod
    def channel_names(cls) -> frozenset[str]:
        """Return the channels that `route_class` routes to this class."""
        return frozenset()

    @classmethod
    def as_route(cls, attrs: Mapping[str, Any] | None = None, **filters: Any) -> Route:
        """Return `route_class` of this class, or of a subclass with changed attributes.

        Args:
            attrs: Class attributes to change, for example `{"outbox_capacity": 5}`.
            **filters: As in `route()`.
        """
        named = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
        return RouteClass(
            type(cls.__name__, (cls,), {**named, **attrs}) if attrs else cls, **filters
        )

    def method(self, content: Content) -> Callable[[Content], Any] | None:
        """Return the method that `content["type"]` names; `None` when there is none."""
        name = self._handlers.get(str(content.get("type", "")).replace(".", "_"))
        return None if name is None else getattr(self, name)

    @classmethod
    def near(cls, type_: object) -> str:
        """Return a hint for a `type` that no method takes."""
        name = str(type_).replace(".", "_")
        if close := difflib.get_close_matches(name, cls._handlers, n=1):
            return f"Did you mean {close[0]!r}?"
        word = "async def" if cls._is_async else "def"
        return f"Write `{word} {name}(self, event)` into {cls.__qualname__}."


class AsyncConsumer(BaseConsumer):
    """Code for messages as a class.

    `await Channel("mail").send({"type": "news.letter", ...})` calls
    `async def news_letter(self, event)`: a `type` finds the public `async def` methods that
    subclasses define. What else there is to say is on `BaseConsumer`.
    """

    _is_async = True

    async def dispatch(self, content: Content) -> bool:
        """Call the method that `content["type"]` names; `False` when there is none."""
        method = self.method(content)
        if method is None:
            return False
        await method(content)
        return True


_KINDS = {
    True: "an `async def`: hooks of an async consumer are awaited",
    False: "a `def`: hooks of this consumer run in a thread",
}


def _table(cls: type[BaseConsumer]) -> Mapping[str, str]:
    own = [base for base in cls.__mro__ if not base.__module__.startswith("achannels.consumers.")]
    ours = [base for base in cls.__mro__ if base.__module__.startswith("achannels.consumers.")]
    taken = {name for base in ours for name in vars(base)}
    return {
        name: name
        for base in own
        for name in vars(base)
        if not name.startswith("_")
        and name not in taken
        and _takes_events(getattr(cls, name), cls._is_async)
    }


def _takes_events(method: object, is_async: bool) -> bool:
    """Return whether a method may be named by a `type`; a plain one has to take one argument."""
    function = inspect.unwrap(method) if callable(method) else None
    if is_async or not inspect.isfunction(function):
        return is_async and inspect.iscoroutinefunction(function)
    kinds = [each.kind for each in inspect.signature(function).parameters.values()]
    takes_two = kinds == [inspect.Parameter.POSITIONAL_OR_KEYWORD] * 2
    return takes_two and not inspect.iscoroutinefunction(function)


__all__ = ["AsyncConsumer", "BadFrame", "BaseConsumer", "ConsumerScope"]
