"""Django through achannels."""

import os

from achannels.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.apps.settings_ours")

application = get_asgi_application()
