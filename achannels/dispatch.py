"""Dispatcher: from a message to the consumer that the routing names, with the state it asks for.

Everything that depends on the consumer alone (kind, options, state) is decided once, when the
application is made; a message costs a match and a call.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from achannels.channel import Channel, ReplyChannel
from achannels.consumers.base import AsyncConsumer, ConsumerScope
from achannels.consumers.threads import Threads
from achannels.consumers.websocket import AsyncWebsocketConsumer
from achannels.exceptions import ChannelFull
from achannels.message import Body, Message
from achannels.options import Options
from achannels.routing import Router
from achannels.state import Connection, Loaders, State
from achannels.sync import Call
from achannels.sync import Message as SyncMessage
from achannels.types import Content

logger = logging.getLogger("achannels.consumer")

FULL_RETRY = 0.05
"""Seconds between the tries of a collected send to a channel that is full."""


class Handler(Protocol):
    """A consumer, ready to be called."""

    name: str
    options: Options
    max_body: int | None
    """Bytes of a request's body; `None` takes `max_size`."""

    every_end: bool
    """On `http.disconnect`: it is called after each response, not only when a client left."""

    async def __call__(
        self,
        connection: Connection,
        channel: Channel,
        content: Content,
        kwargs: dict[str, Any],
        *,
        attempt: int = 1,
        body: Body | None = None,
    ) -> bool:
        """Handle one message; `False` when the consumer has no method for it."""


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
        if isinstance(consumer, type) and issubclass(consumer, AsyncConsumer):
            return ClassHandler(consumer, name, options, state)
        if is_async(consumer):
            return AsyncHandler(consumer, name, options, state)
        return SyncHandler(consumer, name, options, state, self.threads, self.send_timeout)


compilers: list[Callable[[Any, Dispatcher], Handler | None]] = []
"""Asked in turn for the handler of a consumer, before it is one of the kinds below."""


class AsyncHandler:
    """Calls an `async def` function."""

    max_body: int | None = None
    every_end = False

    def __init__(
        self, consumer: Callable[..., Any], name: str, options: Options, state: State | None
    ) -> None:
        self.consumer = consumer
        self.name = name
        self.options = options
        self.state = state

    async def __call__(
        self,
        connection: Connection,
        channel: Channel,
        content: Content,
        kwargs: dict[str, Any],
        *,
        attempt: int = 1,
        body: Body | None = None,
    ) -> bool:
        """Handle one message."""
        message = Message(content, channel, connection.reply_channel)
        message.attempt = attempt
        message.body_source = body
        message.consumer = self.name
        state = self.state
        if state is None:
            await self.consumer(message, **kwargs)
            return True
        before = await state.load(connection, message)
        try:
            await self.consumer(message, **kwargs)
        finally:
            await state.save_channel_session(connection, before)
        if self.options.http_session:
            await state.save_http_session(message.http_session)
        return True


class SyncHandler:
    """Calls a plain function in a thread; what it sends leaves when it returned, or raised."""

    max_body: int | None = None
    every_end = False

    def __init__(
        self,
        consumer: Callable[..., Any],
        name: str,
        options: Options,
        state: State | None,
        threads: Threads,
        send_timeout: float,
    ) -> None:
        self.consumer = consumer
        self.name = name
        self.options = options
        self.state = state
        self.threads = threads
        self.send_timeout = send_timeout

    async def __call__(
        self,
        connection: Connection,
        channel: Channel,
        content: Content,
        kwargs: dict[str, Any],
        *,
        attempt: int = 1,
        body: Body | None = None,
    ) -> bool:
        """Handle one message."""
        message = SyncMessage(content, channel, connection.reply_channel)
        message.attempt = attempt
        message.body_source = body
        message.consumer = self.name
        state = self.state
        before = await state.load(connection, message) if state is not None else b""
        sends, error = await self.threads.run(self.consumer, message, **kwargs)
        if state is not None:
            await state.save_channel_session(connection, before)
            if self.options.http_session and error is None:
                await state.save_http_session(message.http_session)
        await self.flush(sends)
        if error is not None:
            raise error
        return True

    async def flush(self, sends: Iterable[Call]) -> None:
        """Carry out collected sends; one that fails is logged, and those after it still leave."""
        for send in sends:
            await self._flush(send)

    async def _flush(self, send: Call) -> None:
        deadline = asyncio.get_running_loop().time() + self.send_timeout
        while True:
            try:
                await send()
            except ChannelFull as error:
                if asyncio.get_running_loop().time() < deadline:
                    await asyncio.sleep(FULL_RETRY)
                    continue
                logger.error("a send of %s was dropped: %s", self.name, error)
            except Exception:
                logger.exception("a send of %s failed", self.name)
            return


