"""encode_response: a Django response as the messages that answer an `http.request`."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase

CHUNK = 512 * 1024
"""Bytes of content in one message, at most: half of what a layer takes."""

_GATHER = 64 * 1024
_PATIENCE = 0.02


async def encode_response(response: HttpResponseBase) -> AsyncIterator[dict[str, Any]]:
    """Give the contents that answer a request with a response, for `reply_channel.send`.

    The first has `status` and `headers`; the last has no `more_content`. A streaming response is
    read while it is sent: async parts on the loop, plain ones in a thread. The response is closed
    at the end, or when the iterator is.

    Args:
        response: Any response of Django, rendered.
    """
    try:
        head = {"status": int(response.status_code), "headers": _headers(response)}
        if isinstance(response, StreamingHttpResponse):
            yield {**head, "content": b"", "more_content": True}
            async with aclosing(_parts(response)) as parts:
                async for part in parts:
                    for chunk in _chunks(part):
                        yield {"content": chunk, "more_content": True}
            yield {"content": b"", "more_content": False}
            return
        *first, last = _chunks(cast("Any", response).content) or [b""]
        for chunk in first:
            yield {**head, "content": chunk, "more_content": True}
            head = {}
        yield {**head, "content": last, "more_content": False}
    finally:
        await sync_to_async(response.close)()


def _headers(response: HttpResponseBase) -> list[tuple[bytes, bytes]]:
    headers = [
        (name.lower().encode("ascii"), value.encode("latin-1")) for name, value in response.items()
    ]
    cookies = response.cookies.values()
    return headers + [(b"set-cookie", cookie.OutputString().encode("ascii")) for cookie in cookies]


def _chunks(data: bytes) -> list[bytes]:
    return [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]


async def _parts(response: StreamingHttpResponse) -> AsyncGenerator[bytes]:
    if response.is_async:
        async for part in response:
            yield part
        return
    parts = iter(response)
    gather = sync_to_async(_gather)
    while (gathered := await gather(parts)) is not None:
        yield gathered


def _gather(parts: Iterator[bytes]) -> bytes | None:
    """Return the next parts joined, as many as come at once; `None` at the end."""
    found: list[bytes] = []
    size, began = 0, time.monotonic()
    for part in parts:
        found.append(part)
        size += len(part)
        if size >= _GATHER or time.monotonic() - began > _PATIENCE:
            break
    return b"".join(found) if found else None


__all__ = ["CHUNK", "encode_response"]
