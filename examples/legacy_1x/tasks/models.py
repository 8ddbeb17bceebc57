from django.db import models


class Task(models.Model):
    title = models.CharField(max_length=100)
    done = models.BooleanField(default=False)
    secret = models.CharField(max_length=100, blank=True)

    def __str__(self):
        return self.title
