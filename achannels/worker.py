"""Worker: takes messages of named channels off the layer and has them handled, so many at once."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from achannels.channel import Channel
from achannels.contracts import ChannelLayer, Origin, Taken, WorkLayer
from achannels.dispatch import Dispatcher, Handler, log_error
from achannels.exceptions import (
    ConfigurationError,
    ConsumeLater,
    LayerClosed,
    LayerUnavailable,
    Reject,
    StopConsumer,
)
from achannels.handlers import is_cancelled
from achannels.state import Connection

logger = logging.getLogger("achannels.worker")

RETRY = 1.0
"""Seconds before a layer that is unavailable is asked again."""

_LAST_WORDS = 1.0
"""Seconds for consumers that were cancelled; one in a thread may need longer, and is left behind."""


Adopt = Callable[[Taken, Origin], Awaitable[None]]


class Worker:
    """Handles background messages.

    It never takes a message without a free slot, so nothing waits inside the process. A message
    that is not durable is handled at most once; a durable one until it succeeded, was rejected, or
    has failed `retries` times again.

    Args:
        dispatcher: Finds and calls the consumers.
        layer: Where the messages are.
        channels: The named channels to listen on.
        concurrency: Messages handled at once, at most.
        adopt: Takes an event of a socket, and returns when it was handled; in split mode.

    Raises:
        ConfigurationError: The layer cannot do what a consumer asks for.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        layer: ChannelLayer,
        channels: Collection[str],
        concurrency: int,
        adopt: Adopt | None = None,
    ) -> None:
        if not isinstance(layer, WorkLayer):
            raise ConfigurationError(
                f"{type(layer).__name__} cannot carry background messages: it has no take() and "
                f"settle(). The routing has consumers on {', '.join(sorted(channels))}."
            )
        self.dispatcher = dispatcher
        self.layer = layer
        self.work: WorkLayer = layer
        self.channels = frozenset(channels)
        self.concurrency = concurrency
        self._adopt = adopt
        self._limits = {
            channel: min(
                (h.options.concurrency or concurrency for h in dispatcher.handlers(channel)),
                default=concurrency,
            )
            for channel in self.channels
        }
        self._durable = frozenset(
            channel
            for channel in self.channels
            if any(handler.options.durable for handler in dispatcher.handlers(channel))
        )
        self._running: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    @property
    def busy(self) -> int:
        """Messages that are being handled."""
        return len(self._tasks)

    async def run(self) -> None:
        """Take and handle messages until cancelled, or until the layer is closed."""
        while True:
            free = self._free()
            self._changed.clear()
            if not free:
                await self._changed.wait()
                continue
            try:
                taken = await self._take(free)
            except LayerClosed:
                return
            except LayerUnavailable as error:
                logger.warning("the worker waits for its layer: %s", error)
                await asyncio.sleep(RETRY)
                continue
            except Exception:
                logger.exception("the layer failed to hand over a message; it is asked again")
                await asyncio.sleep(RETRY)
                continue
            if taken is not None:
                self._begin(taken)

    async def stop(self, patience: float) -> None:
        """Wait for the messages in hand, then cancel what is left; call it when `run` has ended.

        A message whose consumer was cancelled is handled again if it is durable, else dropped.

        Args:
            patience: Seconds to wait.
        """
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            self.dispatcher.threads.abandon()
            await asyncio.wait(self._tasks, timeout=_LAST_WORDS)
        for task in self._tasks:
            logger.error("the worker stopped while %s was still handled", task.get_name())

    def _free(self) -> list[str]:
        if len(self._tasks) >= self.concurrency:
            return []
        return [name for name, limit in self._limits.items() if self._running[name] < limit]

    async def _take(self, free: list[str]) -> Taken | None:
        """Take a message; `None` when the set of free channels grew while waiting."""
        slots = min(self._limits[name] - self._running[name] for name in free)
        slots = min(slots, self.concurrency - len(self._tasks))
        take = self.work.take(free, slots=slots, durable=self._durable)
        if len(free) == len(self.channels):
            return await take
        loop = asyncio.get_running_loop()
        taking = loop.create_task(take)
        changed = loop.create_task(self._changed.wait())
        try:
            await asyncio.wait({taking, changed}, return_when=asyncio.FIRST_COMPLETED)
            if not taking.done():
                taking.cancel()
                await asyncio.wait({taking})
        except asyncio.CancelledError:
            taking.cancel()
            await asyncio.wait({taking})
            if not taking.cancelled() and taking.exception() is None:
                self._begin(taking.result())  # it came at the last moment
            raise
        finally:
            changed.cancel()
        return None if taking.cancelled() else taking.result()

    def _begin(self, taken: Taken) -> None:
        self._running[taken.channel] += 1
        task = asyncio.get_running_loop().create_task(
            self._handle(taken), name=f"achannels {taken.channel}"
        )
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._end(done, taken.channel))

    def _end(self, task: asyncio.Task[None], channel: str) -> None:
        self._tasks.discard(task)
        self._running[channel] -= 1
        self._changed.set()
        if not task.cancelled() and task.exception() is not None:
            logger.error("a message on %s was not settled", channel, exc_info=task.exception())

    async def _handle(self, taken: Taken) -> None:
        if taken.origin is not None and self._adopt is not None:
            await self.work.settle(taken)
            await self._adopt(taken, taken.origin)
            return
        found = self.dispatcher.find(taken.channel, taken.content)
        if found is None:
            logger.error("no route takes a message on %s: %s", taken.channel, sorted(taken.content))
            await self.work.settle(taken, dead="no_route")
            return
        handler, kwargs = found
        if taken.durable and taken.attempt > handler.options.retries + 1:
            logger.error("%s: no worker survives a message on %s", handler.name, taken.channel)
            await self.work.settle(taken, dead="its workers died or stalled each time")
            return
        error: BaseException | None = None
        try:
            async with asyncio.timeout(handler.options.timeout):
                known = await self._call(handler, taken, kwargs)
            if not known:
                kind = taken.content.get("type")
                logger.error("%s has no method for type %r", handler.name, kind)
                await self.work.settle(taken, dead="no_handler")
                return
        except asyncio.CancelledError as raised:
            if is_cancelled():
                await self._give_up(handler, taken)
                raise
            error = raised  # of something that the consumer waited for
        except Exception as raised:  # noqa: BLE001 - settled below
            error = raised
        await self._settle(handler, taken, error)

    async def _give_up(self, handler: Handler, taken: Taken) -> None:
        """Settle a message whose consumer was cancelled."""
        logger.error("%s was cancelled with a message on %s", handler.name, taken.channel)
        taken.durable = taken.durable or handler.options.durable
        if taken.durable:
            await self.work.settle(taken, again=0.0)
        else:
            await self.work.settle(taken, dead="cancelled")

    async def _call(self, handler: Handler, taken: Taken, kwargs: dict[str, Any]) -> bool:
        connection = Connection({}, self.layer)
        reply = taken.content.get("reply_channel")
        if isinstance(reply, str) and reply:
            connection.reply_channel = Channel(reply, channel_layer=self.layer)
        channel = Channel(taken.channel, channel_layer=self.layer)
        return await handler.handle(connection, channel, taken.content, kwargs, taken.attempt)

    async def _settle(self, handler: Handler, taken: Taken, error: BaseException | None) -> None:
        options = handler.options
        taken.durable = taken.durable or options.durable
        if error is None or isinstance(error, StopConsumer):
            await self.work.settle(taken)
            return
        if isinstance(error, Reject):
            logger.info("%s rejected a message on %s: %s", handler.name, taken.channel, error)
            await self.work.settle(taken, dead=str(error) or "rejected")
            return
        if not isinstance(error, ConsumeLater):
            log_error(handler, taken.channel, None, error)
            if not taken.durable:
                await self.work.settle(taken)
                return
        if taken.attempt > options.retries:
            reason = "asked to be handled later too often"
            if not isinstance(error, ConsumeLater):
                reason = f"{type(error).__name__}: {error}"
            logger.error(
                "%s gave up a message on %s after attempt %d: %s",
                handler.name,
                taken.channel,
                taken.attempt,
                reason,
            )
            await self.work.settle(taken, dead=reason)
            return
        delay = error.delay if isinstance(error, ConsumeLater) else None
        if delay is None:
            delay = options.backoff[min(taken.attempt, len(options.backoff)) - 1]
        await self.work.settle(taken, again=delay)


__all__ = ["Worker"]
