"""The chat example under each of its servers, with a fresh database."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.server import CHAT, Server, run

SERVERS = {
    "runserver": ("manage.py", "runserver", "--noreload", "127.0.0.1:{port}"),
    "uvicorn": ("-m", "uvicorn", "mysite.asgi:application", "--port", "{port}"),
}


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as `manage.py migrate` leaves it."""
    database = tmp_path_factory.mktemp("chat") / "migrated.sqlite3"
    run("manage.py", "migrate", "--verbosity", "0", folder=CHAT, more=chat_environment(database))
    return database


@pytest.fixture
def database(migrated: Path, tmp_path: Path) -> Path:
    """The database of one test."""
    return Path(shutil.copy(migrated, tmp_path / "chat.sqlite3"))


@pytest.fixture(params=list(SERVERS))
def chat(request: pytest.FixtureRequest, database: Path) -> Iterator[Server]:
    """The chat example, served."""
    with serve_chat(request.param, database) as server:
        yield server


def serve_chat(name: str, database: Path) -> Server:
    """Return the chat example under one of `SERVERS`, not started."""
    return Server(*SERVERS[name], folder=CHAT, more=chat_environment(database))


def chat_environment(database: Path) -> dict[str, str]:
    """Return what has the chat example use a database."""
    return {"CHAT_DATABASE": str(database)}
