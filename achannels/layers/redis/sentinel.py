"""A master that Sentinels watch: they are asked who it is, and it is asked whether it agrees."""

import asyncio
from typing import NamedTuple

from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from achannels.layers.redis.connector import Connector, ask, greet, late
from achannels.layers.redis.hosts import Address, Host


class _Answer(NamedTuple):
    """What a Sentinel says.

    Attributes:
        epoch: Number of the failover that it knows of last: the highest knows best.
        master: The address.
    """

    epoch: int
    master: Address


class SentinelMaster:
    """The master behind a set of Sentinels, found anew after each failover.

    All Sentinels are asked at once, and of what more than half of them say, or what has come after
    half of the time, the newest counts: one Sentinel that was cut off cannot lead to an old master.

    Args:
        host: An entry of `hosts` of the kind `sentinel`.
        timeout: Seconds that one `connect` may take, the look-up included.
    """

    def __init__(self, host: Host, timeout: float) -> None:
        self.name = host.name
        self._service = host.service
        self._sentinels = host.addresses
        self._timeout = timeout
        self._connector = Connector(host.access, timeout)
        self._asker = Connector(host.sentinel_access, timeout)
        self._master: Address | None = None
        self._found: Address | None = None
        self.generation = 0

    async def connect(self) -> AbstractConnection:
        """Return a new connection; see `achannels.layers.redis.servers.Place.connect`.

        One that hung at a master while another connection found its successor is not taken: the
        old one answers again before it knows.
        """
        generation = self.generation
        try:
            async with asyncio.timeout(self._timeout):
                master = self._master
                if master is None:
                    master = self._master = await self._look_up()
                connection = await self._connector.connect(master, self._verify)
        except exceptions.RedisError:
            self.forget()
            raise
        except TimeoutError:
            self.forget()
            raise late(self.name, self._timeout) from None
        if master != self._found:
            if self.generation != generation:
                await connection.disconnect(nowait=True)
                self.forget()
                raise exceptions.ConnectionError(
                    f"the master of {self.name} was replaced meanwhile"
                )
            self._found = master
            self.generation += 1
        return connection

    def forget(self) -> None:
        """Ask the Sentinels again at the next `connect`."""
        self._master = None

    async def _verify(self, connection: AbstractConnection) -> None:
        role = (await greet(connection)).role
        if role not in {"", "master"}:
            raise exceptions.ConnectionError(
                f"the master of {self.name} is a {role} now, and no other is known yet"
            )

    async def _look_up(self) -> Address:
        asked = {asyncio.create_task(self._ask(each)) for each in self._sentinels}
        pending = asked
        try:
            async with asyncio.timeout(self._timeout / 2):
                while pending and not self._is_settled(asked - pending):
                    _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            pass  # what has come by now is what there is
        finally:
            for task in pending:
                task.cancel()
            results = await asyncio.gather(*asked, return_exceptions=True)
        answers = [each for each in results if isinstance(each, _Answer)]
        if answers:
            return max(answers, key=lambda answer: answer.epoch).master
        problems = [str(each) for each in results if isinstance(each, exceptions.RedisError)]
        raise exceptions.ConnectionError(
            f"no Sentinel of {self.name} knows its master: "
            f"{'; '.join(problems) or 'none has answered'}"
        )

    def _is_settled(self, done: set[asyncio.Task[_Answer]]) -> bool:
        """Whether more than half of the Sentinels have answered."""
        return sum(task.exception() is None for task in done) > len(self._sentinels) / 2

    async def _ask(self, sentinel: Address) -> _Answer:
        connection = await self._asker.connect(sentinel, _nothing)
        try:
            flat = await ask(connection, "SENTINEL", "MASTER", self._service)
        except exceptions.ResponseError as error:
            raise exceptions.ConnectionError(f"{sentinel[0]}:{sentinel[1]}: {error}") from error
        finally:
            await connection.disconnect(nowait=True)
        told = dict(zip(flat[::2], flat[1::2], strict=True))
        return _Answer(int(told[b"config-epoch"]), (told[b"ip"].decode(), int(told[b"port"])))


async def _nothing(connection: AbstractConnection) -> None:
    """A Sentinel has no role to verify: what it says is verified where it leads."""


__all__ = ["SentinelMaster"]
