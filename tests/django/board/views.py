from collections.abc import AsyncIterator

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from achannels import sync
from tests.django.board.models import Note


def notes(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        note = Note.objects.create(text=request.POST["text"])
        sync.Group("views").send({"text": f"view: {note.text}"})
        return HttpResponse(status=201)
    return HttpResponse("\n".join(Note.objects.values_list("text", flat=True)))


async def async_notes(request: HttpRequest) -> HttpResponse:
    await sync_to_async(sync.Group("views").send)({"text": f"async: {request.POST['text']}"})
    await Note.objects.acreate(text=request.POST["text"])
    return HttpResponse(status=201)


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[str]:
        yield "one "
        yield "two"

    return StreamingHttpResponse(parts())
