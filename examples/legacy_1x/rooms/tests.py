from channels import Group
from channels.exceptions import DenyConnection
from channels.test import ChannelTestCase, WSClient
from django.contrib.auth.models import User

from rooms.models import Line, Room


class RoomTest(ChannelTestCase):
    def enter(self, name):
        """Have somebody log in and enter the lobby."""
        client = WSClient(ordered=True)
        client.force_login(User.objects.create_user(name))
        client.set_header("origin", "http://localhost")
        client.send_and_consume("websocket.connect", path="/rooms/lobby/")
        return client

    def test_a_line_is_kept_and_reaches_everybody(self):
        anna, bert = self.enter("anna"), self.enter("bert")
        self.assertEqual(anna.receive(), {"name": "anna", "note": "came"})
        self.assertEqual(anna.receive(), {"name": "bert", "note": "came"})
        self.assertEqual(bert.receive(), {"name": "bert", "note": "came"})
        anna.send_and_consume("websocket.receive", path="/rooms/lobby/", text={"say": "hi"})
        for client in (anna, bert):
            self.assertEqual(client.receive(), {"name": "anna", "said": "hi"})
        self.assertEqual(str(Line.objects.get()), "anna: hi")

    def test_who_comes_gets_the_last_lines(self):
        lobby = Room.objects.get()
        for number in range(25):
            Line.objects.create(room=lobby, name="bert", text=str(number))
        anna = self.enter("anna")
        heard = [anna.receive() for _ in range(5)]
        self.assertEqual(heard[0], {"name": "bert", "said": "20"})
        self.assertEqual(heard[-1], {"name": "bert", "said": "24"})

    def test_who_left_hears_no_more(self):
        anna, bert = self.enter("anna"), self.enter("bert")
        bert.send_and_consume("websocket.disconnect", path="/rooms/lobby/")
        Group("room-lobby").send({"text": '{"after": true}'})
        heard = [anna.receive() for _ in range(4)]
        self.assertEqual(heard[2:], [{"name": "bert", "note": "left"}, {"after": True}])
        self.assertEqual(bert.receive(), {"name": "bert", "note": "came"})
        self.assertIsNone(bert.receive())

    def test_strangers_stay_outside(self):
        client = WSClient(ordered=True)
        client.set_header("origin", "http://localhost")
        with self.assertRaises(DenyConnection):
            client.send_and_consume("websocket.connect", path="/rooms/lobby/")

    def test_pages_of_others_stay_outside(self):
        client = WSClient(ordered=True)
        client.force_login(User.objects.create_user("anna"))
        client.set_header("origin", "http://evil.test")
        with self.assertRaises(DenyConnection):
            client.send_and_consume("websocket.connect", path="/rooms/lobby/")

    def test_a_room_that_is_none(self):
        client = WSClient(ordered=True)
        client.force_login(User.objects.create_user("anna"))
        client.set_header("origin", "http://localhost")
        with self.assertRaises(DenyConnection):
            client.send_and_consume("websocket.connect", path="/rooms/attic/")
