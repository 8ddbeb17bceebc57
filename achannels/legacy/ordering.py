"""The order of a connection's messages, where nothing else keeps it."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from achannels.channel import ReplyChannel
from achannels.dispatch import is_async
from achannels.django.db import database_sync_to_async
from achannels.exceptions import ChannelFull, ConsumeLater
from achannels.legacy.asgi import channel_layers
from achannels.legacy.decorators import first_argument
from achannels.legacy.facade import LayerFacade

F = TypeVar("F", bound=Callable[..., Any])

logger = logging.getLogger("achannels.consumer")

NEXT = "__channels_next_order"
"""Key of the channel session: the order of the message that comes next."""

ORIGINAL = "original_channel"
"""Key of the content of a message that waits: where it came from."""


def in_order(function: F) -> F:
    """Have a consumer inside `channel_session` called in the order of its messages.

    A consumer that raised had its turn, unless it raised `ConsumeLater`.
    """
    name = getattr(function, "__qualname__", repr(function))
    if is_async(function):
        return _in_order_async(function, name)

    @wraps(function)
    def inner(*args: Any, **kwargs: Any) -> None:
        message = first_argument(args, name)
        if _comes_in_order(message):
            function(*args, **kwargs)
        elif _is_next(message):
            again = False
            try:
                function(*args, **kwargs)
            except ConsumeLater:
                again = True
                raise
            finally:
                if not again:
                    _pass_on(message)

    return inner  # type: ignore[return-value]


def _in_order_async(function: F, name: str) -> F:
    @wraps(function)
    async def inner(*args: Any, **kwargs: Any) -> None:
        message = first_argument(args, name)
        if _comes_in_order(message):
            await function(*args, **kwargs)
        elif await database_sync_to_async(_is_next)(message):
            again = False
            try:
                await function(*args, **kwargs)
            except ConsumeLater:
                again = True
                raise
            finally:
                if not again:
                    await database_sync_to_async(_pass_on)(message)

    return inner  # type: ignore[return-value]


def _comes_in_order(message: Any) -> bool:
    """Return whether the message is one of our own sockets, which are handled one at a time.

    Raises:
        ValueError: It has no order.
    """
    if "order" not in message.content:
        raise ValueError(
            f"the message on {message.channel} has no 'order': enforce_ordering is for channels of "
            "connections."
        )
    return isinstance(message._reply, ReplyChannel)


def _is_next(message: Any) -> bool:
    """Return whether it is the turn of a message; if it is not, have it wait."""
    order = int(message.content["order"])
    expected = message.channel_session.get(NEXT, 0)
    if order < expected:
        logger.warning("a message on %s was handled already: order %d", message.channel, order)
        return False
    if order == expected:
        return True
    message.content[ORIGINAL] = message.channel.name
    _send(message, _waiting(message), message.content)
    # The message before may have had its turn meanwhile.
    stored = type(message.channel_session)(session_key=message.channel_session.session_key)
    if stored.get(NEXT, 0) == order:
        _requeue(message)
    return False


def _pass_on(message: Any) -> None:
    """Note that a message had its turn, and send those that wait back to where they came from."""
    session = message.channel_session
    session[NEXT] = int(message.content["order"]) + 1
    session.save()
    session.modified = False
    _requeue(message)


def _requeue(message: Any) -> None:
    layer, waiting = _layer(message), _waiting(message)
    while True:
        channel, content = layer.receive([waiting], block=False)
        if channel is None or content is None:
            return
        _send(message, content.pop(ORIGINAL), content)


def _send(message: Any, channel: str, content: dict[str, Any]) -> None:
    try:
        _layer(message).send(channel, content)
    except ChannelFull as error:
        error.add_note(
            f"so a message of {message._reply.name!r} is lost while it waited for its turn "
            "(enforce_ordering). Raise the capacity of the channel."
        )
        raise


def _waiting(message: Any) -> str:
    return "__wait__." + str(message._reply.name).replace("!", "?")


def _layer(message: Any) -> LayerFacade:
    return channel_layers.over(message._channel.core_layer)


__all__ = ["in_order"]
