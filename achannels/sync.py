"""The blocking twins of `Channel`, `Group` and `Message`: for views, signals, commands, threads.

A call hands over to the event loop that the layer lives on. In a process without one (a shell, a
Celery worker, WSGI) one background loop is kept: no new loop and no new connection per call. On an
event loop these raise `WrongContext`.

Inside a `def` consumer, sends are collected and leave in order when it returns, also if it raised.
"""

import asyncio
import atexit
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any, TypeVar
from weakref import WeakSet

from achannels.channel import BaseChannel, Name, ReplyChannel, seconds_until
from achannels.codec import encode
from achannels.contracts import ChannelLayer, DeadLetter, Socket
from achannels.exceptions import ConfigurationError, LayerClosed, WrongContext
from achannels.group import BaseGroup, channel_name
from achannels.message import BaseMessage

T = TypeVar("T")

Call = Callable[[], Coroutine[Any, Any, Any]]
_LEAVE = 2.0
"""Seconds for which the end of the process waits until its layers have left their servers."""

OnCommit = Callable[[Callable[[], None], str | None], None]


class Collected:
    """The sends of one `def` consumer, in the order of the calls.

    Attributes:
        calls: The sends.
        is_cancelled: The task that waits for the end of the consumer was cancelled.
    """

    __slots__ = ("calls", "is_cancelled")

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.is_cancelled = False


collected: ContextVar[Collected | None] = ContextVar("achannels_collected", default=None)
"""Set while a `def` consumer runs."""


class _Commit:
    """How to wait for a database commit; Django's app fills it in."""

    hook: OnCommit | None = None
    by_default = False


def on_commit_hook(hook: OnCommit, *, by_default: bool) -> None:
    """Say how `on_commit=` waits for a commit, and whether sends outside consumers do it always."""
    _Commit.hook = hook
    _Commit.by_default = by_default


class Channel(BaseChannel):
    """The blocking twin of `achannels.Channel`.

    Raises:
        InvalidName: The name breaks the grammar.
    """

    __slots__ = ()

    def send(
        self,
        content: Mapping[str, Any],
        immediately: bool = False,
        *,
        delay: float | timedelta | None = None,
        eta: datetime | None = None,
        durable: bool | None = None,
        on_commit: bool | str | None = None,
    ) -> None:
        """Send a message, as `achannels.Channel.send` does.

        Args:
            content: A dict with `str` keys and `bytes str int float list dict bool None` inside.
            immediately: In a `def` consumer: now, not when it returns.
            delay: Seconds (or a timedelta) before the message may be handled.
            eta: The moment before which it may not be handled; an aware datetime.
            durable: Keep this message until its handler has returned.
            on_commit: Wait for the commit of the database (`True`: the default one, or its alias);
                outside a transaction that is now. `None` takes the setting `SEND_ON_COMMIT`.

        Raises:
            WrongContext: Called on an event loop.
            ChannelFull: As many messages wait as the channel's capacity allows (not from a
                collected send: then it is logged).
            InvalidContent: The content holds what no layer carries.
            MessageTooLarge: It is over the layer's `message_size`.
            LayerUnavailable: The layer's server does not answer.
            LayerClosed: The layer was closed.
        """
        seconds = seconds_until(delay, eta)
        layer = self.core_layer
        encoded = encode(content, self.name, layer.message_size)

        def call() -> Coroutine[Any, Any, None]:
            return layer.send(self.name, encoded.decode(), delay=seconds, durable=bool(durable))

        _send(self, layer, call, immediately, on_commit)

    def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """Return the durable messages of this channel that were given up, oldest first."""
        layer = self._work_layer()
        return run(self, "dead_letters", lambda: layer.dead_letters(self.name, limit))

    def requeue(self, id: str) -> bool:
        """Send a dead letter again as a first attempt; `False` if there is none of that id."""
        layer = self._work_layer()
        return run(self, "requeue", lambda: layer.requeue(self.name, id))


class Reply(Channel):
    """The blocking twin of the channel to one's own socket or request."""

    __slots__ = ("_socket",)

    def __init__(self, socket: Socket, channel_layer: ChannelLayer) -> None:
        self.name = socket.channel_name
        self.alias = "default"
        self._layer = channel_layer
        self._socket = socket

    def send(
        self,
        content: Mapping[str, Any],
        immediately: bool = False,
        *,
        delay: float | timedelta | None = None,
        eta: datetime | None = None,
        durable: bool | None = None,
        on_commit: bool | str | None = None,
    ) -> None:
        """Answer: `accept text bytes close` for sockets, `status headers content` for requests.

        Raises:
            WrongContext: Called on an event loop.
            InvalidContent: A key or a value that this kind of connection has no use for.
            ConfigurationError: `delay`, `eta` or `durable`, which a connection cannot have.
        """
        if delay is not None or eta is not None or durable:
            raise ConfigurationError(
                f"{self!r}.send(): a reply leaves at once; delay, eta and durable are for named "
                "channels."
            )
        socket = self._socket
        prepared = socket.prepare(content)
        _send(self, self.core_layer, lambda: socket.write(prepared), immediately, on_commit)


