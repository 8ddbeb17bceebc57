"""`channels.delay.models`: a message that waits in the database."""

import json
from datetime import timedelta
from typing import Any

from django.db import models
from django.utils import timezone

from achannels.exceptions import ChannelFull
from achannels.legacy.channel import Channel
from achannels.legacy.delay.delayed import REQUEUE_DELAY


class DelayedMessageQuerySet(models.QuerySet["DelayedMessage"]):
    """Messages that wait."""

    def is_due(self) -> "DelayedMessageQuerySet":
        """Return those whose time has come, the longest due first."""
        return self.filter(due_date__lte=timezone.now()).order_by("due_date", "pk")


class DelayedMessage(models.Model):
    """A message, the channel it goes to, and the moment from which on it may.

    The table is the one of Channels 1.x: a project that moves keeps what waits in it.
    """

    due_date = models.DateTimeField(db_index=True)
    channel_name = models.CharField(max_length=512)
    content = models.TextField()

    objects = DelayedMessageQuerySet.as_manager()

    class Meta:
        """The names of before."""

        app_label = "channels_delay"
        db_table = "channels.delay_delayedmessage"

    def __str__(self) -> str:
        return f"to {self.channel_name} on {self.due_date}"

    @property
    def delay(self) -> float:
        """Milliseconds: those that were set, else those that are left."""
        given: float | None = self.__dict__.get("_delay")
        if given is not None:
            return given
        return max(0, round((self.due_date - timezone.now()) / timedelta(milliseconds=1)))

    @delay.setter
    def delay(self, milliseconds: float) -> None:
        self._delay = milliseconds
        self.due_date = timezone.now() + timedelta(milliseconds=milliseconds)

    def send(self, channel_layer: Any = None, requeue_delay: int = REQUEUE_DELAY) -> None:
        """Send the message, now, and delete its row; to a channel that is full, later.

        A process that dies between the two sends it again.

        Args:
            channel_layer: The layer; `None` takes the default one.
            requeue_delay: Milliseconds before the next try.

        Raises:
            ValueError: The content is no JSON object.
            TypeError: The name of the channel is none, or the content holds what no layer carries.
            MessageTooLarge: It is over the layer's `message_size`.
            LayerUnavailable: The layer's server does not answer; the row stays.
        """
        content = json.loads(self.content)
        if not isinstance(content, dict):
            raise ValueError(f"the content of {self!r} is no JSON object")
        try:
            Channel(self.channel_name, channel_layer=channel_layer).send(content, immediately=True)
        except ChannelFull:
            self.delay = requeue_delay
            self.save(update_fields=["due_date"])
        else:
            self.delete()


__all__ = ["DelayedMessage", "DelayedMessageQuerySet"]
