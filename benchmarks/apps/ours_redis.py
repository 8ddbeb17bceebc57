"""achannels over Redis: the groups of `benchmarks.apps.ours` between processes."""

import os

from achannels import route
from achannels.asgi import Application
from achannels.layers.redis import RedisLayer
from benchmarks.apps import ours
from benchmarks.redis_case import URL

layer = RedisLayer([os.environ[URL]])

group = Application(
    [
        route("websocket.connect", ours.join, path="member/"),
        route("websocket.receive", ours.publish, path="control/"),
    ],
    layer=layer,
)
own_groups = Application([route("websocket.connect", ours.join_alone, path="member/")], layer=layer)
