"""A request at its home: its consumer, or an ASGI application, answers it from here."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from achannels.asgi.body import BodyTooLarge
from achannels.asgi.http import Part, answer_to
from achannels.codec import Encoded
from achannels.dispatch import log_error
from achannels.exceptions import ChannelFull, RequestAborted, RequestTimeout
from achannels.home.tenant import House, Tenant, content_of
from achannels.split.inbox import Arrival, Inbox
from achannels.types import ASGIApplication, Content, Event, Scope

logger = logging.getLogger("achannels.server")

WINDOW = 256 * 1024
"""Bytes of a body that the interface may send ahead."""


class Inflow:
    """The body of a request, asked for part by part.

    Args:
        tenant: The request.
        body: What came with the request.
        complete: That is all.
    """

    def __init__(self, tenant: "RequestTenant", body: bytes, *, complete: bool) -> None:
        self._tenant = tenant
        self._parts = [body] if body or complete else []
        self._received = len(body)
        self._allowed = 0
        self._index = 0
        self._changed = asyncio.Event()
        self.complete = complete
        self.gone = False
        self.lost = False

    def put(self, index: int, part: bytes, more: bool) -> None:
        """A part has come; it may come twice, and one before it may never have come."""
        if index > self._index:
            self.lose()
        if index != self._index or self.lost:
            return
        self._index += 1
        self._received += len(part)
        self._parts.append(part)
        self.complete = not more
        self._changed.set()

    def leave(self) -> None:
        """The client has left."""
        self.gone = True
        self._changed.set()

    def lose(self) -> None:
        """What was on its way is lost with the data of the layer's server."""
        self.lost = not self.complete
        self._changed.set()

    async def next(self) -> bytes | None:
        """Return the next part; `None` after the last.

        Raises:
            RequestAborted: The client left before it was complete, or a part was lost.
        """
        while not self._parts:
            if self.complete:
                return None
            if self.lost:
                raise RequestAborted("a part of the request was lost with the layer's data.")
            if self.gone:
                raise RequestAborted("the client left before its request was complete.")
            self._changed.clear()  # before it asks: the answer may be there before `say` returns
            if self._received >= self._allowed:
                self._allowed = self._received + WINDOW
                await self._tenant.say("body", self._allowed)
            await self._changed.wait()
        return self._parts.pop(0)

    async def left(self) -> None:
        """Wait until the client has left."""
        while not self.gone:
            self._changed.clear()
            await self._changed.wait()


class WholeBody:
    """The body of a request as `message.body()` has it."""

    def __init__(self, inflow: Inflow, limit: int, timeout: float) -> None:
        self._inflow = inflow
        self._limit = limit
        self._timeout = timeout
        self._lock = asyncio.Lock()
        self._parts: list[bytes] = []
        self._whole: bytes | None = None

    async def read(self) -> bytes:
        """Return the whole body.

        Raises:
            RequestAborted: The client left before it was complete, or it is over `max_size`.
            RequestTimeout: It was not complete in time.
        """
        async with self._lock:
            if self._whole is None:
                try:
                    async with asyncio.timeout(self._timeout):
                        self._whole = await self._read()
                except TimeoutError:
                    raise RequestTimeout(
                        f"the request's body was not complete within {self._timeout} s "
                        "(http_timeout)."
                    ) from None
            return self._whole

    async def _read(self) -> bytes:
        while (part := await self._inflow.next()) is not None:
            self._parts.append(part)
            if sum(map(len, self._parts)) > self._limit:
                raise BodyTooLarge(
                    f"the body has more than {self._limit} bytes, the limit is max_size."
                )
        return b"".join(self._parts)


