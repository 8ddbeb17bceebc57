"""A project as `django-admin startproject` leaves it, with the few lines that make it ours."""

import re
import shutil
from pathlib import Path

from tests.e2e.server import run

FILES = Path(__file__).parent / "project"
"""Modules that go into the package of the project."""

LINE = 'INSTALLED_APPS += ["achannels"]\n'


def start_project(folder: Path) -> None:
    """Make the project `mysite` in an empty folder, and its tables."""
    run("-m", "django", "startproject", "mysite", ".", folder=folder, more={})
    run("manage.py", "migrate", "--verbosity", "0", folder=folder, more={})


def install(folder: Path, position: int | None = None) -> None:
    """Install achannels in a project.

    Args:
        folder: Of the project.
        position: Place in `INSTALLED_APPS`; `None` adds it with the one line of the README.
    """
    settings = folder / "mysite" / "settings.py"
    text = settings.read_text()
    if position is None:
        settings.write_text(text + LINE)
        return
    head, apps, tail = re.split(r"(?<=INSTALLED_APPS = \[\n)(.*?)(?=\])", text, flags=re.DOTALL)
    lines = apps.splitlines(keepends=True)
    lines.insert(position, "    'achannels',\n")
    settings.write_text(head + "".join(lines) + tail)


def change_the_import(folder: Path) -> None:
    """Change the one import of `asgi.py`."""
    asgi = folder / "mysite" / "asgi.py"
    old, new = "from django.core.asgi import", "from achannels.asgi import"
    text = asgi.read_text()
    assert old in text
    asgi.write_text(text.replace(old, new))


def add_modules(folder: Path) -> None:
    """Copy routing, views and the rest into the project."""
    for module in FILES.glob("*.py"):
        shutil.copy(module, folder / "mysite" / module.name)
