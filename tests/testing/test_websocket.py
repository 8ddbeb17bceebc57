"""The in-process WebSocket client: what it tells the application, and what it tells the test."""

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest

from achannels import Group, Message, route
from achannels.asgi import Application
from achannels.asgi.node import nodes
from achannels.layers.memory import MemoryLayer
from achannels.testing import ConnectionDenied, WebsocketClient
from achannels.types import Event, Receive, Scope, Send


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """A plain ASGI application."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


def answers(*events: Event) -> Any:
    """Return an application that sends these events and waits for the disconnect."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for event in events:
            await send(event)
        while (await receive())["type"] != "websocket.disconnect":
            pass

    return application


ACCEPT: Event = {"type": "websocket.accept"}


# The handshake.


async def test_the_scope_is_what_a_server_makes() -> None:
    async with WebsocketClient(
        echo,
        "/a%20b/ü?q=1",
        headers=[("X-One", "1"), (b"x-one", b"2")],
        subprotocols=["v1", "v2"],
        origin="http://testserver",
        root_path="/live",
        scheme="wss",
        user="anna",
        scope={"session": {"a": 1}},
    ) as ws:
        scope = ws.scope
    assert scope["path"] == "/live/a b/ü"
    assert scope["query_string"] == b"q=1"
    assert scope["root_path"] == "/live"
    assert scope["scheme"] == "wss"
    assert scope["user"] == "anna"
    assert scope["session"] == {"a": 1}
    assert scope["subprotocols"] == ["v1", "v2"]
    assert scope["headers"] == [
        (b"host", b"testserver"),
        (b"x-one", b"1"),
        (b"x-one", b"2"),
        (b"origin", b"http://testserver"),
        (b"sec-websocket-protocol", b"v1, v2"),
    ]


async def test_a_host_header_replaces_the_default() -> None:
    async with WebsocketClient(echo, "/", headers={"Host": "example.org"}) as ws:
        assert ws.scope["headers"] == [(b"host", b"example.org")]


def test_a_path_begins_with_a_slash() -> None:
    with pytest.raises(ValueError, match="does not begin with '/'"):
        WebsocketClient(echo, "chat/")


async def test_accept_brings_subprotocol_and_headers() -> None:
    accept = {**ACCEPT, "subprotocol": "v1", "headers": [(b"Set-Cookie", b"a"), (b"x", b"y")]}
    async with WebsocketClient(answers(accept), "/", subprotocols=["v1"]) as ws:
        assert ws.subprotocol == "v1"
        assert dict(ws.headers) == {"set-cookie": "a", "x": "y"}


async def test_a_subprotocol_that_was_not_offered_is_an_error_of_the_application() -> None:
    with pytest.raises(RuntimeError, match="'v2'"):
        async with WebsocketClient(
            answers({**ACCEPT, "subprotocol": "v2"}), "/", subprotocols=["v1"]
        ):
            pass


async def test_a_close_before_the_accept_is_403() -> None:
    with pytest.raises(ConnectionDenied) as denied:
        async with WebsocketClient(answers({"type": "websocket.close"}), "/"):
            pass
    assert (denied.value.status, denied.value.reason) == (403, "")
    assert "403" in str(denied.value)


async def test_a_denial_response_is_read_whole() -> None:
    start: Event = {
        "type": "websocket.http.response.start",
        "status": 401,
        "headers": [(b"x-a", b"1"), (b"x-a", b"2")],
    }
    parts: list[Event] = [
        {"type": "websocket.http.response.body", "body": b"log in", "more_body": True},
        {"type": "websocket.http.response.body", "body": b" first"},
    ]
    with pytest.raises(ConnectionDenied) as denied:
        async with WebsocketClient(answers(start, *parts), "/"):
            pass
    assert (denied.value.status, denied.value.reason) == (401, "log in first")
    assert denied.value.headers.get_all("X-A") == ["1", "2"]
    assert denied.value.headers["x-a"] == "2"


