"""Nodes of split mode without I/O, stepped by hand: the machines on a `Server`, and an oracle.

A node's operations are executed, answered, read and committed in separate steps, so a test can put
any fault between them.
"""

from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import Any

from achannels.codec import pack
from achannels.contracts import Home, Origin
from achannels.exceptions import ChannelFull
from achannels.relay import HomeDraining, HomeGone
from achannels.split.event import Event, Phase, Verdict
from achannels.split.inbox import Arrival, Inbox, Inboxes
from achannels.split.sequencer import Sequencer
from tests.split.world import Server, Void

SHARED = "websocket.receive"

Outcome = Any
Operation = tuple[Callable[[Home], Any], Callable[[Outcome], None]]


class Oracle:
    """What happened to every event, and what must not."""

    def __init__(self) -> None:
        self.put: dict[str, list[bool]] = {}
        self.begun: dict[str, list[int]] = {}
        self.over: dict[str, dict[int, Verdict]] = {}
        self.gap_owed: dict[str, int] = {}
        self.ended: Counter[str] = Counter()
        self.excused: Counter[str] = Counter()
        self.running: dict[str, tuple[Worker, Arrival]] = {}

    def began(self, worker: "Worker", channel: str, arrival: Arrival, *, gap: bool) -> None:
        before = self.begun.setdefault(channel, [])
        if arrival.orphan:
            self._ended(channel)
        else:
            if arrival.last:
                self._ended(channel)
            else:
                assert arrival.number not in before, f"{channel}: {arrival.number} twice"
            assert not before or arrival.number >= before[-1], f"{channel}: out of order"
            before.append(arrival.number)
        verdict = self.over.get(channel, {}).get(arrival.number)
        assert arrival.orphan or verdict is None, (
            f"{channel}: {arrival.number} begun after it was {verdict}"
        )
        if gap:
            self.gap_owed.pop(channel, None)
        owed = self.gap_owed.get(channel)
        assert owed is None or arrival.orphan or arrival.number < owed, f"{channel}: no gap told"
        other = self.running.get(channel)
        alone = other is None or other[0].is_zombie or not other[0].alive
        assert alone or worker.world.is_fenced(channel), f"{channel}: two at once"
        self.running[channel] = worker, arrival

    def _ended(self, channel: str) -> None:
        self.ended[channel] += 1
        assert self.ended[channel] <= 1 + self.excused[channel], f"{channel}: disconnect twice"

    def finished(self, worker: "Worker", channel: str, arrival: Arrival) -> None:
        if self.running.get(channel) == (worker, arrival):
            del self.running[channel]

    def judged(self, channel: str, event: Event, verdict: Verdict) -> None:
        over = self.over.setdefault(channel, {})
        assert event.number not in over, f"{channel}: {event.number} is over twice"
        over[event.number] = verdict
        if verdict != "done":
            self.gap_owed[channel] = event.number + 1
        else:
            assert event.number in self.begun.get(channel, []), f"{channel}: done, never begun"
        if verdict == "expired":
            assert event.number not in self.begun.get(channel, [])


