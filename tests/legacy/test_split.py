"""Plain consumers of 1.x in another process than their sockets and requests."""

import asyncio
from typing import Any

import pytest
from django.urls import path

from achannels.legacy.handler import ViewConsumer
from achannels.legacy.routing import route
from achannels.testing import ConnectionDenied, HttpClient, WebsocketClient
from tests.legacy.test_http import closed, endless
from tests.split.nodes import site

pytestmark = pytest.mark.usefixtures("old_ways")

urlpatterns = [path("endless/", endless)]


async def test_a_stream_ends_when_its_client_leaves(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = []
    closed.clear()
    async with (
        site([route("http.request", ViewConsumer())]) as made,
        HttpClient(made.interface).stream("GET", "/endless/") as exchange,
    ):
        await exchange.receive()
        exchange.leave()
        assert await asyncio.to_thread(closed.wait, 5)


async def test_a_close_in_connect_refuses_whatever_its_code() -> None:
    def connect(message: Any) -> None:
        message.reply_channel.send({"close": 1008})

    async with site([route("websocket.connect", connect)]) as made:
        with pytest.raises(ConnectionDenied) as denied:
            async with WebsocketClient(made.interface, "/"):
                pass
        assert denied.value.status == 403
