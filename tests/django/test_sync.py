"""`achannels.sync` from everywhere that plain code runs."""

import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import transaction
from django.test import override_settings

from achannels import Message, route, route_class, sync
from achannels.asgi import Application, get_asgi_application
from achannels.django.testing import ChannelTestCase, ChannelTransactionTestCase
from achannels.testing import HttpClient, Node, WebsocketClient
from tests.django.board.consumers import Watcher
from tests.django.board.models import Note

FORM = {"content-type": "application/x-www-form-urlencoded"}


class Send(BaseCommand):
    def handle(self, *args: Any, **options: Any) -> None:
        sync.Group("board").send({"text": "from a command"})


class FromEverywhere(ChannelTransactionTestCase):
    async def test_a_sync_view(self) -> None:
        async with WebsocketClient(get_asgi_application(), "/board/") as socket:
            await sync_to_async(sync.Group("views").add)(await one_of("board"))
            await self.async_client.post("/notes/", {"text": "news"})
            assert await socket.receive() == "news"
            assert await socket.receive() == "view: news"

    async def test_sync_to_async_in_an_async_view(self) -> None:
        async with WebsocketClient(get_asgi_application(), "/board/") as socket:
            await sync_to_async(sync.Group("views").add)(await one_of("board"))
            await self.async_client.post("/async/notes/", {"text": "news"})
            assert await socket.receive() == "async: news"

    async def test_a_signal_of_the_async_orm(self) -> None:
        async with WebsocketClient(get_asgi_application(), "/board/") as socket:
            await Note.objects.acreate(text="saved")
            assert await socket.receive() == "saved"

    async def test_a_management_command(self) -> None:
        async with WebsocketClient(get_asgi_application(), "/board/") as socket:
            await sync_to_async(call_command)(Send())
            assert await socket.receive() == "from a command"

    async def test_a_thread(self) -> None:
        async with WebsocketClient(get_asgi_application(), "/board/") as socket:
            thread = threading.Thread(target=sync.Group("board").send, args=[{"text": "thread"}])
            thread.start()
            assert await socket.receive() == "thread"
            await sync_to_async(thread.join)()

    async def test_a_background_channel(self) -> None:
        async with Node(get_asgi_application()) as node:
            await sync_to_async(sync.Channel("notes").send)({"text": "kept"})
            await node.idle()
        assert await Note.objects.acount() == 1

    def test_a_process_without_a_loop(self) -> None:
        sync.Group("board").send({"text": "nobody listens"})
        sync.Channel("notes").send({"text": "waits"})

    def test_after_a_rollback_nothing_is_sent(self) -> None:
        with transaction.atomic():
            sync.Channel("later").send({"n": 1}, on_commit=True)
            transaction.set_rollback(True)
        with transaction.atomic():
            sync.Channel("later").send({"n": 2}, on_commit=True)
            assert pending() == 0
        assert pending() == 1

    def test_on_commit_outside_a_transaction_is_now(self) -> None:
        sync.Channel("later").send({"n": 1}, on_commit="default")
        assert pending() == 1

    @override_settings(ACHANNELS={"SEND_ON_COMMIT": True})
    def test_send_on_commit_can_be_the_default(self) -> None:
        with transaction.atomic():
            sync.Channel("later").send({"n": 1})
            sync.Channel("now").send({"n": 1}, on_commit=False)
            assert pending() == 1
        assert pending() == 2


class InATransaction(ChannelTestCase):
    def test_sends_obey_capture_on_commit_callbacks(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            sync.Channel("later").send({"n": 1}, on_commit=True)
            assert pending() == 0
        assert pending() == 1


@pytest.mark.django_db(transaction=True)
async def test_what_a_sender_starts_runs_in_the_context_of_the_socket() -> None:
    """Else the ORM would be called in the thread that the sender's own call keeps busy."""

    async def add(message: Message) -> None:
        await Note.objects.acreate(text=message["text"])

    django = get_asgi_application()
    routing = [route("websocket.receive", add, path="add/"), route_class(Watcher, path="watch/")]
    application = Application(routing, http=django.http)
    async with (
        WebsocketClient(application, "/watch/") as watcher,
        WebsocketClient(application, "/add/") as other,
        HttpClient(application) as http,
    ):
        await other.send("from a consumer")
        assert await watcher.receive_json() == {"text": "from a consumer", "count": 1}
        await http.post("/notes/", b"text=from+a+view", headers=FORM)
        assert await watcher.receive_json() == {"text": "from a view", "count": 2}


def pending() -> int:
    layer = sync.Channel("later").channel_layer
    return sync.run(sync.Channel("later"), "statistics", layer.statistics)["pending"]


async def one_of(group: str) -> str:
    layer = sync.Group(group).channel_layer
    (channel,) = await layer.group_channels(group)
    return channel
