"""The direction of imports, what is public, how long a module is, and what the texts repeat."""

import importlib
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

import achannels

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "achannels"
MAX_LINES = 400

# What a room may import beside the standard library and lower floors; the longest prefix counts.
OUTSIDE = {
    "achannels": set[str](),
    "achannels.apps": {"django"},
    "achannels.codec": {"ormsgpack"},
    "achannels.django": {"asgiref", "django"},
    "achannels.layers.redis": {"cryptography", "hiredis", "redis"},
    "achannels.legacy": {"asgiref", "django"},
    "achannels.serving": {"uvicorn", "websockets"},
    "achannels.testing": {"hypothesis", "pytest", "pytest_asyncio", "uvicorn", "websockets"},
}

# Django finds these by their place; their names are Django's.
FOUND_BY_PLACE = re.compile(r"\.(management|migrations)(\.|$)")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = "import sys; from importlinter.cli import lint_imports as lint; sys.exit(lint(no_cache=True))"
    return subprocess.run(
        [sys.executable, "-c", command], cwd=folder, capture_output=True, text=True, check=False
    )


def names_of_modules() -> list[str]:
    found = (info.name for info in pkgutil.walk_packages([str(PACKAGE)], "achannels."))
    return ["achannels", *sorted(name for name in found if "._" not in name)]


def test_imports_go_down() -> None:
    linted = lint_imports(ROOT)
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize(
    ("room", "line", "contract"),
    [
        ("names.py", "import achannels.group", "lower floors only"),
        ("names.py", "from achannels import Group", "lower floors only"),
        (
            "types.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import achannels.routing",
            "lower floors only",
        ),
        ("codec.py", "def later():\n    import achannels.message", "lower floors only"),
        ("sessions.py", "import achannels.auth", "lower floors only"),
        ("unlisted.py", "", "lower floors only"),
        ("layers/unlisted.py", "", "Concrete layers"),
        ("group.py", "def later():\n    import achannels.sync", "No cycles"),
        ("message.py", "from django.db import transaction", "and to no other"),
        ("asgi/http.py", "import uvicorn", "and to no other"),
        ("dispatch.py", "def later():\n    import asgiref.sync", "and to no other"),
    ],
)
def test_a_wrong_import_is_found(tmp_path: Path, room: str, line: str, contract: str) -> None:
    shutil.copytree(PACKAGE, tmp_path / "achannels")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "achannels" / room).open("a") as file:
        file.write(f"\n\n{line}\n")

    linted = lint_imports(tmp_path)

    assert linted.returncode == 1
    assert contract in " ".join(linted.stdout.partition("Broken contracts")[2].split())


def test_only_the_room_that_adapts_a_library_imports_it() -> None:
    graph = grimp.build_graph("achannels", include_external_packages=True, cache_dir=None)
    wrong = []
    for module in sorted(name for name in graph.modules if name.split(".")[0] == "achannels"):
        room = max((each for each in OUTSIDE if f"{module}.".startswith(f"{each}.")), key=len)
        for imported in sorted(graph.find_modules_directly_imported_by(module)):
            library = imported.split(".")[0]
            if library in {"achannels", *sys.stdlib_module_names, *OUTSIDE[room]}:
                continue
            wrong.append(f"{module} imports {library}")
    assert not wrong


@pytest.mark.parametrize("name", names_of_modules())
def test_a_public_module_says_what_is_public(name: str) -> None:
    if FOUND_BY_PLACE.search(name):
        pytest.skip("Django finds this module by its place")
    module = importlib.import_module(name)
    public: list[str] = module.__all__

    assert len(public) == len(set(public))
    assert [each for each in public if not hasattr(module, each)] == []


def test_no_module_is_too_long() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in PACKAGE.rglob("*.py")
    }
    assert {path: length for path, length in lengths.items() if length > MAX_LINES} == {}


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()


def test_the_changelog_begins_with_this_version() -> None:
    headings = re.findall(r"^## \[?([^]\s]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    if headings[0] == "Unreleased":
        del headings[0]
    assert headings[0] == achannels.__version__


def test_the_readme_shows_the_example() -> None:
    example = (ROOT / "examples" / "hello" / "hello.py").read_text()
    assert f"```python\n{example}```" in (ROOT / "README.md").read_text()
