"""Which pages may open a socket: exactly those of this site, or exactly the listed ones."""

from collections.abc import Iterable
from typing import Any

import pytest

from achannels.asgi.origin import Origin, OriginCheck, own_origin, parse
from achannels.exceptions import ConfigurationError

Headers = list[tuple[bytes, bytes]]


def scope(*origins: str, host: str | None = "example.org", scheme: str = "ws") -> dict[str, Any]:
    headers: Headers = [(b"host", host.encode("latin-1"))] if host is not None else []
    headers += [(b"origin", origin.encode("latin-1")) for origin in origins]
    return {"type": "websocket", "scheme": scheme, "headers": headers}


def hosts(host: str) -> bool:
    return host in ("shop.example.org", "::1") or host.endswith(".localhost")


# The texts of origins.


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("http://example.org", ("http", "example.org", 80)),
        ("https://example.org", ("https", "example.org", 443)),
        ("capacitor://localhost", ("capacitor", "localhost", 0)),
        ("chrome-extension://abcdefgh", ("chrome-extension", "abcdefgh", 0)),
        ("ftp://example.org:21", ("ftp", "example.org", 21)),
        ("http://example.org:80", ("http", "example.org", 80)),
        ("http://example.org:8000", ("http", "example.org", 8000)),
        ("http://example.org:", ("http", "example.org", 80)),
        ("http://example.org:65535", ("http", "example.org", 65535)),
        ("HTTP://EXAMPLE.ORG", ("http", "example.org", 80)),
        ("http://example.org.", ("http", "example.org", 80)),
        ("http://localhost:3000", ("http", "localhost", 3000)),
        ("http://127.0.0.1:8000", ("http", "127.0.0.1", 8000)),
        ("http://[::1]", ("http", "::1", 80)),
        ("http://[::1]:8000", ("http", "::1", 8000)),
        ("http://[2001:DB8::1]:8000", ("http", "2001:db8::1", 8000)),
        ("http://[0:0:0:0:0:0:0:1]", ("http", "::1", 80)),
        ("http://xn--mnchen-3ya.de", ("http", "xn--mnchen-3ya.de", 80)),
        ("http://a_b.example.org", ("http", "a_b.example.org", 80)),
    ],
)
def test_an_origin_is_scheme_host_and_port(text: str, origin: tuple[str, str, int]) -> None:
    assert parse(text) == Origin(*origin)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "null",
        "example.org",
        "//example.org",
        "http:",
        "http://",
        "http:///",
        "http://.",
        "http://:80",
        "ws://example.org",
        "wss://example.org",
        "file://",
        "file:///etc/passwd",
        "1http://example.org",
        "h ttp://example.org",
        " http://example.org",
        "http://\u212aexample.org",
        "javascript:alert(1)",
        "http://example.org:99999",
        "http://example.org:-1",
        "http://example.org:port",
        "http://example.org:80:80",
        "http://example.org/",
        "http://example.org/path",
        "http://example.org?query",
        "http://example.org#fragment",
        "http://user@example.org",
        "http://user:password@example.org",
        "http://@example.org",
        "http://:@example.org",
        "http://[::1",
        "http://::1]",
        "http://[not-an-ip]",
        "http://[example.org]",
        "http://ex ample.org",
        "http://example.org evil.org",
        "http://example.org, http://evil.org",
        "http://exa\tmple.org",
        "http://example.org\n",
        "http://example.org\\.evil.org",
        "http://m\xfcnchen.de",
        "http://example.org%00",
        "http://*",
        "*",
    ],
)
def test_other_texts_are_no_origin(text: str) -> None:
    assert parse(text) is None


# No list: the own origin, and allowed hosts.


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        ("http://example.org", "example.org", "ws"),
        ("http://example.org", "example.org:80", "ws"),
        ("http://example.org:80", "example.org", "ws"),
        ("http://EXAMPLE.org", "example.ORG", "ws"),
        ("http://example.org.", "example.org", "ws"),
        ("http://localhost:8000", "localhost:8000", "ws"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", "ws"),
        ("http://[::1]:8000", "[::1]:8000", "ws"),
        ("https://example.org", "example.org", "wss"),
        ("https://example.org:443", "example.org", "wss"),
        ("https://example.org", "example.org:443", "wss"),
        ("https://example.org:8443", "example.org:8443", "wss"),
        ("https://example.org", "example.org", "https"),
        # A proxy ends TLS: the page is https, the server sees http.
        ("https://example.org", "example.org", "ws"),
        ("https://example.org", "example.org:80", "ws"),
        ("https://example.org", "example.org:443", "ws"),
        ("https://example.org:8443", "example.org:8443", "ws"),
    ],
)
def test_a_page_of_the_own_origin_may(origin: str, host: str, scheme: str) -> None:
    assert OriginCheck(None)(scope(origin, host=host, scheme=scheme))


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        ("http://evil.org", "example.org", "ws"),
        ("http://example.org.evil.org", "example.org", "ws"),
        ("http://evilexample.org", "example.org", "ws"),
        ("http://www.example.org", "example.org", "ws"),
        ("http://example.org:8000", "example.org", "ws"),
        ("http://example.org", "example.org:8000", "ws"),
        ("http://localhost:3000", "localhost:8000", "ws"),
        ("https://example.org:8443", "example.org:8000", "ws"),
        ("https://example.org", "example.org:8000", "ws"),
        ("https://example.org:8443", "example.org", "ws"),
        ("https://example.org:444", "example.org", "wss"),
        # A page loaded over http may have been written by anyone on the way.
        ("http://example.org", "example.org", "wss"),
        ("http://example.org:443", "example.org", "wss"),
        ("http://example.org:443", "example.org:443", "wss"),
        # An origin is that of a page, and no page is loaded over these.
        ("ws://example.org", "example.org", "ws"),
        ("wss://example.org", "example.org", "wss"),
        ("ftp://example.org", "example.org", "ws"),
        ("null", "example.org", "ws"),
        ("", "example.org", "ws"),
        ("http://user@example.org", "example.org", "ws"),
        ("http://example.org/path", "example.org", "ws"),
        ("http://example.org:99999", "example.org:99999", "ws"),
        ("http://[::1", "[::1", "ws"),
        ("http://m\xfcnchen.de", "m\xfcnchen.de", "ws"),
        ("http://example.org", "", "ws"),
        ("http://example.org", "example.org/path", "ws"),
        ("http://example.org", "user@example.org", "ws"),
    ],
)
def test_any_other_page_may_not(origin: str, host: str, scheme: str) -> None:
    assert not OriginCheck(None)(scope(origin, host=host, scheme=scheme))


