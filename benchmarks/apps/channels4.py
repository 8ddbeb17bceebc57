"""Channels 4.3: the same behaviour in its consumers, with its in-memory layer."""

# mypy: disable-error-code="import-untyped, misc"

import os
import time
from typing import Any

import django
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.routing import URLRouter
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.apps.settings_channels4")
django.setup()

GROUP = "bench"


class Echo(AsyncWebsocketConsumer):
    """Sends each text back."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Send a text back."""
        await self.send(text_data=text_data)


class SyncEcho(WebsocketConsumer):
    """Sends each text back, from a thread."""

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Send a text back."""
        self.send(text_data=text_data)


class BlockingEcho(WebsocketConsumer):
    """Sends each text back after half a second of blocking."""

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Block, then send a text back."""
        time.sleep(0.5)
        self.send(text_data=text_data)


class Member(AsyncWebsocketConsumer):
    """A socket in the group."""

    async def connect(self) -> None:
        """Become a member, then be accepted."""
        await self.channel_layer.group_add(GROUP, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        """Leave the group."""
        await self.channel_layer.group_discard(GROUP, self.channel_name)

    async def bench_text(self, event: dict[str, Any]) -> None:
        """Send the group's text on to the client."""
        await self.send(text_data=event["text"])


class Control(AsyncWebsocketConsumer):
    """Sends to the group what comes in."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Send a text to the members as often as its first four digits say."""
        assert text_data is not None
        for _ in range(int(text_data[:4])):
            await self.channel_layer.group_send(GROUP, {"type": "bench.text", "text": text_data})


echo = Echo.as_asgi()
sync_echo = URLRouter(
    [
        path("def/", SyncEcho.as_asgi()),
        path("blocking/", BlockingEcho.as_asgi()),
        path("async/", Echo.as_asgi()),
    ]
)
group = URLRouter([path("member/", Member.as_asgi()), path("control/", Control.as_asgi())])
