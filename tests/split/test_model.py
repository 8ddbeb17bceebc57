"""The machines of split mode under random interleavings of everything that can go wrong.

Each event is begun at most once, in the order of its number, by one home at a time; none is lost
unless a node dies or the server loses its data; whatever is lost is told to the next home.
"""

from collections.abc import Callable
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.split.sim import SHARED, Interface, Line, Node, Sim, Worker

N = TypeVar("N", bound=Node)

Script = list[tuple[str, int]]

STEPS = (
    *("execute", "execute", "execute", "answer", "answer", "read", "commit", "turn", "turn"),
    *("take", "bring", "finish", "finish", "later", "nag", "drained"),
)
CLIENTS = ("open", "frames", "frames", "leave")
FAULTS = ("kill", "freeze", "thaw", "judge", "lose_data", "renew", "lose_patience")


def pick(sim: Sim, kind: type[N], number: int) -> N | None:
    found = [node for node in sim.running if isinstance(node, kind)]
    return found[number % len(found)] if found else None


def play(sim: Sim, script: Script) -> None:
    """Do what a script says, then let all come to rest, and check it."""
    for name, number in script:
        ACTIONS[name](sim, number)
    sim.calm()
    sim.check()


def on(kind: type[N], act: Callable[[N, int], object]) -> Callable[[Sim, int], object]:
    def action(sim: Sim, number: int) -> None:
        node = pick(sim, kind, number)
        if node is not None:
            act(node, number // 8)

    return action


def on_line(act: Callable[[Line, int], object]) -> Callable[[Sim, int], object]:
    def action(sim: Sim, number: int) -> None:
        lines = [
            line
            for interface in sim.interfaces
            for line in interface.lines.values()
            if not line.is_closed
        ]
        if lines:
            act(lines[number % len(lines)], number // 8)

    return action


def turn(node: Node, number: int) -> None:
    """What a node does in a turn of its loop."""
    node.renew()
    for _ in range(number % 4):
        node.execute()
        node.answer()
    node.read()
    node.commit()


def later(interface: Interface, number: int) -> None:
    delayed, interface.delayed = interface.delayed, []
    for line in delayed:
        line.sequencer.flow()


def frames(line: Line, number: int) -> None:
    for _ in range(1 + number % 3):
        line.put()


def take(worker: Worker, number: int) -> None:
    if worker.server.channels.get(SHARED):
        worker.take()


def drain(worker: Worker, number: int) -> None:
    if not worker.is_draining:
        worker.drain()
        worker.world.start_worker()


def drained(worker: Worker, number: int) -> None:
    worker.drained()
    worker.leave()


def kill(sim: Sim, number: int) -> None:
    node = pick(sim, Node, number)
    if node is not None and (isinstance(node, Worker) or number % 3 == 0):
        sim.kill(node)
        if isinstance(node, Worker):
            sim.start_worker()


def thaw(sim: Sim, number: int) -> None:
    for node in sim.nodes.values():
        node.frozen = False


ACTIONS: dict[str, Callable[[Sim, int], object]] = {
    "execute": on(Node, lambda node, _: node.execute()),
    "answer": on(Node, lambda node, _: node.answer()),
    "read": on(Node, lambda node, _: node.read()),
    "commit": on(Node, lambda node, _: node.commit()),
    "turn": on(Node, turn),
    "take": on(Worker, take),
    "bring": on(Worker, lambda worker, _: worker.bring()),
    "finish": on(Worker, lambda worker, number: worker.finish(number)),
    "later": on(Interface, later),
    "nag": on(Worker, lambda worker, _: worker.nag()),
    "drain": on(Worker, drain),
    "drained": on(Worker, drained),
    "expire": lambda sim, _: sim.server.expire(SHARED),
    "open": on(Interface, lambda interface, _: interface.open()),
    "frames": on_line(frames),
    "leave": on_line(lambda line, _: line.put(last=True)),
    "kill": kill,
    "freeze": on(Node, lambda node, _: node.world.freeze(node)),
    "thaw": thaw,
    "judge": lambda sim, _: sim.judge(),
    "lose_data": lambda sim, _: sim.lose_data(),
    "renew": on(Node, lambda node, number: node.renew(number % 3)),
    "lose_patience": lambda sim, _: sim.lose_patience(),
}


def scripts(*names: str) -> st.SearchStrategy[Script]:
    return st.lists(st.tuples(st.sampled_from(names), st.integers(0, 255)), max_size=150)


_SETTINGS = settings(max_examples=300, deadline=None)


@_SETTINGS
@given(scripts(*STEPS, *CLIENTS, "drain"), st.integers(1, 4), st.integers(2, 8))
def test_restarting_workers_loses_and_repeats_nothing(
    script: Script, capacity: int, log_capacity: int
) -> None:
    play(Sim(capacity=capacity, log_capacity=log_capacity), script)


@_SETTINGS
@given(scripts(*STEPS, *CLIENTS, *FAULTS, "drain", "expire"), st.integers(1, 4), st.integers(2, 8))
def test_whatever_happens_an_event_is_begun_at_most_once_and_in_order(
    script: Script, capacity: int, log_capacity: int
) -> None:
    play(Sim(capacity=capacity, log_capacity=log_capacity), script)
