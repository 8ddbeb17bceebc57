"""`manage.py runserver` in a fresh project, as a user starts it."""

import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from django import get_version
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.e2e.server import Server, environment
from tests.e2e.site import add_modules, install, start_project

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

ROUTING = """
from achannels import Message, route

async def receive(message: Message) -> None:
    await message.reply_channel.send({"text": "ANSWER"})

channel_routing = [route("websocket.receive", receive, path="echo/")]
"""
LOGGING = """
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "mine": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: str(BASE_DIR) in record.getMessage(),
        }
    },
    "handlers": {"all": {"class": "logging.StreamHandler", "filters": ["mine"]}},
    "loggers": {"django.utils.autoreload": {"level": "DEBUG", "handlers": ["all"]}},
}
"""
DJANGO = r"\d{4} - [\d:]+\nDjango version " + re.escape(get_version())
DJANGO += r", using settings 'mysite\.settings'\n"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("started")
    start_project(folder)
    return folder


@pytest.fixture
def fresh(started: Path, tmp_path: Path) -> Path:
    """A project that has achannels not installed yet, and a routing that answers 1."""
    folder = tmp_path / "site"
    shutil.copytree(started, folder)
    answer(folder, "1")
    return folder


@pytest.fixture
def project(fresh: Path) -> Path:
    install(fresh)
    return fresh


def answer(folder: Path, text: str) -> None:
    (folder / "mysite" / "routing.py").write_text(ROUTING.replace("ANSWER", text))


@contextmanager
def runserver(
    folder: Path, *arguments: str, address: str = "127.0.0.1:{port}", calm: bool = True
) -> Iterator[Server]:
    with Server("manage.py", "runserver", address, *arguments, folder=folder, calm=calm) as server:
        yield server


@contextmanager
def open_echo(server: Server, host: str = "127.0.0.1") -> Iterator[ClientConnection]:
    with connect(f"ws://{host}:{server.port}/echo/", proxy=None) as socket:
        yield socket


def heard(server: Server, host: str = "127.0.0.1") -> str | bytes:
    with open_echo(server, host) as socket:
        socket.send("hi")
        return socket.recv(timeout=5)


