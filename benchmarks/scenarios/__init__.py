"""The scenarios, by name: each gives the cases it consists of."""

from collections.abc import Callable

from benchmarks.model import Case
from benchmarks.scenarios import connect, echo, fanout, http, legacy, memory, sync_echo

SCENARIOS: dict[str, Callable[[], list[Case]]] = {
    "echo": echo.cases,
    "fanout": fanout.cases,
    "sync_echo": sync_echo.cases,
    "legacy": legacy.cases,
    "http": http.cases,
    "memory": memory.cases,
    "connect": connect.cases,
}
