"""Which pages may open a socket."""

from collections.abc import Iterable
from typing import Any

import pytest

from achannels import Message, route
from achannels.asgi import Application
from achannels.asgi.origin import OriginCheck, parse
from achannels.exceptions import ConfigurationError
from achannels.testing import ConnectionDenied, WebsocketClient


async def receive(message: Message) -> None:
    await message.reply_channel.send({"text": message["text"]})


async def is_allowed(
    origin: str | None,
    *,
    allowed: Iterable[str] | None = None,
    hosts: Iterable[str] = (),
    **client: Any,
) -> bool:
    app = Application([route("websocket.receive", receive)], allowed_origins=allowed)
    app.hosts = frozenset(hosts).__contains__
    try:
        async with WebsocketClient(app, "/", origin=origin, **client) as ws:
            await ws.send("a")
            return await ws.receive() == "a"
    except ConnectionDenied as denied:
        return denied.status != 403


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (None, True),
        ("http://testserver", True),
        ("http://testserver:80", True),
        ("HTTP://TESTSERVER", True),
        ("http://testserver.", True),
        ("https://testserver", True),  # behind a proxy that ends TLS
        ("https://testserver:443", True),
        ("http://testserver:8000", False),
        ("http://testserver:99999", False),
        ("http://testserver:", True),
        ("ftp://testserver", False),
        ("file://", False),
        ("null", False),
        ("", False),
        (" ", False),
        ("testserver", False),
        ("//testserver", False),
        ("http://evil.example", False),
        ("http://testserver.evil.example", False),
        ("http://eviltestserver", False),
        ("http://testserver@evil.example", False),
        ("http://user:password@testserver", False),
        ("http://testserver/path", False),
        ("http://testserver?query", False),
        ("http://testserver#fragment", False),
        ("http://testserver evil.example", False),
        ("http://testserver, http://evil.example", False),
        ("http://[::1", False),
        ("http://[::1]", False),
        ("http://[v1.fe80::a]", False),
        ("http://*", False),
        ("http://\xff", False),
        ("javascript:alert(1)", False),
    ],
)
async def test_the_default_is_the_same_origin(origin: str | None, expected: bool) -> None:
    assert await is_allowed(origin) is expected


@pytest.mark.parametrize(
    ("scheme", "host", "origin", "expected"),
    [
        ("ws", "example.org:8000", "http://example.org:8000", True),
        ("ws", "example.org:8000", "http://example.org", False),
        ("ws", "example.org:8000", "https://example.org:8000", True),
        ("wss", "example.org", "https://example.org", True),
        ("wss", "example.org", "http://example.org", False),
        ("wss", "example.org:8443", "https://example.org:8443", True),
        ("wss", "example.org:8443", "https://example.org", False),
        ("ws", "127.0.0.1:8000", "http://127.0.0.1:8000", True),
        ("ws", "127.0.0.1:8000", "http://localhost:8000", False),
        ("ws", "[::1]:8000", "http://[::1]:8000", True),
        ("ws", "bad host", "http://bad host", False),
        ("ws", "[::1", "http://[::1", False),
        ("ws", "", "http://", False),
    ],
)
async def test_scheme_host_and_port_of_the_request_decide(
    scheme: str, host: str, origin: str, expected: bool
) -> None:
    headers = {"host": host}
    assert await is_allowed(origin, scheme=scheme, headers=headers) is expected


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://shop.example", True),
        ("http://testserver", True),
        ("http://shop.example:8000", False),
        ("http://evil.example", False),
    ],
)
async def test_allowed_hosts_are_ours_too(origin: str, expected: bool) -> None:
    assert await is_allowed(origin, hosts=["shop.example"]) is expected


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("https://app.example", True),
        ("https://app.example:443", True),
        ("https://APP.example", True),
        ("http://app.example", False),
        ("https://app.example:8443", False),
        ("https://sub.app.example", False),
        ("http://localhost:3000", True),
        ("http://localhost", False),
        ("http://testserver", False),
        (None, True),
        ("null", False),
    ],
)
async def test_a_list_is_exact(origin: str | None, expected: bool) -> None:
    allowed = ["https://app.example", "http://localhost:3000"]
    assert await is_allowed(origin, allowed=allowed) is expected


@pytest.mark.parametrize("origin", [None, "http://evil.example", "null", "", "http://[::1"])
async def test_a_star_allows_every_page(origin: str | None) -> None:
    assert await is_allowed(origin, allowed=["*"])


async def test_two_origin_headers_are_refused() -> None:
    headers = [("origin", "http://testserver"), ("origin", "http://evil.example")]
    assert not await is_allowed(None, headers=headers)


async def test_two_host_headers_are_refused() -> None:
    headers = [("host", "testserver"), ("host", "evil.example")]
    assert not await is_allowed("http://testserver", headers=headers)


async def test_the_origin_is_checked_before_the_path() -> None:
    app = Application([route("websocket.receive", receive, path="chat/")])
    with pytest.raises(ConnectionDenied) as denied:
        async with WebsocketClient(app, "/nothing/", origin="http://evil.example"):
            pass
    assert denied.value.status == 403
    assert denied.value.reason


@pytest.mark.parametrize("entry", ["example.org", "https://example.org/", "https://*.org", "null"])
def test_an_entry_that_is_no_origin_fails_at_start(entry: str) -> None:
    with pytest.raises(ConfigurationError, match="ALLOWED_ORIGINS") as error:
        OriginCheck([entry])
    assert entry in str(error.value)


def test_a_str_instead_of_a_list_fails_at_start() -> None:
    with pytest.raises(ConfigurationError, match="write a list"):
        OriginCheck("https://example.org")


def test_an_origin_is_scheme_host_and_port() -> None:
    assert parse("https://Example.org") == ("https", "example.org", 443)
