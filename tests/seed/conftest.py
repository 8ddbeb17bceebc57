"""Each snippet runs as it was printed, and once more as `async def`."""

from collections.abc import Iterator

import pytest

from tests.seed.snippets import Spelling, forget_modules


@pytest.fixture(params=["def", "async def"])
def spelling(request: pytest.FixtureRequest) -> Spelling:
    """How the consumers of the test are written."""
    chosen: Spelling = request.param
    return chosen


@pytest.fixture(autouse=True)
def _forget_modules() -> Iterator[None]:
    yield
    forget_modules()
