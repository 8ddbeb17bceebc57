"""What a content means to a socket, what an event of the server means as a content, and the errors."""

import logging
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from achannels.asgi.events import (
    UNREADABLE,
    closing,
    code_of,
    connect_content,
    denial,
    disconnect_content,
    frame_content,
    frame_size,
    headers_of,
    path_of,
    prepare,
    prepare_shared,
    request_content,
)
from achannels.codec import encode
from achannels.exceptions import InvalidContent
from tests.doubles import websocket_scope

OVERHEAD = 64


def refusal(content: dict[str, Any]) -> str:
    with pytest.raises(InvalidContent) as refused:
        prepare(content)
    return str(refused.value)


# Frames.


@pytest.mark.parametrize(
    ("content", "event", "weight"),
    [
        ({"text": "hello"}, {"type": "websocket.send", "text": "hello"}, 5),
        ({"text": ""}, {"type": "websocket.send", "text": ""}, 0),
        ({"text": "Zürich"}, {"type": "websocket.send", "text": "Zürich"}, 7),
        ({"text": "\U0001f600"}, {"type": "websocket.send", "text": "\U0001f600"}, 4),
        ({"text": "a", "bytes": None}, {"type": "websocket.send", "text": "a"}, 1),
        ({"text": "é", "close": None}, {"type": "websocket.send", "text": "é"}, 2),
        ({"bytes": b"\x00\xff"}, {"type": "websocket.send", "bytes": b"\x00\xff"}, 2),
        ({"bytes": b""}, {"type": "websocket.send", "bytes": b""}, 0),
        ({"bytes": bytearray(b"ab")}, {"type": "websocket.send", "bytes": b"ab"}, 2),
        (
            {"bytes": memoryview(b"abcdefgh").cast("I")},
            {"type": "websocket.send", "bytes": b"abcdefgh"},
            8,
        ),
    ],
)
def test_a_frame_is_a_send_event(
    content: dict[str, Any], event: dict[str, Any], weight: int
) -> None:
    reply = prepare(content)
    assert reply.data == event
    assert reply.size == weight + OVERHEAD
    assert reply.plain
    assert (reply.accept, reply.close, reply.refuse, reply.event) == (None, None, False, False)


def test_the_bytes_of_a_frame_are_a_copy() -> None:
    data = bytearray(b"ab")
    reply = prepare({"bytes": data})
    data[0] = 0
    assert reply.data == {"type": "websocket.send", "bytes": b"ab"}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_weighs_its_bytes(text: str) -> None:
    assert prepare({"text": text}).size == len(text.encode()) + OVERHEAD


@pytest.mark.parametrize("more", [{}, {"accept": True}])
def test_text_that_is_not_unicode_is_refused(more: dict[str, Any]) -> None:
    assert refusal({"text": "ab\ud800", **more}) == (
        "content['text'] is not Unicode text: it has a lone surrogate at position 2. "
        "Send bytes instead."
    )


# Accept.


def test_accept_opens() -> None:
    reply = prepare({"accept": True})
    assert reply.accept == {"type": "websocket.accept"}
    assert (reply.data, reply.close, reply.refuse, reply.plain) == (None, None, False, False)


def test_accept_takes_a_subprotocol_and_headers() -> None:
    content = {"accept": True, "subprotocol": "chat", "headers": [[b"x-a", b"1"], (b"x-b", b"2")]}
    assert prepare(content).accept == {
        "type": "websocket.accept",
        "subprotocol": "chat",
        "headers": [(b"x-a", b"1"), (b"x-b", b"2")],
    }


def test_accept_with_a_frame_is_both() -> None:
    reply = prepare({"accept": True, "text": "welcome"})
    assert reply.accept == {"type": "websocket.accept"}
    assert reply.data == {"type": "websocket.send", "text": "welcome"}
    assert not reply.plain


def test_accept_false_refuses() -> None:
    reply = prepare({"accept": False})
    assert reply.refuse
    assert (reply.accept, reply.plain) == (None, False)


def test_accept_none_says_nothing() -> None:
    reply = prepare({"accept": None})
    assert (reply.accept, reply.refuse, reply.data, reply.close) == (None, False, None, None)


