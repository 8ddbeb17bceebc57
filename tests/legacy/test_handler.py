"""`channels.handler`: views as a consumer, and responses as messages."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.core import signals
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    StreamingHttpResponse,
)
from django.urls import get_script_prefix, path, set_script_prefix

from achannels.legacy.asgi import channel_layers
from achannels.legacy.exceptions import ResponseLater
from achannels.legacy.handler import AsgiHandler, ViewConsumer
from achannels.legacy.message import Message


def hello(request: Any) -> HttpResponse:
    return HttpResponse(f"hello {request.message['path']} {request.reply_channel}")


def prefix(request: HttpRequest) -> HttpResponse:
    return HttpResponse(get_script_prefix())


def later(request: HttpRequest) -> HttpResponse:
    raise ResponseLater


def later_by_the_request(request: Any) -> HttpResponse:
    raise request.ResponseLater


def fails(request: HttpRequest) -> HttpResponse:
    raise ValueError("no")


async def asynchronous(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0)
    return HttpResponse("async")


async def later_async(request: HttpRequest) -> HttpResponse:
    raise ResponseLater


urlpatterns = [
    path("hello/", hello),
    path("prefix/", prefix),
    path("later/", later),
    path("later-request/", later_by_the_request),
    path("later-async/", later_async),
    path("fails/", fails),
    path("async/", asynchronous),
]


@pytest.fixture(autouse=True)
def _urls(settings: Any) -> Iterator[None]:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = ["django.middleware.http.ConditionalGetMiddleware"]
    yield
    set_script_prefix("/")


def message(path: str = "/hello/", **content: Any) -> Message:
    content = {"path": path, "method": "GET", "reply_channel": "back", **content}
    return Message(content, "http.request")


def answered(path: str = "/hello/", **content: Any) -> list[Any]:
    return list(AsgiHandler()(message(path, **content)))


def encoded(response: HttpResponseBase) -> list[Any]:
    return list(AsgiHandler.encode_response(response))


# The handler.


def test_a_view_answers() -> None:
    (answer,) = answered()
    assert (answer["status"], answer["content"]) == (200, b"hello /hello/ back")
    assert answer["more_content"] is False


def test_a_root_path_is_the_script_prefix() -> None:
    (answer,) = answered("/app/prefix/", root_path="/app")
    assert answer["content"] == b"/app/"
    (answer,) = answered("/prefix/")
    assert answer["content"] == b"/"


def test_force_script_name_is_the_script_prefix(settings: Any) -> None:
    settings.FORCE_SCRIPT_NAME = "/app"
    for place in ("/app/prefix/", "/prefix/"):
        (answer,) = answered(place)
        assert answer["content"] == b"/app/"


def test_the_start_and_the_end_of_a_request_are_told() -> None:
    told: list[Any] = []

    def started(sender: Any, message: Any, **kwargs: Any) -> None:
        told.append((sender, message["path"], "environ" in kwargs))

    def finished(sender: Any, **kwargs: Any) -> None:
        told.append("finished")

    signals.request_started.connect(started)
    signals.request_finished.connect(finished)
    try:
        told.extend(part["status"] for part in AsgiHandler()(message()))
        answered("/later/")
    finally:
        signals.request_started.disconnect(started)
        signals.request_finished.disconnect(finished)
    later = (AsgiHandler, "/later/", False)
    assert told == [(AsgiHandler, "/hello/", False), 200, "finished", later, "finished"]


def test_a_query_that_is_no_text_is_400(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "django.request"):
        (answer,) = answered(query_string=b"\xff")
    assert (answer["status"], answer["content"]) == (400, b"")
    assert "UnicodeDecodeError" in caplog.text


def test_a_body_that_does_not_come_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("achannels.legacy.facade.RECEIVE_WAIT", 0.001)
    monkeypatch.setattr(AsgiHandler.request_class, "body_receive_timeout", 0.01)
    (answer,) = answered(body_channel="body?1")
    assert answer["status"] == 408
    assert answer["content"].startswith(b"408 Request Timeout")


def test_a_client_that_left_is_answered_nothing() -> None:
    channel_layers["default"].send("body?2", {"closed": True})
    assert answered(body_channel="body?2") == []


@pytest.mark.parametrize("path", ["/later/", "/later-request/", "/later-async/"])
def test_a_view_may_leave_the_answer_to_others(path: str, caplog: pytest.LogCaptureFixture) -> None:
    assert answered(path) == []
    assert caplog.records == []


def test_an_error_is_500(caplog: pytest.LogCaptureFixture) -> None:
    (answer,) = answered("/fails/")
    assert answer["status"] == 500
    assert "Internal Server Error: /fails/" in caplog.text


@pytest.mark.parametrize("debug", [True, False])
def test_an_error_page_that_fails_is_a_plain_500(
    settings: Any, debug: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise RuntimeError("the last straw")

    settings.DEBUG = debug
    handler = AsgiHandler()
    monkeypatch.setattr(handler, "_middleware_chain", fail)
    (answer,) = handler(message())
    assert answer["status"] == 500
    assert (b"Content-Type", b"text/plain") in answer["headers"]
    assert (b"the last straw" in answer["content"]) is debug


def test_an_async_view_answers_too() -> None:
    (answer,) = answered("/async/")
    assert answer["content"] == b"async"


def test_a_file_is_read_in_large_blocks() -> None:
    response = FileResponse(iter([b"x"]))
    handler: Any = AsgiHandler()
    handler._middleware_chain = lambda request: response
    assert [part["more_content"] for part in handler(message())] == [True, False]
    assert response.block_size == 512 * 1024 == AsgiHandler.chunk_size


# Responses as messages.


def test_a_plain_response() -> None:
    response = HttpResponse("ü", status=201, headers={"X-One": "1"})
    response.set_cookie("a", "b")
    response.set_cookie("c", "d", path="/x")
    (part,) = encoded(response)
    assert part == {
        "status": 201,
        "headers": [
            (b"X-One", b"1"),
            (b"Content-Type", b"text/html; charset=utf-8"),
            (b"Set-Cookie", b"a=b; Path=/"),
            (b"Set-Cookie", b"c=d; Path=/x"),
        ],
        "content": "ü".encode(),
        "more_content": False,
    }


def test_an_empty_response_is_one_message() -> None:
    (part,) = encoded(HttpResponse())
    assert (part["content"], part["more_content"]) == (b"", False)


def test_a_large_response_is_cut() -> None:
    size = AsgiHandler.chunk_size
    first, second, third = encoded(HttpResponse(b"x" * (2 * size + 1)))
    assert [len(part["content"]) for part in (first, second, third)] == [size, size, 1]
    assert [part["more_content"] for part in (first, second, third)] == [True, True, False]
    assert "status" in first
    assert set(second) == set(third) == {"content", "more_content"}


def test_each_part_of_a_stream_leaves_when_it_is_made() -> None:
    made: list[int] = []

    def parts() -> Iterator[bytes]:
        for number in range(2):
            made.append(number)
            yield b"%d" % number
        yield b""

    messages = AsgiHandler.encode_response(StreamingHttpResponse(parts()))
    first = next(messages)
    assert made == [0]
    assert (first["status"], first["content"], first["more_content"]) == (200, b"0", True)
    assert list(messages) == [
        {"content": b"1", "more_content": True},
        {"content": b"", "more_content": True},
        {"more_content": False},
    ]


def test_an_empty_stream_is_one_message() -> None:
    (part,) = encoded(StreamingHttpResponse([]))
    assert (part["status"], part["more_content"]) == (200, False)
    assert "content" not in part


def test_an_async_stream_leaves_part_by_part() -> None:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(2):
            await asyncio.sleep(0)
            yield b"%d" % number

    contents = [part.get("content") for part in encoded(StreamingHttpResponse(parts()))]
    assert contents == [b"0", b"1", None]


def test_bytes_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AsgiHandler, "chunk_size", 2)
    assert list(AsgiHandler.chunk_bytes(b"abcde")) == [(b"ab", False), (b"cd", False), (b"e", True)]
    assert list(AsgiHandler.chunk_bytes(b"ab")) == [(b"ab", True)]
    assert list(AsgiHandler.chunk_bytes(b"")) == [(b"", True)]


# The consumer.


def test_views_are_a_consumer_and_its_parts_leave_at_once() -> None:
    sent: list[Any] = []

    class Replying(Message):
        @property
        def reply_channel(self) -> Any:
            class Channel:
                name = "back"

                @staticmethod
                def send(content: Any, immediately: bool = False) -> None:
                    sent.append((content["status"], immediately))

            return Channel

    ViewConsumer()(Replying({"path": "/hello/", "method": "GET"}, "http.request"))
    assert sent == [(200, True)]


def test_it_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    from achannels.layers.memory import MemoryLayer
    from achannels.legacy.facade import LayerFacade

    monkeypatch.setattr("achannels.legacy.handler.FULL_WAIT", 0.0)
    layer = LayerFacade(MemoryLayer(capacity=1))
    layer.send("back", {"in": "the way"})
    full = Message(
        {"path": "/hello/", "method": "GET", "reply_channel": "back"}, "http.request", layer
    )
    waited: list[Any] = []
    monkeypatch.setattr(
        "achannels.legacy.handler.time.sleep",
        lambda seconds: waited.append(layer.receive(["back"])),
    )
    ViewConsumer()(full)
    assert waited == [("back", {"in": "the way"})]
    assert layer.receive(["back"])[1]["status"] == 200  # type: ignore[index]


def test_its_handler_is_an_attribute() -> None:
    class Own(AsgiHandler):
        pass

    class OwnConsumer(ViewConsumer):
        handler_class = Own

    assert isinstance(OwnConsumer().handler, Own)


def test_it_takes_no_arguments() -> None:
    with pytest.raises(TypeError):
        ViewConsumer()(message(), room="x")  # type: ignore[call-arg]
