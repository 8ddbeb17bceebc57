"""Connections to one server, by each way there is."""

import asyncio
import time
from typing import Any

import pytest
from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from achannels.layers.redis.servers import Place, places
from tests.redis.conftest import Start
from tests.redis.deployments import Cluster
from tests.redis.servers import Server, TlsServer, UserServer


async def ask(connection: AbstractConnection, *command: Any) -> Any:
    """Run one command."""
    await connection.send_command(*command)
    return await connection.read_response()


async def answer(place: Place, *command: Any) -> Any:
    """Run one command on a connection of its own."""
    connection = await place.connect()
    try:
        return await ask(connection, *command)
    finally:
        await connection.disconnect()


def place_of(entry: Any, **options: Any) -> Place:
    """Return the place of a single host."""
    ((_, found),) = places([entry], "achannels", **options)
    return found


async def test_a_connection_uses_its_database_and_returns_bytes(server: Server) -> None:
    place = place_of(f"redis://127.0.0.1:{server.port}/3")
    assert await answer(place, "SET", "test-servers", "1") == b"OK"
    assert await answer(place, "GET", "test-servers") == b"1"
    assert b" db=3 " in await answer(place, "CLIENT", "INFO")
    other = place_of(f"redis://127.0.0.1:{server.port}/4")
    assert await answer(other, "GET", "test-servers") is None


async def test_no_option_is_left_to_the_client_library(server: Server) -> None:
    connection = await place_of(server.url).connect()
    assert connection.socket_timeout is None
    assert connection.socket_connect_timeout == 2.0
    assert connection.health_check_interval == 0
    assert connection.retry.get_retries() == 0
    assert connection.protocol == 2
    await connection.disconnect()
    with pytest.raises(exceptions.ResponseError):
        await answer(place_of(server.url), "HGET", "k")


async def test_a_server_is_told_which_library_it_is(server: Server) -> None:
    if server.kind == "redis-7":
        pytest.skip("CLIENT SETINFO came with Redis 7.2")
    assert b"lib-name=achannels" in await answer(place_of(server.url), "CLIENT", "INFO")


async def test_a_unix_socket(server: Server) -> None:
    place = place_of(f"unix://{server.socket}?db=2")
    assert b" db=2 " in await answer(place, "CLIENT", "INFO")
    assert place.name == f"unix://{server.socket}"


@pytest.mark.parametrize("by", ["tcp", "unix", "dict", "query"])
async def test_an_acl_user(user_server: UserServer, by: str) -> None:
    entry: Any = {
        "tcp": f"redis://{user_server.access}@127.0.0.1:{user_server.port}",
        "unix": f"unix://{user_server.access}@{user_server.socket}",
        "query": f"unix://{user_server.socket}?username=chat&password=s3cret%2Fpass",
        "dict": {
            "host": "127.0.0.1",
            "port": user_server.port,
            "username": "chat",
            "password": "s3cret/pass",
        },
    }[by]
    place = place_of(entry)
    assert await answer(place, "SET", "{achannels:0}:x", "1") == b"OK"
    with pytest.raises(exceptions.NoPermissionError):
        await answer(place, "SET", "other", "1")


@pytest.mark.parametrize("way", ["tcp", "unix"])
async def test_a_wrong_password_is_told_and_not_shown(user_server: UserServer, way: str) -> None:
    entry = {
        "tcp": f"redis://chat:wr0ng@127.0.0.1:{user_server.port}",
        "unix": f"unix://chat:wr0ng@{user_server.socket}",
    }[way]
    with pytest.raises(exceptions.ConnectionError, match="invalid username-password") as caught:
        await place_of(entry).connect()
    assert "wr0ng" not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"


async def test_a_missing_password_is_told(user_server: UserServer) -> None:
    with pytest.raises(
        exceptions.AuthenticationError, match=r"asks for a password|Authentication required"
    ):
        await answer(place_of(user_server.url), "PING")


async def test_a_user_who_may_not_ask_what_the_server_is(own_server: Server) -> None:
    rules = ("on", ">pw", "~*", "+@all", "-hello")
    await asyncio.to_thread(own_server.call, "ACL", "SETUSER", "shy", *rules)
    place = place_of(f"redis://shy:pw@127.0.0.1:{own_server.port}")
    assert await answer(place, "PING") == b"PONG"


