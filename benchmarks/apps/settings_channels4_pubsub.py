"""Django settings with Channels 4.3 and `channels_redis.pubsub`."""

from benchmarks.apps.settings_channels4_core import *  # noqa: F403
from benchmarks.apps.settings_channels4_core import HOSTS

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": HOSTS},
    }
}
