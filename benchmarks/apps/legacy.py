"""Plain consumers of Channels 1.x, through the shim.

What `channels.X` would be is imported from `achannels.legacy.X`, because Channels 4 is installed
here as a peer, beside which `install()` refuses.
"""

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.apps.settings_legacy")

import django

django.setup()

from achannels.asgi import Application  # noqa: E402
from achannels.legacy import dispatch  # noqa: E402
from achannels.legacy.routing import route  # noqa: E402
from achannels.legacy.sessions import channel_session, enforce_ordering  # noqa: E402

dispatch.install()


def reply(message: Any) -> None:
    """Send a text back."""
    message.reply_channel.send({"text": message["text"]})


@channel_session
def reply_with_session(message: Any) -> None:
    """Send a text back, and count in the session of the socket."""
    message.channel_session["count"] = message.channel_session.get("count", 0) + 1
    message.reply_channel.send({"text": message["text"]})


@enforce_ordering
def reply_in_order(message: Any) -> None:
    """Do the same in order."""
    message.channel_session["count"] = message.channel_session.get("count", 0) + 1
    message.reply_channel.send({"text": message["text"]})


ROUTING = [
    route("websocket.receive", reply, path="^/plain/"),
    route("websocket.receive", reply_with_session, path="^/session/"),
    route("websocket.receive", reply_in_order, path="^/order/"),
]

echo = Application(ROUTING)