def _tls(server: TlsServer, **without: None) -> str:
    options = {
        "ssl_ca_certs": server.ca,
        "ssl_certfile": server.certificate,
        "ssl_keyfile": server.key,
    }
    query = "&".join(f"{key}={value}" for key, value in options.items() if key not in without)
    return f"rediss://127.0.0.1:{server.tls_port}/1?{query}"


async def test_tls_with_a_certificate_of_the_client(tls_server: TlsServer) -> None:
    place = place_of(_tls(tls_server))
    first, second = await answer(place, "CLIENT", "ID"), await answer(place, "CLIENT", "ID")
    assert second > first
    assert b" db=1 " in await answer(place, "CLIENT", "INFO")


async def test_tls_refuses_a_server_that_nobody_vouches_for(tls_server: TlsServer) -> None:
    with pytest.raises(exceptions.ConnectionError, match="certificate verify failed"):
        await place_of(_tls(tls_server, ssl_ca_certs=None)).connect()


async def test_tls_refuses_a_certificate_for_another_host(tls_server: TlsServer) -> None:
    entry = _tls(tls_server).replace("127.0.0.1", "localhost")
    with pytest.raises(exceptions.ConnectionError, match="certificate verify failed"):
        await place_of(entry).connect()


async def test_tls_refuses_a_client_without_certificate(tls_server: TlsServer) -> None:
    with pytest.raises((exceptions.ConnectionError, exceptions.TimeoutError)):
        await answer(place_of(_tls(tls_server, ssl_certfile=None, ssl_keyfile=None)), "PING")


async def test_a_database_that_is_not_there_is_told(server: Server) -> None:
    with pytest.raises(exceptions.ConnectionError, match="DB index is out of range"):
        await place_of(f"redis://127.0.0.1:{server.port}/99").connect()


async def test_nobody_listens(own_server: Server) -> None:
    place = place_of(own_server.url)
    await asyncio.to_thread(own_server.kill)
    with pytest.raises(exceptions.ConnectionError, match=f"127.0.0.1:{own_server.port}"):
        await place.connect()
    await asyncio.to_thread(own_server.start)
    assert await answer(place, "PING") == b"PONG"


async def test_a_server_that_hangs_costs_the_limit_and_no_more(own_server: Server) -> None:
    place = place_of(own_server.url, timeout=0.3)
    own_server.pause()
    began = time.monotonic()
    with pytest.raises(exceptions.TimeoutError, match=f"no connection to {place.name} within 0.3"):
        await place.connect()
    assert time.monotonic() - began < 1.5
    own_server.resume()
    assert await answer(place, "PING") == b"PONG"


@pytest.mark.parametrize("way", ["late", "cancelled"])
async def test_an_attempt_that_ends_early_leaves_nothing_open(
    server: Server, through: Any, way: str
) -> None:
    proxy = await through(server)
    proxy.stall()
    place = place_of(proxy.url, timeout=0.3 if way == "late" else 10)
    attempt = asyncio.create_task(place.connect())
    async with asyncio.timeout(5):
        while not proxy.open:  # noqa: ASYNC110 - a proxy tells nobody
            await asyncio.sleep(0.005)
    if way == "cancelled":
        attempt.cancel()
    with pytest.raises((exceptions.TimeoutError, asyncio.CancelledError)):
        await attempt
    proxy.flow()
    async with asyncio.timeout(5):
        while proxy.open:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)


async def test_a_replica_is_refused_with_advice(server: Server, start: Start) -> None:
    options = [f"replicaof 127.0.0.1 {server.port}"]
    replica = await start(lambda: Server(server.kind, options))
    with pytest.raises(exceptions.ConnectionError, match=r"is a replica, .* Give its master"):
        await place_of(replica.url).connect()


async def test_a_node_of_a_cluster_is_refused_with_advice(cluster: Cluster) -> None:
    with pytest.raises(exceptions.ConnectionError, match="Write cluster://host:port"):
        await place_of(cluster.masters[0].url).connect()


async def test_a_sentinel_is_refused_with_advice(kind: str, start: Start) -> None:
    server = await start(lambda: Server(kind, (), {"sentinel.conf": ""}, sentinel=True))
    with pytest.raises(exceptions.ConnectionError, match=r"is a Sentinel\. Write sentinel://"):
        await place_of(f"redis://127.0.0.1:{server.port}").connect()
