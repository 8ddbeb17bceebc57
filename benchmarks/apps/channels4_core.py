"""Channels 4.3 between processes, with `channels_redis.core`."""

import os

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.apps.settings_channels4_core"

from benchmarks.apps.channels4 import group

__all__ = ["group"]
