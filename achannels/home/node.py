"""WorkerNode: a process that holds no sockets, and runs the consumers of those that do."""

import asyncio
import fnmatch
from collections.abc import Collection
from typing import Any

from achannels.asgi.node import EMBEDDED, Node
from achannels.exceptions import ConfigurationError
from achannels.home.homes import Homes
from achannels.home.sessions import SocketSessions
from achannels.types import ASGIApplication
from achannels.worker import Worker


class WorkerNode(Node):
    """Takes the messages of named channels, those of sockets and requests included.

    Args:
        *args: As for `Node`.
        channels: What to listen on.
        concurrency: Messages of channels handled at once, at most.
        http: Answers the requests that no `http.request` route takes.
    """

    holds_sockets = False

    def __init__(
        self,
        *args: Any,
        channels: Collection[str],
        concurrency: int,
        http: ASGIApplication | None = None,
    ) -> None:
        super().__init__(*args)
        self.listens_on = channels
        self._concurrency = concurrency
        self._http = http
        self._homes: Homes | None = None

    @property
    def tasks(self) -> int:
        """Tasks that the node owns."""
        return super().tasks + (self._homes.busy if self._homes else 0)

    async def start(self) -> None:
        """Open the layer.

        Raises:
            ConfigurationError: The layer reaches no other process.
        """
        await super().start()
        if any(name.startswith(EMBEDDED) for name in self.listens_on):
            loaders = self.dispatcher.loaders
            sessions = None
            if loaders.channel_sessions is None:
                loaders.channel_sessions = sessions = SocketSessions()
            self._homes = Homes(self.dispatcher, self.layer, self.settings, self._http, sessions)

    def work(self) -> None:
        """Begin to take messages.

        Raises:
            ConfigurationError: The layer cannot do what a consumer asks.
        """
        if self.worker is not None:
            return
        adopt = self._homes.adopt if self._homes is not None else None
        self.worker = Worker(self.dispatcher, self.layer, self.listens_on, self._concurrency, adopt)
        self._run_worker(self.worker)

    async def _stop(self, deadline: float) -> None:
        """Take no more, finish what is in hand, and hand all sockets back."""
        homes, worker = self._homes, self.worker
        timeout = max(0.0, deadline - self.loop.time())
        if homes is not None:
            await self._end_running()
            ending = [homes.drain(timeout)] if worker is not None else []
            if worker is not None:
                ending.append(worker.stop(timeout))
                self.worker = None
            await asyncio.gather(*ending)
            await homes.close()
        await super()._stop(deadline)


def left(
    channels: Collection[str], only: Collection[str] = (), exclude: Collection[str] = ()
) -> list[str]:
    """Return the channels that patterns leave, sorted.

    Args:
        channels: All that there are.
        only: Globs; one of them must match. Empty: any.
        exclude: Globs; none of them may match.

    Raises:
        ConfigurationError: None is left.
    """
    found = [
        name
        for name in sorted(channels)
        if (not only or _matches(name, only)) and not _matches(name, exclude)
    ]
    if not found:
        raise ConfigurationError(
            f"the worker would listen on no channel: the routing has {_listed(channels)}, and "
            f"--only-channels {_listed(only)} --exclude-channels {_listed(exclude)} leave none."
        )
    return found


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "none"


__all__ = ["WorkerNode", "left"]
