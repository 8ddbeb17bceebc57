from channels.test import ChannelTestCase, WSClient

from liveblog.models import Post


class LiveblogTest(ChannelTestCase):
    def test_a_post_reaches_readers(self):
        client = WSClient()
        client.send_and_consume("websocket.connect", path="/liveblog/")
        post = Post.objects.create(content="first")
        self.assertEqual(client.receive(), {"id": post.pk, "content": "first"})
        post.content = "better"
        post.save()
        self.assertEqual(client.receive(), {"id": post.pk, "content": "better"})

    def test_who_left_is_in_the_group_no_more(self):
        client = WSClient()
        client.send_and_consume("websocket.connect", path="/liveblog/")
        client.send_and_consume("websocket.disconnect", path="/liveblog/")
        Post.objects.create(content="unread")
        self.assertIsNone(client.receive())
