"""The table of behaviours in the documentation: complete, numbered, and every test of it is there."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
TEXT = (FOLDER.parents[1] / "docs" / "migrating" / "behaviours.md").read_text()
ROWS = re.findall(r"^\| ([\d.]+) \| .+ \| `(\w+)`: `(\w+)` \|$", TEXT, re.MULTILINE)
SECTIONS = {"1": 19, "2": 8, "3": 11, "4": 3}
"""How many parts each of the four sections on 1.x has."""


def test_every_part_has_behaviours_and_they_are_numbered() -> None:
    assert len(ROWS) == sum(line.startswith("| ") for line in TEXT.splitlines()) - TEXT.count(
        "| | b"
    )
    numbers = [tuple(map(int, number.split("."))) for number, _, _ in ROWS]
    assert numbers == sorted(set(numbers))
    parts = {number[:2] for number in numbers}
    assert parts == {
        (int(section), part) for section, count in SECTIONS.items() for part in range(1, count + 1)
    }
    for section, part in parts:
        last = [number[2] for number in numbers if number[:2] == (section, part)]
        assert last == list(range(1, len(last) + 1))


@pytest.mark.parametrize("module", sorted({module for _, module, _ in ROWS}))
def test_the_tests_are_there(module: str) -> None:
    source = (FOLDER / f"test_{module}.py").read_text()
    named = {test for _, name, test in ROWS if name == module}
    assert named - set(re.findall(r"def (test_\w+)\(", source)) == set()
