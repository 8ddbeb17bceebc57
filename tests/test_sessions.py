"""What declares a session, and who loads the sessions of browsers."""

from collections.abc import Iterator
from typing import Any

import pytest

from achannels.options import Options
from achannels.sessions import (
    HttpSessions,
    channel_session,
    get_http_sessions,
    http_session,
    set_http_sessions,
)
from achannels.types import Scope


class Sessions:
    """Sessions of browsers that are all the same."""

    async def load(self, scope: Scope) -> Any:
        return {"browser": scope["path"]}

    async def save(self, session: Any) -> None: ...


@pytest.fixture(autouse=True)
def _loader_of_before() -> Iterator[None]:
    before = get_http_sessions()
    yield
    set_http_sessions(before)


@pytest.mark.parametrize("is_async", [True, False])
def test_the_decorators_mark_and_change_nothing(is_async: bool) -> None:
    async def awaited(message: object) -> None: ...

    def blocking(message: object) -> None: ...

    function = awaited if is_async else blocking
    assert not Options.of(function).channel_session
    assert channel_session(function) is function
    assert Options.of(function) == Options(channel_session=True)
    assert http_session(function) is function
    assert Options.of(function) == Options(channel_session=True, http_session=True)


def test_a_class_may_be_decorated_too() -> None:
    @channel_session
    @http_session
    class Consumer:
        async def __call__(self, message: object) -> None: ...

    assert Options.of(Consumer) == Options(channel_session=True, http_session=True)


def test_one_loader_stands_for_the_sessions_of_browsers() -> None:
    first: HttpSessions = Sessions()
    second: HttpSessions = Sessions()
    set_http_sessions(first)
    assert get_http_sessions() is first
    assert set_http_sessions(second) is first
    assert set_http_sessions(None) is second
    assert get_http_sessions() is None
