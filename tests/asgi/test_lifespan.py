"""Start and stop: with the server's lifespan, with `async with`, and without either."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from achannels import Channel, Group, Message, route
from achannels.asgi import Application
from achannels.layers.memory import MemoryLayer
from achannels.testing import ConnectionDenied, HttpClient, Node, WebsocketClient
from achannels.types import Receive, Scope, Send
from tests.doubles import RecordingSend, ScriptedReceive, errors, websocket_scope


async def receive(message: Message) -> None:
    await message.reply_channel.send({"text": message["text"]})


async def fail() -> None:
    raise RuntimeError("no database")


class Inner:
    """An application beside ours that writes down its lifespan."""

    def __init__(self, *, fails_at: str = "") -> None:
        self.steps: list[str] = []
        self.fails_at = fails_at

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
            return
        scope["state"]["inner"] = "was here"
        for step in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{step}"
            self.steps.append(step)
            if step == self.fails_at:
                await send({"type": f"lifespan.{step}.failed", "message": "no database"})
                raise RuntimeError("no database")
            await send({"type": f"lifespan.{step}.complete"})


# Start.


async def test_a_node_starts_with_its_first_connection() -> None:
    app = Application([route("websocket.receive", receive)])
    async with WebsocketClient(app, "/") as ws:
        await ws.send("a")
        assert await ws.receive() == "a"


async def test_many_first_connections_start_one_node() -> None:
    app = Application([route("websocket.receive", receive)])
    clients = [WebsocketClient(app, "/") for _ in range(50)]
    async with asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(client.__aenter__())
    statistics = await app.statistics()
    assert statistics["sockets"] == 50
    for client in clients:
        await client.__aexit__(None, None, None)


async def test_lifespan_starts_the_worker() -> None:
    handled = asyncio.Event()

    async def work(message: Message) -> None:
        handled.set()

    async with Node(Application([route("work", work)])) as node:
        await Channel("work").send({})
        await node.idle()
    assert handled.is_set()


async def test_the_lifespan_function_surrounds_worker_and_sockets(
    channel_layer: MemoryLayer,
) -> None:
    steps = []

    @asynccontextmanager
    async def around(app: Application) -> AsyncIterator[None]:
        await Channel("work").send({"from": "start"})
        steps.append("start")
        yield
        assert (await app.layer.statistics())["pending"] == 0
        steps.append("stop")

    async def work(message: Message) -> None:
        steps.append(message["from"])

    async def disconnect(message: Message) -> None:
        steps.append("disconnect")

    app = Application(
        [
            route("work", work),
            route("websocket.receive", receive),
            route("websocket.disconnect", disconnect),
        ],
        lifespan=around,
    )
    async with Node(app) as node:
        await node.idle()
        client = WebsocketClient(app, "/")
        await client.__aenter__()
    await client.__aexit__(None, None, None)
    assert steps == ["start", "start", "disconnect", "stop"]


async def test_a_lifespan_function_that_fails_fails_the_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @asynccontextmanager
    async def around(app: Application) -> AsyncIterator[None]:
        await fail()
        yield

    app = Application([route("work", receive)], lifespan=around)
    send = RecordingSend()
    await app({"type": "lifespan"}, ScriptedReceive({"type": "lifespan.startup"}), send)
    assert send.events == [{"type": "lifespan.startup.failed", "message": "no database"}]
    assert len(errors(caplog.records, "achannels.server")) == 1


async def test_inner_applications_get_the_lifespan_once() -> None:
    inner = Inner()
    app = Application([route("websocket.receive", receive)], http=inner, websocket=inner)
    async with Node(app):
        assert inner.steps == ["startup"]
        async with HttpClient(app) as client:
            assert (await client.get("/")).status == 204
    assert inner.steps == ["startup", "shutdown"]


async def test_an_inner_application_writes_into_the_servers_state() -> None:
    app = Application([route("websocket.receive", receive)], http=Inner())
    scope: dict[str, Any] = {"type": "lifespan", "state": {}}
    events = ScriptedReceive({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    await app(scope, events, RecordingSend())
    assert scope["state"] == {"inner": "was here"}


async def test_an_inner_application_without_lifespan_is_left_alone() -> None:
    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    app = Application([route("websocket.receive", receive)], http=plain)
    async with Node(app), HttpClient(app) as client:
        assert (await client.get("/")).status == 204


async def test_an_inner_application_that_ignores_its_lifespan_is_left_alone() -> None:
    async def quiet(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    app = Application([route("websocket.receive", receive)], http=quiet)
    async with Node(app), HttpClient(app) as client:
        assert (await client.get("/")).status == 204


async def test_an_inner_application_that_fails_to_start_fails_the_start() -> None:
    app = Application([route("websocket.receive", receive)], http=Inner(fails_at="startup"))
    with pytest.raises(RuntimeError, match="no database"):
        async with Node(app):
            pass


async def test_an_inner_application_that_lingers_after_it_failed_is_ended() -> None:
    steps: list[str] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            await asyncio.Event().wait()
        finally:
            steps.append("ended")

    app = Application([route("websocket.receive", receive)], http=inner)
    with pytest.raises(RuntimeError, match="no database"):
        async with Node(app):
            pass
    assert steps == ["ended"]


async def test_an_inner_application_that_fails_to_stop_is_told_to_the_server() -> None:
    app = Application([route("websocket.receive", receive)], http=Inner(fails_at="shutdown"))
    send = RecordingSend()
    events = ScriptedReceive({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    await app({"type": "lifespan", "state": {}}, events, send)
    assert send.types == ["lifespan.startup.complete", "lifespan.shutdown.failed"]


# Stop.


async def test_a_stop_closes_sockets_with_1012_and_runs_their_disconnects(
    channel_layer: MemoryLayer,
) -> None:
    codes = []

    async def connect(message: Message) -> None:
        await Group("room").add(message.reply_channel)
        await message.reply_channel.send({"accept": True})

    async def disconnect(message: Message) -> None:
        codes.append(message["code"])

    app = Application(
        [route("websocket.connect", connect), route("websocket.disconnect", disconnect)]
    )
    clients = [WebsocketClient(app, "/") for _ in range(100)]
    async with app:
        for client in clients:
            await client.__aenter__()
    assert codes == [1012] * 100
    assert await channel_layer.group_channels("room") == set()
    for client in clients:
        assert await client.wait_closed() == 1012
        await client.__aexit__(None, None, None)


async def test_a_stop_lets_the_running_frame_finish() -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(message: Message) -> None:
        started.set()
        await go_on.wait()
        await message.reply_channel.send({"text": "finished"})

    app = Application([route("websocket.receive", slow)])
    client = WebsocketClient(app, "/")
    async with asyncio.TaskGroup() as tasks:
        async with app:
            await client.__aenter__()
            await client.send("a")
            await started.wait()
            tasks.create_task(_later(go_on))
        assert await client.receive() == "finished"
        assert await client.wait_closed() == 1012
        await client.__aexit__(None, None, None)


async def _later(event: asyncio.Event) -> None:
    await asyncio.sleep(0)
    event.set()


async def test_a_consumer_that_hangs_is_cancelled_after_the_drain_timeout_and_disconnected() -> (
    None
):
    started, codes = asyncio.Event(), []

    async def hang(message: Message) -> None:
        started.set()
        await asyncio.Event().wait()

    async def disconnect(message: Message) -> None:
        await asyncio.sleep(0)
        codes.append(message["code"])

    app = Application(
        [route("websocket.receive", hang), route("websocket.disconnect", disconnect)],
        drain_timeout=0.05,
    )
    loop = asyncio.get_running_loop()
    client = WebsocketClient(app, "/")
    async with app:
        await client.__aenter__()
        await client.send("a")
        await started.wait()
        begin = loop.time()
    assert loop.time() - begin < 1
    assert codes == [1012]
    assert await client.wait_closed() == 1012
    await client.__aexit__(None, None, None)


async def test_a_disconnect_that_hangs_does_not_hold_the_stop() -> None:
    async def disconnect(message: Message) -> None:
        await asyncio.Event().wait()

    app = Application(
        [route("websocket.receive", receive), route("websocket.disconnect", disconnect)],
        drain_timeout=0.05,
    )
    loop = asyncio.get_running_loop()
    client = WebsocketClient(app, "/")
    async with app:
        await client.__aenter__()
        begin = loop.time()
    assert loop.time() - begin < 2
    assert await client.wait_closed() == 1012
    await client.__aexit__(None, None, None)


async def test_a_stop_finishes_the_messages_in_hand_and_leaves_the_rest(
    channel_layer: MemoryLayer,
) -> None:
    started, go_on, done = asyncio.Event(), asyncio.Event(), []

    async def work(message: Message) -> None:
        started.set()
        await go_on.wait()
        done.append(message["number"])

    app = Application([route("work", work)], concurrency=1)
    async with asyncio.TaskGroup() as tasks, app:
        await Channel("work").send({"number": 1})
        await Channel("work").send({"number": 2})
        await started.wait()
        tasks.create_task(_later(go_on))
    assert done == [1]
    assert await channel_layer.receive("work") == {"number": 2}


async def test_a_new_socket_during_the_stop_is_refused_with_503() -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(message: Message) -> None:
        started.set()
        await go_on.wait()

    app = Application([route("websocket.receive", slow)])
    client = WebsocketClient(app, "/")
    await app.__aenter__()
    await client.__aenter__()
    await client.send("a")
    await started.wait()
    stopping = asyncio.create_task(app.__aexit__(None, None, None))
    await asyncio.sleep(0)
    with pytest.raises(ConnectionDenied) as denied:
        async with WebsocketClient(app, "/"):
            pass
    assert denied.value.status == 503
    go_on.set()
    await stopping
    await client.__aexit__(None, None, None)


async def test_a_request_that_waits_is_answered_503_by_the_stop(channel_layer: MemoryLayer) -> None:
    async def wait(message: Message) -> None:
        await Group("waiting").add(message.reply_channel)

    app = Application([route("http.request", wait)])
    client = HttpClient(app)
    async with client, client.stream("GET", "/") as exchange:
        async with app:
            while not await channel_layer.group_channels("waiting"):  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert (await exchange.response()).status == 503


async def test_a_stopped_application_starts_again() -> None:
    app = Application([route("websocket.receive", receive)])
    for _ in range(2):
        async with app, WebsocketClient(app, "/") as ws:
            await ws.send("a")
            assert await ws.receive() == "a"


async def test_a_socket_that_stops_reading_does_not_hold_the_stop() -> None:
    app = Application([route("websocket.receive", receive)], drain_timeout=0.1)
    send = RecordingSend()
    async with app:
        client = WebsocketClient(app, "/")
        await client.__aenter__()
        client.pause()
        begin = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - begin < 2
    assert not send.events
    await client.lose()
    await client.__aexit__(None, None, None)


async def test_a_socket_without_any_disconnect_event_ends_with_the_stop() -> None:
    app = Application([route("websocket.receive", receive)])
    send = RecordingSend()
    async with app, asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(
            app(websocket_scope(), ScriptedReceive({"type": "websocket.connect"}), send)
        )
        while "websocket.accept" not in send.types:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await app.__aexit__(None, None, None)
    assert serving.done()
    assert send.types == ["websocket.accept", "websocket.close"]
    assert send.events[1]["code"] == 1012