class Group(BaseGroup):
    """The blocking twin of `achannels.Group`.

    Raises:
        InvalidName: The name breaks the grammar.
    """

    __slots__ = ()

    def add(self, channel: BaseChannel | str) -> None:
        """Make a channel a member, now; every send that starts after this returned reaches it.

        Raises:
            WrongContext: Called on an event loop.
            InvalidName: `channel` is no channel name.
            LayerUnavailable: The layer's server does not answer.
        """
        name = channel_name(channel)
        run(self, "add", lambda: self.core_layer.group_add(self.name, name))

    def discard(self, channel: BaseChannel | str) -> None:
        """End a membership, now; no send that starts after this returned reaches the channel.

        Raises:
            WrongContext: Called on an event loop.
            InvalidName: `channel` is no channel name.
            LayerUnavailable: The layer's server does not answer.
        """
        name = channel_name(channel)
        run(self, "discard", lambda: self.core_layer.group_discard(self.name, name))

    def send(
        self,
        content: Mapping[str, Any],
        immediately: bool = False,
        *,
        on_commit: bool | str | None = None,
    ) -> None:
        """Send to every member, as `achannels.Group.send` does.

        Args:
            content: A frame (`text` or `bytes`), or an event for class consumers (`type`).
            immediately: In a `def` consumer: now, not when it returns.
            on_commit: As in `Channel.send`.

        Raises:
            WrongContext: Called on an event loop.
            InvalidContent: The content holds what no layer carries.
            MessageTooLarge: It is over the layer's `message_size`.
            LayerUnavailable: The layer's server does not answer.
            LayerClosed: The layer was closed.
        """
        layer = self.core_layer
        encoded = encode(content, self.name, layer.message_size)
        _send(
            self,
            layer,
            lambda: layer.group_send(self.name, encoded.decode()),
            immediately,
            on_commit,
        )


class Message(BaseMessage):
    """A message for a `def` consumer: what it leads to blocks."""

    __slots__ = ()

    @property
    def channel(self) -> Channel:
        """The channel that the message came from."""
        return Channel(self._channel.name, channel_layer=self._channel.core_layer)

    @property
    def reply_channel(self) -> Channel:
        """The channel to the socket or request that the message came from.

        Raises:
            NoReplyChannel: The message was sent without one.
        """
        reply = self._reply
        if reply is None:
            raise self._no_reply_channel()
        if isinstance(reply, ReplyChannel):
            return Reply(reply.socket, reply.core_layer)
        return Channel(reply.name, channel_layer=reply.core_layer)

    def body(self) -> bytes:
        """Return the whole body of an `http.request`, all parts joined.

        Raises:
            RequestAborted: The client left before it was complete.
            RequestTimeout: It was not complete within `http_timeout`.
        """
        body = self.body_source
        return run(self._channel, "body", body.read) if body is not None else b""


def _send(
    thing: Name, layer: ChannelLayer, call: Call, immediately: bool, on_commit: bool | str | None
) -> None:
    _check_blocking(thing, "send")
    pending = None if immediately else collected.get()
    if on_commit is None:
        on_commit = _Commit.by_default and not immediately and pending is None
    if on_commit:
        if _Commit.hook is None:
            raise ConfigurationError(
                f"{thing!r}.send(on_commit=...) waits for a Django database, and there is none. "
                "Put 'achannels' into INSTALLED_APPS, or leave on_commit out."
            )
        alias = on_commit if isinstance(on_commit, str) else None
        _Commit.hook(lambda: hand_over(layer, call), alias)
    elif pending is not None:
        pending.calls.append(call)
    else:
        hand_over(layer, call)


def run(thing: Name, method: str, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine where the layer of `thing` lives, and wait for its result.

    Raises:
        WrongContext: Called on an event loop.
        LayerClosed: That loop stopped before the result was there.
    """
    _check_blocking(thing, method)
    return hand_over(thing.core_layer, call)


def _check_blocking(thing: Name, method: str) -> None:
    if asyncio._get_running_loop() is not None:
        raise WrongContext(
            f"achannels.sync.{thing.kind}({thing.name!r}).{method}() would block the event loop. "
            f"Use `await {thing.kind}({thing.name!r}).{method}(...)` from achannels."
        )


def hand_over(layer: ChannelLayer, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on the loop of a layer, from a thread that runs no loop, and wait for it.

    Raises:
        LayerClosed: That loop stopped before the result was there.
    """
    loop = layer.loop
    if loop is None or not loop.is_running():
        loop = background.loop()
        background.layers.add(layer)
    future = asyncio.run_coroutine_threadsafe(call(), loop)
    while True:
        try:
            return future.result(timeout=1.0)
        except TimeoutError:
            if future.done():
                raise
            if not loop.is_running():
                future.cancel()
                raise LayerClosed(
                    "the event loop of the channel layer stopped while a sync call waited for it; "
                    "whether it was carried out is not known."
                ) from None


class _Background:
    """The one event loop that a process without a running node keeps, in a daemon thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.layers: WeakSet[ChannelLayer] = WeakSet()
        atexit.register(self._leave)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._loop = None
        self.layers = WeakSet()

    def _leave(self) -> None:
        """The process ends: its layers leave their servers in good order, or soon."""
        loop = self._loop
        if loop is None:
            return
        leaving = [
            asyncio.run_coroutine_threadsafe(layer.leave(), loop)
            for layer in self.layers
            if layer.loop is loop
        ]
        concurrent.futures.wait(leaving, timeout=_LEAVE)

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                started = threading.Event()
                self._loop.call_soon(started.set)
                threading.Thread(
                    target=self._loop.run_forever, name="achannels-background", daemon=True
                ).start()
                started.wait()
            return self._loop


background = _Background()

__all__ = ["Channel", "Group", "Message"]
