"""`channels.test`: test cases and clients of Channels 1.x.

```python
class RoomTest(ChannelTestCase):
    def test_a_line_reaches_the_room(self):
        client = WSClient()
        client.send_and_consume("websocket.connect", path="/room/")
        client.send_and_consume("websocket.receive", path="/room/", text={"say": "hi"})
        self.assertEqual(client.receive(), {"say": "hi"})
```
"""

from achannels.legacy.test.base import (
    ChannelTestCase,
    Client,
    TransactionChannelTestCase,
    apply_routes,
)
from achannels.legacy.test.http import HttpClient
from achannels.legacy.test.liveserver import ChannelLiveServerTestCase
from achannels.legacy.test.websocket import WSClient

__all__ = [
    "ChannelLiveServerTestCase",
    "ChannelTestCase",
    "Client",
    "HttpClient",
    "TransactionChannelTestCase",
    "WSClient",
    "apply_routes",
]