@pytest.mark.parametrize("allowed", [None, ["http://example.org"], []])
def test_a_client_without_origin_may(allowed: Iterable[str] | None) -> None:
    check = OriginCheck(allowed)
    assert check(scope())
    assert check(scope(host=None))


@pytest.mark.parametrize("allowed", [None, ["http://example.org"]])
def test_two_origins_are_none(allowed: Iterable[str] | None) -> None:
    check = OriginCheck(allowed)
    assert not check(scope("http://example.org", "http://example.org"))
    assert not check(scope("http://example.org", "http://evil.org"))


def test_a_page_may_not_where_the_own_host_is_unknown() -> None:
    check = OriginCheck(None, lambda host: True)
    assert not check(scope("http://example.org", host=None))
    two_hosts = scope("http://example.org")
    two_hosts["headers"].append((b"host", b"example.org"))
    assert not check(two_hosts)


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "may"),
    [
        ("http://shop.example.org", "example.org", "ws", True),
        ("http://a.localhost:8000", "localhost:8000", "ws", True),
        ("https://shop.example.org", "example.org", "ws", True),
        ("http://[::1]:8000", "localhost:8000", "ws", True),
        ("http://shop.example.org:8000", "example.org", "ws", False),
        ("http://shop.example.org", "example.org", "wss", False),
        ("http://evil.org", "example.org", "ws", False),
        ("http://shop.example.org.evil.org", "example.org", "ws", False),
    ],
)
def test_a_page_of_an_allowed_host_may_at_the_same_scheme_and_port(
    origin: str, host: str, scheme: str, may: bool
) -> None:
    assert OriginCheck(None, hosts)(scope(origin, host=host, scheme=scheme)) is may


# A list: exactly these.


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        ("https://example.com", True),
        ("https://EXAMPLE.com", True),
        ("capacitor://localhost", True),
        ("capacitor://localhost:1", False),
        ("capacitor://evil.org", False),
        ("https://example.com:443", True),
        ("http://localhost:3000", True),
        ("http://[::1]:3000", True),
        ("http://example.com", False),
        ("https://example.com:8443", False),
        ("https://www.example.com", False),
        ("http://localhost", False),
        ("http://localhost:3001", False),
        ("https://localhost:3000", False),
        ("http://example.org", False),
        ("null", False),
        ("", False),
    ],
)
def test_a_list_allows_exactly_its_origins(origin: str, may: bool) -> None:
    check = OriginCheck(
        [
            "https://example.com",
            "http://localhost:3000",
            "http://[::1]:3000",
            "capacitor://localhost",
        ],
        lambda host: True,
    )
    assert check(scope(origin, host="example.org")) is may


def test_an_empty_list_allows_no_page() -> None:
    assert not OriginCheck([])(scope("http://example.org"))


@pytest.mark.parametrize("origin", ["http://evil.org", "null", "", "garbage", "http://[::1"])
def test_a_star_allows_any_page(origin: str) -> None:
    assert OriginCheck(["*"])(scope(origin))
    assert OriginCheck(["https://example.com", "*"])(scope(origin, origin, host=None))


# Mistakes in the list.


def test_a_str_is_no_list() -> None:
    with pytest.raises(ConfigurationError) as refused:
        OriginCheck("*")
    assert str(refused.value) == "ALLOWED_ORIGINS is the str '*'; write a list: ['*']."


@pytest.mark.parametrize(
    "entry",
    [
        "example.org",
        "https://example.org/",
        "null",
        "https://*.example.org",
        "wss://example.org",
        5,
        None,
        b"*",
    ],
)
def test_an_entry_that_is_no_origin_is_named(entry: Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        OriginCheck(["https://example.org", entry])
    assert str(refused.value) == (
        f"ALLOWED_ORIGINS has {entry!r}; an origin is scheme, host and perhaps a port, "
        "for example 'https://example.org' or 'http://localhost:3000'."
    )


def test_something_that_is_no_list() -> None:
    with pytest.raises(ConfigurationError) as refused:
        OriginCheck(5)  # type: ignore[arg-type]
    assert str(refused.value) == "ALLOWED_ORIGINS is 5; write a list of origins, or None."


# The own origin.


def test_the_own_origin_is_the_scheme_and_the_host_header() -> None:
    assert own_origin(scope(host="Example.org:8000", scheme="wss")) == Origin(
        "https", "example.org", 8000
    )
    assert own_origin({"headers": [(b"host", b"example.org")]}) == Origin("http", "example.org", 80)
    assert own_origin(scope(host=None)) is None
