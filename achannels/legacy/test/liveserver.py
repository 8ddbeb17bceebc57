"""`channels.test.liveserver`: a real server, for tests with browsers."""

from achannels.django import testing


class ChannelLiveServerTestCase(testing.ChannelLiveServerTestCase):
    """Django's `LiveServerTestCase` with sockets: a real port, served by uvicorn in a thread.

    1.x started processes, and refused a database in memory; here the consumers run in this process,
    on the test's databases, whatever they are.

    Attributes:
        host: Address of the server.
        serve_static: Serve static files, where `django.contrib.staticfiles` is installed.
    """

    host = "localhost"


__all__ = ["ChannelLiveServerTestCase"]
