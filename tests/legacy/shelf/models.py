"""Books: every kind of field that a binding treats by itself."""

import uuid
from typing import Any

from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=40)

    def __str__(self) -> str:
        return self.name


class Tag(models.Model):
    name = models.SlugField(primary_key=True)

    def __str__(self) -> str:
        return self.name


class Book(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    title = models.CharField(max_length=40)
    price = models.DecimalField(max_digits=6, decimal_places=2, default=0)
    out = models.BooleanField(default=False)
    author = models.ForeignKey(Author, models.CASCADE, null=True)
    tags = models.ManyToManyField(Tag)
    saved = models.IntegerField(default=0)

    def __str__(self) -> str:
        return self.title

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.saved += 1
        super().save(*args, **kwargs)

    def shout(self) -> str:
        return self.title.upper()


class Comic(models.Model):
    """Bound by nobody, until a test does."""

    title = models.CharField(max_length=40)

    def __str__(self) -> str:
        return self.title
