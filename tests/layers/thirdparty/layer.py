"""HubLayer: a layer over a hub on the same machine, written against the public contract alone."""

import asyncio
import itertools
import logging
import math
import secrets
from collections.abc import Collection, Mapping
from typing import Any, Literal, NamedTuple

from achannels.codec import Encoded, encode
from achannels.contracts import Receiver, Statistics
from achannels.exceptions import ChannelFull, ConfigurationError, InvalidName, LayerUnavailable
from achannels.layers import BaseLayer, check_wait, several
from achannels.layers.counters import Counters
from achannels.layers.mailbox import ByChannel, check_count, check_seconds
from achannels.names import check_channel, check_group, node_of
from achannels.types import Content
from tests.layers.thirdparty.hub import frame, is_socket, read

logger = logging.getLogger("hublayer")

RETRY = 0.05
"""Seconds between two tries to reach the hub."""

_abandoned: list[object] = []
"""Connections of another event loop, or of the parent of this process: closing them would disturb it."""


class Found(NamedTuple):
    token: int
    channel: str
    body: bytes


class HubLayer(BaseLayer):
    """Channels and groups between the processes of one machine.

    Args:
        path: The socket file of the hub.
        site: Separates projects that share a hub.
        timeout: Seconds that a call waits for the hub.
        capacity, channel_capacity, expiry, channel_expiry, group_expiry, message_size: As for
            `MemoryLayer`.
    """

    def __init__(
        self,
        path: str,
        *,
        site: str = "default",
        timeout: float = 2.0,
        capacity: int = 100,
        channel_capacity: Mapping[Any, int] | None = None,
        expiry: float = 60.0,
        channel_expiry: Mapping[Any, float] | None = None,
        group_expiry: float = 86_400.0,
        message_size: int = 1_048_576,
    ) -> None:
        self._path, self._site = path, site
        self._timeout = check_seconds("'timeout'", timeout)
        self._capacity = ByChannel("capacity", capacity, channel_capacity, check_count)
        self._expiry = ByChannel("expiry", expiry, channel_expiry, check_seconds)
        self._group_expiry = check_seconds("'group_expiry'", group_expiry)
        self.message_size = check_count("'message_size'", message_size)
        self._connecting: asyncio.Task[None] | None = None
        super().__init__()

    # The life of the layer.

    def _begin(self) -> None:
        self.node = secrets.token_urlsafe(12)
        self.books = Counters()
        self._receivers: dict[str, Receiver] = {}
        self._ended: list[Receiver] = []
        self._groups: dict[str, set[str]] = {}
        self._tokens = itertools.count(1)
        self._listening = 0
        self._abandon()

    def _abandon(self) -> None:
        if self._connecting is not None:
            _abandoned.append((self._connecting, self._writer))
        self._connecting = None
        self._writer: asyncio.StreamWriter | None = None
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._up = asyncio.Event()

    async def open(self) -> None:
        await super().open()
        await self._ask("members", "open")  # any answer shows that the hub is there

    async def leave(self) -> None:
        if not self._closed:
            await self._home.call(self._leave)

    async def _leave(self) -> None:
        if not self._receivers and not self._listening:
            await self._let_go()

    def _check_free(self) -> None:
        if self._receivers or self._listening:
            raise ConfigurationError(
                "this HubLayer has receivers or listeners on another running event loop. Run both "
                "on one loop, or give each its own layer."
            )

    async def _let_go(self) -> None:
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
            await asyncio.wait([connecting])
        self._abandon()

    def _moved(self, home: asyncio.AbstractEventLoop) -> None:
        if home.is_closed():
            self.books.drop("gone", self._held())
            self._receivers.clear()
            self._groups.clear()
        self._listening = 0
        self._abandon()

    async def _close(self) -> None:
        up = self._up
        await self._let_go()
        up.set()

    # The connection.

    async def _connect(self) -> None:
        """Keep a connection to the hub until cancelled."""
        heard: float | None = None
        loop = asyncio.get_running_loop()
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self._path)
            except OSError as error:
                logger.debug("no hub at %s: %s", self._path, error)
                await asyncio.sleep(RETRY)
                continue
            self._writer = writer
            try:
                sockets = {each: sorted(self._groups[each]) for each in self._receivers}
                writer.write(frame(self._site, self.node, sockets))
                self._up.set()
                if heard is not None:
                    for channel, receiver in list(self._receivers.items()):
                        groups = sorted(self._groups[channel])
                        receiver.gap(groups, "layer_reset", loop.time() - heard)
                while True:
                    self._hear(*await read(reader))
                    heard = loop.time()
            except (OSError, asyncio.IncompleteReadError) as error:
                logger.warning("the hub at %s has gone: %r", self._path, error)
            finally:
                writer.close()
                self._writer = None
                self._up.clear()
                for call in self._calls.values():
                    if not call.done():
                        call.set_exception(self._no_answer("unknown"))
                self._calls.clear()

    def _hear(self, token: int, kind: str, *arguments: Any) -> None:
        match kind, arguments:
            case "answer", (result,):
                call = self._calls.pop(token, None)
                if call is not None and not call.done():
                    call.set_result(result)
            case "direct", (channel, body):
                full = self._deliver(channel, Encoded(body), group=False)
                self._tell(token, "reply", full)
            case "group", (channels, body):
                message = Encoded(body)
                for channel in channels:
                    self._deliver(channel, message, group=True)
            case "joined", (channel, group):
                self._groups.get(channel, set()).add(group)
            case "left", (channel, group):
                self._groups.get(channel, set()).discard(group)
            case "forget", ():
                self._groups = {channel: set() for channel in self._groups}
            case _:
                logger.error("the hub says %r, which this layer does not know", kind)

    def _deliver(self, channel: str, message: Encoded, *, group: bool) -> int:
        """Return 0, or the capacity of a receiver that has no room."""
        receiver = self._receivers.get(channel)
        try:
            if receiver is None:
                self.books.drop("gone")
            elif not receiver.deliver(message, group=group):
                return receiver.capacity
        except Exception:
            logger.exception("a receiver failed to take a message")
            self.books.drop("gone")
        self.books.accepted += 1
        return 0

    def _tell(self, token: int, operation: str, *arguments: object) -> None:
        if self._writer is not None:
            self._writer.write(frame(token, operation, *arguments))

    def _call(self, operation: str, *arguments: object) -> tuple[int, asyncio.Future[Any]]:
        token = next(self._tokens)
        call = self._calls[token] = asyncio.get_running_loop().create_future()
        self._tell(token, operation, *arguments)
        return token, call

    async def _wait_up(self) -> None:
        while not self._up.is_set():
            if self._closed:
                self._refuse("nothing was done")
            if self._connecting is None or self._connecting.done():
                self._connecting = asyncio.get_running_loop().create_task(self._connect())
            await self._up.wait()

    async def _ask(self, operation: str, *arguments: object) -> Any:
        """Ask the hub for something, on the home loop, from whatever loop this is called on."""
        if self._closed:
            self._refuse("nothing was done")

        async def ask() -> Any:
            sent = False
            try:
                async with asyncio.timeout(self._timeout):
                    await self._wait_up()
                    sent = True
                    return await self._call(operation, *arguments)[1]
            except TimeoutError:
                raise self._no_answer("unknown" if sent else "refused") from None

        return await self._home.call(ask)

    def _no_answer(self, outcome: Literal["refused", "unknown"]) -> LayerUnavailable:
        done = "it may have been done" if outcome == "unknown" else "nothing was done"
        return LayerUnavailable(f"no answer from the hub at {self._path}; {done}.", outcome=outcome)

    # Channels.

    async def send(
        self,
        channel: str,
        content: Mapping[str, Any],
        *,
        delay: float = 0.0,
        durable: bool = False,
    ) -> None:
        check_channel(channel)
        body = encode(content, channel, self.message_size).body
        if delay or durable:
            check_wait(channel, delay)
        limits = self._capacity[channel], math.inf if durable else self._expiry[channel]
        full = await self._ask("send", channel, limits, delay, body)
        if full:
            raise ChannelFull(channel, full)

    async def receive(self, channel: str) -> Content:
        return (await self.receive_many((channel,)))[1]

    async def receive_many(self, channels: Collection[str]) -> tuple[str, Content]:
        names = several(channels)
        for name in names:
            if is_socket(check_channel(name)) or node_of(name) not in (None, self.node):
                raise InvalidName(f"nobody in this process receives from {name!r}.")
        if self._closed:
            self._refuse("nothing comes any more")
        found = await self._home.call(lambda: self._take(names), self._untake)
        self._soon(self._tell, found.token, "took")
        return found.channel, Encoded(found.body).decode()

    async def _take(self, channels: tuple[str, ...]) -> Found:
        self._listening += 1
        try:
            while True:
                await self._wait_up()
                token, call = self._call("take", *channels)
                try:
                    return Found(token, *await call)
                except LayerUnavailable:  # the hub is asked again when it is back
                    continue
                except asyncio.CancelledError:
                    self._tell(token, "cancel")
                    raise
        finally:
            self._listening -= 1

    def _untake(self, found: Found) -> None:
        self._tell(found.token, "cancel")

    async def new_channel(self, prefix: str = "specific") -> str:
        if self._closed:
            self._refuse("it has no new channel")
        return check_channel(f"{self.node}!{prefix}.{secrets.token_urlsafe(12)}")

    # Groups.

    async def group_add(self, group: str, channel: str) -> None:
        limits = self._capacity[check_channel(channel)], self._expiry[channel]
        await self._ask("add", check_group(group), channel, self._group_expiry, limits)

    async def group_discard(self, group: str, channel: str) -> None:
        await self._ask("discard", check_group(group), check_channel(channel))

    async def group_send(self, group: str, content: Mapping[str, Any]) -> None:
        check_group(group)
        await self._ask("group_send", group, encode(content, group, self.message_size).body)

    async def group_channels(self, group: str) -> set[str]:
        return set(await self._ask("members", check_group(group)))

    # Sockets.

    def attach(self, receiver: Receiver) -> str:
        if self._closed:
            self._refuse("it opens no reply channel")
        self._check_home()
        channel = f"{self.node}!{secrets.token_hex(16)}"
        self._receivers[channel] = receiver
        self._groups[channel] = set()
        self._tell(0, "attach", channel)
        return channel

    def detach(self, channel: str) -> None:
        self._soon(self._detach, channel)

    def _detach(self, channel: str) -> None:
        receiver = self._receivers.pop(channel, None)
        if receiver is not None:
            del self._groups[channel]
            self._ended.append(receiver)
            self._tell(0, "detach", channel)

    # The whole.

    async def flush(self) -> None:
        await self._ask("flush")

    async def statistics(self) -> Statistics:
        """Return the books of the hub and of this process."""
        theirs: Statistics = await self._ask("books")
        ours = self.books.statistics(self._held())
        return {
            "accepted": theirs["accepted"] + ours["accepted"],
            "delivered": theirs["delivered"] + ours["delivered"],
            "expired": theirs["expired"] + ours["expired"],
            "dropped": {
                reason: count + theirs["dropped"].get(reason, 0)
                for reason, count in ours["dropped"].items()
            },
            "pending": theirs["pending"] + ours["pending"],
        }

    def _held(self) -> int:
        self._ended = [each for each in self._ended if each.pending]
        return sum(each.pending for each in (*self._receivers.values(), *self._ended))
