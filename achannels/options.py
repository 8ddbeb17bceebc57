"""Options of a consumer: keywords of `@consumer` on a function, class attributes on a class.

Both are plain attributes of the consumer, so one reader serves both, and a decorator that copies
attributes (`functools.wraps`) keeps them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from achannels.exceptions import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])

Overflow = Literal["close", "drop_oldest", "drop_new"]

OVERFLOW: tuple[str, ...] = get_args(Overflow)


@dataclass(frozen=True, slots=True)
class Options:
    """What a consumer asks for; `None` takes the application's setting.

    Attributes:
        durable: Handle each message until it succeeded or was given up.
        retries: How often a durable message is tried again after its first attempt failed.
        backoff: Seconds before each retry; the last one repeats.
        timeout: Seconds that one call may take.
        concurrency: How many messages of its channels it handles at once in one node.
        overflow: What happens when a group sends to a full outbox.
        outbox_capacity: Messages that may wait for its client.
        outbox_bytes: Bytes that may wait for its client.
        max_size: Bytes of one frame from its client.
        channel_session: Load `message.channel_session`.
        http_session: Load `message.http_session`.
        http_user: Load `message.user`.
    """

    durable: bool = False
    retries: int = 5
    backoff: tuple[float, ...] = (1.0,)
    timeout: float | None = None
    concurrency: int | None = None
    overflow: Overflow | None = None
    outbox_capacity: int | None = None
    outbox_bytes: int | None = None
    max_size: int | None = None
    channel_session: bool = False
    http_session: bool = False
    http_user: bool = False

    @classmethod
    def of(cls, consumer: Any) -> "Options":
        """Read and check the options of a function or class.

        Raises:
            ConfigurationError: It names the consumer, the option and what it may be.
        """
        found = {
            name: getattr(consumer, name)
            for name in cls.__dataclass_fields__
            if hasattr(consumer, name)
        }
        where = (
            f"{getattr(consumer, '__module__', '')}.{getattr(consumer, '__qualname__', consumer)}"
        )
        found["backoff"] = _seconds(found.get("backoff", 1.0), where)
        options = cls(**found)
        options._check(where)
        return options

    def _check(self, where: str) -> None:
        for name in ("durable", "channel_session", "http_session", "http_user"):
            if not isinstance(getattr(self, name), bool):
                raise _wrong(where, name, getattr(self, name), "True or False")
        for name in ("concurrency", "outbox_capacity", "outbox_bytes", "max_size"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise _wrong(where, name, value, "an int from 1 up, or None")
        if type(self.retries) is not int or self.retries < 0:
            raise _wrong(where, "retries", self.retries, "an int from 0 up")
        if self.timeout is not None and not (
            isinstance(self.timeout, int | float) and self.timeout > 0
        ):
            raise _wrong(where, "timeout", self.timeout, "seconds above 0, or None")
        if self.overflow is not None and self.overflow not in OVERFLOW:
            raise _wrong(where, "overflow", self.overflow, " or ".join(map(repr, OVERFLOW)))


def consumer(
    *,
    durable: bool = False,
    retries: int = 5,
    backoff: float | Sequence[float] = 1.0,
    timeout: float | None = None,
    concurrency: int | None = None,
    overflow: Overflow | None = None,
    outbox_capacity: int | None = None,
    outbox_bytes: int | None = None,
    max_size: int | None = None,
) -> Callable[[F], F]:
    """Set the options of a function consumer; on a class, write them as class attributes.

    Args:
        durable: Handle each message until it succeeded or was given up (background channels).
        retries: How often a durable message is tried again after its first attempt failed.
        backoff: Seconds before each retry; of several, the last one repeats.
        timeout: Seconds that one call may take in a worker; then it failed with `TimeoutError`. The
            thread of a `def` consumer cannot be stopped: its call fails when it has returned.
        concurrency: How many messages of its channels are handled at once in one node.
        overflow: What happens when a group sends to a full outbox: `"close"` (code 1013),
            `"drop_oldest"` or `"drop_new"`.
        outbox_capacity: Messages that may wait for the client.
        outbox_bytes: Bytes that may wait for the client.
        max_size: Bytes of one frame from the client; a larger one closes with 1009.

    Raises:
        ConfigurationError: A value is out of its range.
    """
    given = {name: value for name, value in locals().items() if value is not None}

    def mark(function: F) -> F:
        for name, value in given.items():
            set_mark(function, name, value)
        Options.of(function)
        return function

    return mark


def set_mark(function: Any, name: str, value: Any) -> None:
    """Write an option or a mark onto a consumer.

    Raises:
        ConfigurationError: The thing cannot carry attributes (a bound method, a builtin).
    """
    try:
        setattr(function, name, value)
    except AttributeError as error:
        raise ConfigurationError(
            f"{function!r} cannot carry the option {name!r}: put it on a function or a class."
        ) from error


def _seconds(value: Any, where: str) -> tuple[float, ...]:
    items = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    if not items or not all(isinstance(item, int | float) and item >= 0 for item in items):
        raise _wrong(where, "backoff", value, "seconds from 0 up, or several of them")
    return tuple(float(item) for item in items)


def _wrong(where: str, name: str, value: Any, allowed: str) -> ConfigurationError:
    return ConfigurationError(f"{where}: {name}={value!r}; it must be {allowed}.")


__all__ = ["OVERFLOW", "Options", "Overflow", "consumer", "set_mark"]
