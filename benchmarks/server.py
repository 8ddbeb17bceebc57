"""The server side of a measurement: uvicorn, steered over its standard input.

Its first answer, when it accepts connections, is its port.
"""

import argparse
import asyncio
import gc
import socket
import time

import uvicorn

from benchmarks import system
from benchmarks.steering import answer, commands

TICK = 0.001


class LoopWatch:
    """A ticker on the event loop that notes the longest time between two of its turns.

    `held_cpu_ms` is the CPU time the loop's thread itself spent in between, so it does not
    count moments in which the system gave the core to another process; `held_ms` does.
    """

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._longest = 0.0
        self._longest_cpu = 0.0

    def start(self) -> None:
        """Forget what was noted, and tick from now on."""
        self._longest = self._longest_cpu = 0.0
        self._plan()

    def stop(self) -> dict[str, float]:
        """End the ticker and return the longest holds in milliseconds."""
        if self._timer is not None:
            self._note()
            self._timer.cancel()
        return {"held_ms": self._longest * 1e3, "held_cpu_ms": self._longest_cpu * 1e3}

    def _plan(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = time.thread_time()
        self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)

    def _note(self) -> None:
        self._longest = max(self._longest, time.perf_counter() - self._wall - TICK)
        self._longest_cpu = max(self._longest_cpu, time.thread_time() - self._cpu)

    def _tick(self) -> None:
        self._note()
        self._plan()


class SteeredServer(uvicorn.Server):
    """A uvicorn server that says where it listens and obeys the process that started it."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, then announce the port and listen for commands."""
        await super().startup(sockets=sockets)
        assert sockets is not None
        self._watch = LoopWatch()
        self._commands = asyncio.create_task(self._obey())
        answer({"port": sockets[0].getsockname()[1]})

    async def _obey(self) -> None:
        async for command in commands():
            answer(self._do(command))
        self.should_exit = True

    def _do(self, command: str) -> dict[str, float]:
        if command == "watch":
            self._watch.start()
        elif command == "report":
            return self._watch.stop()
        elif command == "collect":
            gc.collect()
        return {}


def main() -> None:
    """Serve one application on a free loopback port until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("app")
    parser.add_argument("--ws", default="websockets-sansio")
    parser.add_argument("--deflate", action="store_true")
    parser.add_argument("--core", type=int)
    options = parser.parse_args()
    system.pin(options.core)
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    config = uvicorn.Config(
        options.app,
        loop="uvloop",
        http="httptools",
        ws=options.ws,
        ws_per_message_deflate=options.deflate,
        log_level="error",
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    SteeredServer(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
