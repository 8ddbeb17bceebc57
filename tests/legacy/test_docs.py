"""What the pages about bindings, delays and the test kit show, run as it stands there."""

import json
import sys
import unittest
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save

from achannels.legacy.asgi import channel_layers
from achannels.legacy.channel import Group
from achannels.legacy.routing import route
from tests.docs.snippets import PAGES
from tests.legacy.shelf.models import Author, Book

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("old_names")]


@pytest.fixture
def page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A page with the modules it imports; its names when it has run."""
    signals = (pre_save, post_save, pre_delete, post_delete)
    before = [list(signal.receivers) for signal in signals]
    name, modules = request.param
    for path, names in modules.items():
        module = ModuleType(path)
        vars(module).update(names)
        for part in (path.partition(".")[0], path):
            monkeypatch.setitem(sys.modules, part, module)
    made = ModuleType(name)
    vars(made)["INSTALLED_APPS"] = []
    for block in PAGES[f"docs/reference/{name}.md"]:
        exec(block.compile(), vars(made))
    yield made
    for signal, receivers in zip(signals, before, strict=True):
        signal.receivers = receivers
        signal.sender_receivers_cache.clear()


def received(channel: str) -> list[Any]:
    found = []
    while (content := channel_layers["default"].receive([channel])[1]) is not None:
        found.append(content)
    return found


def told() -> list[tuple[str, Any]]:
    payloads = [json.loads(content["text"])["payload"] for content in received("client")]
    return [(payload["action"], payload["data"]) for payload in payloads]


@pytest.mark.parametrize(
    "page", [("legacy-binding", {"library.models": {"Book": Book}})], indirect=True
)
def test_binding(page: ModuleType) -> None:
    Group("shelf").add("client")
    anna = Author.objects.create(name="Anna")
    book = Book.objects.create(title="t", out=True, author=anna)
    book.title = "u"
    book.save()
    book.out = False
    book.save()
    assert told() == [
        ("create", {"title": "t", "out": True}),
        ("update", {"title": "u", "out": True}),
        ("delete", {"title": "u", "out": False}),
    ]
    Group("long").add("client")
    Book.objects.create(title="t", author=anna)
    assert told() == [("create", {"title": "t", "shout": "T", "author__name": "Anna"})]
    (binding,) = page.channel_routing
    assert binding.channel_names() == {
        "websocket.connect",
        "websocket.receive",
        "websocket.disconnect",
    }


@pytest.mark.parametrize("page", [("legacy-delay", {})], indirect=True)
def test_delay(page: ModuleType) -> None:
    page.remind(None, 5)
    assert received("asgi.delay") == [
        {"channel": "reminders", "delay": 60_000, "content": {"photo": 5}}
    ]


def enter(message: Any) -> None:
    Group("room-lobby").add(message.reply_channel)
    message.reply_channel.send({"accept": True})


def say(message: Any) -> None:
    said = json.loads(message["text"])["say"]
    Group("room-lobby").send({"text": json.dumps({"name": "anna", "said": said})})


ROOMS = [route("websocket.connect", enter), route("websocket.receive", say)]


@pytest.mark.parametrize(
    "page", [("legacy-testing", {"rooms.routing": {"channel_routing": ROOMS}})], indirect=True
)
def test_testing(page: ModuleType) -> None:
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(page.RoomTest).run(result)
    assert (result.testsRun, result.errors, result.failures) == (1, [], [])