def closed(socket: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as error:
        socket.recv(timeout=10)
    assert error.value.rcvd is not None
    return error.value.rcvd.code


def get(server: Server, path: str) -> int:
    return httpx.get(f"{server.url}{path}", trust_env=False, verify=False).status_code


@pytest.mark.parametrize("position", [None, 0, 6])
def test_one_line_anywhere_in_installed_apps(fresh: Path, position: int | None) -> None:
    install(fresh, position)
    with runserver(fresh, "--noreload") as server:
        assert heard(server) == "1"
        assert get(server, "/admin/login/") == 200
        assert get(server, "/static/admin/css/base.css") == 200


def test_the_look_of_the_output(project: Path) -> None:
    with runserver(project, "--noreload") as server:
        heard(server)
        get(server, "/admin/login/?a=1")
        with pytest.raises(InvalidStatus):
            connect(f"ws://127.0.0.1:{server.port}/nothing/", proxy=None).__enter__()
        output = server.stop(signal.SIGINT)
    assert server.returncode == 0
    address = rf"http://127\.0\.0\.1:{server.port}/"
    about = r"\(achannels 0\.1, memory layer, 1 route from mysite\.routing\)"
    start = rf"{DJANGO}Starting ASGI development server at {address} {about}\n"
    assert re.search(rf"{start}Quit the server with CONTROL-C\.\n", output), output
    assert output.startswith("Performing system checks...\n\nSystem check identified some issues:")
    time, client = r"\[\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d\]", r"127\.0\.0\.1:\d+"
    for line in (
        rf'{time} "WebSocket CONNECT /echo/" 101 {client}\n',
        rf'{time} "WebSocket DISCONNECT /echo/" 1000 {client}\n',
        rf'{time} "GET /admin/login/\?a=1 HTTP/1\.1" 200 \d+\n',
        rf'{time} "WebSocket REJECT /nothing/" 404 {client}\n',
    ):
        assert re.search(line, output), (line, output)


@pytest.mark.parametrize(
    ("number", "arguments", "code"),
    [
        (signal.SIGINT, [], 0),
        (signal.SIGTERM, [], 0),
        (signal.SIGTERM, ["--noreload"], -signal.SIGTERM),
    ],
)
def test_a_signal_closes_sockets_in_order(
    project: Path, number: signal.Signals, arguments: list[str], code: int
) -> None:
    with runserver(project, *arguments) as server:
        with open_echo(server) as socket:
            output = server.stop(number)
            assert closed(socket) == 1012
        assert '"WebSocket DISCONNECT /echo/" 1012' in output
        assert server.returncode == code


HANGING = """
import asyncio, time
from achannels import Message, route

async def wait(message: Message) -> None:
    print("it waits", flush=True)
    await asyncio.Event().wait()

async def block(message: Message) -> None:
    print("it blocks", flush=True)
    time.sleep(1000)

channel_routing = [
    route("websocket.receive", wait, path="wait/"),
    route("websocket.receive", block, path="block/"),
]
"""


def test_a_consumer_that_hangs_is_cancelled_and_its_socket_closed(project: Path) -> None:
    (project / "mysite" / "routing.py").write_text(HANGING)
    with (
        runserver(project) as server,
        connect(f"ws://127.0.0.1:{server.port}/wait/", proxy=None) as socket,
    ):
        socket.send("hi")
        server.wait_for("it waits")
        server.stop(signal.SIGINT)
        assert server.returncode == 0
        assert closed(socket) == 1012


@pytest.mark.parametrize("interrupts", [1, 2])
def test_control_c_ends_a_server_whose_loop_is_blocked(project: Path, interrupts: int) -> None:
    (project / "mysite" / "routing.py").write_text(HANGING)
    with (
        runserver(project, "--noreload") as server,
        connect(f"ws://127.0.0.1:{server.port}/block/", proxy=None, close_timeout=0) as socket,
    ):
        socket.send("hi")
        server.wait_for("it blocks")
        for _ in range(interrupts - 1):
            server.interrupt()
        server.stop(signal.SIGINT)
        assert server.returncode == 0


def test_a_changed_file_closes_sockets_in_order_and_serves_anew(project: Path) -> None:
    tell_what_is_watched(project)
    with runserver(project) as server:
        server.wait_for(r"routing\.py first seen")
        with open_echo(server) as socket:
            answer(project, "2")
            assert closed(socket) == 1012
        server.wait_for("Quit the server", after=lines(server, r"routing\.py changed, reloading"))
        assert heard(server) == "2"


def test_a_broken_routing_is_told_and_served_when_it_is_mended(project: Path) -> None:
    tell_what_is_watched(project)
    consumers = project / "mysite" / "consumers.py"
    with runserver(project, calm=False) as server:
        server.wait_for(r"routing\.py first seen")
        consumers.write_text("def receive(message:\n")
        routing = project / "mysite" / "routing.py"
        routing.write_text("from mysite.consumers import channel_routing\n")
        server.wait_for(
            r"achannels\.E007\) routing 'mysite\.routing\.channel_routing': SyntaxError"
        )
        server.wait_for(rf"HINT: See {re.escape(str(consumers))}, line 1\.")
        server.wait_for(r"consumers\.py first seen")
        consumers.write_text(ROUTING.replace("ANSWER", "3"))
        server.wait_for("Quit the server", after=lines(server, r"achannels\.E007"))
        assert heard(server) == "3"


def test_noasgi_is_djangos_own_server(project: Path) -> None:
    with runserver(project, "--noreload", "--noasgi") as server:
        assert get(server, "/admin/login/") == 200
        assert get(server, "/static/admin/css/base.css") == 200
        with pytest.raises(InvalidStatus) as refused:
            heard(server)
        assert refused.value.response.status_code == 404
        assert "achannels 0.1" not in server.output


def test_nostatic_serves_no_static_files(project: Path) -> None:
    with runserver(project, "--noreload", "--nostatic") as server:
        assert get(server, "/static/admin/css/base.css") == 404
        assert heard(server) == "1"


@pytest.mark.parametrize(
    ("address", "told", "host"),
    [
        ("{port}", "127.0.0.1", "127.0.0.1"),
        ("0:{port}", "0.0.0.0", "127.0.0.1"),
        ("[::]:{port}", "[::]", "[::1]"),
    ],
)
def test_addresses(project: Path, address: str, told: str, host: str) -> None:
    with runserver(project, "--noreload", address=address) as server:
        server.wait_for(re.escape(f"server at http://{told}:{server.port}/ "))
        assert heard(server, host) == "1"


def test_ipv6(project: Path) -> None:
    with runserver(project, "--noreload", "--ipv6", address="{port}") as server:
        server.wait_for(re.escape(f"server at http://[::1]:{server.port}/ "))
        assert heard(server, "[::1]") == "1"


def test_an_address_that_cannot_be_listened_on(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refused(project, f"127.0.0.1:{port}") == "Error: That port is already in use.\n"
    assert refused(project, "8.8.8.8:8000") == "Error: That IP address can't be assigned to.\n"
    assert refused(project, "99999") == "Error: The port 99999 is not one of 0 to 65535.\n"


WITHOUT_UVICORN = """
import sys
from django.core.management import execute_from_command_line
sys.modules["uvicorn"] = None
execute_from_command_line(["manage.py", "runserver"])
"""


def test_without_uvicorn_it_says_what_to_install(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_UVICORN],
        cwd=project,
        env=environment({"DJANGO_SETTINGS_MODULE": "mysite.settings"}),
        capture_output=True,
        text=True,
        timeout=15,
    )
    assert done.returncode == 1
    assert done.stderr == (
        'CommandError: uvicorn is not installed. Install it with: pip install "achannels[server]", '
        "or run Django's own server: --noasgi\n"
    )


def test_the_projects_own_application_is_served(project: Path) -> None:
    add_modules(project)
    with (project / "mysite" / "settings.py").open("a") as settings:
        settings.write('ASGI_APPLICATION = "mysite.mounted.application"\n')
    with runserver(project, "--noreload") as server:
        with connect(f"ws://127.0.0.1:{server.port}/live/echo/", proxy=None) as socket:
            socket.send("hi")
            assert socket.recv(timeout=5) == "hi"
        server.wait_for(r"\(achannels 0\.1, mysite\.mounted\.application\)")
        assert get(server, "/static/admin/css/base.css") == 200


def tell_what_is_watched(folder: Path) -> None:
    """Have the reloader print each file of the project that it looks at for the first time.

    It does not see a change that was made before.
    """
    with (folder / "mysite" / "settings.py").open("a") as settings:
        settings.write(LOGGING)


def lines(server: Server, pattern: str) -> int:
    """Return the number of the line after the one that the pattern finds, once it is there."""
    server.wait_for(pattern)
    return next(
        number
        for number, line in enumerate(server.output.splitlines(), 1)
        if re.search(pattern, line)
    )


def refused(folder: Path, address: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", "runserver", "--noreload", "--skip-checks", address],
        cwd=folder,
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=15,
    )
    assert done.returncode == 1
    return done.stderr
