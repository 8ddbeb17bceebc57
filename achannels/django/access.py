"""Access lines of `runserver`: one for each request and for each turn of a socket, as Django's.

```
[22/Nov/2026 12:00:07] "GET / HTTP/1.1" 200 1042
[22/Nov/2026 12:00:07] "WebSocket CONNECT /echo/" 101 127.0.0.1:51234
```
"""

import logging
from datetime import datetime

from achannels.types import ASGIApplication, Event, Receive, Scope, Send

logger = logging.getLogger("django.server")
"""Django's logger of `runserver`: its format and colours, or the project's."""

_AS_STATUS = {1011: 500, 1013: 400}
"""Close codes that say what an HTTP status says; the others are no one's fault."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class AccessLog:
    """Wraps an application and writes a line for each request.

    Args:
        application: It gets everything as it is.
    """

    def __init__(self, application: ASGIApplication) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        status: int | None = None
        size = 0

        async def counting(event: Event) -> None:
            nonlocal status, size
            if event["type"] == "http.response.start":
                status = event["status"]
            elif event["type"] == "http.response.body":
                size += len(event.get("body", b""))
            await send(event)

        try:
            await self.application(scope, receive, counting)
        except BaseException:
            status = status or 500
            raise
        finally:
            if status is not None:  # else the client left before it was answered
                _write(f'"{_request_line(scope)}"', status, str(size))


class SocketLines(logging.Filter):
    """Takes the records about sockets out of the logger `achannels.server` and writes lines."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record goes on: no line of a socket does."""
        if not hasattr(record, "client"):
            return True
        what, _, status = record.getMessage().rpartition(" ")
        _write(what, int(status), _address(record.client))
        return False


def write_socket_lines() -> None:
    """Have lines written about the sockets of this process."""
    server = logging.getLogger("achannels.server")
    if not any(isinstance(each, SocketLines) for each in server.filters):
        server.addFilter(SocketLines())
    if server.level == logging.NOTSET:
        server.setLevel(logging.INFO)


def _write(what: str, status: int, more: str) -> None:
    kind = _AS_STATUS.get(status, status)
    extra: dict[str, object] = {"server_time": _now()}
    if kind < 600:
        extra["status_code"] = kind
    level = logging.INFO
    if 400 <= kind < 600:
        level = logging.ERROR if kind >= 500 else logging.WARNING
    logger.log(level, "%s %s %s", _plain(what), status, more, extra=extra)


def _now() -> str:
    """Return the time as Django's server writes it, with English months whatever the locale."""
    now = datetime.now()
    return f"{now:%d}/{_MONTHS[now.month - 1]}/{now:%Y %H:%M:%S}"


def _request_line(scope: Scope) -> str:
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    query = scope.get("query_string", b"").decode("latin-1")
    version = scope.get("http_version", "1.1")
    return f"{scope['method']} {path}{'?' if query else ''}{query} HTTP/{version}"


def _address(client: object) -> str:
    if not isinstance(client, list | tuple) or len(client) != 2:
        return "-"
    host, port = client
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def _plain(text: str) -> str:
    """Return a text with escapes, so that no client writes lines of its own into the log."""
    return text.encode("unicode_escape").decode("ascii")


__all__ = ["AccessLog", "SocketLines", "write_socket_lines"]
