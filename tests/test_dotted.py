"""Dotted names are imported, and a wrong one is told with the nearest right one."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from achannels.dotted import load, near
from achannels.exceptions import ConfigurationError

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a module of the package `parlour`."""
    package = tmp_path / "parlour"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, text: str) -> None:
        (package / f"{name}.py").write_text(text)
        importlib.invalidate_caches()

    yield write
    for name in [name for name in sys.modules if name.split(".")[0] == "parlour"]:
        del sys.modules[name]


def refusal(dotted: str) -> str:
    with pytest.raises(ConfigurationError) as refused:
        load(dotted)
    return str(refused.value)


def test_the_object_is_imported(write: Write) -> None:
    write("consumers", "def ws_connect(message): ...")
    assert load("parlour.consumers.ws_connect").__name__ == "ws_connect"


@pytest.mark.parametrize(
    "dotted", ["", "word", "two words.here", ".a", "a.", "a..b", "a-b.c", "a:b"]
)
def test_a_name_without_module_is_refused(dotted: str) -> None:
    assert refusal(dotted) == f"{dotted!r} is no dotted name. Write 'package.module.name'."


def test_a_missing_name_is_told_with_the_nearest(write: Write) -> None:
    write("consumers", "def ws_connect(message): ...")
    assert refusal("parlour.consumers.ws_conect") == (
        "module parlour.consumers has no 'ws_conect'. Did you mean 'ws_connect'?"
    )
    assert refusal("parlour.consumers.zzz") == "module parlour.consumers has no 'zzz'."


def test_a_missing_module_is_told_with_the_nearest(write: Write) -> None:
    write("consumers", "")
    assert refusal("parlour.consumer.ws_connect") == (
        "there is no module parlour.consumer. Did you mean 'consumers'?"
    )
    assert refusal("parlor.consumers.ws_connect") == (
        "there is no module parlor. Did you mean 'parlour'?"
    )
    assert refusal("parlour.zzz.ws_connect") == "there is no module parlour.zzz."


def test_a_name_inside_an_object_is_no_module(write: Write) -> None:
    write("consumers", "class Chat: ...")
    assert refusal("parlour.consumers.Chat.receive") == (
        "there is no module parlour.consumers.Chat."
    )


def test_a_failing_import_in_the_module_is_told_with_its_cause(write: Write) -> None:
    write("consumers", "import there_is_no_such_library")
    with pytest.raises(ConfigurationError) as refused:
        load("parlour.consumers.ws_connect")
    assert str(refused.value) == (
        "importing parlour.consumers failed: No module named 'there_is_no_such_library'."
    )
    assert isinstance(refused.value.__cause__, ModuleNotFoundError)

    write("others", "from parlour import nothing_like_this")
    assert refusal("parlour.others.x").startswith(
        "importing parlour.others failed: cannot import name 'nothing_like_this'"
    )


def test_other_errors_of_the_module_pass(write: Write) -> None:
    write("consumers", "1 / 0")
    with pytest.raises(ZeroDivisionError):
        load("parlour.consumers.ws_connect")


def test_the_nearest_word_is_a_question_to_append() -> None:
    assert near("slugg", ["int", "slug"]) == " Did you mean 'slug'?"
    assert near("zzz", ["int", "slug"]) == ""
