# This module imports channels before the settings do, so it was given the two lines as well.
import achannels.legacy

achannels.legacy.install()

import os  # noqa: E402

from channels.asgi import get_channel_layer  # noqa: E402

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "oldsite.settings")

channel_layer = get_channel_layer()
