"""The node: limits, tasks, the worker, and the order of its end."""

import asyncio

import pytest

from achannels import Channel, Message, consumer, route
from achannels.asgi import Application
from achannels.asgi.limits import Limits
from achannels.asgi.node import Node, nodes
from achannels.exceptions import ConfigurationError
from achannels.layers.memory import MemoryLayer
from achannels.options import Options
from achannels.testing import WebsocketClient
from tests.doubles import errors


async def echo(message: Message) -> None:
    await message.reply_channel.send({"text": message["text"]})


async def node_of(app: Application) -> Node:
    node = await app.node()
    assert isinstance(node, Node)
    return node


# Limits.


async def test_limits_are_those_of_the_consumer_then_those_of_the_settings() -> None:
    app = Application(
        [], outbox_capacity=7, outbox_bytes=700, overflow="drop_new", stall_timeout=3.0
    )
    async with app:
        node = await node_of(app)
        assert node.limits(None) == Limits(7, 700, "drop_new", 3.0)
        assert node.limits(Options()) == Limits(7, 700, "drop_new", 3.0)
        own = Options(outbox_capacity=5, outbox_bytes=500, overflow="close")
        assert node.limits(own) == Limits(5, 500, "close", 3.0)
        assert node.limits(own) is node.limits(
            Options(outbox_capacity=5, outbox_bytes=500, overflow="close")
        )


# Tasks.


async def test_a_task_of_the_node_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> None:
        raise ValueError("broken")

    async with Application([]) as app:
        node = await node_of(app)
        task = node.spawn(broken())
        assert node.tasks == 1
        await asyncio.wait([task])
        assert node.tasks == 0
    [record] = errors(caplog.records, "achannels.server")
    assert record.getMessage() == "a task of the node failed"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)


async def test_a_task_that_runs_beside_is_waited_for_at_the_end() -> None:
    steps: list[str] = []
    go = asyncio.Event()

    async def work() -> None:
        await go.wait()
        steps.append("work")

    async with Application([]) as app:
        (await node_of(app)).run_beside(work())
        asyncio.get_running_loop().call_later(0.01, go.set)
    assert steps == ["work"]


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_task_that_does_not_end_is_cancelled(stubborn: bool) -> None:
    cancelled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            if stubborn:
                await asyncio.sleep(0.01)
            raise

    async with Application([], drain_timeout=0.01) as app:
        (await node_of(app)).run_beside(hang())
        await asyncio.sleep(0)
    assert cancelled.is_set()


# The worker.


async def test_a_node_without_background_channels_has_no_worker() -> None:
    async with Application([route("websocket.receive", echo), route("http.request", echo)]) as app:
        assert (await node_of(app)).worker is None


async def test_it_starts_one_worker_for_all_background_channels() -> None:
    app = Application(
        [route(["mail", "work"], echo), route("websocket.receive", echo)], concurrency=3
    )
    async with app:
        node = await node_of(app)
        worker = node.worker
        assert worker is not None
        assert worker.channels == {"mail", "work"}
        assert worker.concurrency == 3
        node.work()
        assert node.worker is worker


async def test_tasks_count_what_the_worker_has_in_hand() -> None:
    began, go = asyncio.Event(), asyncio.Event()

    async def work(message: Message) -> None:
        began.set()
        await go.wait()

    async with Application([route("work", work)]) as app:
        await Channel("work").send({})
        await began.wait()
        assert (await node_of(app)).tasks == 1
        go.set()


async def test_a_durable_consumer_on_a_socket_is_an_option_without_effect() -> None:
    app = Application([route("websocket.receive", consumer(durable=True)(echo))])
    async with app, WebsocketClient(app, "/") as ws:
        await ws.send("a")
        assert await ws.receive() == "a"


# The loop and the end.


async def test_a_layer_in_use_on_another_loop_stops_the_start() -> None:
    layer = MemoryLayer()
    app = Application([route("work", echo)], layer=layer)
    async with app:
        other = Application([], layer=layer)

        def elsewhere() -> None:
            with pytest.raises(ConfigurationError, match="in use on another running event loop"):
                asyncio.run(_started(other))

        await asyncio.to_thread(elsewhere)


async def _started(app: Application) -> None:
    await app.node()


async def test_a_node_that_was_stopped_is_none_of_the_nodes_any_more() -> None:
    async with Application([]) as app:
        node = await node_of(app)
        states = [(node in nodes, node.stopped)]
    assert [*states, (node in nodes, node.stopped)] == [(True, False), (False, True)]


async def test_who_stops_it_meanwhile_waits_for_the_same_end() -> None:
    app = Application([route("work", echo)])
    async with app:
        node = await node_of(app)
        order: list[str] = []

        async def rest() -> None:
            await asyncio.sleep(0.01)
            order.append("finished")

        node.run_beside(rest())
        first, second = (asyncio.create_task(node.stop()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await second
        assert (order, node.stopped) == (["finished"], True)
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_stopping_twice_does_nothing() -> None:
    app = Application([route("work", echo)])
    async with app:
        node = await node_of(app)
    await node.stop()
    assert node.stopped
