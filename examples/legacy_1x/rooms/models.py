import json

from django.db import models


class Room(models.Model):
    slug = models.SlugField(primary_key=True)
    title = models.CharField(max_length=100)

    def __str__(self):
        return self.title

    @property
    def group_name(self):
        return "room-%s" % self.slug


class Line(models.Model):
    room = models.ForeignKey(Room, models.CASCADE, related_name="lines")
    name = models.CharField(max_length=150)
    text = models.TextField()
    said = models.DateTimeField(auto_now_add=True)

    def __str__(self):
        return "%s: %s" % (self.name, self.text)

    def as_message(self):
        return {"text": json.dumps({"name": self.name, "said": self.text})}