class RequestTenant(Tenant):
    """A request."""

    def __init__(self, homes: House, inbox: Inbox, scope: Scope, *, gap: bool) -> None:
        super().__init__(homes, inbox, scope, gap=gap)
        self.patience = max(self.patience, homes.settings.stall_timeout)
        self._inflow: Inflow | None = None
        self._turn = asyncio.Lock()
        self._said = 0

    @property
    def is_over(self) -> bool:
        """Whether nobody hears an answer any more: what comes after a request is its end."""
        left = self._inflow is not None and self._inflow.gone
        return left or len(self.inbox) > 0 or super().is_over

    async def handle(self, arrival: Arrival) -> None:
        """Have the request answered, or its end noted."""
        content = content_of(arrival)
        if arrival.kind == "http.request":
            await self._answer(content)
        elif arrival.kind == "http.disconnect":
            await self._disconnect(content)

    def told(self, word: str, more: list[Any]) -> None:
        """A part of the body, or its end."""
        if self._inflow is not None and word == "part":
            self._inflow.put(*more)
        elif self._inflow is not None and word == "gone":
            self._inflow.leave()
        else:
            super().told(word, more)

    def reset(self) -> None:
        """The server lost its data, and perhaps a part of the body."""
        super().reset()
        if self._inflow is not None:
            self._inflow.lose()

    async def _say_reply(self, body: bytes) -> None:
        """Say a part with its number, so that the interface misses one that is lost."""
        async with self._turn:
            number = self._said
            self._said += 1
            try:
                await self.say("reply", body, number, timeout=self.patience)
            except ChannelFull:
                self._said = number
                raise

    def prepare(self, content: Mapping[str, Any]) -> Encoded:
        """Check a part; callable from any thread."""
        Part(content)
        return self._encode(content)

    async def _answer(self, given: Content) -> None:
        homes = self._homes
        content: Content = given["content"]
        inflow = self._inflow = Inflow(self, given["body"], complete=given["complete"])
        found = homes.dispatcher.find("http.request", content)
        try:
            if found is not None:
                body = WholeBody(inflow, given["max_size"], homes.settings.http_timeout)
                handler, kwargs = found
                channel = homes.channel("http.request")
                await handler.handle(self.connection, channel, content, kwargs, body=body)
            elif homes.http is not None:
                await self._serve(homes.http, inflow)
            else:
                await self.tell("deny", 404, "Not Found", [])
        except Exception as error:
            answer = answer_to(error)
            if answer is not None:
                status, text, headers = answer
                await self.tell("deny", status, text, [list(pair) for pair in headers])
            else:
                if found is not None:
                    log_error(found[0], "http.request", content["path"], error)
                else:
                    logger.exception("the application failed to answer %s", content["path"])
                await self.tell("deny", 500, "", [])

    async def _serve(self, application: ASGIApplication, inflow: Inflow) -> None:
        """Have an ASGI application answer."""
        start: Event | None = None
        complete = False

        async def receive() -> Event:
            try:
                part = await inflow.next()
            except RequestAborted:
                return {"type": "http.disconnect"}
            if part is None:
                await inflow.left()
                return {"type": "http.disconnect"}
            more = not inflow.complete or bool(inflow._parts)
            return {"type": "http.request", "body": part, "more_body": more}

        async def send(event: Event) -> None:
            nonlocal start, complete
            if event["type"] == "http.response.start":
                start = event
                return
            if event["type"] != "http.response.body" or complete:
                raise RuntimeError(f"the application sent {event['type']!r} at the wrong time.")
            more = event.get("more_body", False)
            content: Content = {"content": bytes(event.get("body", b"")), "more_content": more}
            if start is not None:
                content["status"] = start["status"]
                content["headers"] = [list(pair) for pair in start.get("headers", ())]
                start = None
            complete = not more
            await self._send_parts(content)

        await application(self.scope, receive, send)
        if not complete:
            await self.tell("deny", 500, "", [])

    async def _send_parts(self, content: Content) -> None:
        """Send a part of an answer, in pieces that a message can hold."""
        data, more = content["content"], content["more_content"]
        most = self._homes.layer.message_size // 2
        for at in range(0, max(len(data), 1), most):
            piece = {**content, "content": data[at : at + most]}
            piece["more_content"] = more or at + most < len(data)
            await self.write(self._encode(piece))
            content.pop("status", None)
            content.pop("headers", None)

    async def _disconnect(self, content: Content) -> None:
        homes = self._homes
        found = homes.dispatcher.find("http.disconnect", content)
        if found is None:
            return
        try:
            async with asyncio.timeout(homes.settings.drain_timeout):
                await found[0].handle(
                    self.connection, homes.channel("http.disconnect"), content, found[1]
                )
        except Exception as error:  # noqa: BLE001 - nobody is left to answer
            log_error(found[0], "http.disconnect", content["path"], error)


__all__ = ["RequestTenant"]
