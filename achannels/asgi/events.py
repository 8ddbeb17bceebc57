"""Between a message's content and ASGI events: pure functions, and what they make."""

import difflib
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from achannels.codec import Encoded
from achannels.exceptions import InvalidContent
from achannels.types import Content, Event, Scope

logger = logging.getLogger("achannels.server")

_KEYS = frozenset({"accept", "subprotocol", "headers", "text", "bytes", "close", "reason"})
_OVERHEAD = 64


class Reply:
    """What a content means to a socket, made once and shared by all sockets that get it.

    Attributes:
        data: The `websocket.send` event, or `None`.
        size: Bytes that it weighs in an outbox.
        accept: The `websocket.accept` event, or `None`.
        refuse: It says `accept: False`.
        close: The `websocket.close` event, or `None`.
        plain: It is a data frame and nothing else.
        event: It has a `type`: it is for a class consumer, not for the client.
    """

    __slots__ = ("accept", "close", "data", "event", "plain", "refuse", "size")

    def __init__(
        self,
        data: Event | None = None,
        size: int = 0,
        *,
        accept: Event | None = None,
        refuse: bool = False,
        close: Event | None = None,
        event: bool = False,
    ) -> None:
        self.data = data
        self.size = size
        self.accept = accept
        self.refuse = refuse
        self.close = close
        self.event = event
        self.plain = data is not None and accept is None and close is None and not refuse


def prepare(content: Mapping[str, Any]) -> Reply:
    """Make of a content what a socket sends.

    Raises:
        InvalidContent: It has a key or a value that no socket has a use for.
    """
    if len(content) == 1:
        text = content.get("text")
        if type(text) is str:
            return Reply({"type": "websocket.send", "text": text}, _weight("text", text))
        if content.get("accept") is True:
            return ACCEPT
    if "type" in content:
        return Reply(event=True)
    for key in content:
        if key not in _KEYS:
            raise InvalidContent(_unknown(key))
    accept, refuse = _accept(content)
    data, size = _data(content)
    close = _close(content)
    if data is None and "accept" not in content and "close" not in content:
        raise InvalidContent(
            "the content of a reply is empty; a socket takes text, bytes, accept or close."
        )
    return Reply(data, size, accept=accept, refuse=refuse, close=close)


ACCEPT = Reply(accept={"type": "websocket.accept"})
"""What `{"accept": True}` means."""

UNREADABLE = Reply()
"""Stands for a content that no socket can send."""


def prepare_shared(message: Encoded, channel: str) -> Reply:
    """Make of a message from the layer what a socket sends; `UNREADABLE`, logged, if it cannot."""
    try:
        return prepare(message.decode())
    except InvalidContent as error:
        logger.error("a message to %s was dropped: %s", channel, error)
        return UNREADABLE


def closing(code: int, reason: str = "") -> Event:
    """Return the event that closes a socket."""
    event: Event = {"type": "websocket.close", "code": code}
    if reason:
        event["reason"] = reason
    return event


def denial(
    scope: Scope, status: int, reason: str = "", headers: Iterable[tuple[bytes, bytes]] = ()
) -> list[Event]:
    """Return the events that refuse a socket before it opened.

    A server without the `websocket.http.response` extension can only answer 403. The length of the
    answer is the server's to say: some versions of uvicorn say it once more, and break the answer.
    """
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        return [{"type": "websocket.close", "code": 1000}]
    body = reason.encode(errors="replace")
    return [
        {
            "type": "websocket.http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"text/plain; charset=utf-8"),
                *headers,
            ],
        },
        {"type": "websocket.http.response.body", "body": body},
    ]


