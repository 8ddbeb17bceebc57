"""The testing kit: clients, a node, a clock, a server, and the suite for authors of layers."""

from achannels.testing.clock import Clock
from achannels.testing.http import HttpClient
from achannels.testing.liveserver import LiveServer
from achannels.testing.node import Node
from achannels.testing.websocket import ConnectionDenied, WebsocketClient

__all__ = ["Clock", "ConnectionDenied", "HttpClient", "LiveServer", "Node", "WebsocketClient"]
