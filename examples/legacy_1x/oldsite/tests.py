import urllib.request

from channels.test import ChannelLiveServerTestCase
from websockets.sync.client import connect

from liveblog.models import Post


class LiveServerTest(ChannelLiveServerTestCase):
    def read(self, path):
        with urllib.request.urlopen(self.live_server_url + path, timeout=5) as response:
            return response.read().decode()

    def test_pages_and_static_files(self):
        self.assertIn("A project of 2017", self.read("/"))
        self.assertIn("WebSocketBridge", self.read("/static/channels/js/websocketbridge.js"))

    def test_a_socket_sees_what_the_test_saves(self):
        with connect(self.live_server_ws_url + "/liveblog/", proxy=None) as socket:
            post = Post.objects.create(content="news")
            self.assertJSONEqual(socket.recv(timeout=5), {"id": post.pk, "content": "news"})