async def test_denials_can_be_switched_off() -> None:
    async with WebsocketClient(echo, "/") as with_denial:
        assert "websocket.http.response" in with_denial.scope["extensions"]
    async with WebsocketClient(echo, "/", denial=False) as without:
        assert "websocket.http.response" not in without.scope["extensions"]


async def test_what_the_application_raises_is_raised() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError("broken")

    with pytest.raises(LookupError, match="broken"):
        async with WebsocketClient(broken, "/"):
            pass


async def test_what_a_connect_consumer_raises_is_raised_and_not_its_500() -> None:
    async def connect(message: Message) -> None:
        raise LookupError("broken")

    with pytest.raises(LookupError, match="broken"):
        async with WebsocketClient(Application([route("websocket.connect", connect)]), "/"):
            pass


async def test_an_application_that_answers_nothing_is_an_assertion_error() -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    with pytest.raises(AssertionError, match="did not accept the socket within") as failed:
        async with WebsocketClient(silent, "/", timeout=0.02):
            pass
    assert "in test_an_application_that_answers_nothing_is_an_assertion_error" in str(failed.value)


async def test_an_application_that_ends_without_an_answer_is_an_assertion_error() -> None:
    async def short(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    with pytest.raises(AssertionError, match="ended without an answer"):
        async with WebsocketClient(short, "/"):
            pass


async def test_a_client_connects_once() -> None:
    async with WebsocketClient(echo, "/") as ws:
        with pytest.raises(RuntimeError, match="connects once"):
            await ws.__aenter__()


async def test_the_application_runs_with_the_context_of_the_test() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    variable.set("set by the test")

    async def tell(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await send({"type": "websocket.send", "text": variable.get()})
        await receive()

    async with WebsocketClient(tell, "/") as ws:
        assert await ws.receive() == "set by the test"


# Frames.


async def test_frames_and_json_go_both_ways() -> None:
    async with WebsocketClient(echo, "/") as ws:
        await ws.send("text")
        await ws.send(b"bytes")
        await ws.send_json({"a": [1]})
        assert await ws.receive() == "text"
        assert await ws.receive() == b"bytes"
        assert await ws.receive_json() == {"a": [1]}


async def test_a_frame_that_is_no_json_is_shown() -> None:
    async with WebsocketClient(echo, "/") as ws:
        await ws.send("not json" + "x" * 1000)
        with pytest.raises(AssertionError, match="this frame came, which is not JSON: 'not json"):
            await ws.receive_json()


async def test_a_wait_that_ends_says_where_the_application_waits_and_cancels_nothing() -> None:
    free = asyncio.Event()

    async def receive(message: Message) -> None:
        await free.wait()
        await message.reply_channel.send({"text": "late"})

    async with WebsocketClient(Application([route("websocket.receive", receive)]), "/") as ws:
        await ws.send("a")
        with pytest.raises(AssertionError, match=r"no frame came within 0\.01 s") as failed:
            await ws.receive(timeout=0.01)
        assert "in test_a_wait_that_ends_says_where" in str(failed.value)
        free.set()
        assert await ws.receive() == "late"


async def test_a_wait_that_ends_is_caused_by_what_the_consumer_raised() -> None:
    async def receive(message: Message) -> None:
        raise LookupError("broken")

    async with WebsocketClient(Application([route("websocket.receive", receive)]), "/") as ws:
        await ws.send("a")
        with pytest.raises(AssertionError, match="closed the socket with 1011") as failed:
            await ws.receive()
    assert isinstance(failed.value.__cause__, LookupError)
    assert failed.value.__cause__.__traceback__ is not None


async def test_frames_before_the_close_are_still_read() -> None:
    events = [
        ACCEPT,
        {"type": "websocket.send", "text": "bye"},
        {"type": "websocket.close", "code": 4000, "reason": "enough"},
    ]
    async with WebsocketClient(answers(*events), "/") as ws:
        assert await ws.wait_closed() == 4000
        assert await ws.receive() == "bye"
        with pytest.raises(AssertionError, match="the application closed the socket with 4000"):
            await ws.receive()
        with pytest.raises(AssertionError, match="nothing can be sent"):
            await ws.send("a")
        assert ws.close_reason == "enough"


async def test_receive_nothing_leaves_what_comes_unread() -> None:
    async with WebsocketClient(echo, "/") as ws:
        assert await ws.receive_nothing()
        await ws.send("a")
        assert not await ws.receive_nothing()
        assert await ws.receive() == "a"


async def test_receive_nothing_tells_what_the_application_raised() -> None:
    async def receive(message: Message) -> None:
        raise LookupError("broken")

    async with WebsocketClient(Application([route("websocket.receive", receive)]), "/") as ws:
        await ws.send("a")
        with pytest.raises(AssertionError) as failed:
            await ws.receive_nothing()
    assert isinstance(failed.value.__cause__, LookupError)


async def test_an_application_that_ends_closes_with_1006() -> None:
    async def short(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)

    async with WebsocketClient(short, "/") as ws:
        assert await ws.wait_closed() == 1006


async def test_wait_closed_shows_what_came_instead() -> None:
    async with WebsocketClient(echo, "/") as ws:
        await ws.send("still here")
        with pytest.raises(AssertionError, match="These frames came: 'still here'"):
            await ws.wait_closed(timeout=0.01)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "websocket.accept"},
        {"type": "websocket.receive", "text": "a"},
        {"type": "websocket.send"},
        {"type": "websocket.send", "text": b"a"},
        {"type": "websocket.send", "bytes": "a"},
        {"type": "websocket.send", "text": "a", "bytes": b"a"},
    ],
)
async def test_an_event_that_no_server_takes_is_an_error_of_the_application(event: Event) -> None:
    client = WebsocketClient(answers(ACCEPT, event), "/")
    await client.__aenter__()
    with pytest.raises(RuntimeError, match="the application sent"):
        await client.__aexit__(None, None, None)


