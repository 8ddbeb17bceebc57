"""One connection to the server of a shard, and the answers that do not mean what they say."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from achannels.layers.redis.lua import ALL, Script
from achannels.layers.redis.servers import Place

_pack: Callable[[tuple[Any, ...]], bytes] | None
try:  # ten times as fast as the client library's own
    from hiredis import pack_command as _pack
except ImportError:
    _pack = None

LAST_LOOK = 0.05
"""Seconds beyond the timeout, for an answer that is there already."""

Argument = bytes | str | int
"""What a command is made of."""

ELSEWHERE = (
    exceptions.AskError,
    exceptions.BusyLoadingError,
    exceptions.ClusterDownError,
    exceptions.MasterDownError,
    exceptions.MovedError,
    exceptions.ReadOnlyError,
    exceptions.TryAgainError,
)
"""Errors that say: not here, or not now. Nothing was done."""

LOST = (exceptions.ConnectionError, exceptions.TimeoutError, OSError, TimeoutError)


class Unsettled(Exception):
    """No answer came: whether the commands were carried out is not known."""


class Link:
    """A connection that is made when it is needed, and dropped when anything goes wrong with it.

    A reply that came late would be taken for the answer to the next command. So after a timeout, a
    cancellation or an error of the connection the link begins anew. It never repeats a command.

    Args:
        place: Of the shard.
        timeout: Seconds for an answer.
    """

    __slots__ = ("_connection", "_generation", "_place", "_timeout")

    def __init__(self, place: Place, timeout: float) -> None:
        self._place = place
        self._timeout = timeout
        self._connection: AbstractConnection | None = None
        self._generation = 0

    @property
    def name(self) -> str:
        """For texts and logs: the URL without user and password."""
        return self._place.name

    @property
    def is_stale(self) -> bool:
        """Whether another link has found the shard on another server since this one connected."""
        return self._connection is not None and self._generation != self._place.generation

    async def call(self, script: Script, key: str, arguments: Sequence[Argument]) -> Any:
        """Run a script and return its answer.

        Raises:
            Unsettled: No answer came.
            redis.exceptions.RedisError: The answer is an error.
        """
        command = command_of(script, key, arguments)
        answer = (await self.exchange([command]))[0]
        if isinstance(answer, exceptions.NoScriptError):
            await self.load()
            answer = (await self.exchange([command]))[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def load(self) -> None:
        """Have the server know all scripts."""
        answers = await self.exchange([("SCRIPT", "LOAD", script.text) for script in ALL])
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer

    async def exchange(
        self, commands: Sequence[tuple[Argument, ...]], patience: float = 0.0
    ) -> list[Any]:
        """Send commands in one write and return their answers, errors among them.

        Args:
            commands: Each is a name and its arguments.
            patience: Seconds that the server may take longer, since it waits.

        Raises:
            Unsettled: No answer came.
        """
        async with self.guard(patience):
            await self.send(commands)
            return [await self.read() for _ in commands]

    @asynccontextmanager
    async def guard(self, patience: float = 0.0) -> AsyncIterator[None]:
        """Around a `send` and all its `read`: what goes wrong drops the connection.

        Raises:
            Unsettled: The connection was lost, or no answer came in time.
        """
        try:
            async with asyncio.timeout(None) as limit:
                loop = asyncio.get_running_loop()
                timer = loop.call_later(self._timeout + patience, _last_look, loop, limit)
                try:
                    yield
                finally:
                    timer.cancel()
        except LOST as error:
            await self.drop()
            raise Unsettled(str(error) or f"no answer within {self._timeout} s") from error
        except BaseException:
            await self.drop()
            raise

    async def send(self, commands: Sequence[tuple[Argument, ...]]) -> None:
        """Send commands in one write; each has an answer to `read`.

        The links of a shard go to one server: a master that was replaced and does not know it yet
        would answer this one as if nothing had happened.
        """
        connection = self._connection
        if connection is not None and self.is_stale:
            self._connection = None
            await connection.disconnect(nowait=True)
        if self._connection is None:
            self._connection = await self._place.connect()
            self._generation = self._place.generation
        connection = self._connection
        if _pack is not None:
            packed = [_pack(command) for command in commands]
        else:
            packed = [part for each in commands for part in connection.pack_command(*each)]
        await connection.send_packed_command(packed, check_health=False)

    async def read(self) -> Any:
        """Return the next answer, which may be an error of the server."""
        assert self._connection is not None
        try:
            return await self._connection.read_response(
                disable_decoding=True, disconnect_on_error=False
            )
        except (exceptions.ResponseError, exceptions.BusyLoadingError) as error:
            return error

    async def drop(self) -> None:
        """Give up the connection, if there is one; the place is looked up again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._place.forget()
            await connection.disconnect(nowait=True)

    def abandon(self) -> AbstractConnection | None:
        """Forget the connection without touching it: it belongs to the parent of a forked child."""
        connection, self._connection = self._connection, None
        return connection

    async def close(self) -> None:
        """End the connection in good order."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect()


def _last_look(loop: asyncio.AbstractEventLoop, limit: asyncio.Timeout) -> None:
    """Let what is in the socket be read: the loop may have been blocked longer than the timeout."""
    limit.reschedule(loop.time() + LAST_LOOK)


def command_of(script: Script, key: str, arguments: Sequence[Argument]) -> tuple[Argument, ...]:
    """Return the command that runs a script."""
    return ("EVALSHA", script.sha, 1, key, *arguments)


__all__ = ["ELSEWHERE", "LAST_LOOK", "LOST", "Argument", "Link", "Unsettled", "command_of"]
