"""Django settings of consumers of Channels 1.x: sessions in the cache."""

from benchmarks.apps.settings import *  # noqa: F403

INSTALLED_APPS = ["achannels"]
CHANNEL_LAYERS = {"default": {"ROUTING": []}}
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
