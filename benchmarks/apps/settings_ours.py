"""Django settings with achannels."""

from benchmarks.apps.settings import *  # noqa: F403

INSTALLED_APPS = ["achannels"]
CHANNEL_LAYERS = {"default": {"ROUTING": "benchmarks.apps.routing.channel_routing"}}
