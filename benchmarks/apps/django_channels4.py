"""Django through Channels 4.3's router."""

# mypy: disable-error-code="import-untyped"

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.apps.settings_channels4")

application = ProtocolTypeRouter({"http": get_asgi_application(), "websocket": URLRouter([])})