async def test_nothing_can_be_sent_after_the_close() -> None:
    events = [ACCEPT, {"type": "websocket.close"}, {"type": "websocket.send", "text": "a"}]
    client = WebsocketClient(answers(*events), "/")
    await client.__aenter__()
    with pytest.raises(RuntimeError, match="now it may send nothing more"):
        await client.__aexit__(None, None, None)


# The end.


async def test_leaving_disconnects_with_1000() -> None:
    events = []

    async def note(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        events.append(await receive())

    async with WebsocketClient(note, "/"):
        pass
    assert events == [{"type": "websocket.disconnect", "code": 1000, "reason": ""}]


async def test_a_send_to_a_client_that_left_raises_an_os_error() -> None:
    raised = []

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        try:
            await send({"type": "websocket.send", "text": "too late"})
        except OSError as error:
            raised.append(error)

    async with WebsocketClient(late, "/"):
        pass
    assert len(raised) == 1


async def test_receive_after_the_disconnect_is_an_error_of_the_application() -> None:
    async def greedy(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        await receive()

    client = WebsocketClient(greedy, "/")
    await client.__aenter__()
    with pytest.raises(RuntimeError, match=r"receive\(\) was called again"):
        await client.__aexit__(None, None, None)


async def test_an_error_that_no_wait_told_is_raised_at_the_end() -> None:
    async def disconnect(message: Message) -> None:
        raise LookupError("broken")

    app = Application(
        [
            route("websocket.disconnect", disconnect, path="a/"),
            route("websocket.connect", _accept, path="a/"),
        ]
    )
    with pytest.raises(LookupError, match="broken"):
        async with WebsocketClient(app, "/a/"):
            pass


async def _accept(message: Message) -> None:
    await message.reply_channel.send({"accept": True})


async def test_an_error_that_wait_closed_saw_is_not_raised_again() -> None:
    async def receive(message: Message) -> None:
        raise LookupError("broken")

    async with WebsocketClient(Application([route("websocket.receive", receive)]), "/") as ws:
        await ws.send("a")
        assert await ws.wait_closed() == 1011


async def test_a_failed_test_keeps_its_own_error_with_a_note() -> None:
    async def broken_end(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        raise LookupError("at the end")

    with pytest.raises(ZeroDivisionError) as failed:
        async with WebsocketClient(broken_end, "/"):
            raise ZeroDivisionError
    assert "LookupError('at the end')" in failed.value.__notes__[0]


async def test_an_application_that_does_not_end_is_an_error_and_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    client = WebsocketClient(endless, "/", timeout=0.02)
    await client.__aenter__()
    with pytest.raises(AssertionError, match=r"did not end within 0\.02 s") as failed:
        await client.__aexit__(None, None, None)
    assert "endless" in str(failed.value)
    assert cancelled.is_set()


async def test_a_node_that_clients_started_ends_with_the_last_of_them() -> None:
    async def receive(message: Message) -> None:
        await message.reply_channel.send({"text": "a"})

    app = Application([route("websocket.receive", receive), route("work", receive)])
    async with WebsocketClient(app, "/") as stays:
        async with WebsocketClient(app, "/"):
            pass
        [node] = [node for node in nodes if node.loop is asyncio.get_running_loop()]
        assert not node.stopped
        await stays.send("still served")
        assert await stays.receive() == "a"
    assert node.stopped


async def test_a_node_that_the_test_started_stays() -> None:
    app = Application([route("websocket.connect", _accept)])
    async with app:
        async with WebsocketClient(app, "/"):
            pass
        assert not (await app.node()).stopped


async def test_clients_that_come_while_others_go_are_served() -> None:
    app = Application([route("websocket.connect", _accept)])

    async def visit() -> None:
        async with WebsocketClient(app, "/"):
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        visits = [tasks.create_task(visit()) for _ in range(20)]
        for _ in range(20):
            await asyncio.sleep(0)
            visits.append(tasks.create_task(visit()))
    assert all(each.done() for each in visits)


async def test_a_membership_that_is_left_is_an_error(channel_layer: MemoryLayer) -> None:
    async def connect(message: Message) -> None:
        await Group("room").add(message.reply_channel)
        await message.reply_channel.send({"accept": True})

    class Forgetful(MemoryLayer):
        def detach(self, channel: str) -> None:
            """Forget to do anything."""

    layer = Forgetful()
    app = Application([route("websocket.connect", connect)], layer=layer)
    client = WebsocketClient(app, "/")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("achannels.registry.get_channel_layer", lambda alias="default": layer)
        patch.setattr("achannels.channel.get_channel_layer", lambda alias="default": layer)
        await client.__aenter__()
        with pytest.raises(AssertionError, match="it is a member of room"):
            await client.__aexit__(None, None, None)


# A client that reads slowly.


async def test_a_paused_client_has_the_applications_send_wait() -> None:
    sent = []

    async def flood(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        for number in range(3):
            await send({"type": "websocket.send", "text": str(number)})
            sent.append(number)
        await receive()

    async with WebsocketClient(flood, "/") as ws:
        ws.pause()
        await ws.send("go")
        assert await ws.receive_nothing(wait=0.01)
        assert sent == []
        ws.resume()
        assert [await ws.receive() for _ in range(3)] == ["0", "1", "2"]


async def test_the_network_takes_some_bytes_of_a_paused_client() -> None:
    sent = []

    async def flood(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        for _ in range(5):
            await send({"type": "websocket.send", "bytes": b"x" * 10})
            sent.append(10)
        await receive()

    async with WebsocketClient(flood, "/") as ws:
        ws.pause(after=25)
        await ws.send("go")
        assert not await ws.receive_nothing(wait=0.01)
        assert sent == [10, 10]
        ws.resume()
        assert [await ws.receive() for _ in range(5)] == [b"x" * 10] * 5


async def test_a_send_that_waits_raises_when_the_client_is_lost() -> None:
    raised, events = [], []

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        try:
            await send({"type": "websocket.send", "text": "a"})
        except OSError as error:
            raised.append(error)
        events.append(await receive())

    async with WebsocketClient(answer, "/") as ws:
        ws.pause()
        await ws.send("go")
        assert await ws.receive_nothing(wait=0.01)
        await ws.lose()
        assert await ws.wait_closed() == 1006
    assert len(raised) == 1
    assert events == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]
