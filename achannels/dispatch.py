"""Dispatcher: from a message to the consumer that the routing names, with the state it asks for.

Everything that depends on the consumer alone (kind, options, state) is decided once, when the
application is made; a message costs a match and a call.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from achannels.consumers.base import BaseConsumer
from achannels.consumers.sync import SyncConsumer
from achannels.consumers.threads import Threads
from achannels.handlers import (
    AsyncHandler,
    ClassHandler,
    Handler,
    SyncClassHandler,
    SyncHandler,
)
from achannels.options import Options
from achannels.routing import Router
from achannels.state import Connection, Loaders, State
from achannels.types import Content


class Dispatcher:
    """Finds and calls consumers.

    Args:
        router: The routes.
        threads: Where `def` consumers run.
        loaders: Where state comes from.
        send_timeout: Seconds that a collected send may wait for room in its channel.

    Raises:
        ConfigurationError: A consumer is wrong, or asks for state that nobody loads.
    """

    def __init__(
        self, router: Router, threads: Threads, loaders: Loaders, *, send_timeout: float = 2.0
    ) -> None:
        self.router = router
        self.threads = threads
        self.loaders = loaders
        self.send_timeout = send_timeout
        self._handlers: dict[Any, Handler] = {}
        for consumer in router.consumers():
            self._handlers[_key(consumer)] = self._compile(consumer)

    def find(self, channel: str, content: Content) -> tuple[Handler, dict[str, Any]] | None:
        """Return the handler and the keyword arguments of the first route that takes the message."""
        match = self.router.match(channel, content)
        if match is None:
            return None
        handler = self._handlers.get(_key(match.consumer))
        return handler or self._compile(match.consumer), match.kwargs

    def handler(self, consumer: Any) -> Handler:
        """Return the handler of a consumer of the routing."""
        return self._handlers[_key(consumer)]

    def handlers(self, channel: str) -> Iterable[Handler]:
        """Return the handlers of all routes on a channel."""
        return [self._handlers[_key(c)] for c in self.router.consumers(channel)]

    def remembers(self, connection: Connection) -> bool:
        """Whether a channel session of the socket is kept outside the process."""
        return self.loaders.channel_sessions is not None and connection.session is not None

    async def forget(self, connection: Connection) -> None:
        """Forget the channel session of a socket that ended."""
        sessions = self.loaders.channel_sessions
        if sessions is not None and connection.session is not None and connection.reply_channel:
            await sessions.delete(connection.reply_channel.name)

    def _compile(self, consumer: Any) -> Handler:
        for compile_ in compilers:
            handler = compile_(consumer, self)
            if handler is not None:
                return handler
        options = Options.of(consumer)
        name = name_of(consumer)
        state = State(options, name, self.loaders) if _asks(options) else None
        threads, timeout = self.threads, self.send_timeout
        if isinstance(consumer, type) and issubclass(consumer, BaseConsumer):
            if issubclass(consumer, SyncConsumer):
                return SyncClassHandler(consumer, name, options, state, threads, timeout)
            return ClassHandler(consumer, name, options, state)
        if is_async(consumer):
            return AsyncHandler(consumer, name, options, state)
        return SyncHandler(consumer, name, options, state, threads, timeout)


compilers: list[Callable[[Any, Dispatcher], Handler | None]] = []
"""Asked in turn for the handler of a consumer, before it is one of the kinds below."""


def log_error(handler: Handler, channel: str, path: str | None, error: BaseException) -> None:
    """Write the one ERROR record for a consumer that raised."""
    handler.logger.error(
        "%s raised on %s%s",
        handler.name,
        channel,
        f" at {path}" if path is not None else "",
        exc_info=error,
        extra={"consumer": handler.name, "channel": channel, "path": path},
    )


def name_of(consumer: Any) -> str:
    """Return the dotted name of a consumer, for logs."""
    named = consumer if hasattr(consumer, "__qualname__") else type(consumer)
    return f"{named.__module__}.{named.__qualname__}"


def is_async(consumer: Any) -> bool:
    """Return whether calling a consumer gives a coroutine."""
    call = consumer if inspect.isroutine(consumer) else type(consumer).__call__
    forms = (consumer, call, inspect.unwrap(call))  # the first may be a `functools.partial`
    return any(inspect.iscoroutinefunction(form) for form in forms)


def _asks(options: Options) -> bool:
    return options.channel_session or options.http_session or options.http_user


def _key(consumer: Any) -> Any:
    """Return what stands for a consumer in a table; some callables cannot be hashed."""
    try:
        hash(consumer)
    except TypeError:
        return id(consumer)
    return consumer


__all__ = [
    "Dispatcher",
    "Handler",
    "compilers",
    "is_async",
    "log_error",
    "name_of",
]
