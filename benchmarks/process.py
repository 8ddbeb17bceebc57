"""Processes that are measured, as the measuring process sees them."""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO

from benchmarks import system
from benchmarks.errors import MeasurementError

START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0
COMMAND_TIMEOUT = 60.0


@dataclass
class ChildProcess:
    """A process that is steered over its standard input; see `benchmarks.steering`."""

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

    async def command(self, name: str, *amounts: float) -> dict[str, float]:
        """Give a command and return its answer; the module that the process runs has the list."""
        assert self._process.stdin is not None
        line = " ".join([name, *map(str, amounts)])
        self._process.stdin.write(f"{line}\n".encode())
        return await _answer(self._process, self._errors, COMMAND_TIMEOUT)


@dataclass
class ServerProcess(ChildProcess):
    """A running server.

    Attributes:
        port: The loopback port it listens on.
    """

    port: int


@asynccontextmanager
async def running_server(
    app: str,
    *,
    ws: str,
    deflate: bool,
    core: int | None,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[ServerProcess]:
    """Run an application on a free loopback port while the context is open.

    Args:
        app: Import string of the ASGI application.
        ws: uvicorn's WebSocket implementation, by name or import string.
        deflate: Whether the server agrees to permessage-deflate.
        core: The core it is kept on.
        environment: What the application finds in its environment, besides ours.

    Raises:
        MeasurementError: It did not start; with the last line it wrote.
    """
    arguments = ["benchmarks.server", app, "--ws", ws]
    if deflate:
        arguments.append("--deflate")
    if core is not None:
        arguments += ["--core", str(core)]
    async with _running(arguments, environment) as (process, errors, ready):
        yield ServerProcess(process, errors, int(ready["port"]))


@asynccontextmanager
async def running_actor(
    actor: str, *, core: int | None, environment: Mapping[str, str] | None = None
) -> AsyncIterator[ChildProcess]:
    """Run an actor of `benchmarks.actor` in a process of its own while the context is open.

    Args:
        actor: Import string of its class.
        core: The core it is kept on.
        environment: What it finds in its environment, besides ours.

    Raises:
        MeasurementError: It did not start; with the last line it wrote.
    """
    arguments = ["benchmarks.actor", actor]
    if core is not None:
        arguments += ["--core", str(core)]
    async with _running(arguments, environment) as (process, errors, _):
        yield ChildProcess(process, errors)


@asynccontextmanager
async def _running(
    arguments: list[str], environment: Mapping[str, str] | None
) -> AsyncIterator[tuple[asyncio.subprocess.Process, IO[bytes], dict[str, float]]]:
    """Run a module, and give its process, where its errors are and the first line it writes."""
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **(environment or {})},
        )
        try:
            yield process, errors, await _answer(process, errors, START_TIMEOUT)
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
        raise MeasurementError(f"a process did not answer within {patience:g} s") from exc
    if not line:
        raise MeasurementError(_last_word(errors))
    content: dict[str, float] = json.loads(line)
    return content


def _last_word(errors: IO[bytes]) -> str:
    """Return the last line that tells a cause, as uvicorn ends with one that tells none."""
    errors.seek(0)
    lines = errors.read().decode(errors="replace").splitlines()
    words = [line for line in lines if line.strip() and "startup failed" not in line]
    return words[-1] if words else "a process ended without a word"


async def _stop(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
