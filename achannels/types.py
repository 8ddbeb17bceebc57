"""The aliases that the whole package speaks in: ASGI's own words and a message's content."""

from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any

Content = dict[str, Any]
"""What a message carries: `str` keys; `bytes str int float list dict bool None` as values."""

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[None]]

Clock = Callable[[], float]
"""Monotonic seconds."""

AsyncFunction = Callable[..., Coroutine[Any, Any, Any]]
SyncFunction = Callable[..., Any]

__all__ = [
    "ASGIApplication",
    "AsyncFunction",
    "Clock",
    "Content",
    "Event",
    "Receive",
    "Scope",
    "Send",
    "SyncFunction",
]
