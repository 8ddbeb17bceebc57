"""Contents of messages in the words of 1.x, where they differ from ours."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from achannels.types import Content

NO_CODE = 1005
"""Code of a close frame that has none."""

_SOCKET = frozenset({"accept", "subprotocol", "headers", "text", "bytes", "close", "reason"})
_REQUEST = frozenset({"status", "status_text", "headers", "content", "more_content"})


def reply_content(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return a reply as a socket or a request takes it; `None` for one that says nothing.

    An empty `text` or `bytes` is no frame in 1.x and accepts nothing, and `"close": False` closes
    nothing. Of an answer to a request, `status_text` is left out, and headers may be `str`. What has
    a key that neither takes stays as it is: members of a group may be other channels.
    """
    if len(content) == 1 and content.get("text"):
        return content
    if not _SOCKET.issuperset(content):
        return _answer(content) if _REQUEST.issuperset(content) else content
    kept = {
        key: value
        for key, value in content.items()
        if not (key in ("text", "bytes") and (value is None or value in ("", b"")))
        and not (key == "close" and (value is None or value is False))
    }
    return kept or (None if content else content)


def handshake_content(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return a reply to `websocket.connect` as `reply_content` does; what refuses has no code.

    A close with nothing else refuses, and the code of that never gets to the client: it may be any.
    """
    kept = reply_content(content)
    if kept is None:
        return None
    if kept.get("accept") is False:
        return {"accept": False}
    code = kept.get("close")
    return {"close": True} if len(kept) == 1 and isinstance(code, int) else kept


def for_consumer(channel: str, content: Content) -> None:
    """Change a content of ours into what a plain consumer of 1.x gets; twice changes nothing more.

    Headers that come several times are one on `websocket.connect`, joined by a comma (cookies by
    `; `). On `http.request`, headers with a `_` in their names are left out: in `META` they could
    pass for others. `code` is `None` on `websocket.disconnect` where the client gave none.
    """
    if channel == "websocket.connect":
        content.pop("subprotocols", None)
        content["headers"] = merged(content["headers"])
    elif channel == "websocket.disconnect":
        if content["code"] == NO_CODE:
            content["code"] = None
    elif channel == "http.request":
        content["headers"] = [pair for pair in content["headers"] if b"_" not in pair[0]]


def merged(headers: Iterable[Sequence[bytes]]) -> list[list[bytes]]:
    """Return headers with each name once, in the order of their first values."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        before = found.get(name)
        mark = b"; " if name == b"cookie" else b","
        found[name] = value if before is None else before + mark + value
    return [[name, value] for name, value in found.items()]


def _answer(content: Mapping[str, Any]) -> Content:
    kept = {key: value for key, value in content.items() if key != "status_text"}
    if isinstance(kept.get("headers"), list | tuple):
        kept["headers"] = _headers(kept["headers"])
    return kept


def _headers(headers: Sequence[Any]) -> Sequence[Any]:
    try:
        return [[_bytes(name).lower(), _bytes(value).strip(b" ")] for name, value in headers]
    except (TypeError, ValueError, AttributeError):
        return headers  # whoever takes them says what is wrong


def _bytes(text: str | bytes) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text


__all__ = ["NO_CODE", "for_consumer", "handshake_content", "merged", "reply_content"]
