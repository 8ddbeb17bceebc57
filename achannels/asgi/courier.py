"""Courier: what nodes of split mode tell each other about sockets, many records in one message."""

import asyncio
import logging
from collections import deque
from typing import Any

from achannels.codec import pack
from achannels.exceptions import LayerClosed
from achannels.relay import HomeGone, RelayLayer

logger = logging.getLogger("achannels.layer")

Record = list[Any]
"""A word, the reply channel of a socket, its term, and what belongs to the word."""

_MOST = 500
"""Records in one message."""

_AGAIN = 0.25
"""Seconds before what a node did not take is sent again."""

_Address = tuple[str, int]
_Waiting = deque[tuple[float, Record]]


class Courier:
    """Tells the records of one loop turn together, again until the node has taken them.

    What arrives twice or late must do no harm. A node that takes nothing for longer than the
    layer's patience is dead, and nothing more is kept for it.

    Args:
        relay: The layer.
    """

    def __init__(self, relay: RelayLayer) -> None:
        self._relay = relay
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[_Address, _Waiting] = {}
        self._flying: set[asyncio.Future[None]] = set()
        self._timer: asyncio.Handle | None = None
        self._soon = False
        self._closed = False

    def tell(self, node: str, shard: int, record: Record) -> None:
        """Have a record told to a node."""
        if self._closed:
            return
        until = self._loop.time() + self._relay.patience
        self._waiting.setdefault((node, shard), deque()).append((until, record))
        if not self._soon:
            self._soon = True
            self._set_timer(0.0)

    async def flush(self, timeout: float) -> None:
        """Wait until everything was taken, so long."""
        deadline = self._loop.time() + timeout
        self._send()
        while (self._waiting or self._flying) and (left := deadline - self._loop.time()) > 0:
            if self._flying:
                await asyncio.wait(self._flying, timeout=left)
            else:
                await asyncio.sleep(min(left, _AGAIN))

    def close(self) -> None:
        """Tell nothing more."""
        self._closed = True
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self, delay: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay, self._send)

    def _send(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._soon = False
        waiting, self._waiting = self._waiting, {}
        for address, records in waiting.items():
            while records:
                some = [records.popleft() for _ in range(min(_MOST, len(records)))]
                self._send_some(address, some)

    def _send_some(self, address: _Address, records: list[tuple[float, Record]]) -> None:
        message = pack([record for _, record in records])
        try:
            telling = self._relay.tell(*address, message)
        except LayerClosed:
            return
        self._flying.add(telling)

        def told(done: asyncio.Future[None]) -> None:
            self._flying.discard(done)
            error = None if done.cancelled() else done.exception()
            if error is None or isinstance(error, LayerClosed) or self._closed:
                return
            if not isinstance(error, HomeGone):
                logger.debug("%s was not told %d things: %s", address[0], len(records), error)
            self._keep(address, records)

        telling.add_done_callback(told)

    def _keep(self, address: _Address, records: list[tuple[float, Record]]) -> None:
        now = self._loop.time()
        kept = [each for each in records if each[0] > now]
        if kept:
            self._waiting.setdefault(address, deque()).extendleft(reversed(kept))
            if self._timer is None:
                self._set_timer(_AGAIN)


__all__ = ["Courier", "Record"]
