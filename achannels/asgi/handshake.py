"""The handshake of one socket: accepted or refused, once, by whoever says so first."""

import asyncio
import logging
from collections.abc import Iterable

from achannels.asgi.events import Reply, denial
from achannels.asgi.outbox import Outbox
from achannels.types import Event, Scope, Send

_TURNS = 3

logger = logging.getLogger("achannels.server")


class Handshake:
    """A socket that waits to be accepted or refused.

    Args:
        scope: Of the socket.
        path: Of the socket, for the log.
        send: The server's.
        outbox: Opened by an accept, shut by a refusal.
        subprotocols: Those that are accepted.
    """

    __slots__ = ("_outbox", "_path", "_scope", "_send", "_subprotocols")

    def __init__(
        self, scope: Scope, path: str, send: Send, outbox: Outbox, subprotocols: Iterable[str]
    ) -> None:
        self._scope = scope
        self._path = path
        self._send = send
        self._outbox = outbox
        self._subprotocols = subprotocols

    async def accept(self, reply: Reply) -> None:
        """Open the socket as the reply says; data without `accept` opens it too."""
        event: Event = dict(reply.accept or {"type": "websocket.accept"})
        event.setdefault("subprotocol", self._subprotocol())
        log("CONNECT", self._path, 101, self._scope)
        await self._outbox.open(event)

    async def deny(
        self, status: int, reason: str = "", headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        """Refuse the socket with an HTTP answer."""
        await self._outbox.shut()
        await refuse(self._scope, self._path, self._send, status, reason, headers)

    def _subprotocol(self) -> str | None:
        offered = self._scope.get("subprotocols") or ()
        return next((name for name in offered if name in self._subprotocols), None)


async def refuse(
    scope: Scope,
    path: str,
    send: Send,
    status: int,
    reason: str = "",
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """Answer a handshake with an HTTP status instead of a socket."""
    log("REJECT", path, status, scope)
    try:
        for event in denial(scope, status, reason, headers):
            await send(event)
        # uvicorn closes the connection in one of the next turns of the loop. Before that it takes
        # the end of an application that answered by HTTP for an incomplete handshake, and logs an
        # error.
        for _ in range(_TURNS):
            await asyncio.sleep(0)
    except OSError as error:
        logger.debug("a client left before it was refused: %r", error)


def log(event: str, path: str, code: int, scope: Scope) -> None:
    """Write the access line of a socket."""
    if logger.isEnabledFor(logging.INFO):
        client = {"client": scope.get("client")}
        logger.info('"WebSocket %s %s" %d', event, path, code, extra=client)


__all__ = ["Handshake", "log", "refuse"]
