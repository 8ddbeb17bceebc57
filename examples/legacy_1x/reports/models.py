from django.db import models


class Report(models.Model):
    title = models.CharField(max_length=100)
    lines = models.IntegerField(null=True)

    def __str__(self):
        return self.title
