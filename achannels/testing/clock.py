"""Clock: time that passes when the test says so."""

from collections.abc import Callable


class Clock:
    """Seconds that stand still until `advance`; give it to a layer as `clock`.

    A layer looks again whenever the time has changed, so what becomes due is received without any
    real time passing.

    Args:
        now: The seconds that it begins with.
    """

    def __init__(self, now: float = 1_000.0) -> None:
        self._now = now
        self._callbacks: list[Callable[[], None]] = []

    def __call__(self) -> float:
        """Return the seconds now."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Args:
            seconds: From 0 up: the clock is monotonic.

        Raises:
            ValueError: It would go back.
        """
        if not seconds >= 0:
            raise ValueError(f"advance({seconds!r}): a monotonic clock does not go back.")
        self._now += seconds
        for callback in list(self._callbacks):
            callback()

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after each `advance`, and return how to end that."""
        self._callbacks.append(callback)

        def unsubscribe() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return unsubscribe

    def __repr__(self) -> str:
        return f"Clock({self._now})"


__all__ = ["Clock"]
