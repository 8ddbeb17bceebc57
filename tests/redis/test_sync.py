"""Blocking senders over Redis: threads, forked children, short-lived loops, processes that end."""

import asyncio
import os
import subprocess
import sys
import textwrap
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from achannels import registry, sync
from achannels.layers.redis import RedisLayer
from tests.redis.servers import Server


def run(program: str, *arguments: str) -> str:
    """Run a program in a process of its own and return what it printed."""
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error::ResourceWarning",
            "-c",
            textwrap.dedent(program),
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr, done.stderr
    return done.stdout


async def received(server: Server, prefix: str, count: int) -> Counter[str]:
    """Receive from `work`; who sent how many."""
    found: Counter[str] = Counter()
    async with (
        RedisLayer([server.url], prefix=prefix, capacity=10_000) as layer,
        asyncio.timeout(30),
    ):
        while found.total() < count:
            found[(await layer.receive("work"))["from"]] += 1
        books = await layer.statistics()
        assert books["pending"] == 0
    return found


def test_threads_share_one_loop_and_three_connections(server: Server, prefix: str) -> None:
    """1. 8 threads, 400 sends: one loop, three connections to the one shard."""
    layer = RedisLayer([server.url], prefix=prefix, capacity=10_000)
    before = len(server.call("CLIENT", "LIST").splitlines())
    with registry.override(layer), ThreadPoolExecutor(8) as threads:

        def send(thread: int) -> asyncio.AbstractEventLoop | None:
            for _ in range(50):
                sync.Channel("work").send({"from": str(thread)})
            return layer.loop

        loops = set(threads.map(send, range(8)))
    assert len(loops) == 1
    assert len(server.call("CLIENT", "LIST").splitlines()) - before == 3
    found = asyncio.run(received(server, prefix, 400))
    assert found == {str(thread): 50 for thread in range(8)}
    sync.hand_over(layer, layer.aclose)


def test_a_forked_child_sends_on_connections_of_its_own(server: Server, prefix: str) -> None:
    """2. As a prefork worker pool does; the parent goes on."""
    printed = run(
        """
        import os, sys
        from achannels import registry, sync
        from achannels.layers.redis import RedisLayer

        registry.set_channel_layer(RedisLayer([sys.argv[1]], prefix=sys.argv[2], capacity=1000))
        sync.Channel("work").send({"from": "parent"})
        children = []
        for number in range(3):
            child = os.fork()
            if not child:
                for _ in range(10):
                    sync.Channel("work").send({"from": f"child {number}"})
                sys.exit(0)
            children.append(child)
        for _ in range(10):
            sync.Channel("work").send({"from": "parent"})
        print([os.waitpid(child, 0)[1] for child in children])
        sync.Channel("work").send({"from": "parent"})
        """,
        server.url,
        prefix,
    )
    assert printed.strip() == "[0, 0, 0]"
    found = asyncio.run(received(server, prefix, 42))
    assert found == {"parent": 12, "child 0": 10, "child 1": 10, "child 2": 10}


def test_a_process_that_ends_leaves_nothing_behind(server: Server, prefix: str) -> None:
    """3. Its node is forgotten at once, not after the lease."""
    run(
        """
        import sys
        from achannels import registry, sync
        from achannels.layers.redis import RedisLayer

        registry.set_channel_layer(RedisLayer([sys.argv[1]], prefix=sys.argv[2]))
        sync.Group("news").send({"text": "hello"})
        """,
        server.url,
        prefix,
    )
    assert server.call("KEYS", f"{{{prefix}:*") == [f"{{{prefix}:0}}:meta"]


def test_loops_that_come_and_go(server: Server, prefix: str) -> None:
    """4. `async_to_sync` outside a loop makes a new one for each call: the layer moves with them."""
    layer = RedisLayer([server.url], prefix=prefix, capacity=10_000)
    for number in range(5):
        asyncio.run(layer.send("work", {"from": str(number)}))
    found = asyncio.run(received(server, prefix, 5))
    assert found == {str(number): 1 for number in range(5)}
    asyncio.run(layer.aclose())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_that_was_forked_before_its_first_send(server: Server, prefix: str) -> None:
    """5. A layer that nobody used yet is used by parent and child alike."""
    run(
        """
        import os, sys
        from achannels import registry, sync
        from achannels.layers.redis import RedisLayer

        registry.set_channel_layer(RedisLayer([sys.argv[1]], prefix=sys.argv[2]))
        child = os.fork()
        sync.Channel("work").send({"from": "parent" if child else "child"})
        if child:
            sys.exit(os.waitpid(child, 0)[1])
        """,
        server.url,
        prefix,
    )
    assert asyncio.run(received(server, prefix, 2)) == {"parent": 1, "child": 1}