@pytest.mark.parametrize("accept", [1, 0, "yes", b"", []])
def test_accept_is_true_or_false(accept: object) -> None:
    assert refusal({"accept": accept}) == f"content['accept'] is {accept!r}; it is True or False."


@pytest.mark.parametrize("key", ["subprotocol", "headers"])
def test_what_goes_with_accept_is_refused_without_it(key: str) -> None:
    assert refusal({key: [], "text": "a"}) == f"content[{key!r}] goes with accept: True."


def test_a_subprotocol_is_a_str() -> None:
    assert refusal({"accept": True, "subprotocol": b"chat"}) == (
        "content['subprotocol'] is b'chat'; it is one of the names that the client offers, a str."
    )


# Headers.


@pytest.mark.parametrize(
    "headers",
    [
        5,
        None,
        b"ab",
        "ab",
        ["ab"],
        [b"ab"],
        [(b"a", "b")],
        [("a", b"b")],
        [(b"a",)],
        [(b"a", b"b", b"c")],
        [(b"a", None)],
        {"a": "b"},
        [None],
    ],
)
def test_headers_are_pairs_of_bytes(headers: object) -> None:
    with pytest.raises(InvalidContent) as refused:
        headers_of(headers)
    assert str(refused.value) == (
        f"content['headers'] is {headers!r}; it is a list of (name, value), both bytes."
    )


def test_headers_may_come_from_anything_that_gives_pairs() -> None:
    assert headers_of(pair for pair in [(b"a", b"b")]) == [(b"a", b"b")]
    assert headers_of([]) == []


# Close.


class Code(IntEnum):
    GONE = 4410


@pytest.mark.parametrize(
    ("close", "code"),
    [(True, 1000), (1000, 1000), (3000, 3000), (4999, 4999), (Code.GONE, 4410)],
)
def test_close_takes_true_or_a_code(close: object, code: int) -> None:
    reply = prepare({"close": close})
    assert reply.close == {"type": "websocket.close", "code": code}
    assert reply.close is not None
    assert type(reply.close["code"]) is int
    assert not reply.plain


@pytest.mark.parametrize("close", [0, 1, 999, 1001, 1005, 1011, 2999, 5000, 4000.0, "1000", b""])
def test_other_codes_are_refused(close: object) -> None:
    assert refusal({"close": close}) == (
        f"content['close'] is {close!r}; it is True, 1000, or a code from 3000 to 4999."
    )


@pytest.mark.parametrize("close", [None, False])
def test_no_close_leaves_a_plain_frame(close: object) -> None:
    assert prepare({"text": "a", "close": close}).plain
    assert prepare({"close": close}).close is None


def test_close_after_a_frame() -> None:
    reply = prepare({"text": "bye", "close": 4000, "reason": "done"})
    assert reply.data == {"type": "websocket.send", "text": "bye"}
    assert reply.close == {"type": "websocket.close", "code": 4000, "reason": "done"}


@pytest.mark.parametrize("reason", ["a" * 123, "ü" * 61, ""])
def test_a_reason_has_at_most_123_bytes(reason: str) -> None:
    expected = {"type": "websocket.close", "code": 1000, **({"reason": reason} if reason else {})}
    assert prepare({"close": True, "reason": reason}).close == expected


@pytest.mark.parametrize("reason", ["a" * 124, "ü" * 62, b"bye", 5])
def test_a_longer_reason_is_refused(reason: object) -> None:
    assert refusal({"close": True, "reason": reason}) == (
        f"content['reason'] is {reason!r}; it is a str of at most 123 bytes."
    )


def test_a_reason_that_is_not_unicode_is_refused() -> None:
    assert "lone surrogate" in refusal({"close": True, "reason": "\udfff"})


def test_a_reason_goes_with_close() -> None:
    assert refusal({"text": "a", "reason": "why"}) == (
        "content['reason'] goes with close: True or a code."
    )


# Other content.


