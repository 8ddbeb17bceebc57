"""Comparisons over Redis: each peer has a server of its own, and processes that use it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from benchmarks.model import Comparison, Options, Peer, Turn
from benchmarks.process import ChildProcess, ServerProcess, running_actor, running_server
from benchmarks.redis_server import RedisServer, running_redis

URL = "BENCHMARKS_REDIS"
"""What the server's address is called in the environment of the processes."""


class Site:
    """A Redis server and the processes around it; all end with the context they were made in.

    What only helps to measure, the Redis server among it, is kept on the core of the measuring
    process, the rest on that of the servers.

    Attributes:
        redis: The server.
    """

    def __init__(self, redis: RedisServer, options: Options, stack: AsyncExitStack) -> None:
        self.redis = redis
        self._options = options
        self._stack = stack

    async def server(self, app: str, *, helps: bool = False) -> ServerProcess:
        """Start uvicorn with an application, which finds the address of Redis in `URL`.

        Args:
            app: Import string of the ASGI application.
            helps: It is not what the peers are compared by.

        Raises:
            MeasurementError: It did not start.
        """
        starting = running_server(
            app,
            ws=self._options.ws,
            deflate=False,
            core=self._options.client_core if helps else self._options.server_core,
            environment={URL: self.redis.url},
        )
        return await self._stack.enter_async_context(starting)

    async def actor(self, name: str, *, url: str | None = None) -> ChildProcess:
        """Start an actor, which finds the address of Redis, or the one given, in `URL`.

        Raises:
            MeasurementError: It did not start.
        """
        starting = running_actor(
            name, core=self._options.server_core, environment={URL: url or self.redis.url}
        )
        return await self._stack.enter_async_context(starting)


@dataclass(frozen=True, kw_only=True)
class RedisCase(Comparison):
    """A comparison of peers that each have a Redis server and several processes.

    Attributes:
        session: Starts the processes of a peer and their clients, and gives the turn to repeat.
    """

    session: Callable[[Site, Peer], AbstractAsyncContextManager[Turn]]

    @asynccontextmanager
    async def open(self, peer: Peer, options: Options) -> AsyncIterator[Turn]:
        """Start a peer's Redis server, processes and clients, and give the turn to repeat."""
        async with AsyncExitStack() as stack:
            redis = await stack.enter_async_context(running_redis(options.client_core))
            async with self.session(Site(redis, options, stack), peer) as turn:
                yield turn
