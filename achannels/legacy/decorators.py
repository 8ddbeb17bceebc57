"""Decorators around a consumer that work on `def` and on `async def`, on functions and on methods."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, TypeVar

from achannels.dispatch import is_async
from achannels.django.db import database_sync_to_async
from achannels.message import BaseMessage

F = TypeVar("F", bound=Callable[..., Any])

Around = Callable[[Any], AbstractContextManager[None]]
"""From a message to what is done before and after its consumer; it may block."""

Find = Callable[[tuple[Any, ...], str], Any]


def first_argument(args: tuple[Any, ...], name: str) -> Any:
    """Return the message that a function got.

    Raises:
        ValueError: Its first argument is none.
    """
    if args and isinstance(args[0], BaseMessage):
        return args[0]
    raise ValueError(f"{name} was called without a message as its first argument.")


def first_or_second_argument(args: tuple[Any, ...], name: str) -> Any:
    """Return the message that a function or a method got.

    Raises:
        ValueError: Neither of its first two arguments is one.
    """
    for arg in args[:2]:
        if isinstance(arg, BaseMessage):
            return arg
    raise ValueError(f"{name} was called without a message as its first argument.")


def surrounded(around: Around, find: Find = first_argument) -> Callable[[F], F]:
    """Return a decorator that does something before and after a consumer.

    Args:
        around: What. For an `async def` consumer it runs in a thread.
        find: Finds the message among the arguments.
    """

    def decorate(function: F) -> F:
        name = getattr(function, "__qualname__", repr(function))
        if is_async(function):
            return _around_async(function, around, find, name)

        @wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            with around(find(args, name)):
                return function(*args, **kwargs)

        return inner  # type: ignore[return-value]

    return decorate


def _around_async(function: F, around: Around, find: Find, name: str) -> F:
    @wraps(function)
    async def inner(*args: Any, **kwargs: Any) -> Any:
        steps = around(find(args, name))
        leave = database_sync_to_async(steps.__exit__)
        await database_sync_to_async(steps.__enter__)()
        try:
            result = await function(*args, **kwargs)
        except BaseException:
            if not await leave(*sys.exc_info()):
                raise
            return None
        await leave(None, None, None)
        return result

    return inner  # type: ignore[return-value]


__all__ = [
    "Around",
    "first_argument",
    "first_or_second_argument",
    "surrounded",
]
