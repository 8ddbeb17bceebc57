"""The models that pages import from apps of their readers."""

from typing import ClassVar

from django.conf import settings
from django.db import models


class Line(models.Model):
    objects: ClassVar[models.Manager["Line"]] = models.Manager()

    room = models.SlugField()
    text = models.TextField()

    class Meta:
        app_label = "chat"

    def __str__(self) -> str:
        return self.text


class Entry(models.Model):
    objects: ClassVar[models.Manager["Entry"]] = models.Manager()

    title = models.TextField()

    class Meta:
        app_label = "news"

    def __str__(self) -> str:
        return self.title


class Photo(models.Model):
    objects: ClassVar[models.Manager["Photo"]] = models.Manager()

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    is_image = models.BooleanField(default=True)
    is_uploading = models.BooleanField(default=False)
    is_broken = models.BooleanField(default=False)
    thumbnails = models.IntegerField(default=0)

    class Meta:
        app_label = "media"

    def __str__(self) -> str:
        return f"photo {self.pk}"

    def make_thumbnail(self) -> None:
        """Count it; a broken photo has none."""
        if self.is_broken:
            raise ValueError("the photo is broken")
        self.thumbnails += 1
        self.save()


MODELS = (Line, Entry, Photo)