@pytest.mark.parametrize(
    "content", [{}, {"text": None}, {"bytes": None}, {"text": None, "bytes": None}]
)
def test_a_content_without_anything_is_refused(content: dict[str, Any]) -> None:
    assert refusal(content) == (
        "the content of a reply is empty; a socket takes text, bytes, accept or close."
    )


def test_a_frame_is_text_or_bytes_not_both() -> None:
    assert refusal({"text": "a", "bytes": b"a"}) == (
        "the content has both text and bytes; a frame is one of the two."
    )


@pytest.mark.parametrize("text", [b"a", {"a": 1}, 5, ["a"]])
def test_text_is_a_str(text: object) -> None:
    assert refusal({"text": text}) == (
        f"content['text'] is of type {type(text).__name__}; it is a str. "
        "Send json.dumps(...) of it, or bytes as 'bytes'."
    )


@pytest.mark.parametrize("data", ["a", 5, [1]])
def test_bytes_are_bytes(data: object) -> None:
    assert refusal({"bytes": data}) == (
        f"content['bytes'] is of type {type(data).__name__}; it is bytes. Send a str as 'text'."
    )


def test_an_unknown_key_is_told_with_the_nearest_known_one() -> None:
    assert refusal({"txt": "a"}) == (
        "content has the key 'txt', which a socket has no use for; it takes accept, subprotocol, "
        "headers, text, bytes, close and reason, or a 'type' for a class consumer. "
        "Did you mean 'text'?"
    )


def test_an_unknown_key_that_is_near_to_none_is_told_how_to_send_data() -> None:
    assert refusal({"price": 5}).endswith("For your own data, send json.dumps as text.")
    assert "content has the key 5," in refusal({5: "a"})  # type: ignore[dict-item]


def test_a_content_with_a_type_is_an_event_for_a_class_consumer() -> None:
    reply = prepare({"type": "price.changed", "price": "5", "text": 1})
    assert reply.event
    assert (reply.data, reply.accept, reply.close, reply.plain) == (None, None, None, False)
    assert prepare({"type": "bell"}).event


# What comes from the layer.


def test_a_message_of_the_layer_is_prepared() -> None:
    reply = prepare_shared(encode({"text": "a"}, "news", 100), "news")
    assert reply.data == {"type": "websocket.send", "text": "a"}


def test_a_message_that_no_socket_can_send_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    message = encode({"txt": "a"}, "news", 100)
    assert prepare_shared(message, "node!1") is UNREADABLE
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("achannels.server", logging.ERROR)
    assert record.getMessage().startswith("a message to node!1 was dropped: content has the key")
    assert not UNREADABLE.plain


# Closing and refusing.


def test_closing() -> None:
    assert closing(1013) == {"type": "websocket.close", "code": 1013}
    assert closing(4000, "bye") == {"type": "websocket.close", "code": 4000, "reason": "bye"}


def test_a_denial_is_an_http_answer() -> None:
    assert denial(websocket_scope(), 401, "log in, Jürg", [(b"x-a", b"1")]) == [
        {
            "type": "websocket.http.response.start",
            "status": 401,
            "headers": [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"x-a", b"1"),
            ],
        },
        {"type": "websocket.http.response.body", "body": "log in, Jürg".encode()},
    ]


@pytest.mark.parametrize("extensions", [None, {}, {"tls": {}}])
def test_a_denial_is_a_close_where_the_server_knows_no_other(extensions: object) -> None:
    scope = websocket_scope(extensions=extensions)
    assert denial(scope, 401, "log in") == [{"type": "websocket.close", "code": 1000}]
    del scope["extensions"]
    assert denial(scope, 401, "log in") == [{"type": "websocket.close", "code": 1000}]


def test_a_denial_with_a_reason_that_is_not_unicode() -> None:
    assert denial(websocket_scope(), 403, "\ud800")[1]["body"] == b"?"


# What comes from the server.


@pytest.mark.parametrize(
    ("path", "root", "below"),
    [
        ("/chat/", "", "/chat/"),
        ("/live/chat/", "/live", "/chat/"),
        ("/live", "/live", "/"),
        ("/live/", "/live", "/"),
        ("/lively/", "/live", "/lively/"),
        ("/chat/", "/live", "/chat/"),
    ],
)
def test_the_path_is_the_one_below_the_mount(path: str, root: str, below: str) -> None:
    assert path_of(websocket_scope(path, root_path=root)) == below


