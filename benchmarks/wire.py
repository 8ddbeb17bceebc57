"""A proxy that counts what one process and its Redis server say to each other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from hiredis import Reader

READ = 65536


@dataclass
class Wire:
    """What has passed so far.

    Attributes:
        port: Where the process connects.
        commands: Commands to the server.
        sent: Bytes to the server.
        received: Bytes from it.
    """

    port: int = 0
    commands: int = 0
    sent: int = 0
    received: int = 0
    _copying: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """The address for the process."""
        return f"redis://127.0.0.1:{self.port}/0"

    def counts(self) -> tuple[int, int, int]:
        """Return commands, bytes to the server and bytes from it."""
        return self.commands, self.sent, self.received

    async def _connect(
        self, target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", target)
        for copying in (self._out(reader, server_writer), self._back(server_reader, writer)):
            task = asyncio.create_task(copying)
            self._copying.add(task)
            task.add_done_callback(self._copying.discard)

    async def _out(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        commands = Reader()
        while data := await reader.read(READ):
            self.sent += len(data)
            commands.feed(data)
            while commands.gets() is not False:
                self.commands += 1
            writer.write(data)
        writer.close()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(READ):
            self.received += len(data)
            writer.write(data)
        writer.close()


@asynccontextmanager
async def counting_wire(target: int) -> AsyncIterator[Wire]:
    """Pass everything on to a loopback port while the context is open."""
    wire = Wire()
    server = await asyncio.start_server(
        lambda reader, writer: wire._connect(target, reader, writer), "127.0.0.1", 0
    )
    async with server:
        wire.port = server.sockets[0].getsockname()[1]
        yield wire
