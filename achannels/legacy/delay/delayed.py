"""What a message on `asgi.delay` says, and how the layer itself waits for it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.utils import timezone

from achannels import registry
from achannels.exceptions import ChannelFull
from achannels.layers.memory import MemoryLayer
from achannels.legacy.channel import Channel
from achannels.names import check_channel
from achannels.routing import Route, route

CHANNEL = "asgi.delay"

REQUEUE_DELAY = 1000
"""Milliseconds before a message to a channel that was full is sent again."""

logger = logging.getLogger("django.channels")


@dataclass(frozen=True, slots=True)
class Delayed:
    """A message, and when and where to send it.

    Attributes:
        channel: Where.
        delay: Milliseconds from now; 0 and less: at once.
        content: What.
    """

    channel: str
    delay: float
    content: dict[str, Any]

    @classmethod
    def parse(cls, message: Mapping[str, Any]) -> "Delayed":
        """Read the content of a message on `asgi.delay`.

        Raises:
            ValueError: A key is missing, or its value is wrong; the text says which.
        """
        missing = [key for key in ("channel", "delay", "content") if key not in message]
        if missing:
            raise ValueError(
                f"it has no {' and no '.join(map(repr, missing))}. Send "
                "{'channel': ..., 'delay': milliseconds, 'content': {...}}."
            )
        channel, delay, content = message["channel"], message["delay"], message["content"]
        try:
            check_channel(channel)
            timezone.now() + timedelta(milliseconds=delay)
        except TypeError as error:
            text = str(error) if isinstance(delay, int | float) else f"its delay is {delay!r}"
            raise ValueError(text) from error
        except (OverflowError, ValueError) as error:
            raise ValueError(f"its delay is {delay!r}, which no date is away.") from error
        if not isinstance(content, dict):
            raise ValueError(f"its content is {content!r}, and no dict.")
        return cls(channel, delay, content)


def wait_in_layer(delayed: Delayed, channel_layer: Any = None) -> None:
    """Have the layer deliver a message when it is due; no table is needed.

    The layer keeps it: one in memory as long as the process lives, one over Redis as long as Redis
    does.

    Args:
        delayed: What to send, when, and where.
        channel_layer: The layer; `None` takes the default one.

    Raises:
        TypeError: The content holds what no layer carries.
        MessageTooLarge: It is over the layer's `message_size`.
        ChannelFull: There is no room for messages that wait.
    """
    seconds = max(0.0, delayed.delay / 1000)
    if seconds and "!" not in delayed.channel:
        channel = Channel(delayed.channel, channel_layer=channel_layer)
        channel.send(delayed.content, immediately=True, delay=seconds)
        return
    if not seconds:
        try:
            Channel(delayed.channel, channel_layer=channel_layer).send(
                delayed.content, immediately=True
            )
        except ChannelFull:
            seconds = REQUEUE_DELAY / 1000
        else:
            return
    # A layer keeps nothing for a socket or request: the order to send waits in its place.
    again = {"channel": delayed.channel, "delay": 0, "content": delayed.content}
    Channel(CHANNEL, channel_layer=channel_layer).send(again, immediately=True, delay=seconds)


def consumer(message: Any) -> None:
    """Take a message on `asgi.delay` where no `rundelay` does; one that is wrong is logged."""
    try:
        delayed = Delayed.parse(message.content)
    except ValueError as error:
        logger.error("A message on %s was dropped: %s", CHANNEL, error)
        return
    wait_in_layer(delayed, message.channel_layer)


def default_routes(alias: str = "default") -> list[Route]:
    """Return the route of `asgi.delay`, unless `rundelay` takes what comes there.

    It does where the app is installed and the layer carries messages between processes.
    """
    config = registry.configured().get(alias, {})
    in_memory = issubclass(registry.backend_class(alias, config), MemoryLayer)
    if apps.is_installed("achannels.legacy.delay") and not in_memory:
        return []
    return [route(CHANNEL, consumer)]


__all__ = ["CHANNEL", "REQUEUE_DELAY", "Delayed", "consumer", "default_routes", "wait_in_layer"]
