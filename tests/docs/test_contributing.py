"""The table of rooms is the contract that `lint-imports` checks."""

import re
import tomllib

from tests.docs.snippets import ROOT, TEXTS

PAGE = "docs/contributing.md"


def test_the_rooms_are_those_of_the_contract_in_their_order() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = (
        each for each in settings["tool"]["importlinter"]["contracts"] if each["id"] == "floors"
    )
    rooms = {path.stem for path in (ROOT / "achannels").iterdir() if path.suffix in ("", ".py")}
    floors = [
        [room for room in re.findall(r"\w+", floor) if room in rooms]
        for floor in contract["layers"]
    ]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", TEXTS[PAGE], re.MULTILINE)
    assert [re.findall(r"\w+", row) for row in rows] == [floor for floor in floors if floor]
