"""`channels.signals`: what is told around consumers and workers.

`consumer_started` and `consumer_finished` are sent in the thread of each plain consumer, before it
and after it, also when it raised; the sender is `channels.worker.Worker`. `worker_ready` and
`worker_process_ready` have the worker as sender.
"""

from django.dispatch import Signal

consumer_started = Signal()
consumer_finished = Signal()
worker_ready = Signal()
worker_process_ready = Signal()

__all__ = ["consumer_finished", "consumer_started", "worker_process_ready", "worker_ready"]