class Node:
    """One process: operations on their way, answers on their way, a log that is read."""

    def __init__(self, name: str, world: "Sim") -> None:
        self.name = name
        self.world = world
        self.server = world.server
        self.oracle = world.oracle
        self.alive = True
        self.frozen = False
        self.is_zombie = False
        self.home = self.server.register(name)
        self.epoch = self.server.epoch
        self.operations: deque[Operation] = deque()
        self.answers: deque[Callable[[], None]] = deque()
        self.held: list[tuple[Any, ...]] = []
        self.last = 0
        self.uncommitted = False

    def submit(self, call: Callable[[Home], Any], then: Callable[[Outcome], None]) -> None:
        self.operations.append((call, then))

    def tell(self, node: "Node", *entry: Any) -> None:
        """Tell a node something, again and again until it is accepted."""

        def then(outcome: Outcome) -> None:
            if isinstance(outcome, Exception) and node.alive:
                self.tell(node, *entry)

        self.submit(lambda home: self.server.tell(home, node.name, ("told", *entry)), then)

    # Steps.

    def execute(self) -> bool:
        if not self.operations:
            return False
        call, then = self.operations.popleft()
        try:
            outcome = call(self.home)
        except (Void, ChannelFull, HomeGone, HomeDraining) as error:
            outcome = error
        self.answers.append(partial(then, outcome))
        return True

    def answer(self) -> bool:
        if not self.answers:
            return False
        self.answers.popleft()()
        return True

    def read(self) -> bool:
        if self.uncommitted:
            return False
        try:
            entries = self.server.read(self.home, self.last)
        except Void:
            return False
        for position, entry in entries:
            self.last = position
            self.uncommitted = True
            if entry[0] == "event":
                self.held.append(entry)
            else:
                self.hear(entry)
        return bool(entries)

    def commit(self) -> bool:
        if not self.uncommitted:
            return False
        held, self.held, self.uncommitted = self.held, [], False
        try:
            self.server.commit(self.home, self.last)
        except Void:
            return True
        for entry in held:
            self.hear(entry)
        return True

    def renew(self, voided: int = 1_000_000) -> bool:
        """Notice that the node is not registered, and register it again.

        Args:
            voided: Operations that were on their way and get no outcome; later ones are sent anew.
        """
        if self.server.is_registered(self.home):
            self.is_zombie = self.frozen
            return False
        lost_data = self.server.epoch != self.epoch and not self.is_zombie
        void = [self.operations.popleft() for _ in range(min(voided, len(self.operations)))]
        self.held, self.uncommitted, self.last = [], False, 0
        self.home, self.epoch = self.server.register(self.name), self.server.epoch
        self.is_zombie = False
        for _, then in void:
            self.answers.append(partial(then, Void()))
        if lost_data:
            self.reset()
        else:
            self.fenced()
        return True

    def hear(self, entry: tuple[Any, ...]) -> None:
        raise NotImplementedError

    def reset(self) -> None:
        raise NotImplementedError

    def fenced(self) -> None:
        raise NotImplementedError


class Line:
    """One socket at its interface: the port of its sequencer."""

    def __init__(self, interface: "Interface", channel: str) -> None:
        self.interface = interface
        self.channel = channel
        self.sequencer = Sequencer(self)
        self.is_closed = False
        self.is_fenced = False

    def put(self, *, last: bool = False) -> None:
        self.interface.oracle.put.setdefault(self.channel, []).append(last)
        self.is_closed = self.is_closed or last
        self.sequencer.put("websocket.receive", b"", last=last)

    def offer(self, event: Event) -> None:
        sequencer, node = self.sequencer, self.interface
        origin, flight = Origin(self.channel, sequencer.term, event.number), event.flight
        sender, epoch = node.home, node.epoch
        message = pack({"last": event.last, "gap": sequencer.gap, "from": list(node.home)})

        def then(outcome: Outcome) -> None:
            if isinstance(outcome, ChannelFull):
                sequencer.refused(event.number, flight)
            elif outcome is None:
                sequencer.offered(event.number, flight)
            else:
                sequencer.unknown(event.number, flight)

        node.submit(
            lambda home: node.server.offer(
                home, SHARED, message, origin, expires=not event.last, sender=sender, epoch=epoch
            ),
            then,
        )

    def forward(self, home: Home, event: Event) -> None:
        sequencer, node, flight = self.sequencer, self.interface, event.flight
        message = pack([self.channel, sequencer.term, event.number, event.last])

        def then(outcome: Outcome) -> None:
            match outcome:
                case int():
                    sequencer.placed(event.number, flight, outcome)
                case HomeGone():
                    sequencer.gone(event.number, flight)
                case HomeDraining():
                    sequencer.draining(event.number, flight)
                case ChannelFull():
                    sequencer.full(event.number, flight)
                case _:
                    sequencer.void(event.number, flight)

        node.submit(lambda caller: node.server.forward(caller, home, message), then)

    def acknowledge(self, home: Home, term: int) -> None:
        self._tell(home, "ack", self.channel, term, home)

    def release(self, home: Home, term: int) -> None:
        self._tell(home, "release", self.channel, term)

    def _tell(self, home: Home, *entry: Any) -> None:
        self.interface.tell(self.interface.world.nodes[home.node], *entry)

    def suspect(self) -> None:
        self.interface.suspects.add(self)

    def trust(self) -> None:
        self.interface.suspects.discard(self)

    def later(self) -> None:
        self.interface.delayed.append(self)

    def over(self, event: Event, verdict: Verdict) -> None:
        if not self.is_fenced:  # then the home goes on with what it has
            self.interface.oracle.judged(self.channel, event, verdict)


