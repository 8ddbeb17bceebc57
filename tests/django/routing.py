from achannels import route, route_class
from tests.django.board import consumers

channel_routing = [
    route("websocket.connect", consumers.connect, path="board/"),
    route("websocket.receive", consumers.receive, path="board/"),
    route_class(consumers.Watcher, path="watch/"),
    route("notes", consumers.keep),
]
