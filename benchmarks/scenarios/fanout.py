"""Fan-out: one text to every member of a group in the same process."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from benchmarks.client import Message, WebSocket, open_all, open_websocket
from benchmarks.load import ClosedLoop
from benchmarks.measure import CLIENT, cpu_turn
from benchmarks.model import Case, Metric, Peer, Turn
from benchmarks.process import ServerProcess

SIZE = 64
TEXTS = 8
MEMBERS = 500
OTHER_SIZES = (10, 100, 1000, 10_000)
MANY = 5000
IN_FLIGHT = 2
DELIVERIES_PER_ORDER = 200
WATCHED = 0.3
"""Part of a turn's time for which the event loop is watched, after the measurement."""

CPU = Metric("cpu_us", "CPU µs per delivery", digits=2)
RATE = Metric("rate", "deliveries/s", digits=0, lower_is_better=False)
HELD = Metric("held_cpu_ms", "loop held, ms of CPU", digits=2)
HELD_WALL = Metric("held_ms", "loop held, ms", digits=2)

BARE = Peer("bare ASGI", "benchmarks.apps.bare:group")
OURS = Peer("achannels", "benchmarks.apps.ours:group")
CHANNELS = Peer("Channels 4.3", "benchmarks.apps.channels4:group")

MEMBER_PATH = "/member/"
CONTROL_PATH = "/control/"


class Fanout(ClosedLoop):
    """Orders broadcasts over one control socket and counts what the members get.

    An order is a text that begins with how often the server has to send it to the group. Every
    member has to receive every text, in order, as often as it was ordered.

    Attributes:
        control: The socket that gives the orders.
        members: The sockets in the group.
        per_order: Deliveries that one order causes.
    """

    def __init__(self, members: int, *, deflate: bool) -> None:
        super().__init__()
        times = max(1, DELIVERIES_PER_ORDER // members)
        texts = (f"{times:04d} order {number} ".ljust(SIZE, "=") for number in range(TEXTS))
        messages = [Message.of(text, deflate=deflate) for text in texts]
        expected = [message for message in messages for _ in range(times)]
        self.control = Control(self, messages)
        self.members = [Member(self, expected) for _ in range(members)]
        self.per_order = members * times
        self._delivered = 0
        self._due = self.per_order
        self.let_in_flight(IN_FLIGHT)

    def let_in_flight(self, orders: int) -> None:
        """Choose how many orders are under way at once."""
        self.workers[:] = [self.control] * orders

    def delivered(self) -> None:
        """Count one delivery; the last one of an order makes room for the next order."""
        self._delivered += 1
        if self._delivered == self._due:
            self._due += self.per_order
            self.answered(self.control)

    async def deliver(self, seconds: float) -> int:
        """Broadcast for some time and return the deliveries."""
        return await self.run(seconds) * self.per_order


class Control(WebSocket):
    """The socket that orders broadcasts; nothing comes back on it."""

    def __init__(self, load: ClosedLoop, messages: list[Message]) -> None:
        super().__init__()
        self._load = load
        self._messages = itertools.cycle(messages)

    def start(self) -> None:
        """Give the next order."""
        self.send(next(self._messages).request)

    def text_received(self, text: bytes) -> None:
        """End the run: the control socket is no member."""
        self._load.fail(f"the control socket received {text!r}")

    def closed(self, reason: str) -> None:
        """End the run: the socket has gone."""
        self._load.fail(reason)


class Member(WebSocket):
    """A socket in the group: checks each text against the next one expected."""

    def __init__(self, load: Fanout, expected: list[Message]) -> None:
        super().__init__()
        self._load = load
        self._expected = itertools.cycle(expected)
        self._next = next(self._expected)

    def data_received(self, data: bytes) -> None:
        """Take a delivery, at once when it is one uncompressed frame."""
        if data == self._next.reply:
            self._next = next(self._expected)
            self._load.delivered()
        else:
            super().data_received(data)

    def text_received(self, text: bytes) -> None:
        """Take a delivery that had to be parsed."""
        if text == self._next.text:
            self._next = next(self._expected)
            self._load.delivered()
        else:
            self._load.fail(f"expected {self._next.text!r}, received {text!r}")

    def closed(self, reason: str) -> None:
        """End the run: a member has gone."""
        self._load.fail(reason)


@asynccontextmanager
async def session(
    server: ServerProcess, _peer: Peer, *, members: int, deflate: bool
) -> AsyncIterator[Turn]:
    """Open the members and the control socket, and broadcast in each turn."""
    load = Fanout(members, deflate=deflate)
    await open_all(server.port, MEMBER_PATH, [*load.members], deflate=deflate)
    await open_websocket(server.port, CONTROL_PATH, load.control, deflate=deflate)

    async def turn(seconds: float) -> dict[str, float]:
        load.let_in_flight(IN_FLIGHT)
        values = await cpu_turn(server, load.deliver, seconds)
        load.let_in_flight(1)
        await server.command("watch")
        await load.run(seconds * WATCHED)
        return values | await server.command("report")

    yield turn
    for socket in (load.control, *load.members):
        socket.abort()


def cases() -> list[Case]:
    """Return the comparison at 500 members, and the sizes from 10 to 10,000."""
    compared = [
        _case(f"fanout {MEMBERS}", MEMBERS, (BARE, OURS, CHANNELS), deflate=False),
        _case(f"fanout {MEMBERS} deflate", MEMBERS, (BARE, OURS, CHANNELS), deflate=True),
    ]
    return compared + [
        _case(f"fanout {members}", members, (BARE, OURS), deflate=False) for members in OTHER_SIZES
    ]


def _case(name: str, members: int, peers: tuple[Peer, ...], *, deflate: bool) -> Case:
    return Case(
        name=name,
        title=f"{members} members, {SIZE} bytes, permessage-deflate {'on' if deflate else 'off'}",
        metric=CPU,
        columns=(RATE, HELD, HELD_WALL, CLIENT),
        peers=peers,
        session=partial(session, members=members, deflate=deflate),
        deflate=deflate,
        alone=members >= MANY,
    )
