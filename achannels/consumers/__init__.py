"""Class consumers: the spelling of Channels 4."""

from achannels.consumers.base import AsyncConsumer
from achannels.consumers.json import AsyncJsonWebsocketConsumer
from achannels.consumers.sync import JsonWebsocketConsumer, SyncConsumer, WebsocketConsumer
from achannels.consumers.websocket import AsyncWebsocketConsumer

__all__ = [
    "AsyncConsumer",
    "AsyncJsonWebsocketConsumer",
    "AsyncWebsocketConsumer",
    "JsonWebsocketConsumer",
    "SyncConsumer",
    "WebsocketConsumer",
]
