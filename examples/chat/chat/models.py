from typing import Any

from django.db import models


class Room(models.Model):
    slug = models.SlugField(primary_key=True)

    def __str__(self) -> str:
        return f"#{self.slug}"


class Line(models.Model):
    """What the page of a room shows: something that was said, or that somebody came or went."""

    class Kind(models.TextChoices):
        SAID = "said"
        JOINED = "joined"
        LEFT = "left"

    room = models.ForeignKey(Room, on_delete=models.CASCADE, related_name="lines")
    kind = models.CharField(max_length=6, choices=Kind)
    name = models.CharField(max_length=150)
    text = models.TextField(blank=True)
    at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.name} {self.kind} {self.text}".rstrip()

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.pk,
            "kind": self.kind,
            "name": self.name,
            "text": self.text,
            "at": self.at.isoformat(),
        }
