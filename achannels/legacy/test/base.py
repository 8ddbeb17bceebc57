"""`channels.test.base`: test cases with layers of their own, and a client that runs consumers."""

import secrets
import string
import unittest
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ContextDecorator, ExitStack, contextmanager
from copy import deepcopy
from functools import wraps
from typing import Any

from django.test import TestCase, TransactionTestCase

from achannels import registry
from achannels.consumers.base import BaseConsumer
from achannels.dispatch import is_async, name_of
from achannels.layers.memory import MemoryLayer
from achannels.legacy.asgi import (
    DEFAULT_CHANNEL_LAYER,
    ChannelLayerWrapper,
    channel_layers,
)
from achannels.legacy.binding.commit import at_once
from achannels.legacy.channel import Group
from achannels.legacy.facade import LayerFacade
from achannels.legacy.message import Message, pending_message_store
from achannels.legacy.routing import Router, include
from achannels.legacy.running import run_consumer
from achannels.sync import hand_over
from achannels.types import Content

CAPACITY = 10
"""Messages that may wait in a channel of a test; the next one raises `ChannelFull`."""

_LETTERS = 5


@contextmanager
def fresh_layers(aliases: Sequence[str]) -> Iterator[None]:
    """Have each alias stand for a new layer in memory, with its routing."""
    with ExitStack() as stack:
        for alias in aliases:
            routing = channel_layers[alias].routing
            layer = stack.enter_context(registry.override(_memory_layer(stack), alias))
            wrapper = ChannelLayerWrapper(LayerFacade(layer), alias, routing)
            stack.callback(channel_layers.set, alias, channel_layers.set(alias, wrapper))
        yield


def _memory_layer(stack: ExitStack) -> MemoryLayer:
    layer = MemoryLayer(capacity=CAPACITY)
    stack.callback(hand_over, layer, layer.aclose)
    return layer


class ChannelTestCaseMixin(unittest.TestCase):
    """What the test cases here add to Django's.

    Attributes:
        test_channel_aliases: Which of `CHANNEL_LAYERS` are in memory, and new for each test.
    """

    test_channel_aliases: Sequence[str] = [DEFAULT_CHANNEL_LAYER]

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        """Run the test with its own layers."""
        with fresh_layers(self.test_channel_aliases), at_once():
            return super().run(result)

    def debug(self) -> None:
        """Run the test with its own layers, and collect no errors."""
        with fresh_layers(self.test_channel_aliases), at_once():
            super().debug()

    def get_next_message(
        self, channel: str, alias: str = DEFAULT_CHANNEL_LAYER, require: bool = False
    ) -> Message | None:
        """Take the next message off a channel.

        Args:
            channel: Its name.
            alias: Its layer.
            require: Fail if there is none.

        Returns:
            The message, `None` if there is none.
        """
        message = next_message(channel, alias)
        if message is None and require:
            self.fail(f"Expected a message on channel {channel}, got none")
        return message


class ChannelTestCase(ChannelTestCaseMixin, TestCase):
    """Django's `TestCase` with new layers in memory for each test."""


class TransactionChannelTestCase(ChannelTestCaseMixin, TransactionTestCase):
    """Django's `TransactionTestCase` with new layers in memory for each test."""


