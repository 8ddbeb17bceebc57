"""Views that send: from sync and async code, in each spelling."""

from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from django.urls import path

from achannels import Channel, get_channel_layer, sync


def blocking(request: HttpRequest) -> HttpResponse:
    sync.Group("news").send({"text": "from a sync view"})
    return HttpResponse("sent")


def as_channels_4(request: HttpRequest) -> HttpResponse:
    layer = get_channel_layer()
    async_to_sync(layer.group_send)("news", {"text": "as in Channels 4"})
    return HttpResponse("sent")


async def awaiting(request: HttpRequest) -> HttpResponse:
    await Channel("tell").send({"text": "from an async view"})
    return HttpResponse("sent")


urlpatterns = [
    path("blocking/", blocking),
    path("channels-4/", as_channels_4),
    path("awaiting/", awaiting),
]
