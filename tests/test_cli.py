"""The command `achannels`."""

import asyncio
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from achannels.asgi import Application
from achannels.cli import load, main
from achannels.exceptions import ConfigurationError
from achannels.home import running

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


@pytest.mark.parametrize(("installed", "loop"), [(True, "uvloop"), (False, "asyncio")])
def test_a_worker_runs_on_uvloop_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch, installed: bool, loop: str
) -> None:
    if not installed:
        monkeypatch.setitem(sys.modules, "uvloop", None)
    elif find_spec("uvloop") is None:
        pytest.skip("uvloop is not here: there is none for this platform")
    loops: list[str] = []

    async def run(application: Application, started: Callable[[], None]) -> None:
        loops.append(type(asyncio.get_running_loop()).__module__.partition(".")[0])

    monkeypatch.setattr(running, "MemoryLayer", ())  # it is not refused here
    monkeypatch.setattr(running, "_run", run)
    running.run_worker(load("worked:application"))
    assert loops == [loop]
