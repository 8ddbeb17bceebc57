"""The body of a request: read when a consumer asks for it, and what can go wrong with it."""

import asyncio

from achannels.exceptions import RequestAborted, RequestTimeout
from achannels.types import Receive


class BodyTooLarge(RequestAborted):
    """The request's body is over `max_size`."""


class Body:
    """Reads the body of a request once, when a consumer asks for it."""

    def __init__(self, receive: Receive, limit: int, timeout: float) -> None:
        self._receive = receive
        self._limit = limit
        self._timeout = timeout
        self._reading: asyncio.Task[bytes] | None = None
        self.left = False
        self.complete = False

    async def read(self) -> bytes:
        """Return the whole body.

        Raises:
            RequestAborted: The client left before it was complete, or it is over `max_size`.
            RequestTimeout: It was not complete in time.
        """
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._read())
        return await asyncio.shield(self._reading)

    async def _read(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    event = await self._receive()
                    if event["type"] == "http.disconnect":
                        self.left = True
                        raise RequestAborted("the client left before its request was complete.")
                    part = event.get("body", b"")
                    size += len(part)
                    if size > self._limit:
                        raise BodyTooLarge(
                            f"the body has more than {self._limit} bytes, the limit is max_size."
                        )
                    parts.append(part)
                    if not event.get("more_body", False):
                        self.complete = True
                        return b"".join(parts)
        except TimeoutError:
            raise RequestTimeout(
                f"the request's body was not complete within {self._timeout} s (http_timeout)."
            ) from None

    async def gone(self) -> None:
        """Return when the client left; its body is read and dropped on the way."""
        if self._reading is not None:
            await asyncio.wait([self._reading])
        while not self.left:
            event = await self._receive()
            self.left = event["type"] == "http.disconnect"

    async def close(self) -> None:
        """End the reading."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
            if not self._reading.cancelled():
                self._reading.exception()


__all__ = ["Body", "BodyTooLarge"]
