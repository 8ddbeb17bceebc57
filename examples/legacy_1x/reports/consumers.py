import json

from channels import Channel, Group
from channels.generic.websockets import JsonWebsocketConsumer
from django.conf import settings

from reports.models import Report
from rooms.models import Line

STEPS = 4


class ReportsConsumer(JsonWebsocketConsumer):
    http_user = True
    strict_ordering = True
    groups = ["reports"]

    def connect(self, message, **kwargs):
        if message.user.is_authenticated:
            message.reply_channel.send({"accept": True})
        else:
            self.close()

    def receive(self, content, **kwargs):
        report = Report.objects.create(title=content["make"])
        Channel("reports.make").send({"report": report.pk})
        self.send({"title": report.title, "state": "ordered"})


def make_report(message):
    """Count the lines of the rooms, slowly enough to be watched."""
    report = Report.objects.get(pk=message["report"])
    total = Line.objects.count()
    for step in range(1, STEPS + 1):
        tell(report, percent=100 * step // STEPS)
    report.lines = total
    report.save()
    tell(report, state="ready", lines=total)
    Channel("asgi.delay").send(
        {
            "channel": "reports.remove",
            "delay": settings.REPORT_LIFETIME,
            "content": {"report": report.pk},
        },
        immediately=True,
    )


def remove_report(message):
    report = Report.objects.get(pk=message["report"])
    report.delete()
    tell(report, state="removed")


def tell(report, **more):
    news = dict(more, title=report.title)
    # Now: kept until the end of the consumer, progress would come all at once.
    Group("reports").send({"text": json.dumps(news)}, immediately=True)
