"""The queue to one client: bounded, in order, pushed without waiting, drained as the client reads.

A frame for an idle client is written at once by whoever pushes it. Only when the server's `send`
suspends, because the client reads slowly, frames queue and a task finishes the work.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from achannels.asgi.eager import Rest, start
from achannels.asgi.events import Reply, prepare
from achannels.asgi.limits import Limits
from achannels.contracts import Books
from achannels.types import Event, Send

logger = logging.getLogger("achannels.server")

_Entry = tuple[Reply, asyncio.Future[bool] | None]
"""A reply that waits; with a future, the socket's own consumer waits to hear whether it was lost."""

_TURN = 64
"""Frames that one turn of the loop writes for one client."""

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


def _nobody(code: int) -> None:
    """Take the end of a client whose socket is over."""


class Outbox:
    """Sends to one client, one event at a time.

    Args:
        send: The server's.
        limits: What may wait.
        books: Where is counted what becomes of each message.
        spawn: Starts a task that somebody owns.
        end: Called with a close code when the client must go: 1013 when it does not read, 1006 when
            it is gone. It may be called more than once.

    Attributes:
        close_sent: The client was told to go.
    """

    __slots__ = (
        "_books",
        "_closed",
        "_end",
        "_in_flight",
        "_limits",
        "_lost",
        "_open",
        "_queue",
        "_released",
        "_send",
        "_size",
        "_spawn",
        "_writer",
        "_writing",
        "close_sent",
    )

    def __init__(
        self, send: Send, limits: Limits, books: Books, spawn: Spawn, end: Callable[[int], None]
    ) -> None:
        self._send = send
        self._limits = limits
        self._books = books
        self._spawn = spawn
        self._end = end
        self._queue: deque[_Entry] | None = None
        self._size = 0
        self._open = False
        self._writing = False
        self._in_flight = False
        self._closed = False
        self.close_sent = False
        self._lost = False
        self._writer: asyncio.Task[None] | None = None
        self._released: asyncio.Future[None] | None = None

    @property
    def pending(self) -> int:
        """Messages from elsewhere that were taken and are not written."""
        waiting = sum(lost is None for _, lost in self._queue) if self._queue else 0
        return waiting + self._in_flight

    @property
    def capacity(self) -> int:
        """Messages that may wait."""
        return self._limits.capacity

    @property
    def is_closed(self) -> bool:
        """Whether nothing is taken any more."""
        return self._closed

    @property
    def is_open(self) -> bool:
        """Whether the accept was sent."""
        return self._open

    def limit(self, limits: Limits) -> None:
        """Change the limits, when the consumer of the socket is known."""
        self._limits = limits

    async def open(self, accept: Event) -> None:
        """Send the accept; what waited for it follows."""
        if self._open or self._closed:
            return
        self._open = self._writing = True
        try:
            rest = self._start(accept)
            if rest is not None:
                await self._finish(rest)
        finally:
            self._release()
            self._resume()

    def push(self, reply: Reply, *, group: bool) -> bool:
        """Take a message from elsewhere without waiting.

        Returns:
            `False` when a direct message finds no room.
        """
        if self._closed:
            self._books.drop("gone")
            return True
        if reply.plain and self._open and not self._writing and not self._queue:
            data: Any = reply.data
            try:
                rest = start(self._send(data))
            except Exception as error:  # noqa: BLE001 - every kind means that the client is gone
                self._gone(error)
                self._books.drop("gone")
                return True
            if rest is None:
                self._books.delivered += 1
            else:
                self._in_flight = True
                self._spawn_writer(rest)
            return True
        if not self._has_room(reply):
            if not group:
                return False
            if not self._make_room(reply):
                return True
        self._enqueue(reply, None)
        return True

    async def write_text(self, text: str) -> None:
        """Write the socket's own answer as `write` does; the short way of nearly all of them."""
        if not self._open or self._writing or self._queue or self._closed:
            await self.write(prepare({"text": text}))
            return
        try:
            rest = start(self._send({"type": "websocket.send", "text": text}))
        except Exception as error:  # noqa: BLE001 - every kind means that the client is gone
            self._gone(error)
            self._count_reply(lost=True)
            return
        if rest is None:
            self._books.replies += 1
        else:
            await self._finish_own(rest)

    async def write(self, reply: Reply) -> None:
        """Send the socket's own answer; returns when it is written, or the client is gone."""
        if self._closed:
            self._count_reply(lost=True)
            return
        if reply.plain and self._open and not self._writing and not self._queue:
            await self._finish_own(self._start(reply.data))
            return
        lost: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._enqueue(reply, lost)
        self._count_reply(lost=await lost)

    async def _finish_own(self, rest: Rest | None) -> None:
        """Wait for what is left of the write of an answer, and do its books."""
        written = not self._lost
        if rest is not None:
            self._writing = True
            try:
                written = await self._finish(rest)
            finally:
                self._release()
                self._resume()
        self._count_reply(lost=not written)

    async def close(self, event: Event, patience: float) -> None:
        """Drop what waits, take nothing more, and tell the client to go.

        Args:
            event: The close event.
            patience: Seconds to wait for a client that does not read.
        """
        self._closed = True
        self._drop_queue()
        if self._lost or self.close_sent or not self._open:
            return
        self.close_sent = True
        try:
            async with asyncio.timeout(patience):
                if self._writing:
                    self._released = asyncio.get_running_loop().create_future()
                    await self._released
                if not self._lost:
                    await self._send_close(event)
        except Exception as error:  # noqa: BLE001 - it was to go, and it is gone
            logger.debug("a client did not take its close event: %r", error)

    async def _send_close(self, event: Event) -> None:
        try:
            await self._send(event)
        except (OSError, RuntimeError):
            raise
        except Exception:
            if not 1000 < event["code"] < 3000:
                raise
            # daphne sends only the codes that are an application's, so its clients get 4011 for 1011.
            await self._send({**event, "code": event["code"] + 3000})

    def stop(self) -> asyncio.Task[None] | None:
        """Take nothing more; return the writer that still has a frame in hand, if there is one."""
        self._closed = True
        self._drop_queue()
        return self._writer

    def let_go(self) -> None:
        """Forget whom to tell that the client must go; call it when nothing is sent any more."""
        self._end = _nobody

    async def shut(self) -> None:
        """Take and send nothing more; ends the writer."""
        writer = self.stop()
        if writer is not None:
            writer.cancel()
            await asyncio.wait([writer])

    def _count_reply(self, *, lost: bool) -> None:
        if lost:
            self._books.accepted += 1
            self._books.drop("gone")
        else:
            self._books.replies += 1

    def _has_room(self, reply: Reply) -> bool:
        queue, limits = self._queue, self._limits
        if not queue:
            return True
        return len(queue) < limits.capacity and self._size + reply.size <= limits.size

    def _make_room(self, reply: Reply) -> bool:
        """Apply the overflow policy to a group send; return whether the message has room now."""
        overflow, queue = self._limits.overflow, self._queue
        if overflow == "drop_oldest":
            while queue and queue[0][1] is None and not self._has_room(reply):
                self._size -= queue.popleft()[0].size
                self._books.drop("overflow")
            if self._has_room(reply):
                return True
        self._books.drop("overflow")
        if overflow == "close":
            self._end(1013)
        return False

    def _enqueue(self, reply: Reply, lost: asyncio.Future[bool] | None) -> None:
        if self._queue is None:
            self._queue = deque()
        self._queue.append((reply, lost))
        self._size += reply.size
        self._resume()

    def _resume(self) -> None:
        """Start the writer when something waits and nobody writes."""
        if self._queue and self._open and not self._writing and not self._closed:
            self._spawn_writer(None)

    def _spawn_writer(self, rest: Rest | None) -> None:
        self._writing = True
        writer = self._spawn(self._write_queue(rest))
        if not writer.done():
            self._writer = writer
            writer.add_done_callback(self._writer_ended)

    def _writer_ended(self, writer: asyncio.Task[None]) -> None:
        """Do what a writer leaves undone that was cancelled before its first step."""
        if self._writer is writer:
            if self._in_flight:
                self._in_flight = False
                self._books.drop("gone")
            self._release()

    def _release(self) -> None:
        self._writing = False
        self._writer = None
        if self._released is not None and not self._released.done():
            self._released.set_result(None)

    async def _write_queue(self, rest: Rest | None) -> None:
        """Finish a suspended write, then write what waits."""
        turn = 0
        try:
            if rest is not None:
                await self._settle(None, self._finish(rest))
            while self._queue and not self._closed:
                reply, lost = self._queue.popleft()
                self._size -= reply.size
                await self._settle(lost, self._write_reply(reply))
                turn += 1
                if turn % _TURN == 0:
                    await asyncio.sleep(0)
        finally:
            self._release()

    async def _write_reply(self, reply: Reply) -> bool:
        """Write all events of a reply; return whether they were written."""
        written = reply.data is None or await self._write_event(reply.data)
        if reply.close is not None and not self._closed:
            self.close_sent = True
            written = await self._write_event(reply.close)
            self._closed = True
            self._drop_queue()
        return written

    async def _write_event(self, event: Event) -> bool:
        rest = self._start(event)
        return await self._finish(rest) if rest is not None else not self._lost

    async def _settle(
        self, lost: asyncio.Future[bool] | None, writing: Coroutine[Any, Any, bool]
    ) -> None:
        """Run a write and do the books of its message, whatever happens."""
        self._in_flight = lost is None
        written = False
        try:
            written = await writing
        finally:
            self._in_flight = False
            if lost is not None:
                if not lost.done():
                    lost.set_result(not written)
            elif written:
                self._books.delivered += 1
            else:
                self._books.drop("gone")

    def _start(self, event: Any) -> Rest | None:
        try:
            return start(self._send(event))
        except Exception as error:  # noqa: BLE001 - every kind means that the client is gone
            self._gone(error)
            return None

    async def _finish(self, rest: Rest) -> bool:
        """Wait for a slow client, no longer than the stall limit; return whether it took all."""
        limit = asyncio.timeout(self._limits.stall)
        try:
            async with limit:
                await rest
        except Exception as error:  # noqa: BLE001 - every kind means that the client is gone
            if limit.expired():
                self._closed = True
                self._drop_queue()
                self._end(1013)
            else:
                self._gone(error)
            return False
        return True

    def _gone(self, error: Exception) -> None:
        # A server says by OSError that the client left, and by RuntimeError that it closed the
        # socket itself and wants no more (uvicorn does that when it stops).
        if not isinstance(error, OSError | RuntimeError):
            logger.error("the server failed to send; its socket is given up", exc_info=error)
        self._lost = self._closed = True
        self._drop_queue()
        self._end(1006)

    def _drop_queue(self) -> None:
        while self._queue:
            _, lost = self._queue.popleft()
            self._size = 0
            if lost is None:
                self._books.drop("gone")
            elif not lost.done():
                lost.set_result(True)


__all__ = ["Outbox", "Spawn"]
