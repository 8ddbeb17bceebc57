"""Contents of messages in the words of 1.x, where they differ from ours."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from achannels.types import Content

NO_CODE = 1005
"""Code of a close frame that has none."""


def reply_content(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return a reply as a socket or a request takes it; `None` for one that says nothing.

    An empty `text` or `bytes` is no frame in 1.x and accepts nothing, and `"close": False` closes
    nothing. Of an answer to a request, `status_text` is left out, and headers may be `str`.
    """
    if len(content) == 1 and content.get("text"):
        return content
    if "status" in content or "content" in content or "more_content" in content:
        return _answer(content)
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
    if kept.get("headers"):
        kept["headers"] = [
            [_bytes(name).lower(), _bytes(value).strip(b" ")] for name, value in kept["headers"]
        ]
    return kept


def _bytes(text: str | bytes) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text


__all__ = ["NO_CODE", "for_consumer", "handshake_content", "merged", "reply_content"]
