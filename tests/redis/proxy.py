"""A TCP proxy that does to connections what networks do: it delays, cuts, loses answers and stalls."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

_CHUNK = 65536


class Proxy:
    """Forwards TCP connections to one server, each chunk late by a few milliseconds.

    Bytes keep their order, and a late chunk does not hold up the sender. All methods are called on
    the event loop of the proxy; `in_thread` gives a twin that may be called from anywhere.

    Args:
        port: Of the server on this machine.
        delay: The least and the most seconds that a chunk is late, in each direction.
        seed: Of the random delays.

    Attributes:
        port: Where it listens.
        opened: Connections that were made through it.
        cuts: Connections that it cut.
        swallowed: Bytes of answers that it dropped.
    """

    def __init__(
        self, port: int, *, delay: tuple[float, float] = (0.001, 0.006), seed: int = 0
    ) -> None:
        self.port = 0
        self.opened = 0
        self.cuts = 0
        self.swallowed = 0
        self._target = port
        self._delay = delay
        self._random = random.Random(seed)
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it listens, as the address of a server."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def open(self) -> int:
        """Connections that are open."""
        return len(self._links)

    def cut(self) -> None:
        """Cut all connections now."""
        for link in tuple(self._links):
            self._cut(link)

    def cut_after(self, *, to_server: int | None = None, to_client: int | None = None) -> None:
        """Cut each open connection when so many more bytes have passed in one direction."""
        for link in self._links:
            link.budgets = {True: to_server, False: to_client}

    def swallow(self) -> None:
        """Lose the next answer on each open connection, and cut the connection then."""
        for link in self._links:
            link.swallowing = True

    def stall(self) -> None:
        """Hold everything in both directions; connections stay open, new ones are taken."""
        self._flowing.clear()

    def flow(self) -> None:
        """End a stall."""
        self._flowing.set()

    def refuse(self) -> None:
        """Cut all connections, and each new one at once."""
        self._refusing = True
        self.cut()

    def accept(self) -> None:
        """End a refusal."""
        self._refusing = False

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Cut everything and stop listening."""
        assert self._server is not None
        self._server.close()
        self.cut()
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        if self._refusing:
            self.cuts += 1
            writer.transport.abort()
            return
        task = asyncio.create_task(self._link(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, up_writer)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(link, reader, up_writer, to_server=True))
                group.create_task(self._pump(link, up_reader, writer, to_server=False))
        except* OSError:
            pass  # one side is gone, which is what the other side shall see
        finally:
            self._links.discard(link)
            link.abort()

    async def _pump(
        self,
        link: "_Link",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        to_server: bool,
    ) -> None:
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(1000)
        async with asyncio.TaskGroup() as group:
            sender = group.create_task(self._send(link, chunks, writer, to_server=to_server))
            loop, due = asyncio.get_running_loop(), 0.0
            while data := await reader.read(_CHUNK):
                due = max(due, loop.time() + self._random.uniform(*self._delay))
                await chunks.put((due, data))
            await chunks.join()
            sender.cancel()
        raise ConnectionResetError

    async def _send(
        self,
        link: "_Link",
        chunks: asyncio.Queue[tuple[float, bytes]],
        writer: asyncio.StreamWriter,
        *,
        to_server: bool,
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await chunks.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self._flowing.wait()
            if link.swallowing and not to_server:
                self.swallowed += len(data)
                self._cut(link)
            budget = link.budgets[to_server]
            if budget is not None and len(data) >= budget:
                writer.write(data[:budget])
                writer.close()  # what was written leaves first
                self._cut(link)
            if budget is not None:
                link.budgets[to_server] = budget - len(data)
            writer.write(data)
            await writer.drain()
            chunks.task_done()

    def _cut(self, link: "_Link") -> None:
        self.cuts += 1
        self._links.discard(link)
        link.abort()
        link.task.cancel()


class _Link:
    """One connection and its twin to the server, served by the current task."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self.budgets: dict[bool, int | None] = {True: None, False: None}
        self.swallowing = False
        self.task = cast("asyncio.Task[None]", asyncio.current_task())
        self._writers = writers

    def abort(self) -> None:
        """Drop both connections, but not what a closing one still has to write."""
        for writer in self._writers:
            if not writer.transport.is_closing():
                writer.transport.abort()


@asynccontextmanager
async def proxy(port: int, **options: Any) -> AsyncIterator[Proxy]:
    """Run a proxy on this event loop."""
    found = Proxy(port, **options)
    await found.start()
    try:
        yield found
    finally:
        await found.aclose()


class ThreadedProxy:
    """A proxy on an event loop of its own: for tests that block, and for other processes.

    Its methods are those of `Proxy`; each returns when it has taken effect.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, inner: Proxy) -> None:
        self._loop = loop
        self._inner = inner
        self.port = inner.port
        self.url = inner.url

    def __getattr__(self, name: str) -> Any:
        """Return a method of the proxy that runs on its loop, or a value of it."""
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        async def run(*args: Any, **kwargs: Any) -> Any:
            return found(*args, **kwargs)

        return lambda *args, **kwargs: asyncio.run_coroutine_threadsafe(
            run(*args, **kwargs), self._loop
        ).result()


@contextmanager
def in_thread(*ports: int, **options: Any) -> Iterator[list[ThreadedProxy]]:
    """Run a proxy to each port, on one event loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result()

    proxies = [Proxy(port, **{"seed": number, **options}) for number, port in enumerate(ports)]
    try:
        for each in proxies:
            run(each.start())
        yield [ThreadedProxy(loop, each) for each in proxies]
        for each in proxies:
            run(each.aclose())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


__all__ = ["Proxy", "ThreadedProxy", "in_thread", "proxy"]
