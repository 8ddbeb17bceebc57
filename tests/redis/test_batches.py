"""The bookkeeping of batches against a server that loses answers, forgets nodes and is slow."""

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from achannels.exceptions import LayerUnavailable
from achannels.layers.redis.batches import MAX_OPERATIONS, NEVER, Batches, Operation, Outcome

if TYPE_CHECKING:
    from achannels.layers.redis.link import Argument


def explain(operation: Operation, outcome: Outcome, why: str) -> LayerUnavailable:
    return LayerUnavailable(f"{operation.code}: {why}", outcome=outcome)


class Caller:
    """Makes operations and knows what became of each."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.batches = Batches(explain)
        self.futures: list[asyncio.Future[Any]] = []
        self.undone: list[Any] = []

    def ask(self, deadline: float = math.inf, size: int = 1) -> int:
        number = len(self.futures)
        future = self.loop.create_future()
        self.futures.append(future)
        arguments: list[Argument] = [number, b"x" * size]
        self.batches.add(Operation("Q", arguments, deadline, future, self.undone.append))
        return number

    def outcome(self, number: int) -> Any:
        future = self.futures[number]
        if not future.done():
            return None
        if future.cancelled():
            return "cancelled"
        error = future.exception()
        return error.outcome if isinstance(error, LayerUnavailable) else future.result()


class Server:
    """Carries out each batch once, whatever comes twice."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.answers: dict[int, list[Any]] = {}
        self.last = 0

    def carry_out(self, caller: Caller) -> list[Any]:
        batch = caller.batches.current
        assert batch is not None
        if batch.number == self.last:
            return self.answers[batch.number]
        assert batch.number == self.last + 1
        self.last = batch.number
        numbers = [int(str(each.arguments[0])) for each in batch.operations]
        self.done += numbers
        self.answers[batch.number] = numbers
        return numbers

    def forget(self) -> None:
        self.last = 0
        self.answers.clear()


@pytest.fixture
def caller() -> Any:
    made = Caller()
    yield made
    made.loop.close()


STEPS = st.lists(
    st.sampled_from(["ask", "ask", "fill", "answer", "lose the answer", "forget", "give up"]),
    max_size=60,
)


class Story:
    """What happens to batches, step by step."""

    def __init__(self) -> None:
        self.caller = Caller()
        self.server = Server()
        self.now = 0.0

    def play(self, step: str) -> None:
        batches = self.caller.batches
        match step:
            case "ask":
                self.caller.ask(deadline=self.now + 5)
            case "fill":
                batches.fill()
            case "forget":
                self.server.forget()
                batches.restart("forgotten")
            case "give up":
                self.now += 5
                batches.give_up(self.now, "slow")
            case _ if batches.current is not None:
                batches.current.attempts += 1
                answer = self.server.carry_out(self.caller)
                if step == "answer":
                    batches.settle(answer)
            case _:
                pass

    def end(self) -> None:
        while self.caller.batches.fill() is not None:
            self.play("answer")
        self.caller.loop.close()


@settings(max_examples=400, deadline=None)
@given(STEPS)
def test_nothing_is_done_twice_and_every_outcome_is_true(steps: list[str]) -> None:
    """1. Whatever is lost: in order, at most once, and `refused` means never done."""
    story = Story()
    for step in steps:
        story.play(step)
    story.end()
    caller, done = story.caller, story.server.done
    assert done == sorted(set(done))
    for number in range(len(caller.futures)):
        outcome = caller.outcome(number)
        assert outcome in (number, "refused", "unknown")
        if outcome == number:
            assert number in done
        if outcome == "refused":
            assert number not in done
    assert set(caller.undone) <= set(done)


def test_a_result_that_nobody_waits_for_is_undone(caller: Caller) -> None:
    """2. A caller that was cancelled after its operation left gets nothing; `undo` gets it."""
    caller.ask()
    batch = caller.batches.fill()
    assert batch is not None
    caller.futures[0].cancel()
    caller.batches.settle([b"taken"])
    assert caller.undone == [b"taken"]


def test_an_operation_cancelled_before_it_left_never_leaves(caller: Caller) -> None:
    """3. Its caller was cancelled in time."""
    caller.ask()
    kept = caller.ask()
    caller.futures[0].cancel()
    batch = caller.batches.fill()
    assert batch is not None
    assert [each.arguments[0] for each in batch.operations] == [kept]


def test_a_batch_has_limits(caller: Caller) -> None:
    """4. At most 500 operations and about a mebibyte; the rest follows in order."""
    for _ in range(MAX_OPERATIONS + 1):
        caller.ask()
    batch = caller.batches.fill()
    assert batch is not None
    assert len(batch.operations) == MAX_OPERATIONS
    assert len(caller.batches) == 1
    caller.batches.settle([1] * MAX_OPERATIONS)
    caller.ask(size=1_048_576)
    caller.ask()
    batch = caller.batches.fill()
    assert batch is not None
    assert [len(batch.operations), len(caller.batches)] == [2, 1]


def test_late_operations_go_again_only_together(caller: Caller) -> None:
    """5. All late: the clocks have come apart. Some late: going again would break the order."""
    caller.ask()
    caller.ask()
    caller.batches.fill()
    caller.batches.settle([b"LATE", b"LATE"])
    batch = caller.batches.fill()
    assert batch is not None
    assert (batch.number, len(batch.operations)) == (2, 2)
    caller.batches.settle([b"LATE", 1])
    assert (caller.outcome(0), caller.outcome(1)) == ("refused", 1)


def test_deadlines_are_told_in_the_servers_time(caller: Caller) -> None:
    """6. In milliseconds; an operation without deadline never is late."""
    caller.ask(deadline=10.0)
    caller.ask(deadline=10.0)
    caller.ask()
    batch = caller.batches.fill()
    assert batch is not None
    flat = batch.arguments(offset=1_000.0)
    assert flat[0::6] == [b"1010000", b"1010000", NEVER]
    assert flat[1::6] == ["Q"] * 3


def test_what_neighbours_have_in_common_is_written_once(caller: Caller) -> None:
    """7. Only their last arguments may differ, and no operation moves past another."""

    def ask(code: str, *arguments: str, deadline: float = 10.0) -> None:
        future = caller.loop.create_future()
        caller.batches.add(Operation(code, arguments, deadline, future))

    ask("Q", "mail", "first")
    ask("Q", "mail", "second")
    ask("Q", "news", "third")
    ask("Q", "mail", "fourth")
    ask("G", "mail", "fifth")
    ask("G", "mail", "sixth", deadline=11.0)
    ask("S")
    ask("S")
    batch = caller.batches.fill()
    assert batch is not None
    assert batch.codes == {"Q", "G", "S"}
    soon, later = b"10000", b"11000"
    assert batch.arguments(offset=0.0) == [
        *(soon, "Q", 2, 2, "mail", "first", "second"),
        *(soon, "Q", 2, 1, "news", "third"),
        *(soon, "Q", 2, 1, "mail", "fourth"),
        *(soon, "G", 2, 1, "mail", "fifth"),
        *(later, "G", 2, 1, "mail", "sixth"),
        *(b"10000", "S", 0, 1),
        *(b"10000", "S", 0, 1),
    ]


def test_a_closed_layer_fails_all(caller: Caller) -> None:
    """8. What flies and what waits."""
    caller.ask()
    caller.batches.fill()
    caller.ask()
    caller.batches.close(lambda operation: LayerUnavailable("closed", outcome="unknown"))
    assert [caller.outcome(0), caller.outcome(1)] == ["unknown", "unknown"]
    assert caller.batches.fill() is None
