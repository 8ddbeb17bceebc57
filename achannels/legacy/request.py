"""AsgiRequest: a message of `http.request` (or of a handshake) as one of Django's requests."""

import time
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any

from django.core.handlers.asgi import ASGIRequest

from achannels.asgi.events import path_of
from achannels.exceptions import RequestAborted, RequestTimeout
from achannels.legacy.asgi import channel_layers
from achannels.legacy.exceptions import ResponseLater
from achannels.types import Content

_CLOSED = "the client left before its request was complete."


class AsgiRequest(ASGIRequest):
    """A request made of a message.

    Its body is read when it is made: from `body`, and from the channel `body_channel` if there is
    one. Its path is the whole one, also where the site is mounted below another path, which routes
    do not see; `FORCE_SCRIPT_NAME` stands for a `root_path` that the server does not know.

    Args:
        message: Of `http.request`. Headers may also be a dict of `str` and `bytes`; they are then
            written into the message as a list.

    Attributes:
        message: The message.
        reply_channel: The channel back to whoever waits for the answer.
        body_receive_timeout: Seconds in which the body has to be complete.

    Raises:
        KeyError: The message has no `path` or no `method`.
        UnicodeDecodeError: Its `query_string` is no UTF-8.
        RequestAborted: The client left while the body was read.
        RequestTimeout: It was not complete in time.
    """

    ResponseLater = ResponseLater
    body_receive_timeout = 60

    def __init__(self, message: Any) -> None:
        self.message = message
        self.reply_channel = getattr(message, "reply_channel", None)
        self._content_length = 0
        content = message.content
        body = self._read_body(content)
        super().__init__(_scope(content, _path(message)), BytesIO(body))
        self._body = body
        self.path_info = self.META["PATH_INFO"] = path_of(
            {"path": self.path, "root_path": self.script_name}
        )
        self.META.setdefault("CONTENT_LENGTH", str(len(body)))
        self.META["SERVER_PROTOCOL"] = f"HTTP/{content.get('http_version', '1.1')}"
        if self.META["CONTENT_LENGTH"].isdecimal():
            self._content_length = int(self.META["CONTENT_LENGTH"])

    def _read_body(self, content: Content) -> bytes:
        body = content.get("body", b"")
        channel = content.get("body_channel")
        if channel:
            body = b"".join([body, *self._chunks(channel)])
        if not isinstance(body, bytes):
            raise AssertionError(f"the body of a request is bytes, not {type(body).__name__}")
        return body

    def _chunks(self, channel: str) -> Iterable[bytes]:
        layer = channel_layers.over(self.message._channel.core_layer)
        deadline = time.monotonic() + self.body_receive_timeout
        more = True
        while more:
            if time.monotonic() > deadline:
                raise RequestTimeout(
                    f"the request's body was not complete within {self.body_receive_timeout} s."
                )
            _, chunk = layer.receive([channel], block=True)
            if chunk is None:
                continue
            if chunk.get("closed", False):
                raise RequestAborted(_CLOSED)
            yield chunk["content"]
            more = chunk.get("more_content", False)


def _path(message: Any) -> str:
    """Return the path with the place where the site is mounted, if that was cut off."""
    path: str = message.content["path"]
    scope = getattr(message, "_scope", None)
    return scope["path"] if scope and path_of(scope) == path else path


def _scope(content: Content, path: str) -> dict[str, Any]:
    """Return the ASGI scope that a content stands for; its cookies are one header."""
    headers = content.get("headers") or []
    if isinstance(headers, Mapping):
        headers = content["headers"] = [
            [name.encode("latin-1"), value] for name, value in headers.items()
        ]
    cookies = [value for name, value in headers if name == b"cookie"]
    others = [(name, value) for name, value in headers if name != b"cookie"]
    return {
        "type": "http",
        "path": path,
        "method": content["method"],
        "query_string": content.get("query_string", b""),
        "root_path": content.get("root_path", ""),
        "scheme": content.get("scheme", "http"),
        "headers": [*others, (b"cookie", b"; ".join(cookies))] if cookies else others,
        "client": content.get("client"),
        "server": content.get("server"),
    }


__all__ = ["AsgiRequest"]
