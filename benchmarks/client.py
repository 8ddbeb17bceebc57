"""A small WebSocket client that costs less than the servers it measures.

RFC 6455 on asyncio's protocol interface, and only what a load needs: frames that go out are
built and masked beforehand, an answer that arrives alone is compared as one piece of bytes, and
everything else takes the parser. Never for use outside of a benchmark: the nonce is constant.
"""

import asyncio
import base64
import hashlib
import os
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from benchmarks.errors import MeasurementError

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
FIN, COMPRESSED, MASKED = 0x80, 0x40, 0x80
CONNECT_TIMEOUT = 30.0
OPENING_AT_ONCE = 200

_NONCE = base64.b64encode(b"achannels-bench!")
_ACCEPT = base64.b64encode(
    hashlib.sha1(_NONCE + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
)
_SYNC_TAIL = b"\x00\x00\xff\xff"


def client_frame(opcode: int, payload: bytes, *, compressed: bool = False) -> bytes:
    """Return one final, masked frame."""
    head = bytes([FIN | opcode | (COMPRESSED if compressed else 0)])
    mask = os.urandom(4)
    size = len(payload)
    key = int.from_bytes((mask * (size // 4 + 1))[:size])
    masked = (int.from_bytes(payload) ^ key).to_bytes(size)
    return head + _length(size, MASKED) + mask + masked


def server_frame(opcode: int, payload: bytes) -> bytes:
    """Return one final, unmasked and uncompressed frame."""
    return bytes([FIN | opcode]) + _length(len(payload), 0) + payload


def _length(size: int, masked: int) -> bytes:
    if size < 126:
        return bytes([masked | size])
    if size < 1 << 16:
        return bytes([masked | 126]) + size.to_bytes(2)
    return bytes([masked | 127]) + size.to_bytes(8)


@dataclass(frozen=True, slots=True)
class Message:
    """A text with the frames that carry it.

    Attributes:
        text: The text, encoded.
        request: The frame a client sends.
        reply: The frame a server sends where nothing is compressed.
    """

    text: bytes
    request: bytes
    reply: bytes

    @classmethod
    def of(cls, text: str, *, deflate: bool) -> "Message":
        """Build the frames of a text.

        A compressed one refers to nothing sent before it, so it can be sent at any time.
        """
        data = text.encode()
        payload = data
        if deflate:
            compressor = zlib.compressobj(wbits=-9)
            payload = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
            payload = payload.removesuffix(_SYNC_TAIL)
        request = client_frame(TEXT, payload, compressed=deflate)
        return cls(data, request, server_frame(TEXT, data))


class WebSocket(asyncio.Protocol):
    """An open connection; subclasses take its texts and its end."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._pending = b""
        self._inflate: Callable[[bytes], bytes] | None = None

    def opened(self, transport: asyncio.Transport, *, deflate: bool) -> None:
        """Take over a connection whose handshake is done."""
        self.transport = transport
        if deflate:
            self._inflate = zlib.decompressobj(-15).decompress

    def text_received(self, text: bytes) -> None:
        """Take one text, encoded."""
        raise NotImplementedError

    def closed(self, reason: str) -> None:
        """Take the end of the connection."""

    def send(self, frame: bytes) -> None:
        """Write a frame."""
        self.transport.write(frame)

    def abort(self) -> None:
        """End the connection at once."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take apart what arrived and hand on each whole frame."""
        if self._pending:
            data = self._pending + data
        position, end = 0, len(data)
        while end - position >= 2:
            start = position + 2
            length = data[position + 1]
            if length >= 126:
                start += 2 if length == 126 else 8
                length = int.from_bytes(data[position + 2 : start])
            stop = start + length
            if stop > end:
                break
            self._frame_received(data[position], data[start:stop])
            position = stop
        self._pending = data[position:]

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end."""
        self.closed(f"connection lost: {exc}" if exc else "connection ended")

    def _frame_received(self, head: int, payload: bytes) -> None:
        if head == FIN | TEXT:
            self.text_received(payload)
        elif head == FIN | COMPRESSED | TEXT and self._inflate is not None:
            self.text_received(self._inflate(payload + _SYNC_TAIL))
        elif head == FIN | PING:
            self.send(client_frame(PONG, payload))
        elif head == FIN | CLOSE:
            self.closed(f"closed with {int.from_bytes(payload[:2])}")
        else:
            self.closed(f"unexpected frame 0x{head:02x}")
            self.abort()


class _Handshake(asyncio.Protocol):
    """Asks for a WebSocket, checks the answer and hands the connection on."""

    def __init__(self, port: int, path: str, websocket: WebSocket, *, deflate: bool) -> None:
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {_NONCE.decode()}\r\nSec-WebSocket-Version: 13\r\n"
        )
        if deflate:
            self._request += (
                "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
            )
        self._websocket = websocket
        self._deflate = deflate
        self._received = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request.encode() + b"\r\n")

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        if problem := self._problem(head):
            self._fail(problem)
            self._transport.abort()
            return
        self._websocket.opened(self._transport, deflate=self._deflate)
        self._transport.set_protocol(self._websocket)
        if not self.done.done():
            self.done.set_result(None)
        if rest:
            self._websocket.data_received(rest)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"connection ended in the handshake: {exc}")

    def _problem(self, head: bytes) -> str:
        if not head.startswith(b"HTTP/1.1 101 "):
            return f"handshake answered {head.splitlines()[0].decode(errors='replace')!r}"
        if _ACCEPT not in head:
            return "handshake answered with a wrong Sec-WebSocket-Accept"
        if (b"permessage-deflate" in head) is not self._deflate:
            return "the server did not agree about permessage-deflate"
        return ""

    def _fail(self, problem: str) -> None:
        if not self.done.done():
            self.done.set_exception(MeasurementError(problem))


async def open_websocket(port: int, path: str, websocket: WebSocket, *, deflate: bool) -> None:
    """Connect a WebSocket on the loopback interface.

    Args:
        port: The server's port.
        path: The path asked for.
        websocket: What takes the connection over.
        deflate: Whether permessage-deflate is offered, as browsers offer it.

    Raises:
        MeasurementError: The handshake failed, took too long, or compression was not what was
            asked for.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            _, handshake = await loop.create_connection(
                lambda: _Handshake(port, path, websocket, deflate=deflate), "127.0.0.1", port
            )
            await handshake.done
    except TimeoutError as exc:
        raise MeasurementError(f"no handshake within {CONNECT_TIMEOUT:g} s") from exc
    except OSError as exc:
        raise MeasurementError(f"no connection: {exc}") from exc


async def open_all(port: int, path: str, websockets: list[WebSocket], *, deflate: bool) -> None:
    """Connect many WebSockets, a limited number at once.

    Raises:
        MeasurementError: One of them failed.
    """
    waiting = iter(websockets)

    async def opener() -> None:
        for websocket in waiting:
            await open_websocket(port, path, websocket, deflate=deflate)

    try:
        async with asyncio.TaskGroup() as openers:
            for _ in range(OPENING_AT_ONCE):
                openers.create_task(opener())
    except ExceptionGroup as group:
        raise MeasurementError(str(group.exceptions[0])) from group
