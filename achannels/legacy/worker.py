"""`channels.worker`: a worker for programs of one's own; `runworker` and the servers have another."""

import fnmatch
import logging
import multiprocessing
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable
from types import FrameType
from typing import Any

from achannels import message as awaited
from achannels.dispatch import is_async, name_of
from achannels.django.db import close_old_connections
from achannels.exceptions import ChannelFull, ConsumeLater, DenyConnection, LayerClosed
from achannels.legacy.asgi import ChannelLayerWrapper
from achannels.legacy.message import Message, pending_message_store
from achannels.legacy.running import run_consumer
from achannels.legacy.signals import worker_ready
from achannels.sync import hand_over
from achannels.types import Content

logger = logging.getLogger("django.channels")

IDLE = 0.01
"""Seconds between two looks for a message."""

REQUEUE_TRIES = 10
REQUEUE_WAIT = 0.05

Callback = Callable[[str, Message], Any]


class Worker:
    """Takes messages off a layer one at a time and has its routing's consumers handle them.

    Args:
        channel_layer: The layer with its routing: `channel_layers["default"]`.
        callback: Called with channel name and message before each consumer.
        message_retries: How often a message that asks for `ConsumeLater` is handled again.
        signal_handlers: End at SIGTERM and SIGINT, after the message in hand.
        only_channels: Globs of the channels to listen on; `None` is all.
        exclude_channels: Globs of the channels not to listen on.

    Attributes:
        termed: It shall end.
        in_job: It has a message in hand.
    """

    def __init__(
        self,
        channel_layer: ChannelLayerWrapper,
        callback: Callback | None = None,
        message_retries: int = 10,
        signal_handlers: bool = True,
        only_channels: Collection[str] | None = None,
        exclude_channels: Collection[str] | None = None,
    ) -> None:
        self.channel_layer = channel_layer
        self.callback = callback
        self.message_retries = message_retries
        self.signal_handlers = signal_handlers
        self.only_channels = only_channels
        self.exclude_channels = exclude_channels
        self.termed = False
        self.in_job = False

    def install_signal_handler(self) -> None:
        """Have SIGTERM and SIGINT end it."""
        signal.signal(signal.SIGTERM, self.sigterm_handler)
        signal.signal(signal.SIGINT, self.sigterm_handler)

    def sigterm_handler(self, signo: int, stack_frame: FrameType | None) -> None:
        """End after the message in hand; now, if there is none."""
        self.termed = True
        if self.in_job:
            logger.info("Shutdown signal received while busy, waiting for loop termination")
        else:
            logger.info("Shutdown signal received while idle, terminating immediately")
            sys.exit(0)

    def apply_channel_filters(self, channels: Iterable[str]) -> list[str]:
        """Return the channels that the globs leave."""
        only, exclude = self.only_channels, self.exclude_channels
        return [
            channel
            for channel in channels
            if (not only or _matches(channel, only))
            and not (exclude and _matches(channel, exclude))
        ]

    def ready(self) -> None:
        """Say that it is about to run; call it before `run()`."""
        worker_ready.send(sender=self)

    def run(self) -> None:
        """Handle messages until it is told to end, or the layer is closed."""
        if self.signal_handlers:
            self.install_signal_handler()
        channels = self.apply_channel_filters(self.channel_layer.router.channels)
        logger.info("Listening on channels %s", ", ".join(sorted(channels)))
        while not self.termed:
            self.in_job = False
            try:
                channel, content = self.channel_layer.receive(channels, block=True)
            except LayerClosed:
                return
            self.in_job = True
            if channel is None or content is None:
                time.sleep(IDLE)
            else:
                self.handle(channel, content)
        self.in_job = False

    def handle(self, channel: str, content: Content) -> None:
        """Have a message handled; whatever goes wrong is logged."""
        logger.debug("Got message on %s (reply %s)", channel, content.get("reply_channel", "none"))
        message = Message(content, channel, self.channel_layer)
        if content.get("__retries__", 0) == self.message_retries:
            message.__doomed__ = True
        try:
            match = self.channel_layer.router.match(message)
            if match is None:
                logger.error("Could not find match for message on %s! Check your routing.", channel)
                return
            if self.callback is not None:
                self.callback(channel, message)
        except Exception:
            logger.exception("a message on %s is lost", channel)
            return
        logger.debug("Dispatching message on %s to %s", channel, name_of(match.consumer))
        pending_message_store.prepare()
        try:
            self._run(match.consumer, message, match.kwargs)
        except DenyConnection:
            self._deny(message)
        except ConsumeLater:
            self._requeue(message)
        except Exception:
            logger.exception("Error processing message with consumer %s", name_of(match.consumer))
        finally:
            pending_message_store.send_and_flush()

    def _run(self, consumer: Callable[..., Any], message: Message, kwargs: dict[str, Any]) -> None:
        if is_async(consumer):
            there = awaited.Message(message.content, message._channel, message._reply)
            hand_over(self.channel_layer.layer, lambda: consumer(there, **kwargs))
            return
        try:
            run_consumer(consumer, message, kwargs, type(self), environ={})
        finally:
            close_old_connections()

    def _deny(self, message: Message) -> None:
        if message.channel.name == "websocket.connect":
            message.reply_channel.send({"close": True})
        else:
            logger.error("DenyConnection was raised on %s, where there is nothing to deny", message)

    def _requeue(self, message: Message) -> None:
        message["__retries__"] = message.get("__retries__", 0) + 1
        name = message.channel.name
        if message["__retries__"] > self.message_retries:
            logger.warning("Exceeded number of retries for message %s: %s", name, message)
            return
        for _ in range(REQUEUE_TRIES):
            try:
                self.channel_layer.send(name, message.content)
            except ChannelFull:
                time.sleep(REQUEUE_WAIT)
            else:
                return
        logger.error("a message on %s is lost: there was no room to handle it later", name)


class WorkerGroup(Worker):
    """Several workers: this one, and others in threads.

    Args:
        *args: As of `Worker`.
        n_threads: How many there are; `None` is one for each processor.
        **kwargs: As of `Worker`.

    Attributes:
        sub_workers: The others.
        threads: Where they run.
    """

    def __init__(self, *args: Any, n_threads: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kwargs["signal_handlers"] = False
        count = (n_threads or multiprocessing.cpu_count()) - 1
        self.sub_workers = [Worker(*args, **kwargs) for _ in range(count)]
        self.threads = [
            threading.Thread(target=worker.run, daemon=True) for worker in self.sub_workers
        ]

    def sigterm_handler(self, signo: int, stack_frame: FrameType | None) -> None:
        """End now, whatever is in hand."""
        self.termed = True
        for worker in self.sub_workers:
            worker.termed = True
        logger.info("Shutdown signal received by WorkerGroup, terminating immediately.")
        sys.exit(0)

    def ready(self) -> None:
        """Say that all of them are about to run."""
        super().ready()
        for worker in self.sub_workers:
            worker.ready()

    def run(self) -> None:
        """Start the others, and handle messages until it is told to end."""
        for thread in self.threads:
            thread.start()
        super().run()


def _matches(channel: str, globs: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(channel, glob) for glob in globs)


__all__ = ["Worker", "WorkerGroup"]