def test_the_path_without_a_root_path() -> None:
    assert path_of({"path": "/chat/"}) == "/chat/"


def test_the_content_of_connect() -> None:
    scope = websocket_scope(
        "/live/chat/",
        root_path="/live",
        query_string=b"a=1",
        headers=[(b"host", b"x"), (b"cookie", b"y")],
        scheme="wss",
        subprotocols=["chat"],
    )
    assert connect_content(scope, "/chat/", "node!1") == {
        "reply_channel": "node!1",
        "path": "/chat/",
        "order": 0,
        "query_string": b"a=1",
        "root_path": "/live",
        "headers": [[b"host", b"x"], [b"cookie", b"y"]],
        "client": ["127.0.0.1", 50123],
        "server": ["testserver", 80],
        "scheme": "wss",
        "subprotocols": ["chat"],
    }


def test_the_content_of_connect_from_a_server_that_says_little() -> None:
    content = connect_content({"headers": [], "path": "/"}, "/", "node!1")
    assert content == {
        "reply_channel": "node!1",
        "path": "/",
        "order": 0,
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "client": None,
        "server": None,
        "scheme": "ws",
        "subprotocols": [],
    }


def test_the_content_of_connect_is_one_that_layers_carry() -> None:
    scope = websocket_scope(headers=[(b"a", b"\xff")], subprotocols=("chat",))
    content = connect_content(scope, "/", "node!1")
    assert encode(content, "websocket.connect", 10_000).decode() == content


@pytest.mark.parametrize(
    ("event", "frame"),
    [
        ({"text": "a"}, {"text": "a"}),
        ({"text": "", "bytes": None}, {"text": ""}),
        ({"bytes": b"a"}, {"bytes": b"a"}),
        ({"bytes": b"", "text": None}, {"bytes": b""}),
    ],
)
def test_the_content_of_receive_has_exactly_one_of_text_and_bytes(
    event: dict[str, Any], frame: dict[str, Any]
) -> None:
    content = frame_content({"type": "websocket.receive", **event}, "node!1", "/chat/", 3)
    assert content == {"reply_channel": "node!1", "path": "/chat/", "order": 3, **frame}


def test_the_content_of_disconnect() -> None:
    content = disconnect_content("node!1", "/chat/", 4, 1001)
    assert content == {"reply_channel": "node!1", "path": "/chat/", "order": 4, "code": 1001}


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"code": 1001}, 1001),
        ({"code": None}, 1005),
        ({}, 1005),
        ({"code": 1005, "reason": ""}, 1005),
        ({"code": 1005}, 1006),
    ],
)
def test_the_code_of_a_disconnect(event: dict[str, Any], code: int) -> None:
    assert code_of({"type": "websocket.disconnect", **event}) == code


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 100))
def test_a_text_frame_is_over_the_limit_exactly_when_its_bytes_are(text: str, limit: int) -> None:
    over = frame_size({"text": text}, limit) > limit
    assert over == (len(text.encode()) > limit)


def test_the_size_of_a_binary_frame() -> None:
    assert frame_size({"bytes": b"abc", "text": None}, 1) == 3


def test_the_content_of_a_request() -> None:
    scope = {
        "type": "http",
        "method": "post",
        "path": "/upload/",
        "headers": [(b"host", b"x")],
        "http_version": "2",
        "scheme": "https",
        "client": None,
        "server": ("unix", None),
    }
    assert request_content(scope, "/upload/", "node!1") == {
        "reply_channel": "node!1",
        "path": "/upload/",
        "method": "POST",
        "http_version": "2",
        "query_string": b"",
        "root_path": "",
        "headers": [[b"host", b"x"]],
        "client": None,
        "server": ["unix", None],
        "scheme": "https",
    }


def test_the_content_of_a_request_from_a_server_that_says_little() -> None:
    content = request_content({"method": "GET", "headers": []}, "/", "node!1")
    assert (content["http_version"], content["scheme"]) == ("1.1", "http")
