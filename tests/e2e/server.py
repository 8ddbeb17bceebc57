"""A real server: a process of its own, what it prints, and the port it listens on."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

ROOT = Path(__file__).parents[2]
HELLO = ROOT / "examples" / "hello"
CHAT = ROOT / "examples" / "chat"

SEES_SLOW_CLIENTS = pytest.mark.skipif(
    "pause_writing" not in vars(WebSocketsSansIOProtocol),
    reason="the websockets-sansio of this uvicorn keeps what a client does not read",
)

ADDRESS = r"(?:127\.0\.0\.1|0\.0\.0\.0|\[::1?\]|localhost):(\d+)"


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a program that finds this package and knows nothing of pytest."""
    inherited = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**inherited, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **more}


def run(*arguments: str, folder: Path, more: Mapping[str, str]) -> str:
    """Run a Python program to its end and return what it printed.

    Raises:
        AssertionError: It failed.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{arguments} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


class Server:
    """A server as a process; a context manager that starts it and ends it.

    It blocks. In a coroutine test call it in a thread.

    Args:
        *arguments: What Python runs, with `{port}` where the port belongs.
        folder: Where it runs.
        more: Further environment variables.
        patience: Seconds that anything may take.
        calm: It has to print no traceback and no warning.

    Attributes:
        port: Where it listens; the same one after `start` was called again.
        returncode: How it ended; `None` while it runs.
    """

    def __init__(
        self,
        *arguments: str,
        folder: Path,
        more: Mapping[str, str] | None = None,
        patience: float = 15.0,
        calm: bool = True,
    ) -> None:
        self.port = free_port()
        self.returncode: int | None = None
        self.patience = patience
        self.calm = calm
        self._arguments = [argument.format(port=self.port) for argument in arguments]
        self._folder = folder
        self._more = more or {}
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.stop()
        if error is not None:
            error.add_note(f"The server printed:\n{self.output}")
        elif self.calm:
            assert "Traceback" not in self.output, self.output
            assert "Warning" not in self.output, self.output

    @property
    def url(self) -> str:
        """Address of its pages, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """All that it printed."""
        with self._changed:
            return "".join(self._lines)

    def start(self) -> None:
        """Start it and wait until it says where it listens.

        Raises:
            AssertionError: It ended, or said nothing.
        """
        seen = len(self._lines)
        self._ended = False
        self.returncode = None
        process = self._process = subprocess.Popen(
            [sys.executable, *self._arguments],
            cwd=self._folder,
            env=environment(self._more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._reader.start()
        try:
            found = self.wait_for(ADDRESS, after=seen)
            assert int(found[1]) == self.port, found[0]
        except BaseException:
            self.stop()
            raise

    def stop(self, number: signal.Signals = signal.SIGTERM) -> str:
        """Ask it to end, as a service manager would, and return all that it printed.

        Args:
            number: The signal; SIGINT goes to its children, too, as from a terminal.

        Raises:
            AssertionError: It did not end.
        """
        process, self._process = self._process, None
        if process is None or self._reader is None:
            return self.output
        self._signal(process, number)
        try:
            self.returncode = process.wait(self.patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"it did not end:\n{self.output}") from None
        finally:
            self._reader.join()
            if process.stdout is not None:
                process.stdout.close()
        return self.output

    def interrupt(self) -> None:
        """Press Control-C, and wait for nothing."""
        assert self._process is not None
        self._signal(self._process, signal.SIGINT)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, and wait for nothing."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait_for(self, pattern: str, *, after: int = 0) -> re.Match[str]:
        """Wait until it prints what the pattern finds in one line.

        Args:
            pattern: A regular expression.
            after: Number of lines that do not count.

        Raises:
            AssertionError: It ended, or did not print it in time.
        """
        found: re.Match[str] | None = None

        def is_there() -> bool:
            nonlocal found
            lines = self._lines[after:]
            found = next((hit for line in lines if (hit := re.search(pattern, line))), None)
            return found is not None or self._ended

        with self._changed:
            self._changed.wait_for(is_there, self.patience)
        assert found is not None, f"it did not print {pattern!r}:\n{self.output}"
        return found

    def wait_for_count(self, text: str, count: int) -> None:
        """Wait until it has printed a text so often.

        Raises:
            AssertionError: It ended, or did not print it in time.
        """

        def is_there() -> bool:
            return self._ended or "".join(self._lines).count(text) >= count

        with self._changed:
            self._changed.wait_for(is_there, self.patience)
        assert self.output.count(text) >= count, f"not {count} times {text!r}:\n{self.output}"

    @property
    def pid(self) -> int:
        """The process while it runs."""
        assert self._process is not None
        return self._process.pid

    def wait_until_it_listens(self) -> None:
        """Wait until it takes connections: some print their address before.

        Raises:
            AssertionError: It did not in time.
        """
        deadline = time.monotonic() + self.patience
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), self.patience):
                    return
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, f"nobody listens:\n{self.output}"
                with self._changed:
                    self._changed.wait(0.05)

    def _signal(self, process: subprocess.Popen[str], number: signal.Signals) -> None:
        if number is signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