class Interface(Node):
    """A node that holds sockets."""

    def __init__(self, name: str, world: "Sim") -> None:
        super().__init__(name, world)
        self.lines: dict[str, Line] = {}
        self.suspects: set[Line] = set()
        self.delayed: list[Line] = []

    def open(self) -> Line:
        channel = f"{self.name}!{len(self.lines)}"
        line = self.lines[channel] = Line(self, channel)
        line.put()
        return line

    def hear(self, entry: tuple[Any, ...]) -> None:
        match entry:
            case ("homed", origin, home):
                self.lines[origin.channel].sequencer.homed(origin.term, origin.number, home)
            case ("expired", origin):
                self.lines[origin.channel].sequencer.expired(origin.term, origin.number)
            case ("down", home, position):
                for line in self.lines.values():
                    line.sequencer.down(home, position)
            case ("told", "done", _, channel, term, number):
                self.lines[channel].sequencer.done(term, number)
            case ("told", "handback", home, channel, term, number):
                self.lines[channel].sequencer.handback(home, term, number)
            case ("told", "resume", home, channel, term, number, finished):
                self.lines[channel].sequencer.resume(home, term, number, finished)
            case _:
                raise AssertionError(entry)

    def reset(self) -> None:
        for line in self.lines.values():
            line.sequencer.reset()

    def fenced(self) -> None:
        for line in self.lines.values():
            line.is_fenced = True
            if line.sequencer.fenced():
                self._claim(line)
            line.is_closed = True

    def _claim(self, line: Line) -> None:
        def then(won: Outcome) -> None:
            if won is True:
                line.put(last=True)
            elif isinstance(won, Void):
                self._claim(line)

        self.submit(lambda home: self.server.claim(home, line.channel), then)


