"""`channels.handler`: Django's views as a consumer, and responses as messages."""

import asyncio
import logging
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Any, cast

from django.conf import settings
from django.core import signals
from django.core.handlers.asgi import get_script_prefix
from django.core.handlers.base import BaseHandler
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

from achannels.channel import ReplyChannel
from achannels.exceptions import ChannelFull, RequestAborted, RequestTimeout
from achannels.legacy.exceptions import ResponseLater
from achannels.legacy.message import Message
from achannels.legacy.request import AsgiRequest
from achannels.sync import collected
from achannels.types import Content

logger = logging.getLogger("django.request")

FULL_WAIT = 0.05
"""Seconds before a part of a response is sent again to a channel that was full."""

BAD_REQUEST = b""
TIMEOUT = b"408 Request Timeout: the request was not complete in time."
LAST_RESORT = b"500 Internal Server Error: the error page failed, too."


class _Later(HttpResponse):
    """Stands for the response that a view left to someone else, on its way through middleware."""


class AsgiHandler(BaseHandler):
    """Makes requests of messages, has Django answer them, and makes messages of the responses.

    Attributes:
        request_class: What requests are.
        chunk_size: Bytes of content in one message, at most.
    """

    request_class = AsgiRequest
    chunk_size = 512 * 1024

    def __init__(self) -> None:
        super().__init__()
        self.load_middleware()

    def __call__(self, message: Message) -> Generator[Content]:
        """Give the messages that answer a request; none if the view raised `ResponseLater`."""
        set_script_prefix(get_script_prefix(message.content))
        signals.request_started.send(sender=self.__class__, message=message)
        try:
            request = self.request_class(message)
        except UnicodeDecodeError:
            logger.warning(
                "Bad Request (UnicodeDecodeError)",
                exc_info=sys.exc_info(),
                extra={"status_code": 400},
            )
            response: HttpResponseBase = HttpResponse(BAD_REQUEST, status=400)
        except RequestTimeout:
            response = HttpResponse(TIMEOUT, status=408, content_type="text/plain")
        except RequestAborted:
            return
        else:
            response = self._respond(request)
        try:
            if not isinstance(response, _Later):
                yield from self.encode_response(response)
        finally:
            response.close()

    def _respond(self, request: AsgiRequest) -> HttpResponseBase:
        try:
            response: HttpResponseBase = self.get_response(request)
        except Exception:
            logger.exception("the page for an error failed")
            text = traceback.format_exc().encode() if settings.DEBUG else LAST_RESORT
            return HttpResponse(text, status=500, content_type="text/plain")
        if isinstance(response, FileResponse):
            response.block_size = self.chunk_size
        return response

    def process_exception_by_middleware(self, exception: Exception, request: Any) -> Any:
        """Return the response that middleware makes of what a view raised."""
        if isinstance(exception, ResponseLater):
            return _Later()
        return super().process_exception_by_middleware(exception, request)

    @classmethod
    def encode_response(cls, response: HttpResponseBase) -> Iterator[Content]:
        """Give the messages that a response consists of, for `reply_channel.send`.

        The first has `status` and `headers`; the last has no more content after it. Of a streaming
        response, each part is given when it was made.

        Args:
            response: Any response of Django, rendered.
        """
        head: Content = {
            "status": int(response.status_code),
            "headers": [
                *(
                    (name.encode("ascii"), value.encode("latin-1"))
                    for name, value in response.items()
                ),
                *(
                    (b"Set-Cookie", c.OutputString().encode("ascii"))
                    for c in response.cookies.values()
                ),
            ],
        }
        if not isinstance(response, StreamingHttpResponse):
            for chunk, is_last in cls.chunk_bytes(cast("Any", response).content):
                yield {**head, "content": chunk, "more_content": not is_last}
                head = {}
            return
        for part in _parts(response):
            for chunk, _ in cls.chunk_bytes(part):
                yield {**head, "content": chunk, "more_content": True}
                head = {}
        yield {**head, "more_content": False}

    @classmethod
    def chunk_bytes(cls, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """Give the pieces of some bytes, each with whether it is the last; of nothing, one."""
        size = cls.chunk_size
        for start in range(0, len(data) or 1, size):
            yield data[start : start + size], start + size >= len(data)


class ViewConsumer:
    """Has Django's views answer requests; the consumer of `http.request` where no route takes it.

    Attributes:
        handler_class: What it makes a handler of.
    """

    handler_class: Callable[[], AsgiHandler] = AsgiHandler

    def __init__(self) -> None:
        self.handler = self.handler_class()

    def __call__(self, message: Message) -> None:
        """Answer a request; each part of the answer leaves when it is made.

        No more is made when the client has left; the response is closed in any case.
        """
        with closing(self.handler(message)) as replies:
            for reply in replies:
                self._send(message, reply)
                if reply.get("more_content") and _is_over(message):
                    return

    def _send(self, message: Message, reply: Content) -> None:
        while True:
            try:
                message.reply_channel.send(reply, immediately=True)
            except ChannelFull:
                if _is_over(message):
                    return
                time.sleep(FULL_WAIT)
            else:
                return


def _is_over(message: Message) -> bool:
    """Whether nobody waits for more of the answer."""
    pending = collected.get()
    if pending is not None and pending.is_cancelled:
        return True
    reply = message._reply
    return isinstance(reply, ReplyChannel) and reply.socket.is_over


def _parts(response: StreamingHttpResponse) -> Iterable[bytes]:
    if not response.is_async:
        yield from response
        return
    with asyncio.Runner() as runner:
        parts = aiter(response)
        while (part := runner.run(_next(parts))) is not None:
            yield part


async def _next(parts: Any) -> bytes | None:
    return cast("bytes | None", await anext(parts, None))


__all__ = ["AsgiHandler", "AsgiRequest", "ResponseLater", "ViewConsumer"]
