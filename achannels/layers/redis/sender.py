"""The way into a shard: the operations of one loop turn leave in one batch."""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Any

from redis.exceptions import OutOfMemoryError, RedisError

from achannels.exceptions import LayerUnavailable
from achannels.layers.redis.batches import Batch, Batches, Operation, Outcome
from achannels.layers.redis.link import ELSEWHERE, LAST_LOOK, Argument, Link, Unsettled
from achannels.layers.redis.lua import batch_script
from achannels.layers.redis.registration import Backoff, Registration

logger = logging.getLogger("achannels.layer")

_REFUSALS = ("OOM", "NOREPLICAS", "MISCONF")
"""Answers of a server that takes no write: nothing was done."""

_WAIT = 0.02
"""Seconds before a shard that holds all sends for a moment is asked again."""


class Sender:
    """Sends operations, keeps their order, and knows of each what became of it.

    A batch whose answer was lost goes out again with the same number: the server then returns the
    answer that it gave, so nothing is done twice.

    Args:
        name: Of the shard's place, for error texts.
        link: The command connection.
        registration: Of the node in the shard.
        timeout: Seconds that callers wait.
        log_capacity: Entries that may wait in the log of a node.
        log_bytes: Their size.

    Attributes:
        written: Sequence of the last entry of this node's log, as of the last batch: an operation
            that has returned has written nothing after it.
    """

    def __init__(
        self,
        name: str,
        link: Link,
        registration: Registration,
        timeout: float,
        log_capacity: int,
        log_bytes: int,
    ) -> None:
        self._name = name
        self._link = link
        self._registration = registration
        self._timeout = timeout
        self._limits = (log_capacity, log_bytes)
        self._loop = asyncio.get_running_loop()
        self._batches = Batches(self._explain)
        self._wake: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._trouble = ""
        self._is_answer = False
        self._closed: Callable[[], Exception] | None = None
        self.written = 0

    def submit(
        self,
        code: str,
        *arguments: Argument,
        undo: Callable[[Any], None] | None = None,
        patient: bool = False,
    ) -> asyncio.Future[Any]:
        """Have an operation done, with all others of this turn of the loop.

        Args:
            code: What to do; see `scripts/parts`.
            *arguments: Of the code.
            undo: Called with the result if the caller was cancelled and it was done all the same.
            patient: Wait as long as it takes.

        Returns:
            Its result; it raises `LayerUnavailable` when none came within the timeout.
        """
        deadline = math.inf if patient else self._loop.time() + self._timeout
        operation = Operation(code, arguments, deadline, self._loop.create_future(), undo)
        if self._closed is not None:
            operation.fail(self._closed())
            return operation.future
        self._batches.add(operation)
        if self._wake is not None:
            if not self._wake.done():
                self._wake.set_result(None)
            self._wake = None
        if self._timer is None and not patient:
            self._timer = self._loop.call_at(deadline, self._deadline_came)
        return operation.future

    async def run(self) -> None:
        """Send batches until cancelled."""
        while True:
            batch = self._batches.fill()
            if batch is None:
                self._wake = self._loop.create_future()
                await self._wake
                continue
            await self._registration.ready.wait()
            await self._settle()

    def restart(self) -> None:
        """The node has registered: batches count from one again, and none is in flight."""
        self.written = 0
        self._batches.restart("the server had forgotten this node")

    def close(self, error: Callable[[], Exception]) -> None:
        """Fail all that waits, and all that is submitted later."""
        self._closed = error
        if self._timer is not None:
            self._timer.cancel()
        self._batches.close(lambda operation: error())

    async def _settle(self) -> None:
        """Send the batch until it is settled, or void since the node must register anew."""
        backoff = Backoff()
        registration = self._registration
        while (batch := self._batches.current) is not None:
            batch.attempts += 1
            mine = registration.incarnation
            script = batch_script(batch.codes)
            try:
                answer = await self._link.call(script, registration.key, self._arguments(batch))
            except Unsettled as error:
                await self._pause(backoff, error)
                continue
            except ELSEWHERE as error:
                batch.attempts -= 1
                await self._pause(backoff, error)
                continue
            except Exception as error:  # noqa: BLE001 - it goes to the callers
                if batch.attempts == 1 and self._batches.expel(str(error)):
                    batch.attempts = 0
                    continue
                await self._refused(error)
                return
            if self._batches.current is not batch:
                continue
            if answer[0] == b"OK":
                registration.learn_time(answer[1])
                self.written = int(answer[2])
                self._batches.settle(answer[3:])
                return
            batch.attempts -= 1
            if answer[0] == b"WAIT":
                await asyncio.sleep(_WAIT)
            elif answer[0] == b"MOVING":
                await self._pause(backoff, "the shard is moving to another server")
            else:
                await registration.register_again(mine)

    def _arguments(self, batch: Batch) -> list[Argument]:
        registration = self._registration
        return [
            *registration.head,
            batch.number,
            registration.candidate,
            *self._limits,
            *batch.arguments(registration.offset),
        ]

    async def _pause(self, backoff: Backoff, why: object) -> None:
        self._trouble = str(why)
        await self._link.drop()
        await backoff.wait()

    async def _refused(self, error: Exception) -> None:
        """The server has run into an error within the batch, or has no memory for it."""
        text = str(error)
        refused = text.startswith(_REFUSALS) or isinstance(error, OutOfMemoryError)
        if not refused:
            logger.error("%s could not carry out a batch", self._name, exc_info=error)
        if self._batches.current is not None:
            self._is_answer = True
            self._batches.refuse(text, "refused" if refused else "unknown")
            self._is_answer = False
        if not isinstance(error, RedisError):
            await self._link.drop()

    def _deadline_came(self) -> None:
        """Let what is in the socket be read first: the loop may have been blocked till now."""
        now = self._loop.time()
        self._timer = self._loop.call_later(LAST_LOOK, self._check_deadlines, now)

    def _check_deadlines(self, now: float) -> None:
        self._timer = None
        self._batches.give_up(now, self._trouble)
        deadline = self._batches.next_deadline
        if deadline < math.inf:
            self._timer = self._loop.call_at(max(deadline, now + 0.001), self._deadline_came)

    def _explain(self, operation: Operation, outcome: Outcome, why: str) -> Exception:
        if outcome == "unknown":
            consequence = "it may have been done"
        else:
            consequence = "it was not done and will not be"
        if self._is_answer:
            text = f"{self._name} answered while {describe(operation)}: {why}; {consequence}."
            return LayerUnavailable(text, outcome=outcome)
        because = f" ({why})" if why else ""
        return LayerUnavailable(
            f"no answer from {self._name} within {self._timeout} s while "
            f"{describe(operation)}{because}; {consequence}. The layer keeps reconnecting.",
            outcome=outcome,
        )


_WORDS = {
    "G": "sending to group",
    "J": "adding to group",
    "M": "adding to group",
    "N": "leaving group",
    "R": "removing from group",
    "C": "looking at group",
    "Q": "sending to channel",
    "A": "acknowledging a message of channel",
    "a": "putting back a message of channel",
    "B": "putting back a message of channel",
    "X": "giving up a message of channel",
    "V": "reading the dead letters of channel",
    "Y": "dropping a dead letter of channel",
    "Z": "sending a dead letter again to channel",
}


def describe(operation: Operation) -> str:
    """Return what an operation does, in words."""
    if operation.code == "D":
        return f"sending to channel '{operation.arguments[0]!s}!{operation.arguments[1]!s}'"
    if operation.code == "I":
        change = "adding to" if operation.arguments[0] == "J" else "removing from"
        return f"{change} group {operation.arguments[1]!r}"
    word = _WORDS.get(operation.code)
    return f"{word} {str(operation.arguments[0])!r}" if word else "calling the shard"


__all__ = ["Sender", "describe"]