class Worker(Node):
    """A node that runs consumers."""

    def __init__(self, name: str, world: "Sim") -> None:
        super().__init__(name, world)
        self.inboxes = Inboxes(self)
        self.running: list[tuple[Inbox, Arrival]] = []
        self.gaps: set[tuple[str, int, int]] = set()
        self.said: dict[tuple[str, int], Inbox] = {}
        self.drained_at: int | None = None
        self.is_draining = False
        self.is_drained = False
        self.taking = False
        self.lineage = {self.home}
        self.brought: Callable[[], None] | None = None

    def hear(self, entry: tuple[Any, ...]) -> None:
        match entry:
            case ("event", message):
                channel, term, number, last = message.decode()
                self.inboxes.put(channel, term, Arrival(number, SHARED, b"", last))
            case ("down", home, _):
                self.inboxes.down(0, home)
            case ("told", "ack", channel, term, home):
                if home == self.home:
                    self.said.pop((channel, term), None)
                self.inboxes.acknowledged(channel, term)
            case ("told", "release", channel, term):
                self.said.pop((channel, term), None)
                self.inboxes.released(channel, term)
            case _:
                raise AssertionError(entry)

    def reset(self) -> None:
        self.lineage.add(self.home)
        self.inboxes.reset(0)
        if self.is_draining:
            self.drain()

    def fenced(self) -> None:
        self.lineage = {self.home}
        self.said.clear()
        self.inboxes.fenced(0)
        if self.is_draining:
            self.drain()

    # Steps.

    def take(self) -> bool:
        if self.is_draining or self.taking:
            return False
        self.taking = True

        def then(taken: Outcome) -> None:
            self.brought = partial(arrived, taken)

        def arrived(taken: Outcome) -> None:
            self.taking = False
            if not isinstance(taken, tuple) or taken[2] not in self.lineage:
                return
            message, origin, home = taken
            content = message.decode()
            arrival = Arrival(origin.number, SHARED, b"", content["last"], not origin.alive)
            if content["gap"]:
                self.gaps.add((origin.channel, origin.term, origin.number))
            inbox = Inbox(origin.channel, 0, Home(*content["from"]), origin.term, origin.number)
            self.inboxes.take(inbox, arrival)
            if home != self.home and not inbox.is_over:
                self.resume(inbox)

        def call(home: Home) -> Any:
            taken = self.server.take(home, SHARED)
            return taken and (*taken, home)

        self.submit(call, then)
        return True

    def bring(self) -> bool:
        """Have the worker look at what its take has brought."""
        brought, self.brought = self.brought, None
        if brought is not None:
            brought()
        return brought is not None

    def drain(self) -> None:
        self.is_draining = True
        self.drained_at = None
        self.inboxes.pause()

        def then(sequence: Outcome) -> None:
            if isinstance(sequence, int):
                self.drained_at = sequence

        self.submit(self.server.drain, then)

    def drained(self) -> bool:
        """Hand back, once all that was accepted has been read."""
        if self.is_drained or self.taking or self.drained_at is None:
            return False
        if self.last < self.drained_at or self.uncommitted:
            return False
        self.is_drained = True
        self.inboxes.drain()
        return True

    def leave(self) -> bool:
        if not self.is_drained or len(self.inboxes) or self.running or self.operations:
            return False
        self.alive = False
        self.server.fence(self.name)
        return True

    def finish(self, index: int) -> bool:
        if not self.running:
            return False
        inbox, arrival = self.running.pop(index % len(self.running))
        self.oracle.finished(self, inbox.channel, arrival)
        self.inboxes.end(inbox)
        return True

    def nag(self) -> bool:
        """Say again what no interface has said to know."""
        for inbox in self.said.values():
            self._say(inbox)
        return any(self.interface(inbox).alive for inbox in self.said.values())

    def lose_patience(self) -> bool:
        """Regard interfaces as dead that do not answer for longer than their lease."""
        silent = [
            inbox
            for inbox in self.said.values()
            if not self.interface(inbox).alive or self.interface(inbox).frozen
        ]
        for inbox in silent:
            del self.said[inbox.channel, inbox.term]
            self.inboxes.lost(inbox)
        return bool(silent)

    def interface(self, inbox: Inbox) -> Node:
        return self.world.nodes[inbox.interface.node]

    # The port of the inboxes.

    def may_begin(self, shard: int) -> bool:
        return not self.is_zombie

    def begin(self, inbox: Inbox, arrival: Arrival) -> None:
        if not arrival.orphan:
            self._begin(inbox, arrival)
            return

        def then(won: Outcome) -> None:
            if won is True:
                self._begin(inbox, arrival)
            elif won is False:
                self.inboxes.end(inbox)
            else:
                self.begin(inbox, arrival)

        self.submit(lambda home: self.server.claim(home, inbox.channel), then)

    def _begin(self, inbox: Inbox, arrival: Arrival) -> None:
        gap = (inbox.channel, inbox.term, arrival.number) in self.gaps
        self.oracle.began(self, inbox.channel, arrival, gap=gap)
        self.running.append((inbox, arrival))

    def done(self, inbox: Inbox) -> None:
        self.tell(
            self.interface(inbox), "done", self.name, inbox.channel, inbox.term, inbox.finished
        )

    def handback(self, inbox: Inbox) -> None:
        self.said[inbox.channel, inbox.term] = inbox
        self._say(inbox)

    resume = handback

    def _say(self, inbox: Inbox) -> None:
        what: tuple[Any, ...] = "resume", self.home, inbox.channel, inbox.term
        numbers: tuple[int, ...] = inbox.expected, inbox.finished
        if inbox.is_leaving:
            what, numbers = ("handback", *what[1:]), (inbox.first_unbegun,)
        entry = ("told", *what, *numbers)
        self.submit(
            lambda home: self.server.tell(home, inbox.interface.node, entry), lambda outcome: None
        )

    def last_word(self, inbox: Inbox) -> Arrival:
        return Arrival(inbox.expected, SHARED, b"", last=True, orphan=True)

    def forget(self, inbox: Inbox) -> None:
        self.said.pop((inbox.channel, inbox.term), None)


