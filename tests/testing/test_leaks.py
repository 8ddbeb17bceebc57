"""The leak check that every coroutine test of this repository gets."""

import asyncio

import pytest

from achannels import Message, route
from achannels.asgi import Application
from achannels.testing import WebsocketClient
from achannels.testing.leaks import no_leaks


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
