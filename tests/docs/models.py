"""The models that pages import from apps of their readers."""

from django.conf import settings
from django.db import models


class Line(models.Model):
    room = models.SlugField()
    text = models.TextField()

    class Meta:
        app_label = "chat"

    def __str__(self) -> str:
        return self.text


class Entry(models.Model):
    title = models.TextField()

    class Meta:
        app_label = "news"

    def __str__(self) -> str:
        return self.title


class Photo(models.Model):
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    state = models.TextField(default="uploaded")

    class Meta:
        app_label = "media"

    def __str__(self) -> str:
        return f"photo {self.pk}"


MODELS = (Line, Entry, Photo)