class Sim:
    """All nodes, and what a test does to them."""

    def __init__(self, *, capacity: int = 3, log_capacity: int = 6) -> None:
        self.server = Server(capacity=capacity, log_capacity=log_capacity)
        self.oracle = Oracle()
        self.nodes: dict[str, Node] = {}
        self.is_lossless = True
        for name in ("i0", "i1"):
            self.nodes[name] = Interface(name, self)
        for _ in range(2):
            self.start_worker()

    def start_worker(self) -> Worker:
        name = f"w{len(self.nodes)}"
        worker = self.nodes[name] = Worker(name, self)
        return worker

    @property
    def running(self) -> list[Node]:
        """Nodes that take steps."""
        return [node for node in self.nodes.values() if node.alive and not node.frozen]

    @property
    def workers(self) -> list[Worker]:
        return [node for node in self.running if isinstance(node, Worker)]

    @property
    def interfaces(self) -> list[Interface]:
        return [node for node in self.running if isinstance(node, Interface)]

    def is_fenced(self, channel: str) -> bool:
        """Return whether the interface of a socket was declared dead and lives: then the home may
        be busy with what it had when the interface has won the disconnect.
        """
        interface = self.nodes[channel.partition("!")[0]]
        return isinstance(interface, Interface) and interface.lines[channel].is_fenced

    def kill(self, node: Node) -> None:
        """SIGKILL; somebody declares it dead at once or later (`judge`)."""
        node.alive = False
        self.is_lossless = False

    def freeze(self, node: Node) -> None:
        """SIGSTOP beyond the lease: declared dead, and awake as a zombie later (`thaw`)."""
        node.frozen = node.is_zombie = True
        self.is_lossless = False

    def judge(self) -> bool:
        """Declare dead who is silent."""
        silent = [
            node.name
            for node in self.nodes.values()
            if (node.frozen or not node.alive) and node.name in self.server.members
        ]
        for name in silent:
            self.server.fence(name)
        return bool(silent)

    def lose_data(self) -> None:
        self.is_lossless = False
        for interface in (node for node in self.nodes.values() if isinstance(node, Interface)):
            is_out = interface.is_zombie or interface.name not in self.server.members
            for line in interface.lines.values():
                if is_out or line.is_fenced:  # who has claimed its disconnect is lost as well
                    self.oracle.excused[line.channel] += 1
        self.server.wipe()

    def lose_patience(self) -> bool:
        """End the patience with nodes that are dead, or silent beyond their lease."""
        lost = self.judge()
        lost |= sum(worker.lose_patience() for worker in self.workers) > 0
        for interface in self.interfaces:
            for line in list(interface.suspects):
                if self._has_home(line):
                    continue
                interface.suspects.discard(line)
                waiting = line.sequencer._waiting()
                if waiting is not None and waiting.last:  # run rather than forgotten
                    self.oracle.excused[line.channel] += 1
                line.sequencer.give_up()
                lost = True
        return lost

    def _has_home(self, line: Line) -> bool:
        sequencer = line.sequencer
        if any(worker.inboxes.find(line.channel, sequencer.term) for worker in self.workers):
            return True
        return any(w.operations or w.answers or w.brought for w in self.workers)

    def calm(self) -> None:
        """Let everything happen that is on its way, with no more faults."""
        for node in self.nodes.values():
            node.frozen = False
        if not self.workers or all(worker.is_draining for worker in self.workers):
            self.start_worker()
        for _ in range(3_000):
            self.judge()
            moved = sum(self._step(node) for node in self.running)
            if self.server.channels.get(SHARED):
                moved += sum(worker.take() for worker in self.workers)
            if moved:
                continue
            if not sum(worker.nag() for worker in self.workers) and not self.lose_patience():
                return
        raise AssertionError("it does not come to rest")

    def _step(self, node: Node) -> bool:
        """Have a node do one of each kind of step; return whether there was any."""
        moved = node.renew() | node.execute() | node.answer() | node.read() | node.commit()
        if isinstance(node, Worker):
            moved |= node.bring() | node.finish(0) | node.drained() | node.leave()
            node.inboxes.go_on()
        elif isinstance(node, Interface):
            delayed, node.delayed = node.delayed, []
            for line in delayed:
                line.sequencer.flow()
            moved |= bool(delayed)
        return moved

    def check(self) -> None:
        """Check what must hold when all has come to rest."""
        for interface in (node for node in self.nodes.values() if isinstance(node, Interface)):
            for line in interface.lines.values():
                self._check_line(interface, line)
        for worker in self.workers:
            for inbox in worker.inboxes:
                interface_ = worker.interface(inbox)
                assert isinstance(interface_, Interface)
                assert interface_.alive, f"{inbox.channel}: left of a dead interface"
                sequencer = interface_.lines[inbox.channel].sequencer
                assert sequencer.home == worker.home, f"{inbox.channel}: two homes"

    def _check_line(self, interface: Interface, line: Line) -> None:
        if not interface.alive or line.is_fenced:
            return
        channel, sequencer = line.channel, line.sequencer
        assert len(sequencer) == 0, f"{channel}: {len(sequencer)} events, {sequencer.phase}"
        assert sequencer.phase in (Phase.FREE, Phase.HOMED)
        over = self.oracle.over.get(channel, {})
        assert sorted(over) == list(range(len(self.oracle.put[channel])))
        if self.is_lossless:
            assert set(over.values()) <= {"done", "expired"}
        if line.is_closed and interface.alive and self.is_lossless:
            assert self.oracle.ended[channel] == 1
