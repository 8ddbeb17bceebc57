"""Real time for Python web teams: channels, groups and consumers on one event loop.

```python
from achannels import Group, Message, route
from achannels.asgi import Application

async def receive(message: Message) -> None:
    await message.reply_channel.send({"text": message["text"]})

application = Application([route("websocket.receive", receive)])
```
"""

from achannels.channel import Channel
from achannels.group import Group
from achannels.message import Message
from achannels.options import consumer
from achannels.registry import get_channel_layer
from achannels.routing import include, route, route_class

__version__ = "0.1.0"

__all__ = [
    "Channel",
    "Group",
    "Message",
    "__version__",
    "consumer",
    "get_channel_layer",
    "include",
    "route",
    "route_class",
]
