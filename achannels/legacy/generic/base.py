"""`channels.generic.base`."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from achannels.legacy.auth import channel_session_user
from achannels.legacy.routing import RouteClass, route_class
from achannels.legacy.sessions import channel_session


class BaseConsumer:
    """A consumer with a method for each of its channels; making an instance handles a message.

    Attributes:
        method_mapping: Name of the channel and name of the method.
        channel_session: Have `message.channel_session`.
        channel_session_user: Have `message.channel_session` and `message.user`.
        message: The message.
        kwargs: What the route found.
    """

    method_mapping: ClassVar[Mapping[str, str]] = {}
    channel_session: bool = False
    channel_session_user: bool = False

    def __init__(self, message: Any, **kwargs: Any) -> None:
        self.message = message
        self.kwargs = kwargs
        self.dispatch(message, **kwargs)

    @classmethod
    def channel_names(cls) -> set[str]:
        """Return the names of its channels."""
        return set(cls.method_mapping)

    @classmethod
    def as_route(cls, attrs: Mapping[str, Any] | None = None, **filters: Any) -> RouteClass:
        """Return a route to this class, or to a subclass with changed attributes.

        Args:
            attrs: The attributes.
            **filters: As in `route()`.

        Raises:
            AssertionError: `attrs` is no dict.
        """
        consumer = cls
        if attrs is not None:
            if not isinstance(attrs, dict):
                raise AssertionError(f"attrs is a dict of attributes, not {attrs!r}")
            own = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
            consumer = type(cls.__name__, (cls,), {**own, **attrs})
        return route_class(consumer, **filters)

    def get_handler(self, message: Any, **kwargs: Any) -> Callable[..., Any]:
        """Return the method for a message, with its decorators.

        Raises:
            KeyError: The channel is not in `method_mapping`.
            AttributeError: There is no such method.
        """
        handler: Callable[..., Any] = getattr(self, self.method_mapping[message.channel.name])
        if self.channel_session_user:
            return channel_session_user(handler)
        if self.channel_session:
            return channel_session(handler)
        return handler

    def dispatch(self, message: Any, **kwargs: Any) -> Any:
        """Call the method for a message."""
        return self.get_handler(message, **kwargs)(message, **kwargs)


__all__ = ["BaseConsumer"]
