"""Plain functions as consumers: in threads, in order per socket, their sends collected."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from achannels import Channel, Message, route, sync
from achannels.asgi import Application
from achannels.exceptions import DenyConnection, InvalidContent, WrongContext
from achannels.layers.memory import MemoryLayer
from achannels.sessions import channel_session
from achannels.testing import ConnectionDenied, Node, WebsocketClient
from tests.doubles import errors


def sockets(receive: Callable[..., Any], **settings: Any) -> Application:
    return Application([route("websocket.receive", receive)], **settings)


async def test_sockets_run_in_parallel() -> None:
    together = threading.Barrier(5, timeout=5)

    def receive(message: sync.Message) -> None:
        together.wait()
        message.reply_channel.send({"text": "met"})

    app = sockets(receive)
    clients = [WebsocketClient(app, "/") for _ in range(5)]

    async def talk(client: WebsocketClient) -> None:
        async with client:
            await client.send("a")
            assert await client.receive(timeout=5) == "met"

    async with asyncio.TaskGroup() as tasks:
        talks = [tasks.create_task(talk(client)) for client in clients]
    assert all(talk.done() for talk in talks)


async def test_no_more_threads_than_the_setting_says() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def receive(message: sync.Message) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.005)
        with lock:
            running -= 1
        message.reply_channel.send({"text": "done"})

    app = sockets(receive, threads=2)

    async def talk() -> None:
        async with WebsocketClient(app, "/") as ws:
            await ws.send("a")
            await ws.receive(timeout=5)

    async with asyncio.TaskGroup() as tasks:
        talks = [tasks.create_task(talk()) for _ in range(6)]
    assert all(each.done() for each in talks)
    assert most <= 2


async def test_one_socket_runs_in_order() -> None:
    seen = []

    def receive(message: sync.Message) -> None:
        if message["text"] == "0":
            time.sleep(0.02)
        seen.append(message["text"])
        message.reply_channel.send({"text": message["text"]})

    async with WebsocketClient(sockets(receive), "/") as ws:
        for number in range(5):
            await ws.send(str(number))
        assert [await ws.receive() for _ in range(5)] == list("01234")
    assert seen == list("01234")


async def test_an_async_consumer_answers_while_a_thread_blocks() -> None:
    free = threading.Event()

    def block(message: sync.Message) -> None:
        free.wait(5)
        message.reply_channel.send({"text": "blocked"})

    async def echo(message: Message) -> None:
        await message.reply_channel.send({"text": "at once"})

    app = Application(
        [
            route("websocket.receive", block, path="block/"),
            route("websocket.receive", echo, path="echo/"),
        ]
    )
    async with WebsocketClient(app, "/block/") as blocked, WebsocketClient(app, "/echo/") as ws:
        await blocked.send("a")
        await ws.send("a")
        assert await ws.receive() == "at once"
        free.set()
        assert await blocked.receive() == "blocked"


async def test_sends_leave_in_order_when_the_consumer_returns(channel_layer: MemoryLayer) -> None:
    go_on = threading.Event()

    def receive(message: sync.Message) -> None:
        sync.Group("room").add(message.reply_channel)
        message.reply_channel.send({"text": "1"})
        sync.Group("room").send({"text": "2"})
        sync.Channel("named").send({"number": 3})
        message.reply_channel.send({"text": "4"})
        go_on.wait(5)

    async with WebsocketClient(sockets(receive), "/") as ws:
        await ws.send("a")
        assert await ws.receive_nothing()
        go_on.set()
        assert [await ws.receive() for _ in range(3)] == ["1", "2", "4"]
        assert await channel_layer.receive("named") == {"number": 3}


async def test_a_send_can_leave_immediately() -> None:
    go_on = threading.Event()

    def receive(message: sync.Message) -> None:
        message.reply_channel.send({"text": "later"})
        message.reply_channel.send({"text": "now"}, immediately=True)
        go_on.wait(5)

    async with WebsocketClient(sockets(receive), "/") as ws:
        await ws.send("a")
        assert await ws.receive() == "now"
        go_on.set()
        assert await ws.receive() == "later"


async def test_what_was_sent_before_a_consumer_raised_leaves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def receive(message: sync.Message) -> None:
        message.reply_channel.send({"text": "sent"})
        raise ValueError("broken")

    async with WebsocketClient(sockets(receive), "/") as ws:
        await ws.send("a")
        assert await ws.receive() == "sent"
        assert await ws.wait_closed() == 1011
    [record] = errors(caplog.records, "achannels.consumer")
    assert record.exc_info is not None
    assert "receive" in record.__dict__["consumer"]


async def test_add_and_discard_act_at_once(channel_layer: MemoryLayer) -> None:
    steps: list[set[str]] = []
    loop = asyncio.get_running_loop()

    def members() -> set[str]:
        asking = asyncio.run_coroutine_threadsafe(channel_layer.group_channels("room"), loop)
        return asking.result(5)

    def receive(message: sync.Message) -> None:
        sync.Group("room").add(message.reply_channel)
        steps.append(members())
        sync.Group("room").discard(message.reply_channel)
        steps.append(members())
        message.reply_channel.send({"text": "done"})

    async with WebsocketClient(sockets(receive), "/") as ws:
        await ws.send("a")
        await ws.receive()
    assert [len(step) for step in steps] == [1, 0]


async def test_a_wrong_content_raises_where_it_is_sent() -> None:
    caught = []

    def receive(message: sync.Message) -> None:
        try:
            message.reply_channel.send({"txt": "typo"})
        except InvalidContent as error:
            caught.append(error)
        message.reply_channel.send({"text": "done"})

    async with WebsocketClient(sockets(receive), "/") as ws:
        await ws.send("a")
        assert await ws.receive() == "done"
    assert "txt" in str(caught[0])


async def test_the_awaited_classes_refuse_to_work_in_a_thread() -> None:
    caught = []

    def receive(message: sync.Message) -> None:
        try:
            _ = Channel("named").send({})
        except WrongContext as error:
            caught.append(error)
        message.reply_channel.send({"text": "done"})

    async with WebsocketClient(sockets(receive), "/") as ws:
        await ws.send("a")
        await ws.receive()
    assert "achannels.sync" in str(caught[0])


async def test_connect_and_disconnect_may_be_plain_functions() -> None:
    codes = []

    def connect(message: sync.Message) -> None:
        message.reply_channel.send({"accept": True})

    def disconnect(message: sync.Message) -> None:
        codes.append(message["code"])

    app = Application(
        [route("websocket.connect", connect), route("websocket.disconnect", disconnect)]
    )
    async with WebsocketClient(app, "/") as ws:
        await ws.close(1001)
    assert codes == [1001]


async def test_a_plain_function_denies() -> None:
    def connect(message: sync.Message) -> None:
        raise DenyConnection("closed today", status=503)

    with pytest.raises(ConnectionDenied) as denied:
        async with WebsocketClient(Application([route("websocket.connect", connect)]), "/"):
            pass
    assert (denied.value.status, denied.value.reason) == (503, "closed today")


async def test_a_session_is_kept_also_when_the_function_raised() -> None:
    seen = []

    @channel_session
    def receive(message: sync.Message) -> None:
        message.channel_session["frames"] = message.channel_session.get("frames", 0) + 1
        raise ValueError("broken")

    @channel_session
    def disconnect(message: sync.Message) -> None:
        seen.append(message.channel_session["frames"])

    app = Application(
        [route("websocket.receive", receive), route("websocket.disconnect", disconnect)]
    )
    async with WebsocketClient(app, "/") as ws:
        await ws.send("a")
        assert await ws.wait_closed() == 1011
    assert seen == [1]


async def test_a_client_that_leaves_does_not_overtake_the_thread() -> None:
    steps, started, go_on = [], asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def receive(message: sync.Message) -> None:
        loop.call_soon_threadsafe(started.set)
        go_on.wait(5)
        steps.append("receive")

    async def disconnect(message: Message) -> None:
        steps.append("disconnect")

    app = Application(
        [route("websocket.receive", receive), route("websocket.disconnect", disconnect)]
    )
    async with WebsocketClient(app, "/") as ws:
        await ws.send("a")
        await started.wait()
        await ws.lose()
        go_on.set()
    assert steps == ["receive", "disconnect"]


async def test_background_functions_send_to_sockets() -> None:
    def shout(message: sync.Message) -> None:
        sync.Group("room").send({"text": message["text"].upper()})

    async def connect(message: Message) -> None:
        from achannels import Group

        await Group("room").add(message.reply_channel)
        await message.reply_channel.send({"accept": True})

    app = Application([route("shout", shout), route("websocket.connect", connect)])
    async with Node(app) as node, WebsocketClient(app, "/") as ws:
        await Channel("shout").send({"text": "hello"})
        await node.idle()
        assert await ws.receive() == "HELLO"
