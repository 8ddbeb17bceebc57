import json

from channels import Group
from django.db import models
from django.db.models.signals import post_save
from django.dispatch import receiver


class Post(models.Model):
    content = models.TextField()

    def __str__(self):
        return self.content


@receiver(post_save, sender=Post)
def send_update(sender, instance, **kwargs):
    Group("liveblog").send({"text": json.dumps({"id": instance.id, "content": instance.content})})
