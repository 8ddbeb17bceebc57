"""Channels 4.3 between processes, with `channels_redis.pubsub`."""

import os

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.apps.settings_channels4_pubsub"

from benchmarks.apps.channels4 import group

__all__ = ["group"]
