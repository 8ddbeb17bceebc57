"""What the page on Django says, and its snippets."""

import re
import threading
import unittest
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.core.management import load_command_class
from django.db.models.signals import post_save
from django.test import override_settings

import achannels
from achannels import Message, route
from achannels.asgi import Application, get_asgi_application
from achannels.testing import HttpClient, Node, WebsocketClient
from tests.docs.models import Entry
from tests.docs.snippets import TEXTS, file

PAGE = "docs/guide/django.md"

SITE = {"default": {"ROUTING": "mysite.routing.channel_routing"}}


@pytest.mark.usefixtures("tables")
async def test_the_news(page: Any) -> None:
    await Entry.objects.acreate(title="yesterday")
    with override_settings(CHANNEL_LAYERS=SITE):
        application = get_asgi_application()
    async with (
        WebsocketClient(application, "/news/") as anna,
        WebsocketClient(application, "/news/") as bert,
    ):
        for socket in (anna, bert):
            assert await socket.receive() == "yesterday"
        await anna.send("today")
        assert [await anna.receive(), await bert.receive()] == ["today", "today"]
    assert await Entry.objects.acount() == 2


@pytest.mark.usefixtures("tables")
def test_the_test_case_of_the_page(page: Any) -> None:
    result = unittest.TestResult()
    with override_settings(CHANNEL_LAYERS=SITE):
        page.NewsTest("test_an_entry_reaches_everybody")(result)
    assert result.testsRun == 1
    assert result.wasSuccessful(), result.errors + result.failures
    assert Entry.objects.count() == 0


@pytest.mark.usefixtures("tables")
async def test_a_transaction_in_a_function(page: Any) -> None:
    entry = await Entry.objects.acreate(title="old")
    application = Application(
        [
            *file("mysite.routing").channel_routing,
            route("rename", page.rename_and_tell),
        ]
    )
    async with Node(application) as node, WebsocketClient(application, "/news/") as socket:
        assert await socket.receive() == "old"
        await achannels.Channel("rename").send({"pk": entry.pk, "title": "new"})
        await node.idle()
        assert await socket.receive() == "old is now new"


@pytest.mark.usefixtures("tables")
async def test_the_orm_of_async_consumers_runs_in_one_thread() -> None:
    threads: set[int] = set()

    def note(**kwargs: Any) -> None:
        threads.add(threading.get_ident())

    async def receive(message: Message) -> None:
        with pytest.raises(SynchronousOnlyOperation):
            Entry.objects.create(title="blocks")
        await Entry.objects.acreate(title=message["text"])
        await message.reply_channel.send({"text": "done"})

    post_save.connect(note, sender=Entry)
    application = Application([route("websocket.receive", receive)])
    async with (
        WebsocketClient(application, "/") as one,
        WebsocketClient(application, "/") as two,
    ):
        for socket in (one, two):
            await socket.send("new")
        for socket in (one, two):
            assert await socket.receive() == "done"
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


async def test_the_application_of_asgi_py(page: Any) -> None:
    assert isinstance(page.application, Application)
    async with HttpClient(page.application) as client:
        assert (await client.get("/no/such/page/")).status == 404
    assert get_asgi_application(threads=32).settings.threads == 32


def test_the_page_names_every_check() -> None:
    source = Path(achannels.__file__).parent / "django" / "checks.py"
    known = {
        found.removeprefix("achannels.")
        for found in re.findall(r'"((?:achannels\.)?[EW]\d{3})"', source.read_text())
    }
    assert set(re.findall(r"^\| `achannels\.([EW]\d{3})` \|", TEXTS[PAGE], re.MULTILINE)) == known


def test_the_page_names_options_that_exist() -> None:
    parser = load_command_class("achannels.django", "runserver").create_parser("", "")
    known = {option for action in parser._actions for option in action.option_strings}
    section = TEXTS[PAGE].partition("## runserver")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(--\w+)`", section))
    assert named
    assert named <= known
