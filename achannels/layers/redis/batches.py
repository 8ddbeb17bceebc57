"""What a node asks of a shard: operations, gathered into numbered batches, one at a time in flight.

Pure bookkeeping, without any connection: the tests run it against random losses.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Literal

from achannels.layers.redis.link import Argument

MAX_OPERATIONS = 500
MAX_BYTES = 1_048_576
NEVER = b"9" * 15

Outcome = Literal["refused", "unknown"]


class Operation:
    """One thing to do in a shard.

    Attributes:
        code: What it is; see `scripts/parts/*_ops.lua`.
        arguments: Of the code.
        deadline: When its caller gives up, in seconds of the loop. The server does not carry it out
            later than that.
        future: Its result.
        undo: Called with a result that nobody waits for any more.
        size: Bytes of its content, which is the last argument where there is one.
    """

    __slots__ = ("arguments", "code", "deadline", "future", "size", "undo")

    def __init__(
        self,
        code: str,
        arguments: Sequence[Argument],
        deadline: float,
        future: asyncio.Future[Any],
        undo: Callable[[Any], None] | None = None,
    ) -> None:
        self.code = code
        self.arguments = arguments
        self.deadline = deadline
        self.future = future
        self.undo = undo
        last = arguments[-1] if arguments else b""
        self.size = len(last) if isinstance(last, bytes) else 0

    @property
    def is_sound(self) -> bool:
        """Whether the arguments can be written."""
        try:
            for each in self.arguments:
                if isinstance(each, str):
                    each.encode()
        except UnicodeEncodeError:
            return False
        return all(isinstance(each, Argument) for each in self.arguments)

    def settle(self, result: Any) -> None:
        """Give the result to the caller, or to `undo` when the caller has gone."""
        if not self.future.done():
            self.future.set_result(result)
        elif self.undo is not None:
            self.undo(result)

    def fail(self, error: Exception) -> None:
        """Raise in the caller, if there still is one."""
        if not self.future.done():
            self.future.set_exception(error)


class Batch:
    """Operations that leave together; it goes out with the same content until it is settled.

    Attributes:
        number: Counts up by one within a registration of the node.
        operations: In the order of their calls.
        attempts: How often it was sent without a definite answer.
    """

    __slots__ = ("attempts", "number", "operations")

    def __init__(self, number: int, operations: list[Operation]) -> None:
        self.number = number
        self.operations = operations
        self.attempts = 0

    @property
    def codes(self) -> set[str]:
        """What the operations are."""
        return {operation.code for operation in self.operations}

    def arguments(self, offset: float) -> list[Argument]:
        """Return the operations as arguments of the script.

        Neighbours that differ in their last argument alone, as messages to one channel do, are
        written once, with the last argument of each.

        Args:
            offset: The server's time less the loop's, in seconds; not more than it is.
        """
        flat: list[Argument] = []
        at, text = 0.0, b""
        before: tuple[Any, ...] = ()
        times = counted = 0
        for operation in self.operations:
            if operation.deadline != at:
                at = operation.deadline
                text = b"%d" % ((at + offset) * 1000) if at < math.inf else NEVER
            arguments = operation.arguments
            alike = (text, operation.code, arguments[:-1])
            if alike == before and arguments:
                times += 1
                flat[counted] = times
                flat.append(arguments[-1])
            else:
                before, times, counted = alike, 1, len(flat) + 3
                flat += (text, operation.code, len(arguments), times, *arguments)
        return flat


class Batches:
    """The operations that wait, and the batch in flight.

    Args:
        explain: Makes the error of an operation that had no result.
    """

    __slots__ = ("_explain", "_waiting", "current", "number")

    def __init__(self, explain: Callable[[Operation, Outcome, str], Exception]) -> None:
        self._explain = explain
        self._waiting: deque[Operation] = deque()
        self.current: Batch | None = None
        self.number = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def next_deadline(self) -> float:
        """When the next caller gives up; infinity if none will."""
        flying = self.current.operations if self.current is not None else ()
        return min(
            (each.deadline for each in (*flying, *self._waiting) if not each.future.done()),
            default=math.inf,
        )

    def add(self, operation: Operation) -> None:
        """Have an operation wait for the next batch."""
        self._waiting.append(operation)

    def fill(self) -> Batch | None:
        """Return the batch in flight, or make one of what waits; `None` when there is nothing."""
        if self.current is None:
            operations: list[Operation] = []
            size = 0
            waiting = self._waiting
            while waiting and len(operations) < MAX_OPERATIONS and size < MAX_BYTES:
                operation = waiting.popleft()
                if not operation.future.done():
                    operations.append(operation)
                    size += operation.size
            if not operations:
                return None
            self.current = Batch(self.number + 1, operations)
        return self.current

    def settle(self, results: Sequence[Any]) -> None:
        """The batch was carried out: give each operation its result.

        An operation that the server met after its deadline had no effect. When that is so for all
        of them, the clocks have come apart, and they go again; else order forbids it.
        """
        batch = self._end()
        self.number = batch.number
        if all(result == b"LATE" for result in results):
            self._waiting.extendleft(reversed(batch.operations))
            return
        for operation, result in zip(batch.operations, results, strict=True):
            if result == b"LATE":
                operation.fail(self._explain(operation, "refused", "it came too late"))
            else:
                operation.settle(result)

    def refuse(self, why: str, outcome: Outcome) -> None:
        """The batch will never be settled: fail its operations."""
        for operation in self._end().operations:
            operation.fail(self._explain(operation, outcome, why))

    def expel(self, why: str) -> bool:
        """Fail what cannot be written, and nothing else; return whether there was anything."""
        batch = self.current
        if batch is None or all(each.is_sound for each in batch.operations):
            return False
        for operation in batch.operations:
            if not operation.is_sound:
                operation.fail(self._explain(operation, "refused", why))
        batch.operations = [each for each in batch.operations if each.is_sound]
        if not batch.operations:
            self._end()
        return True

    def restart(self, why: str) -> None:
        """Count from one again, after the node has registered.

        A batch that was sent may have been done before; one that was not goes again.
        """
        self.number = 0
        if self.current is None:
            return
        if self.current.attempts:
            self.refuse(why, "unknown")
        else:
            self._waiting.extendleft(reversed(self._end().operations))

    def give_up(self, now: float, why: str) -> None:
        """Fail the operations whose callers' time is over.

        What is in flight stays there until it is settled: only then is its outcome known.
        """
        for operation in self._waiting:
            if operation.deadline <= now:
                operation.fail(self._explain(operation, "refused", why))
        self._waiting = deque(each for each in self._waiting if not each.future.done())
        batch = self.current
        if batch is None:
            return
        outcome: Outcome = "unknown" if batch.attempts else "refused"
        for operation in batch.operations:
            if operation.deadline <= now:
                operation.fail(self._explain(operation, outcome, why))
        if not batch.attempts:
            batch.operations = [each for each in batch.operations if not each.future.done()]

    def close(self, error: Callable[[Operation], Exception]) -> None:
        """Fail everything."""
        operations = list(self._waiting)
        if self.current is not None:
            operations += self._end().operations
        self._waiting.clear()
        for operation in operations:
            operation.fail(error(operation))

    def _end(self) -> Batch:
        batch, self.current = self.current, None
        assert batch is not None
        return batch


__all__ = ["Batch", "Batches", "Operation", "Outcome"]
