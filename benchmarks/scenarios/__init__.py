"""The scenarios, by name: each gives the cases it consists of."""

from collections.abc import Callable, Sequence

from benchmarks.model import Comparison
from benchmarks.scenarios import (
    connect,
    echo,
    fanout,
    http,
    legacy,
    legacy_split,
    memory,
    redis_connect,
    redis_fanout,
    redis_members,
    redis_queue,
    sync_echo,
)

SCENARIOS: dict[str, Callable[[], Sequence[Comparison]]] = {
    "echo": echo.cases,
    "fanout": fanout.cases,
    "sync_echo": sync_echo.cases,
    "legacy": legacy.cases,
    "legacy_split": legacy_split.cases,
    "http": http.cases,
    "memory": memory.cases,
    "connect": connect.cases,
    "redis_fanout": redis_fanout.cases,
    "redis_queue": redis_queue.cases,
    "redis_members": redis_members.cases,
    "redis_connect": redis_connect.cases,
}
