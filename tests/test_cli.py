"""The command `achannels`."""

from pathlib import Path

import pytest

from achannels.cli import load, main
from achannels.exceptions import ConfigurationError

APPLICATION = """
from achannels import route
from achannels.asgi import Application

async def work(message):
    pass

application = Application([route("work", work)])
other = 3
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "worked.py").write_text(APPLICATION)
    (tmp_path / "broken.py").write_text("import no_such_module_at_all")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_an_application_is_found() -> None:
    assert list(load("worked:application").router.channels) == ["work"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("worked", "write module:name"),
        ("nowhere:application", "no module nowhere"),
        ("worked:applicaton", "has no 'applicaton'"),
        ("worked:other", "is a int"),
    ],
)
def test_what_is_none_is_said(path: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        load(path)


def test_an_error_inside_the_module_is_its_own() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all"):
        load("broken:application")


def test_a_worker_beside_the_memory_layer_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worker", "worked:application"]) == 1
    assert "the memory layer ends with its process" in capsys.readouterr().err


def test_patterns_that_leave_nothing_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worker", "worked:application", "--exclude-channels", "w*"]) == 1
    assert "would listen on no channel" in capsys.readouterr().err


@pytest.mark.parametrize("count", ["0", "-1", "many"])
def test_a_wrong_concurrency_is_said(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["worker", "worked:application", f"--concurrency={count}"])
    assert "no int from 1 up" in capsys.readouterr().err
