from typing import Any

from django.db import models
from django.db.models.signals import post_save
from django.dispatch import receiver

from achannels import sync


class Note(models.Model):
    """A line on the board; everybody on the board sees a new one when it is committed."""

    text = models.TextField()

    def __str__(self) -> str:
        return self.text


@receiver(post_save, sender=Note)
def tell(sender: type[Note], instance: Note, **kwargs: Any) -> None:
    try:
        sync.Group("board").send({"text": instance.text}, on_commit=True)
        sync.Group("watchers").send({"type": "note.saved", "pk": instance.pk}, on_commit=True)
    except RuntimeError:
        raise AssertionError("a signal handler ran on the event loop") from None
