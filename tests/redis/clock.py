"""Servers whose wall clock the test moves."""

import mmap
import shutil
import struct
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType

from tests.redis.servers import Server

COMPILER = shutil.which("cc") or shutil.which("gcc")
SOURCE = Path(__file__).with_name("clock.c")


@cache
def _library() -> Path:
    assert COMPILER is not None
    path = Path(mkdtemp(prefix="clock-")) / "clock.so"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", path, SOURCE], check=True)
    return path


class ClockServer(Server):
    """A server with a clock of its own.

    Args:
        kind: Of the server.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        path = self.directory / "clock"
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._offset = mmap.mmap(file.fileno(), 8)
        self.environment = {"LD_PRELOAD": str(_library()), "CLOCK_OFFSET": str(path)}

    def step(self, seconds: float) -> None:
        """Move its clock forward or back."""
        (offset,) = struct.unpack("q", self._offset)
        self._offset[:] = struct.pack("q", offset + int(seconds * 1_000_000))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, traceback)
        self._offset.close()
