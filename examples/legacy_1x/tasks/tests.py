from channels.test import ChannelTestCase, WSClient
from django.contrib.auth.models import User

from tasks.models import Task


class TasksTest(ChannelTestCase):
    def setUp(self):
        self.client = WSClient()
        self.client.force_login(User.objects.create_user("anna"))
        self.client.send_and_consume("websocket.connect", path="/tasks/")
        self.drain()

    def drain(self):
        """Return the payloads that came."""
        frames = []
        while True:
            frame = self.client.receive()
            if frame is None:
                return [each["payload"] for each in frames if "stream" in each]
            frames.append(frame)

    def ask(self, client=None, **payload):
        frame = {"stream": "tasks", "payload": payload}
        (client or self.client).send_and_consume("websocket.receive", path="/tasks/", text=frame)

    def test_changes_are_seen(self):
        task = Task.objects.create(title="write", secret="draft")
        task.done = True
        task.save()
        pk = task.pk
        task.delete()
        seen = self.drain()
        self.assertEqual([each["action"] for each in seen], ["create", "update", "delete"])
        self.assertEqual(
            seen[1],
            {
                "action": "update",
                "pk": pk,
                "data": {"title": "write", "done": True},
                "model": "tasks.task",
            },
        )

    def test_clients_make_changes(self):
        self.ask(action="create", data={"title": "write", "secret": "mine"})
        task = Task.objects.get()
        self.assertEqual((task.title, task.secret), ("write", ""))
        self.ask(action="update", pk=task.pk, data={"done": True})
        self.assertTrue(Task.objects.get().done)
        self.ask(action="delete", pk=task.pk)
        self.assertFalse(Task.objects.exists())
        self.assertEqual([each["action"] for each in self.drain()], ["create", "update", "delete"])

    def test_who_is_not_logged_in_only_looks(self):
        stranger = WSClient()
        stranger.send_and_consume("websocket.connect", path="/tasks/")
        self.ask(stranger, action="create", data={"title": "write"})
        self.assertFalse(Task.objects.exists())
