"""The texts that the page on troubleshooting quotes are texts that are printed."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import django
import pytest
import uvicorn

import achannels
from tests.docs.snippets import TEXTS
from tests.docs.test_reference import tables

PAGE = "docs/troubleshooting.md"
TEXT = TEXTS[PAGE]

SOURCES = [
    *Path(achannels.__file__).parent.rglob("*.py"),
    Path(django.__file__).parent / "core" / "handlers" / "asgi.py",
    Path(django.__file__).parent / "utils" / "asyncio.py",
    *Path(uvicorn.__file__).parent.rglob("protocols/**/*.py"),
]

OTHERS = {
    "Too many open files",  # the system
    "OSError: [Errno 24]",
    "Error 111 connecting to …",  # the client library
    "command not allowed when used memory > 'maxmemory'",  # the servers: tests/redis/test_guide.py
    "NOREPLICAS Not enough good replicas to write",
    "no permissions",
}
"""What others print."""

IS_TEXT = re.compile(r"\S+ \S+ \S+|….* |.* .*…")
"""Code that is a text: three words, or a gap and a space. Commands stand in blocks of their own."""

NO_TEXTS = re.compile(
    r"^/ |await |pip install|^--|^ulimit|^cat |^ls |^python |\w+\(|^\{|^proxy_|^sentinel |^UNROUTED"
)


def texts() -> list[str]:
    """Return the texts in the sources, `…` for what is put in."""
    return [text for path in SOURCES for text in _texts(ast.parse(path.read_text()))]


def _texts(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"%(\.\d)?[srd f]", "…", node.value)
        elif isinstance(node, ast.JoinedStr):
            parts = (each.value if isinstance(each, ast.Constant) else "…" for each in node.values)
            yield "".join(map(str, parts))


def quoted() -> list[str]:
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL))
    return [each for each in spans if IS_TEXT.search(each) and not NO_TEXTS.search(each)]


class Printed:
    """A text of the sources."""

    def __init__(self, text: str) -> None:
        self.text = text
        literal = re.split("…+", text)
        gaps = len(literal) > 1 and sum(map(len, literal)) > 8
        self.pattern = re.compile(".*?".join(map(re.escape, literal))) if gaps else None

    def is_in(self, quote: str) -> bool:
        """Whether a quote is from this text; either may have gaps where the other has words."""
        place = 0
        for part in filter(None, map(str.strip, quote.split("…"))):
            place = self.text.find(part, place)
            if place < 0:
                return self.pattern is not None and self.pattern.search(quote) is not None
        return True


@pytest.fixture(scope="module")
def printed() -> list[Printed]:
    return [Printed(text) for text in texts()]


def test_there_are_many_quotes() -> None:
    assert len(quoted()) > 40


@pytest.mark.parametrize("quote", sorted(set(quoted()) - OTHERS))
def test_what_is_quoted_is_printed(quote: str, printed: list[Printed]) -> None:
    quote = quote.removeprefix("SynchronousOnlyOperation: ")
    assert any(text.is_in(quote) for text in printed)


def test_every_warning_and_error_of_the_layers_is_explained() -> None:
    """Records of WARNING and more of the rooms that only this page explains."""
    root = Path(achannels.__file__).parent
    rooms = [*(root / "layers").rglob("*.py"), root / "worker.py"]
    records = [
        node.args[0].value
        for path in rooms
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("warning", "error", "exception", "critical")
        and node.args
        and isinstance(node.args[0], ast.Constant)
    ]
    gaps = [Printed(re.sub(r"%(\.\d)?[srd f]", "…", str(text))) for text in records]
    assert [each.text for each in gaps if not any(map(each.is_in, quoted()))] == []


def test_every_reason_of_a_gap_and_every_close_code_is_explained() -> None:
    reasons = {row["`reason`"].strip("`") for row in tables(TEXT, "`reason`")}
    assert reasons == {"layer_reset", "lease_lost", "log_full", "unreadable", "worker_lost"}
    ours = re.findall(r"^\| (\d{4})", TEXTS["docs/reference/errors.md"], re.MULTILINE)
    named = re.findall(r"\b[14]\d{3}\b", " ".join(row["code"] for row in tables(TEXT, "code")))
    assert {"1000", *named} >= set(ours)
