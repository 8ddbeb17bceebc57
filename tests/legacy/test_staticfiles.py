"""Static files as 1.x serves them."""

from pathlib import Path
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from achannels.legacy.handler import ViewConsumer
from achannels.legacy.message import Message
from achannels.legacy.staticfiles import StaticFilesConsumer, StaticFilesHandler


def page(request: HttpRequest, name: str = "") -> HttpResponse:
    return HttpResponse(f"the view {name}")


urlpatterns = [path("page/", page), path("static/<path:name>", page)]


@pytest.fixture(autouse=True)
def _project(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "css").mkdir()
    (tmp_path / "css" / "a b.css").write_text("body {}")
    settings.STATICFILES_DIRS = [tmp_path]
    settings.STATIC_URL = "/static/"
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = []


def answer(path: str, **more: Any) -> dict[str, Any]:
    """Return the one message that answers a request."""
    content = {"path": path, "method": "GET", "headers": [[b"host", b"testserver"]], **more}
    message, *others = StaticFilesHandler()(Message(content, "http.request"))
    message["content"] = b"".join(each.get("content", b"") for each in [message, *others])
    return message


@pytest.mark.parametrize("debug", [True, False])
def test_a_file_is_served_whatever_debug_says(settings: Any, debug: bool) -> None:
    settings.DEBUG = debug
    message = answer("/static/css/a b.css")
    assert message["status"] == 200
    assert message["content"] == b"body {}"
    assert (b"Content-Type", b"text/css") in message["headers"]


def test_other_paths_go_to_the_views() -> None:
    assert answer("/page/")["content"] == b"the view "


def test_without_debug_a_missing_file_is_the_views_matter() -> None:
    assert answer("/static/nothing.css")["content"] == b"the view nothing.css"


@override_settings(DEBUG=True)
def test_with_debug_a_missing_file_is_a_page_that_says_so() -> None:
    message = answer("/static/nothing.css")
    assert message["status"] == 404
    assert b"nothing.css" in message["content"]


def test_files_of_another_host_are_not_served(settings: Any) -> None:
    settings.STATIC_URL = "https://files.test/static/"
    assert answer("/static/css/a b.css")["content"] == b"the view css/a b.css"


def test_the_path_is_compared_as_it_is(settings: Any) -> None:
    settings.STATIC_URL = "/app/static/"
    message = answer("/app/static/css/a b.css", root_path="/app")
    assert message["content"] == b"body {}"


def test_a_path_out_of_the_folder_is_no_file(settings: Any, tmp_path: Path) -> None:
    (tmp_path.parent / "secret.txt").write_text("secret")
    assert answer("/static/../secret.txt")["status"] == 400


def test_the_bridge_is_found_where_1x_has_it(settings: Any) -> None:
    package = Path(__file__).parents[2] / "achannels" / "legacy" / "static"
    settings.STATICFILES_DIRS = [package]
    message = answer("/static/channels/js/websocketbridge.js")
    assert b"class WebSocketBridge" in message["content"]
    assert answer("/static/channels/js/websocketbridge.mjs")["status"] == 200


def test_the_consumer_is_one_of_views() -> None:
    assert issubclass(StaticFilesConsumer, ViewConsumer)
    assert StaticFilesConsumer.handler_class is StaticFilesHandler
