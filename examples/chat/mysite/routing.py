from achannels import include
from chat import consumers

# The socket of a room has the path of its page.
channel_routing = [
    include(
        {
            "websocket.connect": consumers.connect,
            "websocket.receive": consumers.receive,
            "websocket.disconnect": consumers.disconnect,
        },
        path="chat/<slug:room>/",
    ),
]
