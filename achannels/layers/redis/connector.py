"""One connection to one server: each option of the client library is set here, none is left to it."""

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from redis import exceptions
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)

from achannels.layers.redis.hosts import Access, Address

try:
    from redis.driver_info import DriverInfo
except ImportError:  # redis-py before 7.2
    _LIBRARY: dict[str, Any] = {"lib_name": "achannels", "lib_version": None}
else:
    _LIBRARY = {"driver_info": DriverInfo(name="achannels", lib_version=None)}

CONNECT_TIMEOUT = 2.0
"""Seconds from the first look-up to an authenticated connection, by default."""

_KEEPALIVE = {
    getattr(socket, name): seconds
    for name, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a server says of itself; empty where it does not know the question.

    Attributes:
        server: `redis` or `valkey`.
        version: Its version, which a compatible server may make up.
        mode: `standalone`, `cluster` or `sentinel`.
        role: `master` or `replica`.
    """

    server: str = ""
    version: str = ""
    mode: str = ""
    role: str = ""


class Connector:
    """Makes connections with one set of credentials.

    Args:
        access: Credentials, database and TLS.
        timeout: Seconds that opening or closing a socket may take. The answers of the server have
            no limit here: who calls sets one around `connect`.

    Raises:
        ConfigurationError: What is asked of TLS cannot be had.
    """

    def __init__(self, access: Access, timeout: float) -> None:
        self._access = access
        self._timeout = timeout
        self._tls = access.context()

    async def connect(
        self, address: Address, verify: Callable[[AbstractConnection], Awaitable[None]]
    ) -> AbstractConnection:
        """Return a connection that is authenticated, speaks protocol 2 and uses the database.

        Args:
            address: The server.
            verify: Raises if the connection does not lead where it should; it is closed then, and
                the error passes.

        Raises:
            redis.exceptions.ConnectionError: The server cannot be reached or refuses.
            redis.exceptions.TimeoutError: The socket was not open in time.
        """
        connection = self._make(address)
        try:
            await self._open(connection)
            await verify(connection)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def _open(self, connection: AbstractConnection) -> None:
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except exceptions.ResponseError as error:
            raise exceptions.ConnectionError(str(error)) from error

    def _make(self, address: Address) -> AbstractConnection:
        options: dict[str, Any] = {
            "username": self._access.username,
            "password": self._access.password,
            "credential_provider": self._access.provider,
            "db": self._access.db,
            "protocol": 2,
            "decode_responses": False,
            "encoding": "utf-8",
            "encoding_errors": "strict",
            "socket_timeout": None,
            "socket_connect_timeout": self._timeout,
            "socket_read_size": 65536,
            "retry": None,
            "retry_on_timeout": False,
            "retry_on_error": [],
            "health_check_interval": 0,
            "client_name": None,
            "redis_connect_func": None,
            **_LIBRARY,
        }
        if isinstance(address, str):
            return UnixDomainSocketConnection(path=address, **options)
        host, port = address
        options |= {
            "host": host,
            "port": port,
            "socket_keepalive": True,
            "socket_keepalive_options": _KEEPALIVE,
            "socket_type": 0,
        }
        if self._tls is None:
            return Connection(**options)
        connection = SSLConnection(**options)
        connection.ssl_context = self._tls
        return connection


async def ask(connection: AbstractConnection, *command: str) -> Any:
    """Send one command and return the answer.

    Raises:
        redis.exceptions.RedisError: The connection broke, or the server answers with an error.
    """
    await connection.send_command(*command)
    return await connection.read_response()


async def greet(connection: AbstractConnection) -> Greeting:
    """Ask a server what it is.

    Raises:
        redis.exceptions.ConnectionError: The connection broke.
    """
    try:
        answer = await ask(connection, "HELLO", "2")
    except exceptions.AuthenticationError as error:
        raise exceptions.AuthenticationError("the server asks for a password") from error
    except exceptions.ResponseError:  # an old server, a proxy, or a user who may not ask
        return Greeting()
    pairs = dict(zip(answer[::2], answer[1::2], strict=True))
    return Greeting(
        *(
            pairs.get(name, b"").decode("utf-8", "replace")
            for name in (b"server", b"version", b"mode", b"role")
        )
    )


def late(name: str, timeout: float) -> exceptions.TimeoutError:
    """Return the error for a place that was not connected in time."""
    return exceptions.TimeoutError(f"no connection to {name} within {timeout} s")


__all__ = ["CONNECT_TIMEOUT", "Connector", "Greeting", "ask", "greet", "late"]
