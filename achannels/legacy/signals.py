"""`channels.signals`: what is told around consumers and workers.

`consumer_started` and `consumer_finished` are sent in the thread of each plain consumer, before it
and after it, also when it raised; the sender is `channels.worker.Worker`. `worker_ready` and
`worker_process_ready` have the worker as sender.

Code that runs consumers by hand sends the first two itself: what is sent between them waits for the
second one.
"""

from collections.abc import Callable
from typing import Any

from django.dispatch import Signal


class ConsumerSignal(Signal):
    """Does something of its own before its receivers hear of it.

    A receiver for that would cost each consumer several microseconds.

    Attributes:
        own: What it does; the store of sends that wait sets it.
    """

    own: Callable[[], None] | None = None

    def send(self, sender: Any, **named: Any) -> list[tuple[Any, Any]]:
        """Tell the receivers."""
        if self.own is not None:
            self.own()
        return super().send(sender, **named)


consumer_started = ConsumerSignal()
consumer_finished = ConsumerSignal()
worker_ready = Signal()
worker_process_ready = Signal()

__all__ = [
    "ConsumerSignal",
    "consumer_finished",
    "consumer_started",
    "worker_process_ready",
    "worker_ready",
]
