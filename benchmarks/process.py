"""Server processes, as the measuring process sees them."""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO

from benchmarks import system
from benchmarks.errors import MeasurementError

START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0
COMMAND_TIMEOUT = 60.0


@dataclass
class ServerProcess:
    """A running server.

    Attributes:
        port: The loopback port it listens on.
    """

    port: int
    _process: asyncio.subprocess.Process
    _errors: IO[bytes]

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its threads so far."""
        return system.cpu_seconds(self.pid)

    def resident_kib(self) -> int:
        """Return its resident memory in KiB."""
        return system.resident_kib(self.pid)

    async def command(self, name: str) -> dict[str, float]:
        """Give a command and return its answer; `benchmarks.server` has the list."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name}\n".encode())
        return await _answer(self._process, self._errors, COMMAND_TIMEOUT)


@asynccontextmanager
async def running_server(
    app: str, *, ws: str, deflate: bool, core: int | None
) -> AsyncIterator[ServerProcess]:
    """Run an application on a free loopback port while the context is open.

    Args:
        app: Import string of the ASGI application.
        ws: uvicorn's WebSocket implementation, by name or import string.
        deflate: Whether the server agrees to permessage-deflate.
        core: The core it is kept on.

    Raises:
        MeasurementError: It did not start; with the last line it wrote.
    """
    arguments = ["-m", "benchmarks.server", app, "--ws", ws]
    if deflate:
        arguments.append("--deflate")
    if core is not None:
        arguments += ["--core", str(core)]
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
        try:
            ready = await _answer(process, errors, START_TIMEOUT)
            yield ServerProcess(int(ready["port"]), process, errors)
        finally:
            await _stop(process)


async def _answer(
    process: asyncio.subprocess.Process, errors: IO[bytes], patience: float
) -> dict[str, float]:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(patience):
            line = await process.stdout.readline()
    except TimeoutError as exc:
        raise MeasurementError(f"the server did not answer within {patience:g} s") from exc
    if not line:
        raise MeasurementError(_last_word(errors))
    content: dict[str, float] = json.loads(line)
    return content


def _last_word(errors: IO[bytes]) -> str:
    """Return the last line that tells a cause, as uvicorn ends with one that tells none."""
    errors.seek(0)
    lines = errors.read().decode(errors="replace").splitlines()
    words = [line for line in lines if line.strip() and "startup failed" not in line]
    return words[-1] if words else "the server ended without a word"


async def _stop(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