class ClassHandler:
    """Calls a class consumer: the socket's own instance, or a new one per background message."""

    max_body: int | None = None
    every_end = False

    def __init__(
        self, consumer: type[AsyncConsumer], name: str, options: Options, state: State | None
    ) -> None:
        self.consumer = consumer
        self.name = name
        self.options = options
        self.state = state
        self.websocket = issubclass(consumer, AsyncWebsocketConsumer)

    async def __call__(
        self,
        connection: Connection,
        channel: Channel,
        content: Content,
        kwargs: dict[str, Any],
        *,
        attempt: int = 1,
        body: Body | None = None,
    ) -> bool:
        """Handle one message."""
        if not self.websocket or not isinstance(connection.reply_channel, ReplyChannel):
            instance = self._bind(connection, channel, kwargs)
        elif connection.instances is not None and self.consumer in connection.instances:
            instance = connection.instances[self.consumer]
        else:
            instance = self._bind(connection, connection.reply_channel, kwargs)
            connection.instances = {**(connection.instances or {}), self.consumer: instance}
        if self.state is None:
            return await self._call(instance, channel.name, content)
        return await self._with_state(self.state, connection, instance, channel.name, content)

    async def _with_state(
        self,
        state: State,
        connection: Connection,
        instance: AsyncConsumer,
        channel: str,
        content: Content,
    ) -> bool:
        scope, options, before = instance.scope, self.options, b""
        if not isinstance(scope, ConsumerScope):
            raise TypeError(f"{self.name}: self.scope was replaced; change its items instead.")
        if options.http_user and (state.loaders.anew or "user" not in scope):
            scope["user"] = await state.user(connection)
        if options.http_session:
            scope["session"] = await state.http_session(connection)
        if options.channel_session:
            scope["channel_session"] = await state.channel_session(connection)
            before = state.dump(connection)
        try:
            known = await self._call(instance, channel, content)
        finally:
            await state.save_channel_session(connection, before)
        if options.http_session:
            await state.save_http_session(scope["session"])
        return known

    async def _call(self, instance: AsyncConsumer, channel: str, content: Content) -> bool:
        if not isinstance(instance, AsyncWebsocketConsumer) or "type" in content:
            return await instance.dispatch(content)
        if channel == "websocket.receive":
            await instance.take_frame(content)
        elif channel == "websocket.connect":
            for group in instance.groups:
                await instance.channel_layer.group_add(group, instance.channel_name)
            await instance.connect()
        elif channel == "websocket.disconnect":
            await instance.disconnect(content["code"])
        else:
            await instance.gap(content)
        return True

    def _bind(
        self, connection: Connection, channel: Channel, kwargs: dict[str, Any]
    ) -> AsyncConsumer:
        instance = self.consumer()
        url_route = {"args": (), "kwargs": kwargs}
        instance.scope = ConsumerScope(connection.scope, self.name, url_route=url_route)
        instance.kwargs = kwargs
        instance.channel_name = channel.name
        instance.channel_layer = connection.layer
        if isinstance(instance, AsyncWebsocketConsumer) and isinstance(channel, ReplyChannel):
            instance.reply_channel = channel
        return instance


def log_error(handler: Handler, channel: str, path: str | None, error: BaseException) -> None:
    """Write the one ERROR record for a consumer that raised."""
    logger.error(
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
    "SyncHandler",
    "compilers",
    "is_async",
    "log_error",
    "name_of",
]
