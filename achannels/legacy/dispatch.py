"""Plain consumers of 1.x in our dispatcher: what they get, and what becomes of what they raise."""

import asyncio
import logging
from typing import Any

from achannels import dispatch
from achannels.channel import Channel, ReplyChannel
from achannels.consumers.base import BaseConsumer
from achannels.dispatch import Dispatcher, Handler, is_async, log_error, name_of
from achannels.exceptions import ChannelFull, ConsumeLater, ControlFlow, DenyConnection
from achannels.handlers import SyncHandler, flush
from achannels.legacy import conf
from achannels.legacy.contents import for_consumer
from achannels.legacy.message import MISSING, Message, given
from achannels.legacy.running import run_consumer
from achannels.legacy.worker import REQUEUE_TRIES, REQUEUE_WAIT, Worker
from achannels.message import Body
from achannels.options import Options
from achannels.state import Connection, State
from achannels.sync import Collected
from achannels.types import Content

logger = logging.getLogger("django.channels")

RETRIES = 10
"""How often a message is handled again after `ConsumeLater`."""

LATER = 0.05
"""Seconds before that, where the exception has no `delay`."""

RETRY_KEY = "__retries__"
"""Key of the content that counts."""

_UNLIMITED = 2**62


class PlainHandler(SyncHandler):
    """Calls a `def` function or a 1.x class with a message of 1.x, in a thread."""

    every_end = True
    logger = logger
    keeps_open = True
    """An exception leaves the socket open."""

    forgets = False
    """The channel session of a socket that ended is deleted."""

    async def handle(
        self,
        connection: Connection,
        channel: Channel,
        content: Content,
        kwargs: dict[str, Any],
        attempt: int = 1,
        body: Body | None = None,
    ) -> bool:
        """Handle one message, and handle it again as long as it asks for that."""
        if logger.isEnabledFor(logging.DEBUG):
            reply = content.get("reply_channel", "none")
            logger.debug("Got message on %s (reply %s)", channel.name, reply)
            logger.debug("Dispatching message on %s to %s", channel.name, self.name)
        for_consumer(channel.name, content)
        if channel.name == "http.request":
            content["root_path"] = content.get("root_path") or conf.script_name()
            if body is not None and "body" not in content:
                content["body"] = await body.read()
        while True:
            error = await self._once(connection, channel, content, kwargs, attempt, body)
            if error is None:
                return True
            if not isinstance(error, ConsumeLater):
                return await self._failed(error, connection, channel, content)
            if not await self._later(error, connection, channel, content):
                return True

    async def _once(
        self,
        connection: Connection,
        channel: Channel,
        content: Content,
        kwargs: dict[str, Any],
        attempt: int,
        body: Body | None,
    ) -> Exception | None:
        """Call the consumer, send what it sent, and return what it raised."""
        message = Message.of(content, channel, connection.reply_channel)
        message.attempt = attempt
        message.body_source = body
        message.consumer = self.name
        message._scope = connection.scope
        if content.get(RETRY_KEY) == RETRIES:
            message.__doomed__ = True
        state = self.state
        before = await state.load(connection, message) if state is not None else b""
        sends = Collected()
        try:
            try:
                await self.threads.call(sends, self._call, message, kwargs)
            finally:
                if self.forgets and given(message, "channel_session") is not MISSING:
                    connection.session = (
                        connection.session or {}
                    )  # whose end deletes what is stored
                if state is not None:
                    await state.save_channel_session(connection, before)
            if state is not None and self.options.http_session:
                await state.save_http_session(message.http_session)
        except Exception as error:  # noqa: BLE001 - answered by the caller
            return error
        finally:
            await flush(sends.calls, self.name, self.send_timeout)
        return None

    def _call(self, message: Message, kwargs: dict[str, Any]) -> None:
        run_consumer(self.consumer, message, kwargs, Worker, environ={})

    async def _later(
        self, error: ConsumeLater, connection: Connection, channel: Channel, content: Content
    ) -> bool:
        """Count, and return whether the message is to be handled again here and now.

        The message of a socket or request waits in its place, so that its order stays; another goes
        to the end of its channel. A durable one is the worker's business.
        """
        if self.options.durable:
            raise error
        content[RETRY_KEY] = content.get(RETRY_KEY, 0) + 1
        if content[RETRY_KEY] > RETRIES:
            logger.warning(
                "%s: a message on %s asked to be handled later too often", self.name, channel
            )
            return False
        if isinstance(connection.reply_channel, ReplyChannel):
            await asyncio.sleep(LATER if error.delay is None else error.delay)
            return True
        for _ in range(REQUEUE_TRIES):
            try:
                await channel.send(content, delay=error.delay)
            except ChannelFull:
                await asyncio.sleep(REQUEUE_WAIT)
            else:
                return False
        logger.error("%s: a message on %s is lost: its channel is full", self.name, channel)
        return False

    async def _failed(
        self, error: Exception, connection: Connection, channel: Channel, content: Content
    ) -> bool:
        """Answer what a consumer raised, or raise it where our own rules answer it."""
        name = channel.name
        if isinstance(error, DenyConnection) and not (error.reason or error.headers):
            if name == "websocket.connect" and connection.reply_channel is not None:
                await connection.reply_channel.send({"close": True})
                return True
            if name.startswith("websocket."):
                log_error(self, name, content.get("path"), error)
                return True
        on_socket = name.startswith("websocket.")
        if isinstance(error, ControlFlow) or not on_socket or not self.keeps_open:
            raise error
        log_error(self, name, content.get("path"), error)
        return True


def compile_plain(consumer: Any, dispatcher: Dispatcher) -> Handler | None:
    """Return the handler of a plain consumer, `None` for one that is none."""
    is_class = isinstance(consumer, type)
    if is_async(consumer) or (is_class and issubclass(consumer, BaseConsumer)):
        return None
    # 1.x's classes have attributes of the same names, which mean something else.
    options = Options() if is_class else Options.of(consumer)
    asks = options.channel_session or options.http_session or options.http_user
    name = name_of(consumer)
    state = State(options, name, dispatcher.loaders) if asks else None
    handler = PlainHandler(
        consumer, name, options, state, dispatcher.threads, dispatcher.send_timeout
    )
    handler.max_body = conf.max_body() or _UNLIMITED
    handler.keeps_open = conf.is_old_way("CHANNELS_ERRORS")
    handler.forgets = not conf.is_old_way("CHANNELS_SESSIONS")
    return handler


def install() -> None:
    """Have plain consumers called as 1.x called them, in this process."""
    if compile_plain not in dispatch.compilers:
        dispatch.compilers.append(compile_plain)


__all__ = ["RETRIES", "PlainHandler", "compile_plain", "install"]
