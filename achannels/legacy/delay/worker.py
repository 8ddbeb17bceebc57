"""`channels.delay.worker`: takes messages off `asgi.delay` and sends them when they are due."""

import json
import logging
import signal
import threading
import time
from types import FrameType
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DatabaseError, connections, router

from achannels.django.db import close_old_connections
from achannels.exceptions import ChannelFull, LayerUnavailable, MessageTooLarge
from achannels.legacy.delay.delayed import CHANNEL, Delayed, wait_in_layer
from achannels.legacy.delay.models import DelayedMessage

logger = logging.getLogger("django.channels")

IDLE = 0.1
"""Seconds between two looks at `asgi.delay` while nothing comes."""

RETRY = 1.0
"""Seconds before a layer or a database that does not answer is asked again."""

_AT_ONCE = 500


class Worker:
    """Keeps delayed messages in the database, and sends those that are due.

    Without the table, the layer itself waits. A message that is wrong is logged and dropped; a layer
    or a database that does not answer is waited for.

    Args:
        channel_layer: The layer.
        signal_handlers: End on SIGTERM and SIGINT; only in the main thread.
        database_sleep_duration: Seconds between two looks into the database.

    Attributes:
        termed: It was told to end.
    """

    def __init__(
        self,
        channel_layer: Any,
        signal_handlers: bool = True,
        database_sleep_duration: float = 1,
    ) -> None:
        self.channel_layer = channel_layer
        self.signal_handlers = signal_handlers
        self.database_sleep_duration = database_sleep_duration
        self._told = threading.Event()
        self._unsaved: Delayed | None = None

    @property
    def termed(self) -> bool:
        """Whether it was told to end."""
        return self._told.is_set()

    @termed.setter
    def termed(self, termed: bool) -> None:
        if termed:
            self._told.set()
        else:
            self._told.clear()

    def install_signal_handler(self) -> None:
        """Have SIGTERM and SIGINT end it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.sigterm_handler)

    def sigterm_handler(self, signo: int, stack_frame: FrameType | None) -> None:
        """End when what is in hand is done."""
        self.termed = True

    def run(self) -> None:
        """Work until told to end."""
        if self.signal_handlers:
            self.install_signal_handler()
        logger.info("Listening on %s", CHANNEL)
        table: bool | None = None
        looked = float("-inf")
        while not self.termed:
            close_old_connections()
            try:
                if table is None:
                    table = _find_table()
                if not self.take(in_table=table):
                    self._told.wait(IDLE)
                if table and time.monotonic() - looked > self.database_sleep_duration:
                    looked = time.monotonic()
                    self.send_due()
            except (LayerUnavailable, DatabaseError) as error:
                logger.error("Waiting, since something does not answer: %s", error)
                self._told.wait(RETRY)

    def take(self, *, in_table: bool = True) -> bool:
        """Take one message off `asgi.delay`; `False` if there was none."""
        if self._unsaved is None:
            _, content = self.channel_layer.receive([CHANNEL])
            if content is None:
                return False
            try:
                self._unsaved = Delayed.parse(content)
            except ValueError as error:
                logger.error("A message on %s was dropped: %s", CHANNEL, error)
                return True
        # Until it is kept somewhere it stays in hand: the database may be away for a moment.
        try:
            if in_table:
                save(self._unsaved)
            else:
                wait_in_layer(self._unsaved, self.channel_layer)
        except (TypeError, ValidationError, MessageTooLarge, ChannelFull) as error:
            logger.error("A message on %s was dropped: %s", CHANNEL, error)
        self._unsaved = None
        return True

    def send_due(self) -> None:
        """Send what is due."""
        while not self.termed:
            due = list(DelayedMessage.objects.is_due()[:_AT_ONCE])
            for message in due:
                channel = message.channel_name
                try:
                    message.send(channel_layer=self.channel_layer)
                except (TypeError, ValueError, MessageTooLarge) as error:
                    logger.error("A message to %r was dropped: %s", channel, error)
                    message.delete()
                else:
                    if message.pk is None:
                        logger.info("Sent a delayed message to %s", channel)
                    else:
                        logger.warning("%s is full; a delayed message waits again", channel)
            if len(due) < _AT_ONCE:
                return


def _find_table() -> bool:
    """Return whether the database has the table of delayed messages; tell if it has not."""
    alias = router.db_for_write(DelayedMessage)
    found = DelayedMessage._meta.db_table in connections[alias].introspection.table_names()
    if not found:
        logger.warning(
            "There is no table for delayed messages (run migrate); they wait in the layer."
        )
    return found


def save(delayed: Delayed) -> None:
    """Keep a message in the table.

    Raises:
        TypeError: Its content is not made of what JSON can say; bytes are not.
        ValidationError: The table cannot take it.
    """
    message = DelayedMessage(channel_name=delayed.channel, content=json.dumps(delayed.content))
    message.delay = delayed.delay
    message.full_clean()
    message.save()


__all__ = ["Worker", "save"]
