"""Handlers: what calls one kind of consumer, with the state that it asks for."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

from achannels.channel import Channel, ReplyChannel
from achannels.consumers.base import BaseConsumer, ConsumerScope
from achannels.consumers.sync import SyncConsumer, WebsocketConsumer
from achannels.consumers.threads import Threads
from achannels.consumers.websocket import AsyncWebsocketConsumer
from achannels.exceptions import ChannelFull
from achannels.message import Body, Message
from achannels.options import Options
from achannels.state import Connection, State
from achannels.sync import Call, Collected, Reply
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

    logger: logging.Logger
    """Where it is told what the consumer raised."""

    async def handle(
        self,
        connection: Connection,
        channel: Channel,
        content: Content,
        kwargs: dict[str, Any],
        attempt: int = 1,
        body: Body | None = None,
    ) -> bool:
        """Handle one message; `False` when the consumer has no method for it."""


class BaseHandler:
    """What a handler is unless it says otherwise; see `Handler`."""

    max_body: int | None = None
    every_end = False
    logger = logger


class AsyncHandler(BaseHandler):
    """Calls an `async def` function."""

    def __init__(
        self, consumer: Callable[..., Any], name: str, options: Options, state: State | None
    ) -> None:
        self.consumer = consumer
        self.name = name
        self.options = options
        self.state = state

    async def handle(
        self,
        connection: Connection,
        channel: Channel,
        content: Content,
        kwargs: dict[str, Any],
        attempt: int = 1,
        body: Body | None = None,
    ) -> bool:
        """Handle one message."""
        message = Message(content, channel, connection.reply_channel, attempt, body, self.name)
        state = self.state
        try:
            if state is None:
                await (self.consumer(message, **kwargs) if kwargs else self.consumer(message))
                return True
            before = await state.load(connection, message)
            try:
                await self.consumer(message, **kwargs)
            finally:
                await state.save_channel_session(connection, before)
            if self.options.http_session:
                await state.save_http_session(message.http_session)
        except asyncio.CancelledError as error:
            _check_own(error)
            raise
        return True


def is_cancelled() -> bool:
    """Return whether the running task is cancelled, and not just something it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _check_own(error: asyncio.CancelledError) -> None:
    """Make an error of it if others cancelled what an `async def` consumer waited for."""
    if not is_cancelled():
        raise RuntimeError("something that the consumer waited for was cancelled") from error


class SyncHandler(BaseHandler):
    """Calls a plain function in a thread; what it sends leaves when it returned, or raised.

    Also when the caller was cancelled meanwhile, or what the function changed could not be saved.
    """

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

    async def handle(
        self,
        connection: Connection,
        channel: Channel,
        content: Content,
        kwargs: dict[str, Any],
        attempt: int = 1,
        body: Body | None = None,
    ) -> bool:
        """Handle one message."""
        reply = connection.reply_channel
        message = SyncMessage(content, channel, reply, attempt, body, self.name)
        state = self.state
        before = await state.load(connection, message) if state is not None else b""
        sends = Collected()
        try:
            try:
                await self.threads.call(sends, self.consumer, message, **kwargs)
            finally:
                if state is not None:
                    await state.save_channel_session(connection, before)
            if state is not None and self.options.http_session:
                await state.save_http_session(message.http_session)
        finally:
            await flush(sends.calls, self.name, self.send_timeout)
        return True


async def flush(sends: Iterable[Call], name: str, timeout: float) -> None:
    """Carry out collected sends; one that fails is logged, and those after it still leave.

    Args:
        sends: What was collected.
        name: Of the consumer.
        timeout: Seconds that they may wait for room in their channels, all together.
    """
    deadline = asyncio.get_running_loop().time() + timeout
    for send in sends:
        await _carry_out(send, name, deadline)


async def _carry_out(send: Call, name: str, deadline: float) -> None:
    while True:
        try:
            await send()
        except ChannelFull as error:
            if asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(FULL_RETRY)
                continue
            logger.error("a send of %s was dropped: %s", name, error)
        except Exception:
            logger.exception("a send of %s failed", name)
        return