class Client:
    """Sends messages, and runs the consumers that they lead to, one at a time, when told to.

    Args:
        alias: Which of `CHANNEL_LAYERS` it uses.

    Attributes:
        alias: As given.
        reply_channel: Name of the channel that answers to it come on.
    """

    def __init__(self, alias: str = DEFAULT_CHANNEL_LAYER) -> None:
        self.alias = alias
        letters = (secrets.choice(string.ascii_letters) for _ in range(_LETTERS))
        self.reply_channel = alias + "".join(letters)

    @property
    def channel_layer(self) -> ChannelLayerWrapper:
        """The layer."""
        return channel_layers[self.alias]

    def get_next_message(self, channel: str) -> Message | None:
        """Take the next message off a channel, `None` if there is none."""
        return next_message(channel, self.alias)

    def get_consumer_by_channel(self, channel: str) -> Any:
        """Return the consumer that a message with nothing in it is routed to, `None` for none."""
        message = Message({"text": ""}, str(channel), self.channel_layer)
        match = self.channel_layer.router.match(message)
        return None if match is None else match[0]

    def send(self, to: str, content: Mapping[str, Any] = {}) -> None:
        """Send a message, with this client as the one who is answered.

        Args:
            to: Name of the channel.
            content: The message; it is copied.
        """
        copied = deepcopy(dict(content))
        copied.setdefault("reply_channel", self.reply_channel)
        self.channel_layer.send(to, copied)

    def consume(self, channel: str, fail_on_none: bool = True) -> Any:
        """Take the next message off a channel and run its consumer.

        What the consumer sends has left when this returns, also if the consumer raised.

        Args:
            channel: Its name.
            fail_on_none: Fail if there is no message, or no consumer for it.

        Returns:
            What the consumer returned; of a class the instance. `None` if there was none.

        Raises:
            AssertionError: There is no message, or no consumer for it.
            DenyConnection: The consumer refused a socket.
            ConsumeLater: The consumer asked for the message once more.
        """
        message = next_message(channel, self.alias)
        if message is None:
            if fail_on_none:
                raise AssertionError(f"No message for channel {channel}")
            return None
        match = self.channel_layer.router.match(message)
        if match is None:
            if fail_on_none:
                raise AssertionError(f"Can't find consumer for message {message!r}")
            return None
        consumer, kwargs = match
        return self._run(consumer, message, kwargs)

    def send_and_consume(
        self,
        channel: str,
        content: Mapping[str, Any] = {},
        fail_on_none: bool = True,
    ) -> Any:
        """Send a message and run its consumer; see `send` and `consume`."""
        self.send(channel, content)
        return self.consume(channel, fail_on_none=fail_on_none)

    def receive(self) -> Content | None:
        """Return the next answer, `None` if there is none."""
        message = self.get_next_message(self.reply_channel)
        return None if message is None else message.content

    def join_group(self, group_name: str) -> None:
        """Have what is sent to a group come as answers."""
        Group(group_name, alias=self.alias).add(self.reply_channel)

    def _run(self, consumer: Any, message: Message, kwargs: dict[str, Any]) -> Any:
        if is_async(consumer) or (
            isinstance(consumer, type) and issubclass(consumer, BaseConsumer)
        ):
            raise AssertionError(
                f"{name_of(consumer)} is async, which no consumer of Channels 1.x is. Test it with "
                "achannels.testing.WebsocketClient."
            )
        pending_message_store.prepare()
        try:
            return run_consumer(consumer, message, kwargs, type(self))
        finally:
            pending_message_store.send_and_flush()


class apply_routes(ContextDecorator):  # noqa: N801 - its name in 1.x
    """Has other routes apply: as a context manager, or as a decorator of a test or a test case.

    Args:
        routes: A route, a list of routes, or a list of lists.
        aliases: Which of `CHANNEL_LAYERS` they apply to.

    Raises:
        IndexError: `routes` is empty.
    """

    def __init__(self, routes: Any, aliases: Sequence[str] = (DEFAULT_CHANNEL_LAYER,)) -> None:
        self.routes = _listed(routes)
        self.aliases = aliases
        self._before: list[tuple[ChannelLayerWrapper, Any, Router]] = []

    def __enter__(self) -> "apply_routes":
        router = Router(self.routes)
        for alias in self.aliases:
            wrapper = channel_layers[alias]
            self._before.append((wrapper, wrapper.routing, wrapper.router))
            wrapper.routing, wrapper.router = self.routes, router
        return self

    def __exit__(self, *exc_info: object) -> None:
        for wrapper, routing, router in reversed(self._before):
            wrapper.routing, wrapper.router = routing, router
        self._before = []

    def __call__(self, decorated: Any) -> Any:
        """Decorate a test, or each test of a test case from its `setUp` to its `tearDown`."""
        if not isinstance(decorated, type):
            return super().__call__(decorated)
        case: Any = decorated
        set_up = case.setUp

        @wraps(set_up)
        def with_routes(test: Any, *args: Any, **kwargs: Any) -> Any:
            test.enterContext(self._recreate_cm())
            return set_up(test, *args, **kwargs)

        case.setUp = with_routes
        return case

    def _recreate_cm(self) -> "apply_routes":
        return apply_routes(self.routes, self.aliases)


def next_message(channel: str, alias: str) -> Message | None:
    """Take the next message off a channel, `None` if there is none."""
    layer = channel_layers[alias]
    found, content = layer.receive([channel])
    return None if found is None else Message(content, found, layer)


def _listed(routes: Any) -> list[Any]:
    if not isinstance(routes, list | tuple):
        return [routes]
    if isinstance(routes[0], list | tuple):
        return [include(each) for each in routes]
    return list(routes)


__all__ = [
    "CAPACITY",
    "ChannelTestCase",
    "ChannelTestCaseMixin",
    "Client",
    "TransactionChannelTestCase",
    "apply_routes",
    "fresh_layers",
    "next_message",
]
