"""Every Python block of the documentation compiles, and every page runs from its top to its end."""

import pytest

from tests.docs.snippets import PAGES, Block, run


@pytest.mark.parametrize(
    "block", [pytest.param(block, id=block.place) for blocks in PAGES.values() for block in blocks]
)
def test_a_block_compiles(block: Block) -> None:
    block.compile()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs(page: str) -> None:
    run(page)
