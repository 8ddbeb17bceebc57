"""The in-process HTTP client."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from achannels import Message, route
from achannels.asgi import Application
from achannels.testing import HttpClient
from achannels.types import Receive, Scope, Send


async def mirror(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the request: a plain ASGI application."""
    body, more = b"", True
    while more:
        event = await receive()
        body += event["body"]
        more = event["more_body"]
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"x-method", scope["method"].encode()), *scope["headers"]],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def test_get_post_and_request() -> None:
    async with HttpClient(mirror) as client:
        got = await client.get("/")
        posted = await client.post("/", b"bytes")
        put = await client.request("put", "/", "grüße")
    assert (got.status, got.headers["X-Method"], got.body) == (200, "GET", b"")
    assert (posted.headers["x-method"], posted.text) == ("POST", "bytes")
    assert (put.headers["x-method"], put.text) == ("PUT", "grüße")


async def test_json_is_sent_with_its_content_type_and_read() -> None:
    async with HttpClient(mirror) as client:
        response = await client.post("/", json={"a": 1})
        own = await client.post("/", json=[], headers={"Content-Type": "application/x+json"})
    assert response.json() == {"a": 1}
    assert response.headers["content-type"] == "application/json"
    assert own.headers.get_all("content-type") == ["application/x+json"]


async def test_a_body_that_is_no_json_is_shown() -> None:
    async with HttpClient(mirror) as client:
        response = await client.post("/", b"not json")
    with pytest.raises(AssertionError, match="not JSON: b'not json'"):
        response.json()
    assert repr(response) == "<Response 200: b'not json'>"


async def test_a_body_may_come_in_parts() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    async with HttpClient(mirror) as client:
        assert (await client.post("/", [b"1", b"2"])).body == b"12"
        assert (await client.post("/", parts())).body == b"ab"


async def test_the_scope_is_what_a_server_makes() -> None:
    scopes: list[Scope] = []

    async def note(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await mirror(scope, receive, send)

    client = HttpClient(
        note, user="anna", headers={"Host": "example.org"}, root_path="/live", scheme="https"
    )
    async with client:
        await client.get("/a%20b?q=1", headers=[("X-One", "1")])
    [scope] = scopes
    assert scope["path"] == "/live/a b"
    assert scope["raw_path"] == b"/live/a%20b"
    assert scope["query_string"] == b"q=1"
    assert (scope["user"], scope["scheme"], scope["method"]) == ("anna", "https", "GET")
    assert scope["headers"] == [(b"host", b"example.org"), (b"x-one", b"1")]


async def test_what_the_application_raises_is_raised() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError("broken")

    async with HttpClient(broken) as client:
        with pytest.raises(AssertionError) as failed:
            await client.get("/")
    assert isinstance(failed.value.__cause__, LookupError)


async def broken_consumer(message: Message) -> None:
    raise LookupError("broken")


async def test_what_a_consumer_raises_is_raised_and_not_its_500() -> None:
    async with HttpClient(Application([route("http.request", broken_consumer)])) as client:
        with pytest.raises(LookupError, match="broken"):
            await client.get("/")


async def test_a_500_can_be_looked_at() -> None:
    app = Application([route("http.request", broken_consumer)])
    async with HttpClient(app, raise_errors=False) as client:
        assert (await client.get("/")).status == 500


async def test_a_wait_that_ends_cancels_nothing() -> None:
    free = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await free.wait()
        await mirror(scope, receive, send)

    async with HttpClient(slow) as client, client.stream("GET", "/") as exchange:
        with pytest.raises(AssertionError, match=r"no answer came within 0\.01 s") as failed:
            await exchange.started(timeout=0.01)
        assert "slow" in str(failed.value)
        with pytest.raises(AssertionError, match="no part of the answer came"):
            await exchange.receive(timeout=0.01)
        free.set()
        assert (await exchange.response()).status == 200


async def test_an_application_that_ends_early_is_an_assertion_error() -> None:
    async def half(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})

    async with HttpClient(half) as client:
        with pytest.raises(AssertionError, match="no complete answer came, and the application"):
            await client.get("/")


async def test_an_answer_comes_in_parts() -> None:
    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 202, "headers": [(b"x", b"y")]})
        for number in range(3):
            event = await receive()
            part = event["body"] + str(number).encode()
            await send({"type": "http.response.body", "body": part, "more_body": number < 2})
        assert (await receive())["type"] == "http.disconnect"

    client = HttpClient(stream)
    async with client, client.stream("POST", "/", body=None) as exchange:
        await exchange.send(b"a")
        assert await exchange.started() == 202
        assert exchange.headers["X"] == "y"
        assert await exchange.receive() == b"a0"
        await exchange.send(b"b")
        await exchange.send(b"c", more=False)
        assert [part async for part in exchange] == [b"b1", b"c2"]


async def test_leaving_early_disconnects_and_sends_raise() -> None:
    raised: list[Any] = []

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert (await receive())["type"] == "http.disconnect"
        assert (await receive())["type"] == "http.disconnect"
        try:
            await send({"type": "http.response.body", "body": b"late"})
        except OSError as error:
            raised.append(error)

    client = HttpClient(endless)
    async with client, client.stream("GET", "/") as exchange:
        await exchange.started()
    assert len(raised) == 1


async def test_an_event_that_no_server_takes_is_an_error_of_the_application() -> None:
    async def twice(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async with HttpClient(twice) as client:
        with pytest.raises(AssertionError) as failed:
            await client.get("/")
    assert "now it may send http.response.body" in str(failed.value.__cause__)


async def test_an_application_that_does_not_end_is_an_error_and_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await mirror(scope, receive, send)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with HttpClient(endless, timeout=0.02) as client:
        with pytest.raises(AssertionError, match="did not end"):
            await client.get("/")
    assert cancelled.is_set()


async def test_it_works_without_a_context_too() -> None:
    assert (await HttpClient(mirror).get("/")).status == 200
