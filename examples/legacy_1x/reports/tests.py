from channels.test import ChannelTestCase, Client, WSClient
from django.contrib.auth.models import User

from reports.models import Report


class ReportsTest(ChannelTestCase):
    def test_a_report_is_made_in_the_background(self):
        client = WSClient(ordered=True)
        client.force_login(User.objects.create_user("anna"))
        client.send_and_consume("websocket.connect", path="/reports/")
        client.send_and_consume("websocket.receive", path="/reports/", text={"make": "May"})
        self.assertEqual(client.receive(), {"title": "May", "state": "ordered"})
        client.consume("reports.make")
        percents = [client.receive()["percent"] for _ in range(4)]
        self.assertEqual(percents, [25, 50, 75, 100])
        self.assertEqual(client.receive(), {"title": "May", "state": "ready", "lines": 0})
        self.assertEqual(Report.objects.get().lines, 0)

    def test_a_report_is_removed_later(self):
        report = Report.objects.create(title="May")
        with self.settings(REPORT_LIFETIME=1500):
            Client().send_and_consume("reports.make", {"report": report.pk})
        later = self.get_next_message("asgi.delay", require=True)
        self.assertEqual((later["channel"], later["delay"]), ("reports.remove", 1500))
        Client().send_and_consume(later["channel"], later["content"])
        self.assertFalse(Report.objects.exists())
