"""What asks for the user, and who finds it."""

from collections.abc import Iterator

import pytest

from achannels.auth import get_user_loader, http_user, set_user_loader
from achannels.options import Options
from achannels.types import Scope


async def by_token(scope: Scope) -> str:
    return "anna"


async def by_cookie(scope: Scope) -> str:
    return "bert"


@pytest.fixture(autouse=True)
def _loader_of_before() -> Iterator[None]:
    before = get_user_loader()
    yield
    set_user_loader(before)


def test_the_decorator_marks_and_changes_nothing() -> None:
    async def receive(message: object) -> None: ...

    assert http_user(receive) is receive
    assert Options.of(receive) == Options(http_user=True)


def test_one_loader_finds_the_user() -> None:
    set_user_loader(by_token)
    assert get_user_loader() is by_token
    assert set_user_loader(by_cookie) is by_token
    assert set_user_loader(None) is by_cookie
    assert get_user_loader() is None