def path_of(scope: Scope) -> str:
    """Return the path below the place where the application is mounted."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(root) and (len(path) == len(root) or path[len(root)] == "/"):
        return path[len(root) :] or "/"
    return path


def connect_content(scope: Scope, path: str, reply_channel: str) -> Content:
    """Return the content of `websocket.connect`."""
    return {
        "reply_channel": reply_channel,
        "path": path,
        "order": 0,
        **_handshake(scope),
        "scheme": scope.get("scheme", "ws"),
        "subprotocols": list(scope.get("subprotocols") or ()),
    }


def frame_content(event: Event, reply_channel: str, path: str, order: int) -> Content:
    """Return the content of `websocket.receive`: exactly one of `text` and `bytes`."""
    text = event.get("text")
    if text is not None:
        return {"reply_channel": reply_channel, "path": path, "order": order, "text": text}
    return {"reply_channel": reply_channel, "path": path, "order": order, "bytes": event["bytes"]}


def disconnect_content(reply_channel: str, path: str, order: int, code: int) -> Content:
    """Return the content of `websocket.disconnect`."""
    return {"reply_channel": reply_channel, "path": path, "order": order, "code": code}


def code_of(event: Event) -> int:
    """Return the code of a `websocket.disconnect` event: 1005 for none given, 1006 for a lost peer."""
    code = event.get("code")
    if code is None:
        return 1005
    if code == 1005 and "reason" not in event:
        return 1006  # so uvicorn says that the connection was lost; a close frame has a reason
    return int(code)


def frame_size(event: Event, limit: int) -> int:
    """Return the bytes of a frame; of a text that cannot reach the limit, its characters."""
    text = event.get("text")
    if text is None:
        return len(event["bytes"])
    return len(text) if len(text) * 4 <= limit else len(text.encode())


def request_content(scope: Scope, path: str, reply_channel: str) -> Content:
    """Return the content of `http.request`, without its body."""
    return {
        "reply_channel": reply_channel,
        "path": path,
        "method": scope["method"].upper(),
        "http_version": scope.get("http_version", "1.1"),
        **_handshake(scope),
        "scheme": scope.get("scheme", "http"),
    }


def _handshake(scope: Scope) -> Content:
    client, server = scope.get("client"), scope.get("server")
    return {
        "query_string": scope.get("query_string", b""),
        "root_path": scope.get("root_path", ""),
        "headers": [[name, value] for name, value in scope["headers"]],
        "client": list(client) if client else None,
        "server": list(server) if server else None,
    }


def _accept(content: Mapping[str, Any]) -> tuple[Event | None, bool]:
    accept = content.get("accept")
    if accept is None:
        for key in ("subprotocol", "headers"):
            if content.get(key) is not None:
                raise InvalidContent(f"content[{key!r}] goes with accept: True.")
        return None, False
    if type(accept) is not bool:
        raise InvalidContent(f"content['accept'] is {accept!r}; it is True or False.")
    if not accept:
        return None, True
    event: Event = {"type": "websocket.accept"}
    subprotocol = content.get("subprotocol")
    if subprotocol is not None:
        if not isinstance(subprotocol, str):
            raise InvalidContent(
                f"content['subprotocol'] is {subprotocol!r}; it is one of the names that the "
                "client offers, a str."
            )
        event["subprotocol"] = subprotocol
    if content.get("headers") is not None:
        event["headers"] = headers_of(content["headers"])
    return event, False


def headers_of(headers: Any) -> list[tuple[bytes, bytes]]:
    """Check headers and return them as pairs of bytes.

    Raises:
        InvalidContent: They are not pairs of bytes.
    """
    try:
        pairs = [(name, value) for name, value in headers]
    except (TypeError, ValueError):
        pairs = [(None, None)]
    if all(isinstance(name, bytes) and isinstance(value, bytes) for name, value in pairs):
        return pairs
    raise InvalidContent(
        f"content['headers'] is {headers!r}; it is a list of (name, value), both bytes."
    )


def _data(content: Mapping[str, Any]) -> tuple[Event | None, int]:
    text, data = content.get("text"), content.get("bytes")
    if text is not None and data is not None:
        raise InvalidContent("the content has both text and bytes; a frame is one of the two.")
    if text is not None:
        if not isinstance(text, str):
            raise InvalidContent(
                f"content['text'] is of type {type(text).__name__}; it is a str. "
                "Send json.dumps(...) of it, or bytes as 'bytes'."
            )
        return {"type": "websocket.send", "text": text}, _weight("text", text)
    if data is not None:
        if not isinstance(data, bytes | bytearray | memoryview):
            raise InvalidContent(
                f"content['bytes'] is of type {type(data).__name__}; it is bytes. "
                "Send a str as 'text'."
            )
        data = bytes(data)
        return {"type": "websocket.send", "bytes": data}, len(data) + _OVERHEAD
    return None, 0


def _weight(key: str, text: str) -> int:
    """Return the bytes that a text weighs; asking whether it is ASCII costs nothing."""
    if text.isascii():
        return len(text) + _OVERHEAD
    try:
        return len(text.encode()) + _OVERHEAD
    except UnicodeEncodeError as error:
        raise InvalidContent(
            f"content[{key!r}] is not Unicode text: it has a lone surrogate at position "
            f"{error.start}. Send bytes instead."
        ) from None


def _close(content: Mapping[str, Any]) -> Event | None:
    close, reason = content.get("close"), content.get("reason")
    if close is None or close is False:
        if reason is not None:
            raise InvalidContent("content['reason'] goes with close: True or a code.")
        return None
    code = 1000 if close is True else close
    if not (is_int(code) and (code == 1000 or 3000 <= code <= 4999)):
        raise InvalidContent(
            f"content['close'] is {close!r}; it is True, 1000, or a code from 3000 to 4999."
        )
    if reason is None:
        return closing(int(code))
    if not isinstance(reason, str) or _weight("reason", reason) > 123 + _OVERHEAD:
        raise InvalidContent(f"content['reason'] is {reason!r}; it is a str of at most 123 bytes.")
    return closing(int(code), reason)


def is_int(value: object) -> bool:
    """Return whether a value is a number as a status or a code is one, a member of an enum too."""
    return isinstance(value, int) and not isinstance(value, bool)


def _unknown(key: object) -> str:
    near = difflib.get_close_matches(str(key), _KEYS, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "For your own data, send json.dumps as text."
    return (
        f"content has the key {key!r}, which a socket has no use for; it takes accept, subprotocol, "
        f"headers, text, bytes, close and reason, or a 'type' for a class consumer. {hint}"
    )


__all__ = [
    "ACCEPT",
    "UNREADABLE",
    "Reply",
    "closing",
    "code_of",
    "connect_content",
    "denial",
    "disconnect_content",
    "frame_content",
    "frame_size",
    "headers_of",
    "is_int",
    "path_of",
    "prepare",
    "prepare_shared",
    "request_content",
]
