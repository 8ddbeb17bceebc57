"""Desk: what a node does for its inboxes: handlers started, interfaces told, time kept."""

import asyncio
import logging
from collections.abc import Callable

from achannels.asgi.courier import Courier, Record
from achannels.asgi.events import disconnect_content, path_of
from achannels.codec import encode, pack
from achannels.exceptions import LayerClosed, LayerUnavailable
from achannels.home.request import RequestTenant
from achannels.home.tenant import Tenant
from achannels.relay import RelayLayer
from achannels.split.inbox import Arrival, Inbox, Inboxes

logger = logging.getLogger("achannels.worker")

_LEASE_TURN = 0.1
"""Seconds between two looks at a lease that does not hold."""

_SAY_AGAIN = 1.0
"""Seconds before an interface that does not answer is told again."""

_LAZILY = 1.0
"""Seconds in which an interface hears what is finished, when its window does not fill."""

_MANY, _MANY_BYTES = 8, 64 * 1024
"""What fills a window."""

_CLAIM_AGAIN = 0.25
"""Seconds before it is asked again who runs a disconnect."""


class Desk:
    """The port of the inboxes of a node; see `achannels.split.inbox.Port`.

    Args:
        relay: The layer.
        routes_ends: There are consumers on `http.disconnect`.
    """

    def __init__(self, relay: RelayLayer, *, routes_ends: bool) -> None:
        self.relay = relay
        self.inboxes = Inboxes(self)
        self.courier = Courier(relay)
        self._loop = asyncio.get_running_loop()
        self._end_of_request = "http.disconnect" if routes_ends else "http.over"
        self._tasks: dict[asyncio.Task[None], tuple[Inbox, Arrival]] = {}
        self._ended: dict[tuple[Inbox, int], asyncio.Future[None]] = {}
        self._unheard: dict[Inbox, float] = {}
        self._to_say: dict[Inbox, None] = {}
        self._finished: dict[Inbox, tuple[int, int]] = {}
        self._size = 0
        self._is_urgent = False
        self._timers: dict[Callable[[], None], tuple[float, asyncio.TimerHandle]] = {}
        self._call_in(relay.patience, self._sweep)

    @property
    def running(self) -> list[asyncio.Task[None]]:
        """The handlers that run."""
        return list(self._tasks)

    async def handled(self, inbox: Inbox, number: int) -> None:
        """Wait until an event was handled, or has another home."""
        if inbox.is_over or inbox.is_leaving or inbox.finished >= number:
            return
        ended = self._ended[inbox, number] = self._loop.create_future()
        try:
            await ended
        finally:
            self._ended.pop((inbox, number), None)

    def cancel(self, inbox: Inbox) -> None:
        """Cancel the handler of a socket that has ended, but not its disconnect."""
        for task, (each, arrival) in self._tasks.items():
            if each is inbox and not arrival.last:
                task.cancel()

    async def emptied(self, timeout: float) -> None:
        """Wait until no socket has its home here, so long."""
        deadline = self._loop.time() + timeout
        while len(self.inboxes) and (left := deadline - self._loop.time()) > 0:
            self._emptied = self._loop.create_future()
            await asyncio.wait([self._emptied], timeout=left)

    _emptied: asyncio.Future[None] | None = None

    def tell_finished(self) -> None:
        """Tell the interfaces what is finished."""
        finished, self._finished = self._finished, {}
        for inbox in finished:
            self._tell(inbox, ["done", inbox.channel, inbox.term, inbox.finished])

    def heard(self, inbox: Inbox) -> None:
        """The interface knows what it was told until it knew."""
        self._unheard.pop(inbox, None)

    def close(self) -> None:
        """Hear nothing, and keep no more time."""
        self.relay.listen(None)
        for _, timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self.courier.close()

    # The port.

    def may_begin(self, shard: int) -> bool:
        """Return whether the lease holds; else the inboxes go on when it does."""
        holds = self.relay.holds_lease(shard)
        if not holds:
            self._call_in(_LEASE_TURN, self.inboxes.go_on)
        return holds

    def begin(self, inbox: Inbox, arrival: Arrival) -> None:
        """Start the handler, in the context of its socket."""
        tenant: Tenant = inbox.kept
        task = self._loop.create_task(
            self._run(tenant, arrival),
            name=f"achannels {arrival.kind} of {inbox.channel}",
            context=tenant.connection.context,
        )
        self._tasks[task] = inbox, arrival
        task.add_done_callback(self._end)

    def done(self, inbox: Inbox) -> None:
        """Tell the interface what is finished: at once when its window fills, else in time."""
        count, size = self._finished.get(inbox, (0, 0))
        count, size = self._finished[inbox] = count + 1, size + self._size
        hurry = count >= _MANY or size >= _MANY_BYTES or self._is_urgent
        self._call_in(0.0 if hurry else _LAZILY, self.tell_finished)

    def handback(self, inbox: Inbox) -> None:
        """Tell the interface that the socket is handed back."""
        self._let_go(inbox)
        self.resume(inbox)

    def resume(self, inbox: Inbox) -> None:
        """Tell the interface where this home is and what it has, until it has heard."""
        self._unheard.setdefault(inbox, self._loop.time())
        self._to_say[inbox] = None
        self._call_in(0.0, self._say)
        self._call_in(_SAY_AGAIN, self._say_again)

    def last_word(self, inbox: Inbox) -> Arrival:
        """Return the event that ends a socket whose interface is dead."""
        tenant: Tenant = inbox.kept
        path = path_of(tenant.scope)
        if isinstance(tenant, RequestTenant):
            kind = self._end_of_request
            content = {"reply_channel": inbox.channel, "path": path}
        else:
            kind = "websocket.disconnect"
            content = disconnect_content(inbox.channel, path, inbox.expected, 1006)
        body = encode(content, kind, 2**31).body
        return Arrival(inbox.expected, kind, body, last=True, orphan=True)

    def forget(self, inbox: Inbox) -> None:
        """Drop what is kept for the socket."""
        self.heard(inbox)
        self._let_go(inbox)
        tenant: Tenant = inbox.kept
        tenant.leave()
        if self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    async def _run(self, tenant: Tenant, arrival: Arrival) -> None:
        if not arrival.orphan or await self._claim(tenant.channel_name):
            await tenant.handle(arrival)

    async def _claim(self, channel: str) -> bool:
        while True:
            try:
                return await self.relay.claim(channel)
            except LayerUnavailable as error:
                logger.warning("who runs the disconnect of %s is not known: %s", channel, error)
                await asyncio.sleep(_CLAIM_AGAIN)

    def _end(self, task: asyncio.Task[None]) -> None:
        inbox, arrival = self._tasks.pop(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("%s of %s failed", arrival.kind, inbox.channel, exc_info=task.exception())
        self._size = len(arrival.body)
        self._is_urgent = arrival.kind == "websocket.event"  # the interface counts those that wait
        ended = self._ended.get((inbox, arrival.number))
        if ended is not None and not ended.done():
            ended.set_result(None)
        self.inboxes.end(inbox)

    def _let_go(self, inbox: Inbox) -> None:
        """Nobody waits any more for events of a socket that has another home."""
        for (each, _), ended in self._ended.items():
            if each is inbox and not ended.done():
                ended.set_result(None)

    def _tell(self, inbox: Inbox, record: Record) -> None:
        self.courier.tell(inbox.interface.node, inbox.shard, record)

    def _say(self) -> None:
        """Say what must be heard; it is not repeated by itself, since it says where this home is."""
        said, self._to_say = self._to_say, {}
        messages: dict[tuple[str, int], list[Record]] = {}
        for inbox in said:
            if inbox.is_over:
                continue
            home = self.relay.home(inbox.shard)
            word, numbers = "resume", [inbox.expected, inbox.finished]
            if inbox.is_leaving:
                word, numbers = "handback", [inbox.first_unbegun]
            record = [word, inbox.channel, inbox.term, *home, *numbers]
            messages.setdefault((inbox.interface.node, inbox.shard), []).append(record)
        for (node, shard), records in messages.items():
            for at in range(0, len(records), 500):
                try:
                    telling = self.relay.tell(node, shard, pack(records[at : at + 500]))
                except LayerClosed:
                    return
                telling.add_done_callback(_ignore)

    def _say_again(self) -> None:
        now = self._loop.time()
        for inbox, since in list(self._unheard.items()):
            if now - since < self.relay.patience:
                self._to_say[inbox] = None
            else:
                del self._unheard[inbox]
                self.inboxes.lost(inbox)
        if self._to_say:
            self._say()
            self._call_in(_SAY_AGAIN, self._say_again)

    def _sweep(self) -> None:
        self.inboxes.sweep()
        self._call_in(self.relay.patience, self._sweep)

    def _call_in(self, delay: float, call: Callable[[], None]) -> None:
        """Call something once, at the earliest of the times that were asked for."""
        at = self._loop.time() + delay
        known = self._timers.get(call)
        if known is not None:
            if known[0] <= at:
                return
            known[1].cancel()

        def run() -> None:
            del self._timers[call]
            call()

        self._timers[call] = at, self._loop.call_later(delay, run)


def _ignore(done: asyncio.Future[None]) -> None:
    """Retrieve an error: whatever was not heard is said again."""
    if not done.cancelled():
        done.exception()


__all__ = ["Desk"]
