"""A node as a process of its own that does what it is told: for tests that kill and pause it.

    python -m tests.redis.node '{"hosts": ["redis://…"], "prefix": "…"}'

It reads one command as JSON from each line of its input and answers with one line.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from achannels.exceptions import ChannelFull, LayerUnavailable
from achannels.layers.redis import RedisLayer
from achannels.testing.layer_suite.base import Connection

ROOT = Path(__file__).parents[2]


class Node:
    """What the process does; each method is a command, its arguments the keys of the line."""

    def __init__(self, layer: RedisLayer) -> None:
        self.layer = layer
        self.inboxes: list[Connection] = []
        self.done: list[Any] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def attach(self, groups: list[str], count: int = 1) -> list[str]:
        """Open sockets that are members of the groups; return their names."""
        made = [Connection(self.layer, 100_000) for _ in range(count)]
        self.inboxes += made
        joins = [self.layer.group_add(group, each.channel) for each in made for group in groups]
        await asyncio.gather(*joins)
        return [each.channel for each in made]

    async def received(self) -> list[dict[str, Any]]:
        """Return what each socket got, and the reasons of its gaps."""
        return [
            {"got": each.received, "gaps": [reason for _, reason in each.gaps]}
            for each in self.inboxes
        ]

    async def group_send(self, group: str, content: dict[str, Any]) -> str:
        """Send to a group; return how it ended."""
        return await self._outcome(self.layer.group_send(group, content))

    async def send(self, channel: str, content: dict[str, Any]) -> str:
        """Send to a channel; return how it ended."""
        return await self._outcome(self.layer.send(channel, content))

    async def members(self, group: str) -> list[str]:
        """Return the members of a group."""
        return sorted(await self.layer.group_channels(group))

    async def work(self, channel: str, slots: int, takes: float, *, durable: bool) -> None:
        """Take and handle messages from now on, each in so many seconds; `finished` tells which."""

        async def work() -> None:
            names = (channel,) if durable else ()
            while True:
                taken = await self.layer.take((channel,), slots=slots, durable=names)
                await asyncio.sleep(takes)
                self.done.append(taken.content["number"])
                print(json.dumps({"finished": taken.content["number"]}), flush=True)  # noqa: T201
                await self.layer.settle(taken)

        self.tasks.append(asyncio.create_task(work()))

    async def _outcome(self, sending: Any) -> str:
        try:
            await sending
        except LayerUnavailable as error:
            return error.outcome
        except ChannelFull:
            return "full"
        return "ok"


async def run(config: dict[str, Any]) -> None:
    """Serve until the input ends or SIGTERM comes; then close in good order."""
    loop = asyncio.get_running_loop()
    layer = RedisLayer(**config)
    await layer.open()
    node = Node(layer)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    loop.add_signal_handler(signal.SIGTERM, reader.feed_eof)
    print(json.dumps({"answer": layer.node}), flush=True)  # noqa: T201 - that is its output
    while line := await reader.readline():
        command = json.loads(line)
        answer = await getattr(node, command.pop("do"))(**command)
        print(json.dumps({"answer": answer}), flush=True)  # noqa: T201 - as above
    for task in node.tasks:
        task.cancel()
        await asyncio.wait([task])
    await layer.aclose()


class Process:
    """A node process as a test sees it.

    Attributes:
        name: Of the node.
        finished: Numbers of the messages that it handled, as it tells them.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._answers: asyncio.Queue[Any] = asyncio.Queue()
        self._listening = asyncio.create_task(self._listen())
        self.name = ""
        self.finished: list[int] = []

    async def do(self, command: str, **arguments: Any) -> Any:
        """Have it do something; return its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": command, **arguments}).encode() + b"\n")
        await self._process.stdin.drain()
        return await self.answer()

    async def answer(self) -> Any:
        """Wait for its next answer."""
        async with asyncio.timeout(15):
            return await self._answers.get()

    def pause(self) -> None:
        """Stop it where it is (SIGSTOP)."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        os.kill(self._process.pid, signal.SIGCONT)

    async def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """End it, and return its exit code."""
        if self._process.returncode is None:
            self._process.send_signal(number)
        async with asyncio.timeout(15):
            code = await self._process.wait()
            await self._listening
        return code

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            if "finished" in told:
                self.finished.append(told["finished"])
            else:
                self._answers.put_nowait(told["answer"])


@asynccontextmanager
async def process(**config: Any) -> AsyncIterator[Process]:
    """Run a node process; it is killed in the end, should it still run."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.redis.node", json.dumps(config)),
        cwd=ROOT,
        env=environ,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    found = Process(started)
    try:
        found.name = await found.answer()
        yield found
    finally:
        found.resume() if started.returncode is None else None
        await found.end()


if __name__ == "__main__":
    asyncio.run(run(json.loads(sys.argv[1])))
