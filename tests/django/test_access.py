"""Access lines, as `runserver` writes them."""

import logging
import re
from collections.abc import Iterator

import pytest

from achannels import Message, route
from achannels.asgi import Application
from achannels.django import access
from achannels.django.access import AccessLog, SocketLines, write_socket_lines
from achannels.testing import ConnectionDenied, HttpClient, WebsocketClient
from achannels.types import Receive, Scope, Send

TIME = re.compile(r"^\d\d/(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)/\d{4} \d\d:\d\d:\d\d$")


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def texts(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture
def lines() -> Iterator[Lines]:
    found = Lines()
    logger = access.logger
    level, logger.level = logger.level, logging.INFO
    logger.addHandler(found)
    yield found
    logger.removeHandler(found)
    logger.level = level


@pytest.fixture
def socket_lines() -> Iterator[None]:
    """As after `write_socket_lines()`, which `runserver` never undoes."""
    server = logging.getLogger("achannels.server")
    level, filters = server.level, server.filters[:]
    server.setLevel(logging.NOTSET)
    write_socket_lines()
    write_socket_lines()
    yield
    server.setLevel(level)
    server.filters[:] = filters


def answering(status: int, *bodies: bytes) -> AccessLog:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        for body in bodies:
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body"})

    return AccessLog(application)


@pytest.mark.parametrize(
    ("status", "level"), [(200, "INFO"), (304, "INFO"), (404, "WARNING"), (503, "ERROR")]
)
async def test_a_request_is_a_line_with_status_and_size(
    lines: Lines, status: int, level: str
) -> None:
    async with HttpClient(answering(status, b"one", b"two")) as client:
        await client.get("/a/?b=c%20d")
    (record,) = lines.records
    assert record.getMessage() == f'"GET /a/?b=c%20d HTTP/1.1" {status} 6'
    assert (record.levelname, record.status_code) == (level, status)  # type: ignore[attr-defined]
    assert TIME.match(record.server_time)  # type: ignore[attr-defined]


async def test_a_request_that_fails_is_a_500(lines: Lines) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("broken")

    async with HttpClient(AccessLog(application)) as client:
        with pytest.raises(AssertionError, match="The application raised ValueError"):
            await client.get("/")
    assert lines.texts == ['"GET / HTTP/1.1" 500 0']


async def test_no_client_writes_lines_of_its_own(lines: Lines) -> None:
    scope = {"type": "http", "method": "GET", "path": "/a\n[evil] \x1b[31m", "query_string": b""}

    async def nothing(event: object) -> None:
        """Take an event."""

    async def receive() -> dict[str, str]:
        return {"type": "http.request"}

    await answering(200)(scope, receive, nothing)
    assert lines.texts == [r'"GET /a\n[evil] \x1b[31m HTTP/1.1" 200 0']


@pytest.mark.usefixtures("socket_lines")
async def test_a_socket_is_a_line_for_each_of_its_turns(lines: Lines) -> None:
    async def fail(message: Message) -> None:
        raise ValueError("this consumer fails")

    application = Application([route("websocket.receive", fail, path="broken/")])
    scope = {"client": ["10.0.0.7", 1234]}
    async with WebsocketClient(application, "/broken/?a=b", scope=scope):
        pass
    async with WebsocketClient(application, "/broken/", scope={"client": ["::1", 1234]}) as socket:
        await socket.send("hi")
        await socket.wait_closed()
    with pytest.raises(ConnectionDenied):
        async with WebsocketClient(application, "/nothing/", scope={"client": None}):
            pass
    assert lines.texts == [
        '"WebSocket CONNECT /broken/" 101 10.0.0.7:1234',
        '"WebSocket DISCONNECT /broken/" 1000 10.0.0.7:1234',
        '"WebSocket CONNECT /broken/" 101 [::1]:1234',
        '"WebSocket DISCONNECT /broken/" 1011 [::1]:1234',
        '"WebSocket REJECT /nothing/" 404 -',
    ]
    levels = [record.levelname for record in lines.records]
    assert levels == ["INFO", "INFO", "INFO", "ERROR", "WARNING"]


@pytest.mark.usefixtures("socket_lines")
def test_other_records_of_the_server_go_on(lines: Lines) -> None:
    server = logging.getLogger("achannels.server")
    assert len([each for each in server.filters if isinstance(each, SocketLines)]) == 1
    record = server.makeRecord("achannels.server", logging.WARNING, "", 0, "stalled", (), None)
    assert server.filter(record)
    assert lines.texts == []
