"""Fan-out over Redis: one text to the members of a group in two processes; what a burst loses."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.client import Message, WebSocket, open_all, open_websocket
from benchmarks.errors import MeasurementError
from benchmarks.measure import CLIENT, Together, cpu_turn
from benchmarks.model import Metric, Peer, Turn
from benchmarks.process import ServerProcess
from benchmarks.redis_case import RedisCase, Site
from benchmarks.scenarios.fanout import CONTROL_PATH, CPU, MEMBER_PATH, RATE, SIZE, Fanout

PROCESSES = 2
MEMBERS = 250

BROADCASTS = 300
DROPPING_RATE = 40
"""Broadcasts a second at which `channels_redis.core` loses some; the goals say so too."""
QUIET = 3.0
"""Seconds after which what has not come is lost."""

ALL = Metric("all_us", "in all processes", digits=2)
REDIS = Metric("redis_us", "Redis alone", digits=2)
LOST = Metric("lost", "deliveries lost", digits=0)
DUE = Metric("due", "of", digits=0)
PACE = Metric("pace", "broadcasts/s", digits=0, lower_is_better=False)

BARE = Peer("bare pub/sub", "benchmarks.apps.bare_redis:group")
OURS = Peer("achannels", "benchmarks.apps.ours_redis:group")
CORE = Peer("channels_redis core", "benchmarks.apps.channels4_core:group")
PUBSUB = Peer("channels_redis pubsub", "benchmarks.apps.channels4_pubsub:group")


@asynccontextmanager
async def session(site: Site, peer: Peer) -> AsyncIterator[Turn]:
    """Broadcast from one process to the members in the others."""
    load = Fanout(PROCESSES * MEMBERS, deflate=False)
    nodes = await _open_members(site, peer, [*load.members])
    publisher = await site.server(peer.app, helps=True)
    await open_websocket(publisher.port, CONTROL_PATH, load.control, deflate=False)
    others = {ALL.key: Together(*nodes, publisher, site.redis), REDIS.key: site.redis}
    yield lambda seconds: cpu_turn(Together(*nodes), load.deliver, seconds, others)
    for socket in (load.control, *load.members):
        socket.abort()


async def _open_members(site: Site, peer: Peer, sockets: list[WebSocket]) -> list[ServerProcess]:
    nodes = [await site.server(peer.app) for _ in range(PROCESSES)]
    for number, node in enumerate(nodes):
        own = sockets[number * MEMBERS : (number + 1) * MEMBERS]
        await open_all(node.port, MEMBER_PATH, own, deflate=False)
    return nodes


class BurstMember(WebSocket):
    """A socket in the group: counts its texts, whose numbers have to rise.

    Attributes:
        received: How many it has.
        problem: What was wrong.
    """

    def __init__(self, arrived: asyncio.Event) -> None:
        super().__init__()
        self.received = 0
        self.problem = ""
        self._arrived = arrived
        self._last = -1

    def text_received(self, text: bytes) -> None:
        """Take a delivery."""
        number = int(text.split(maxsplit=2)[1])
        if number <= self._last:
            self.problem = f"number {number} came after number {self._last}"
        self._last = number
        self.received += 1
        self._arrived.set()

    def closed(self, reason: str) -> None:
        """Note that the member has gone."""
        self.problem = reason


@asynccontextmanager
async def burst_session(site: Site, peer: Peer) -> AsyncIterator[Turn]:
    """Broadcast at a pace, whatever the members keep up with."""
    pace = DROPPING_RATE if peer is CORE else 10 * DROPPING_RATE
    arrived = asyncio.Event()
    members = [BurstMember(arrived) for _ in range(PROCESSES * MEMBERS)]
    await _open_members(site, peer, [*members])
    publisher = await site.server(peer.app, helps=True)
    control = BurstMember(arrived)
    await open_websocket(publisher.port, CONTROL_PATH, control, deflate=False)

    async def turn(_seconds: float) -> dict[str, float]:
        due = len(members) * BROADCASTS
        achieved = await _order(control, pace)
        while sum(member.received for member in members) < due:
            arrived.clear()
            try:
                async with asyncio.timeout(QUIET):
                    await arrived.wait()
            except TimeoutError:
                break
            await asyncio.sleep(0.1)
        if problems := [each.problem for each in (control, *members) if each.problem]:
            raise MeasurementError(f"{len(problems)} sockets had trouble: {problems[0]}")
        received = sum(member.received for member in members)
        return {LOST.key: due - received, DUE.key: due, PACE.key: achieved}

    yield turn
    for socket in (control, *members):
        socket.abort()


async def _order(control: WebSocket, pace: float) -> float:
    """Give the orders at a pace, and return the one that was kept."""
    texts = (f"0001 {number} ".ljust(SIZE, "=") for number in range(BROADCASTS))
    frames = [Message.of(text, deflate=False).request for text in texts]
    began = time.perf_counter()
    for number, frame in enumerate(frames):
        await asyncio.sleep(began + number / pace - time.perf_counter())
        control.send(frame)
    return BROADCASTS / (time.perf_counter() - began)


def cases() -> list[RedisCase]:
    """Return the comparison of the cost, and the burst."""
    return [
        RedisCase(
            name="redis fanout",
            title=f"{PROCESSES} processes with {MEMBERS} members each, {SIZE} bytes, "
            "sent by a third; the best and the median are the CPU of the two",
            metric=CPU,
            columns=(ALL, REDIS, RATE, CLIENT),
            peers=(BARE, OURS, CORE, PUBSUB),
            session=session,
        ),
        RedisCase(
            name="redis burst",
            title=f"{BROADCASTS} broadcasts to {PROCESSES} x {MEMBERS} members, "
            f"{DROPPING_RATE} a second over channels_redis core, {10 * DROPPING_RATE} over the others",
            metric=LOST,
            columns=(DUE, PACE),
            peers=(BARE, OURS, CORE),
            session=burst_session,
            once=True,
            alone=True,
        ),
    ]
