"""AsgiRequest: a message as one of Django's requests."""

from io import BytesIO
from typing import Any

import pytest
from django.http import HttpRequest

from achannels.exceptions import RequestAborted, RequestTimeout
from achannels.legacy.asgi import channel_layers
from achannels.legacy.channel import Channel
from achannels.legacy.message import Message
from achannels.legacy.request import AsgiRequest


def request(**content: Any) -> AsgiRequest:
    return AsgiRequest(
        Message(
            {"path": "/page/", "method": "get", "reply_channel": "back", **content}, "http.request"
        )
    )


def test_it_is_a_request_of_a_message() -> None:
    made = request()
    assert isinstance(made, HttpRequest)
    assert made.message["path"] == "/page/"
    assert made.reply_channel == Channel("back")
    assert (made.path, made.path_info, made.script_name) == ("/page/", "/page/", "")
    assert made.method == "GET"
    assert made.resolver_match is None
    assert made.body_receive_timeout == 60


@pytest.mark.parametrize("key", ["path", "method"])
def test_path_and_method_are_required(key: str) -> None:
    content = {"path": "/", "method": "GET"}
    del content[key]
    with pytest.raises(KeyError, match=key):
        AsgiRequest(Message(content, "http.request"))


@pytest.mark.parametrize(
    ("root", "path", "info"),
    [
        ("/app", "/app/x/", "/x/"),
        ("/app", "/x/", "/x/"),
        ("/app", "/apple", "/apple"),
        ("/app", "/app", "/"),
    ],
)
def test_the_root_path_is_a_prefix(root: str, path: str, info: str) -> None:
    made = request(path=path, root_path=root)
    assert (made.path, made.path_info, made.script_name) == (path, info, root)
    assert (made.META["PATH_INFO"], made.META["SCRIPT_NAME"]) == (info, root)


def test_the_query_may_be_bytes_or_text() -> None:
    for query in (b"a=1&b=%C3%BC", "a=1&b=%C3%BC"):
        made = request(query_string=query)
        assert made.GET.dict() == {"a": "1", "b": "ü"}
        assert made.META["QUERY_STRING"] == "a=1&b=%C3%BC"
    assert request().GET.dict() == {}
    with pytest.raises(UnicodeDecodeError):
        request(query_string=b"\xff")


def test_the_scheme_says_whether_it_is_secure() -> None:
    assert not request().is_secure()
    assert request(scheme="https").is_secure()


def test_meta() -> None:
    made = request(client=["10.0.0.1", 5000], server=["here", 80], http_version="1.0")
    assert {key: made.META[key] for key in ("REMOTE_ADDR", "REMOTE_HOST", "REMOTE_PORT")} == {
        "REMOTE_ADDR": "10.0.0.1",
        "REMOTE_HOST": "10.0.0.1",
        "REMOTE_PORT": 5000,
    }
    assert (made.META["SERVER_NAME"], made.META["SERVER_PORT"]) == ("here", "80")
    assert made.META["REQUEST_METHOD"] == "GET"
    assert made.META["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert made.META["wsgi.multithread"] is made.META["wsgi.multiprocess"] is True
    bare = request().META
    assert (bare["SERVER_NAME"], bare["SERVER_PORT"]) == ("unknown", "0")
    assert "REMOTE_ADDR" not in bare


def test_headers_become_meta_and_repeats_are_joined() -> None:
    made = request(
        headers=[
            [b"content-type", b"text/html; charset=latin-1"],
            [b"content-length", b"3"],
            [b"x-a", b"1"],
            [b"x-a", b"\xfc"],
            [b"x_b", b"spoofed"],
        ]
    )
    assert made.META["CONTENT_TYPE"] == "text/html; charset=latin-1"
    assert made.META["HTTP_X_A"] == "1,ü"
    assert "HTTP_X_B" not in made.META
    assert (made.content_type, made.content_params) == ("text/html", {"charset": "latin-1"})
    assert made.encoding == "latin-1"
    assert made._content_length == 3
    assert (request().content_type, request().content_params) == ("", {})
    assert request(headers=[[b"content-length", b"many"]])._content_length == 0


def test_headers_may_be_a_dict_which_is_made_a_list() -> None:
    message = Message(
        {"path": "/", "method": "GET", "headers": {"host": b"here", "cookie": b"a=1"}},
        "http.request",
    )
    made = AsgiRequest(message)
    assert made.META["HTTP_HOST"] == "here"
    assert message["headers"] == [[b"host", b"here"], [b"cookie", b"a=1"]]


def test_cookies_may_come_in_several_headers() -> None:
    made = request(headers=[[b"cookie", b"a=1"], [b"cookie", b"b=2"]])
    assert made.COOKIES == {"a": "1", "b": "2"}
    assert request().COOKIES == {}


def test_a_form() -> None:
    form = [[b"content-type", b"application/x-www-form-urlencoded"]]
    made = request(method="POST", headers=form, body=b"a=1&b=2")
    assert made.POST.dict() == {"a": "1", "b": "2"}
    assert made.body == b"a=1&b=2"
    made.POST = {"c": "3"}  # type: ignore[assignment]
    assert made.POST == {"c": "3"}


def test_uploads_with_and_without_a_length() -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="f.txt"\r\n\r\nhello\r\n--x--\r\n'
    )
    kind = [b"content-type", b"multipart/form-data; boundary=x"]
    for headers in ([kind], [kind, [b"content-length", str(len(body)).encode()]]):
        made = request(method="POST", headers=headers, body=body)
        assert made.POST.dict() == {"a": "1"}
        assert made.FILES["f"].read() == b"hello"  # type: ignore[union-attr]


def test_a_body_is_there_at_once_however_large(settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    made = request(method="POST", body=b"x" * 1000)
    assert made.read(3) == b"xxx"
    assert made.body == b"x" * 1000
    assert isinstance(made._stream, BytesIO)


def test_the_limits_of_forms_hold(settings: Any) -> None:
    from django.core.exceptions import RequestDataTooBig

    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    form = [[b"content-type", b"multipart/form-data; boundary=x"]]
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"1" * 20 + b"\r\n--x--\r\n"
    with pytest.raises(RequestDataTooBig):
        _ = request(method="POST", headers=form, body=part).POST


def test_a_body_that_is_no_bytes_is_refused() -> None:
    with pytest.raises(AssertionError, match="the body of a request is bytes, not str"):
        request(body="text")


def test_a_body_in_chunks() -> None:
    layer = channel_layers["default"]
    layer.send("body?1", {"content": b"two ", "more_content": True})
    layer.send("body?1", {"content": b"three"})
    layer.send("body?1", {"content": b"ignored"})
    made = request(method="POST", body=b"one ", body_channel="body?1")
    assert made.body == b"one two three"


def test_a_body_whose_client_left() -> None:
    layer = channel_layers["default"]
    layer.send("body?2", {"content": b"begin", "more_content": True})
    layer.send("body?2", {"closed": True})
    with pytest.raises(RequestAborted):
        request(body_channel="body?2")


def test_a_body_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("achannels.legacy.facade.RECEIVE_WAIT", 0.001)
    monkeypatch.setattr(AsgiRequest, "body_receive_timeout", 0.01)
    with pytest.raises(RequestTimeout, match=r"not complete within 0\.01 s"):
        request(body_channel="body?3")
