"""A Django response as the answer to an `http.request`."""

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.http import FileResponse, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase

from achannels import Message, route
from achannels.asgi import Application
from achannels.django.handler import CHUNK, encode_response
from achannels.testing import HttpClient

pytestmark = pytest.mark.django_db(transaction=True)  # the end of a response closes connections


async def contents(response: HttpResponseBase) -> list[dict[str, Any]]:
    return [content async for content in encode_response(response)]


async def test_a_plain_response_is_one_message() -> None:
    (content,) = await contents(HttpResponse("Zoë", status=201, headers={"X-Row": "7"}))
    headers = content.pop("headers")
    assert content == {"status": 201, "content": "Zoë".encode(), "more_content": False}
    assert sorted(headers) == [(b"content-type", b"text/html; charset=utf-8"), (b"x-row", b"7")]


async def test_an_empty_response_is_one_message() -> None:
    (content,) = await contents(HttpResponse(status=204))
    assert (content["content"], content["more_content"]) == (b"", False)


async def test_each_cookie_is_a_header() -> None:
    response = HttpResponseRedirect("/next/")
    response.set_cookie("a", "1", httponly=True)
    response.set_cookie("b", "2")
    (content,) = await contents(response)
    cookies = [value for name, value in content["headers"] if name == b"set-cookie"]
    assert cookies == [b"a=1; HttpOnly; Path=/", b"b=2; Path=/"]
    assert (b"location", b"/next/") in content["headers"]


async def test_a_large_response_comes_in_parts_that_a_layer_carries() -> None:
    data = b"x" * (2 * CHUNK + 1)
    first, second, third = await contents(HttpResponse(data))
    assert [len(each["content"]) for each in (first, second, third)] == [CHUNK, CHUNK, 1]
    assert [each["more_content"] for each in (first, second, third)] == [True, True, False]
    assert "status" in first
    assert "status" not in second
    assert "status" not in third


async def test_an_async_stream_is_read_on_the_loop() -> None:
    async def parts() -> AsyncIterator[str]:
        yield "one"
        yield threading.current_thread().name

    head, one, two, last = await contents(StreamingHttpResponse(parts()))
    assert (head["status"], head["content"], head["more_content"]) == (200, b"", True)
    assert one == {"content": b"one", "more_content": True}
    assert two["content"] == threading.current_thread().name.encode()
    assert last == {"content": b"", "more_content": False}


async def test_a_plain_stream_is_read_in_a_thread_and_gathered() -> None:
    threads = set()

    def parts() -> Iterator[bytes]:
        for _ in range(1000):
            threads.add(threading.current_thread())
            yield b"x" * 1000

    head, *rest, last = await contents(StreamingHttpResponse(parts()))
    assert head["content"] == last["content"] == b""
    assert b"".join(each["content"] for each in rest) == b"x" * 1_000_000
    assert len(rest) < 100
    assert threading.current_thread() not in threads


async def test_a_slow_stream_does_not_wait_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("achannels.django.handler._PATIENCE", -1.0)
    parts = StreamingHttpResponse(iter([b"one", b"two"]))
    assert [each["content"] for each in await contents(parts)] == [b"", b"one", b"two", b""]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    file = tmp_path / "picture.png"
    file.write_bytes(b"y" * 300_000)
    return file


async def test_a_file(picture: Path) -> None:
    response = await sync_to_async(lambda: FileResponse(picture.open("rb")))()
    head, *rest, _ = await contents(response)
    assert (b"content-length", b"300000") in head["headers"]
    assert b"".join(each["content"] for each in rest) == b"y" * 300_000


async def test_the_response_is_closed_at_the_end_and_when_given_up() -> None:
    for whole in (True, False):
        response = HttpResponse(b"x" * (CHUNK + 1))
        async with aclosing(encode_response(response)) as messages:  # type: ignore[type-var]
            async for _ in messages:
                if not whole:
                    break
        assert response.closed


async def test_a_consumer_answers_with_it() -> None:
    async def answer(message: Message) -> None:
        response = HttpResponse("hello", headers={"X-Row": "7"})
        async for content in encode_response(response):
            await message.reply_channel.send(content)

    async with HttpClient(Application([route("http.request", answer)])) as client:
        response = await client.get("/")
    assert (response.status, response.text, response.headers["x-row"]) == (200, "hello", "7")
