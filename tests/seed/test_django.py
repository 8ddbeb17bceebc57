"""The snippets of the introduction that touch Django: a model's signal, a response, the settings."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, models
from django.db.models.signals import post_save
from django.http import HttpRequest, HttpResponse

from achannels import registry
from achannels.asgi import Application, get_asgi_application
from achannels.layers.memory import MemoryLayer
from achannels.testing import HttpClient, WebsocketClient
from tests.seed.snippets import Spelling, module, snippet, today

IMPORTS = """
import json
from django.db.models.signals import post_save
from django.dispatch import receiver
from channels import Group
"""


class BlogUpdate(models.Model):
    content = models.TextField()

    class Meta:
        app_label = "blog"

    def __str__(self) -> str:
        return self.content


@pytest.fixture
def blog(transactional_db: None) -> Iterator[None]:
    """The table of the model."""
    with connection.schema_editor() as editor:
        editor.create_model(BlogUpdate)
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(BlogUpdate)


@pytest.mark.usefixtures("blog")
async def test_whoever_reads_the_blog_hears_what_is_saved(spelling: Spelling) -> None:
    consumers = module(
        "myapp.consumers",
        today(IMPORTS, spelling),
        snippet("liveblog", spelling),
        BlogUpdate=BlogUpdate,
    )
    routing = {
        "websocket.connect": "myapp.consumers.ws_connect",
        "websocket.disconnect": "myapp.consumers.ws_disconnect",
    }
    try:
        async with WebsocketClient(Application(routing), "/liveblog/") as reader:
            update = BlogUpdate(content="news")
            await update.asave()
            assert await reader.receive_json() == {"id": update.pk, "content": "news"}
            update.content = "more news"
            await update.asave()
            assert await reader.receive_json() == {"id": update.pk, "content": "more news"}
    finally:
        post_save.disconnect(consumers.send_update, sender=BlogUpdate)


@pytest.mark.django_db
async def test_a_view_answers_a_request() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(f"{request.method} {request.path} {request.GET['name']}", status=201)

    imports = today("from channels.handler import AsgiHandler, AsgiRequest", "def")
    consumers = module("myapp.consumers", imports, snippet("view consumer"), view=view)
    async with HttpClient(Application({"http.request": consumers.my_consumer})) as client:
        answer = await client.get("/some/page?name=anna")
    assert (answer.status, answer.text) == (201, "GET /some/page anna")


@pytest.mark.django_db
async def test_a_response_of_django_answers_a_request(spelling: Spelling) -> None:
    consumers = module("myapp.consumers", snippet("http consumer", spelling))
    routing = module("myproject.routing", snippet("http routing"))
    assert consumers.http_consumer is not None
    async with HttpClient(Application(routing.channel_routing)) as client:
        answer = await client.get("/some/page")
    assert answer.status == 200
    assert answer.text == "Hello world! You asked for /some/page"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


async def test_the_old_settings_name_the_layer_and_the_routing(
    settings: Any, spelling: Spelling
) -> None:
    written = module("myproject.settings", snippet("settings"))
    module("myapp.consumers", snippet("echo", spelling))
    module("myproject.routing", snippet("echo routing"))
    settings.CHANNEL_LAYERS = written.CHANNEL_LAYERS
    assert isinstance(registry.make_layer(), MemoryLayer)
    async with WebsocketClient(get_asgi_application(), "/chat/") as socket:
        await socket.send("hello world")
        assert await socket.receive() == "hello world"
