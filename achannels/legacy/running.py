"""Around a plain consumer: the signals, and exceptions that answer by themselves."""

from collections.abc import Callable
from typing import Any

from achannels.legacy.exceptions import ChannelSocketException
from achannels.legacy.message import Message
from achannels.legacy.signals import consumer_finished, consumer_started


def run_consumer(
    consumer: Callable[..., Any],
    message: Message,
    kwargs: dict[str, Any],
    sender: type,
    **named: Any,
) -> Any:
    """Call a plain consumer between the two signals, and return what it returns.

    Args:
        consumer: A function or class.
        message: What it gets.
        kwargs: What its route found.
        sender: Of the signals.
        **named: Sent with `consumer_started`.

    Raises:
        Exception: What the consumer raised, unless it is a `ChannelSocketException`.
    """
    try:
        consumer_started.send(sender=sender, **named)
        try:
            return consumer(message, **kwargs)
        except ChannelSocketException as answer:
            answer.run(message)
            return None
    finally:
        consumer_finished.send(sender=sender)


__all__ = ["run_consumer"]
