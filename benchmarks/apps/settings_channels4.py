"""Django settings with Channels 4.3."""

from benchmarks.apps.settings import *  # noqa: F403

INSTALLED_APPS = ["channels"]
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