class ClassHandler(BaseHandler):
    """Calls a class consumer: the socket's own instance, or a new one per background message."""

    def __init__(
        self, consumer: type[BaseConsumer], name: str, options: Options, state: State | None
    ) -> None:
        self.consumer = consumer
        self.name = name
        self.options = options
        self.state = state
        self.websocket = issubclass(consumer, AsyncWebsocketConsumer | WebsocketConsumer)

    async def handle(
        self,
        connection: Connection,
        channel: Channel,
        content: Content,
        kwargs: dict[str, Any],
        attempt: int = 1,
        body: Body | None = None,
    ) -> bool:
        """Handle one message."""
        instances = connection.instances
        if instances is not None and self.consumer in instances:
            instance = instances[self.consumer]
        elif not self.websocket or not isinstance(connection.reply_channel, ReplyChannel):
            instance = self._bind(connection, channel, kwargs)
        else:
            instance = self._bind(connection, connection.reply_channel, kwargs)
            connection.instances = {**(instances or {}), self.consumer: instance}
        try:
            if self.state is None:
                return await self._call(instance, channel.name, content) is not False
            return await self._with_state(self.state, connection, instance, channel.name, content)
        except asyncio.CancelledError as error:
            _check_own(error)
            raise

    async def _with_state(
        self,
        state: State,
        connection: Connection,
        instance: BaseConsumer,
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
            known = await self._call(instance, channel, content) is not False
        finally:
            await state.save_channel_session(connection, before)
        if options.http_session:
            await state.save_http_session(scope["session"])
        return known

    def _call(self, instance: Any, channel: str, content: Content) -> Awaitable[bool | None]:
        """Call the method for a message; its awaitable gives `False` where there is none."""
        method: Awaitable[bool | None]
        if not self.websocket or "type" in content:
            method = instance.dispatch(content)
        elif channel == "websocket.receive":
            method = instance.take_frame(content)
        elif channel == "websocket.connect":
            method = self._connect(instance)
        elif channel == "websocket.disconnect":
            method = instance.disconnect(content["code"])
        else:
            method = instance.gap(content)
        return method

    async def _connect(self, instance: Any) -> None:
        for group in instance.groups:
            await instance.channel_layer.group_add(group, instance.channel_name)
        await instance.connect()

    def _bind(
        self, connection: Connection, channel: Channel, kwargs: dict[str, Any]
    ) -> BaseConsumer:
        instance = self.consumer()
        url_route = {"args": (), "kwargs": kwargs}
        instance.scope = ConsumerScope(connection.scope, self.name, url_route=url_route)
        instance.kwargs = kwargs
        instance.channel_name = channel.name
        instance.channel_layer = connection.layer
        if isinstance(channel, ReplyChannel):
            self._answer_through(instance, channel)
        return instance

    def _answer_through(self, instance: Any, channel: ReplyChannel) -> None:
        instance.reply_channel = channel


class SyncClassHandler(ClassHandler):
    """Calls a class consumer whose methods block, in a thread; what it sends leaves afterwards."""

    def __init__(
        self,
        consumer: type[SyncConsumer],
        name: str,
        options: Options,
        state: State | None,
        threads: Threads,
        send_timeout: float,
    ) -> None:
        super().__init__(consumer, name, options, state)
        self.threads = threads
        self.send_timeout = send_timeout

    async def _call(self, instance: Any, channel: str, content: Content) -> bool:
        known = True

        def call() -> None:
            nonlocal known
            if not self.websocket or "type" in content:
                known = instance.dispatch(content)
            elif channel == "websocket.receive":
                instance.take_frame(content)
            elif channel == "websocket.connect":
                instance.connect()
            elif channel == "websocket.disconnect":
                instance.disconnect(content["code"])
            else:
                instance.gap(content)

        if channel == "websocket.connect":
            for group in instance.groups:
                await instance.channel_layer.group_add(group, instance.channel_name)
        sends = Collected()
        try:
            await self.threads.call(sends, call)
        finally:
            await flush(sends.calls, self.name, self.send_timeout)
        return known

    def _answer_through(self, instance: Any, channel: ReplyChannel) -> None:
        instance.reply_channel = Reply(channel.socket, channel.core_layer)


__all__ = [
    "AsyncHandler",
    "BaseHandler",
    "ClassHandler",
    "Handler",
    "SyncClassHandler",
    "SyncHandler",
    "flush",
    "is_cancelled",
]
