"""The leak check that every coroutine test of this repository gets."""

import asyncio

import pytest

from achannels import Group, Message, route
from achannels.asgi import Application
from achannels.testing import WebsocketClient
from achannels.testing.connection import MARK
from achannels.testing.leaks import check_socket, no_leaks, socket_of


async def accept(message: Message) -> None:
    await message.reply_channel.send({"accept": True})


async def test_a_task_that_is_left_is_named_with_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("achannels.testing.leaks.PATIENCE", 0.01)

    async def forgotten() -> None:
        await asyncio.Event().wait()

    with pytest.raises(AssertionError, match="1 tasks are left") as failed:
        async with no_leaks():
            task = asyncio.create_task(forgotten(), name="a forgotten task")
    assert "a forgotten task" in str(failed.value)
    assert "in test_a_task_that_is_left_is_named_with_its_place.<locals>.forgotten" in str(
        failed.value
    )
    task.cancel()


async def test_a_task_that_is_about_to_end_may_end() -> None:
    async with no_leaks():
        task = asyncio.create_task(asyncio.sleep(0.001))
    assert task.done()


async def test_a_socket_that_is_left_open_is_an_error() -> None:
    app = Application([route("websocket.connect", accept)])
    client = WebsocketClient(app, "/")
    with pytest.raises(AssertionError, match="1 sockets or requests are still open"):
        async with no_leaks():
            await client.__aenter__()
    await client.__aexit__(None, None, None)


async def test_a_node_that_is_left_is_stopped() -> None:
    app = Application([route("work", accept)])
    async with no_leaks():
        node = await app.node()
    assert node.stopped


async def test_the_last_client_is_told_of_tasks_that_its_node_still_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("achannels.testing.leaks.PATIENCE", 0.01)
    app = Application([route("websocket.connect", accept)], drain_timeout=0.01)

    async def forgotten() -> None:
        await asyncio.Event().wait()

    last = WebsocketClient(app, "/")
    await last.__aenter__()
    async with WebsocketClient(app, "/"):
        task = (await app.node()).spawn(forgotten())
    with pytest.raises(AssertionError, match="no socket is left, and the node has tasks") as failed:
        await last.__aexit__(None, None, None)
    assert "<locals>.forgotten" in str(failed.value)
    assert task.cancelled()


async def test_what_is_left_of_a_socket_is_listed() -> None:
    app = Application([route("websocket.connect", accept)])
    async with WebsocketClient(app, "/") as client:
        found = socket_of(client.scope["extensions"][MARK])
        assert found is not None
        node, socket = found
        client.pause()
        await Group("room").add(socket.channel_name)
        for _ in range(2):
            await Group("room").send({"text": "news"})
        error = check_socket(node, socket, socket.channel_name)
        assert str(error) == (
            f"of the socket {socket.channel_name} something is left: the node still has it; "
            "2 messages are pending; it is a member of room."
        )
        client.resume()
    assert check_socket(node, socket, socket.channel_name) is None
