"""URLs of the Django project: two trivial views."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

BODY = b"hello"
HEADERS = {"Content-Length": str(len(BODY))}


async def async_hello(request: HttpRequest) -> HttpResponse:
    """Answer on the event loop."""
    return HttpResponse(BODY, headers=HEADERS)


def sync_hello(request: HttpRequest) -> HttpResponse:
    """Answer from a thread."""
    return HttpResponse(BODY, headers=HEADERS)


urlpatterns = [path("async/", async_hello), path("def/", sync_hello)]
