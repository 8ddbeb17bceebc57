"""Django settings with Channels 4.3 and `channels_redis.core`.

The two options of the connections undo defaults of redis-py 8 that end idle sockets after five
seconds and refuse a hundred members that leave at once.
"""

import os

from benchmarks.apps.settings import *  # noqa: F403
from benchmarks.redis_case import URL

HOSTS = [{"address": os.environ[URL], "socket_timeout": None, "max_connections": 10_000}]

INSTALLED_APPS = ["channels"]
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": HOSTS},
    }
}
