"""Contents of messages in the words of 1.x, where they differ from ours."""

from collections.abc import Mapping
from typing import Any

from achannels.types import Content

_HTTP = frozenset({"status", "headers", "content", "more_content", "status_text"})


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


def _answer(content: Mapping[str, Any]) -> Content:
    kept = {key: value for key, value in content.items() if key != "status_text"}
    if kept.get("headers"):
        kept["headers"] = [
            [_bytes(name).lower(), _bytes(value).strip(b" ")] for name, value in kept["headers"]
        ]
    return kept


def _bytes(text: str | bytes) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text


__all__ = ["reply_content"]
