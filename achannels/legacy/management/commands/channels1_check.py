"""`manage.py channels1_check`: what of a project of Channels 1.x runs as it is, and what does not."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from achannels.django import conf
from achannels.legacy.advice import look, starts_before_settings, uses_channels
from achannels.legacy.generic.base import BaseConsumer
from achannels.routing import Router

SKIPPED = {"migrations", "node_modules", "site-packages", "venv", "env", "__pycache__"}


class Command(BaseCommand):
    """Reads a project and prints what differs here and what has to change."""

    help = (
        "Reads a project of Channels 1.x and prints what runs as it is, what differs, and what has "
        "to change. Exits with 1 if something has to."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options."""
        parser.add_argument("paths", nargs="*", help="Folders or files; the project by default.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the remarks, then the routes, then a summary."""
        counts = {"change": 0, "differs": 0}
        files = 0
        for path in _sources(options["paths"] or [_project()]):
            source = path.read_text(encoding="utf-8", errors="replace")
            if not uses_channels(source):
                continue
            files += 1
            notes = look(source)
            first = starts_before_settings(path, source)
            for note in [first, *notes] if first is not None else notes:
                counts[note.kind] += 1
                style = self.style.ERROR if note.kind == "change" else self.style.WARNING
                place = f"{os.path.relpath(path)}:{note.line}"
                self.stdout.write(f"{place}: {style(note.kind)}: {note.text}")
        self._routes()
        self.stdout.write(
            f"{files} files have to do with Channels: {counts['change']} places to change, "
            f"{counts['differs']} that differ. All else runs as it is. What differs in every project "
            "is a table in the guide 'From Channels 1.x'."
        )
        if counts["change"]:
            sys.exit(1)

    def _routes(self) -> None:
        router = Router(conf.get_project().routing())
        self.stdout.write(f"{len(router.routes)} routes, the defaults among them:")
        for line in router.routes:
            self.stdout.write(f"  {line}")
        classes = [
            consumer
            for consumer in router.consumers()
            if isinstance(consumer, type) and issubclass(consumer, BaseConsumer)
        ]
        if classes:
            names = ", ".join(f"{each.__module__}.{each.__qualname__}" for each in classes)
            self.stdout.write(f"Classes with an instance for each message: {names}")


def _project() -> str:
    base = getattr(settings, "BASE_DIR", None)
    return str(base) if base is not None else os.getcwd()


def _sources(paths: list[str]) -> Iterator[Path]:
    for each in map(Path, paths):
        if each.is_file():
            yield each
            continue
        for folder, folders, names in os.walk(each):
            folders[:] = sorted(
                name for name in folders if name not in SKIPPED and not name.startswith(".")
            )
            yield from (Path(folder, name) for name in sorted(names) if name.endswith(".py"))
