"""The layers, and what they do alike: each lives on one event loop, and ends."""

import asyncio
import concurrent.futures
import os
import threading
import weakref
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, NoReturn, Self, TypeVar

from achannels.exceptions import ConfigurationError, LayerClosed, LayerUnavailable

T = TypeVar("T")

_CHECK = 0.5
"""Seconds after which a call that waits for another loop looks whether that loop still runs."""


class _HomeStopped(Exception):
    """The home loop stopped before the call began, or while it only waited."""


class Home:
    """The event loop that a layer lives on: the first one that used it, while that one runs.

    A layer has no locks: all its state is touched on its home loop alone. A call from another loop
    of the process, in any thread, is carried out there. When the home loop does not run any more
    (`asyncio.run` has returned), the next caller's loop becomes the home.

    Args:
        moved: Called on the new home with the old one, when that has stopped.
        forked: Called in a forked child, which must not go on with the sockets of its parent.
    """

    __slots__ = ("__weakref__", "_forked", "_lock", "_moved", "loop")

    loop: asyncio.AbstractEventLoop | None
    """`None` before the first use. Hot paths compare it with the running loop themselves."""

    def __init__(
        self,
        moved: Callable[[asyncio.AbstractEventLoop], None],
        forked: Callable[[], None],
    ) -> None:
        self._moved = moved
        self._forked = forked
        self._begin()
        _homes.add(self)

    def _begin(self) -> None:
        self.loop = None
        self._lock = threading.Lock()

    def fork(self) -> None:
        """Begin anew in a forked child, where the parent's loop only looks as if it ran."""
        self._begin()
        self._forked()

    def is_here(self) -> bool:
        """Return whether the running loop is the home; it becomes that if the home has stopped."""
        here = asyncio.get_running_loop()
        if here is self.loop:
            return True
        with self._lock:
            home = self.loop
            if home is not None and home.is_running():
                return False
            self.loop = here
            if home is not None:
                self._moved(home)
            return True

    async def move_here(
        self, check: Callable[[], None], let_go: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Make the running loop the home.

        Args:
            check: Called on the home loop before; it raises when the home must not change.
            let_go: Called there afterwards; ends what lives on that loop.
        """
        here = asyncio.get_running_loop()

        async def leave() -> None:
            if self.loop is not here:
                check()
                await let_go()
                with self._lock:
                    self.loop = here

        await self.call(leave)

    async def call(
        self, make: Callable[[], Coroutine[Any, Any, T]], undo: Callable[[T], object] | None = None
    ) -> T:
        """Run a coroutine on the home loop.

        Args:
            make: Makes the coroutine.
            undo: Given for a call that only waits and then takes something: puts it back, on the
                home loop, when the caller was cancelled meanwhile.

        Raises:
            LayerUnavailable: The home loop stopped in the middle; the outcome is unknown.
        """
        while not self.is_here():
            try:
                return await self._hand_over(make, undo)
            except _HomeStopped:
                continue
        return await make()

    async def _hand_over(
        self, make: Callable[[], Coroutine[Any, Any, T]], undo: Callable[[T], object] | None
    ) -> T:
        home = self.loop
        assert home is not None
        errand = _Errand(home, make, undo)
        try:
            home.call_soon_threadsafe(errand.begin)
        except RuntimeError:  # closed between the check and here
            raise _HomeStopped from None
        waiter = asyncio.wrap_future(errand.result)
        try:
            while not waiter.done():
                await asyncio.wait([waiter], timeout=_CHECK)
                if not waiter.done() and not home.is_running() and errand.result.cancel():
                    raise errand.stopped()
            return waiter.result()
        except asyncio.CancelledError:
            if not waiter.cancel() and not waiter.cancelled():
                waiter.exception()  # retrieved, so that asyncio does not complain
            errand.abandon()
            raise


class _Errand(Generic[T]):
    """A call that one loop makes on another.

    The result is handed over in two steps, so that it is either received or undone: the home loop
    claims the right to set it, which ends the caller's right to cancel.
    """

    def __init__(
        self,
        home: asyncio.AbstractEventLoop,
        make: Callable[[], Coroutine[Any, Any, T]],
        undo: Callable[[T], object] | None,
    ) -> None:
        self.result: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._home = home
        self._make = make
        self._undo = undo
        self._begun = False
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        if not self.result.cancelled():
            self._task = self._home.create_task(self._run())
            self.result.add_done_callback(self._on_done)

    def abandon(self) -> None:
        """The caller was cancelled: end the call, or put back what it has brought."""
        if not self.result.cancel() and self._undo is not None:
            self.result.add_done_callback(self._put_back)

    def stopped(self) -> Exception:
        """Return what to raise when the home loop has stopped and brought no result."""
        if self._undo is not None or not self._begun:
            return _HomeStopped()
        return LayerUnavailable(
            "the event loop that the channel layer lives on stopped during the call; whether it "
            "was carried out is not known. Keep that loop running until its callers are done.",
            outcome="unknown",
        )

    async def _run(self) -> None:
        self._begun = True
        try:
            outcome = await self._make()
        except asyncio.CancelledError:
            if self.result.set_running_or_notify_cancel():
                self.result.set_exception(self.stopped())
            raise
        except Exception as error:  # noqa: BLE001 - it goes to the caller
            if self.result.set_running_or_notify_cancel():
                self.result.set_exception(error)
        else:
            if self.result.set_running_or_notify_cancel():
                self.result.set_result(outcome)
            elif self._undo is not None:
                self._undo(outcome)

    def _on_done(self, result: concurrent.futures.Future[T]) -> None:
        task = self._task
        if result.cancelled() and task is not None:
            with suppress(RuntimeError):  # a closed loop has no task that waits
                self._home.call_soon_threadsafe(task.cancel)

    def _put_back(self, result: concurrent.futures.Future[T]) -> None:
        if self._undo is not None and result.exception() is None:
            with suppress(RuntimeError):  # closed: what it held is lost with it
                self._home.call_soon_threadsafe(self._undo, result.result())


_homes: weakref.WeakSet[Home] = weakref.WeakSet()


def _fork() -> None:
    for home in list(_homes):
        home.fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fork)


class BaseLayer:
    """What layers do alike: their life, and that they live on one event loop.

    It is for layers of others too, though none has to inherit from it. The names with an underscore
    that this text has are for subclasses, and stay as they are.

    A subclass calls `super().__init__()` when it has taken its settings, and writes:

    - `_begin()`: make the state of an empty layer. Called by `__init__`, and in a forked child:
      connections and tasks of before are then the parent's, to be kept and never touched.
    - `_check_free()`: raise `ConfigurationError` if receivers or listeners are on the layer, so that
      its home must not change while it runs.
    - `_let_go()`, a coroutine: end what lives on the home loop, since another loop takes over.
    - `_moved(home)`: the home loop has stopped without that, and the running one took its place.
    - `_close()`, a coroutine on the home loop: let go of everything, and wake who waits.

    It may use:

    - `_home.call(make, undo)`: await a coroutine on the home loop; see `Home.call`.
    - `_at_home(function, *args)`: the same for a plain function.
    - `_soon(function, *args)`: have a function called on the home loop, without waiting for it.
    - `_check_home()`: raise `ConfigurationError` where the home loop is not the running one.
    - `_closed`, and `_refuse(consequence)`, which raises `LayerClosed`.
    """

    def __init__(self) -> None:
        self._home = Home(self._moved, self._begin)
        self._closed = False
        self._closing: asyncio.Task[None] | None = None
        self._begin()

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that the layer lives on; `None` before its first use."""
        return self._home.loop

    async def open(self) -> None:
        """Make the running loop the layer's home. Idempotent.

        Raises:
            ConfigurationError: Another running loop of this process has receivers or listeners on
                the layer.
            LayerClosed: The layer was closed.
        """
        if self._closed:
            self._refuse("it cannot be opened again")
        await self._home.move_here(self._check_free, self._let_go)

    async def leave(self) -> None:
        """Leave the layer's servers in good order; nothing to do where there are none."""

    async def aclose(self) -> None:
        """Close the layer: waiting receives raise `LayerClosed`, and so does all that follows.

        A group send that goes on reaches its members before. Idempotent; a caller that is
        cancelled meanwhile does not stop it.
        """
        here = asyncio.get_running_loop()
        if not self._closed:
            self._closed = True
            self._closing = here.create_task(self._home.call(self._close))
        if self._closing is not None and self._closing.get_loop() is here:
            await asyncio.shield(self._closing)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _at_home(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function on the home loop."""
        if self._closed:
            self._refuse("nothing was done")
        if asyncio.get_running_loop() is self._home.loop or self._home.is_here():
            return function(*args)

        async def call() -> T:
            return function(*args)

        return await self._home.call(call)

    def _soon(self, function: Callable[..., object], *args: Any) -> None:
        """Have a function called on the home loop: at once, if this is it or none runs."""
        loop = self._home.loop
        if loop is None or loop is asyncio._get_running_loop() or not loop.is_running():
            function(*args)
        else:
            loop.call_soon_threadsafe(function, *args)

    def _check_home(self) -> None:
        if asyncio.get_running_loop() is not self._home.loop and not self._home.is_here():
            raise ConfigurationError(
                "attach() was called on another event loop than the one that the layer lives on. "
                "Await open() on this loop before, or give it a layer of its own."
            )

    def _refuse(self, consequence: str) -> NoReturn:
        raise LayerClosed(
            f"this {type(self).__name__} was closed: {consequence}. Make a new one, or close it "
            "later."
        )

    def _begin(self) -> None:
        """Make the state of an empty layer; called by `__init__`, and in a forked child."""
        raise NotImplementedError

    def _check_free(self) -> None:
        """Raise `ConfigurationError` if the home must not change while it runs."""
        raise NotImplementedError

    async def _let_go(self) -> None:
        """End what lives on the home loop: another loop becomes the home."""

    def _moved(self, home: asyncio.AbstractEventLoop) -> None:
        """The home has stopped, and the running loop took its place."""
        raise NotImplementedError

    async def _close(self) -> None:
        """Let go of everything; called on the home loop."""
        raise NotImplementedError


def several(channels: Collection[str]) -> tuple[str, ...]:
    """Return channel names to receive from.

    Raises:
        ConfigurationError: It is empty, or a `str`.
    """
    if isinstance(channels, str) or not channels:
        raise ConfigurationError(
            f"channels is {channels!r}; it must be a collection of at least one channel name."
        )
    return tuple(channels)


def check_wait(channel: str, delay: float) -> None:
    """Check `delay` and `durable` of a send that has one of them.

    Raises:
        ConfigurationError: The delay is no number of seconds, or it goes to a reply channel.
    """
    if "!" in channel:
        raise ConfigurationError(
            f"send({channel!r}, delay=..., durable=...): a reply leaves at once; delay and durable "
            "are for named channels."
        )
    if not 0 <= delay < float("inf"):
        raise ConfigurationError(
            f"send({channel!r}, delay={delay!r}): a delay is a number of seconds from 0 up."
        )


__all__ = ["BaseLayer", "Home", "check_wait", "several"]
