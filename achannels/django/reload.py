"""The reloader of `runserver`: Django's, with time for the server to end before it is replaced.

Django's own kills the process that serves: at a changed file its thread dies with the process, and
at a signal the parent sends SIGKILL after a quarter of a second. A socket would just be gone, and
no disconnect handler would run. So the process that serves ends in order here, and the one that
watches over it hands a signal on and waits.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from django.utils import autoreload

logger = logging.getLogger("django.utils.autoreload")

RELOAD = 3
"""Exit code that asks for a new process."""

Stop = Callable[[], None]


def run_with_reloader(
    serve: Callable[..., None], stop: Stop, patience: float, **options: Any
) -> None:
    """Serve, and serve anew when a file has changed, until a signal.

    Args:
        serve: Serves; it runs in a thread.
        stop: Ends what `serve` does, and returns when it has ended.
        patience: Seconds after `stop` in which the process has to be over.
        **options: For `serve`.
    """
    if os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) != "true":
        sys.exit(watch_over())
    code = 0
    with _signals(_interrupt_once()):
        try:
            reloader = autoreload.get_reloader()
            logger.info("Watching for file changes with %s", type(reloader).__name__)
            autoreload.start_django(reloader, serve, None, **options)
        except KeyboardInterrupt:
            pass
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        stop()
    leave_within(patience, code)
    sys.exit(code)


def watch(files: Iterable[str]) -> None:
    """Have the reloader watch files that it does not know as modules, since an import failed."""
    known = autoreload._error_files  # type: ignore[attr-defined]
    known.extend(file for file in files if file not in known)


def watch_over() -> int:
    """Run this command line in a child, anew each time it asks for that; return its exit code.

    SIGINT and SIGTERM are handed on to the child as SIGTERM; a second one kills it.
    """
    command = autoreload.get_child_arguments()
    environ = {**os.environ, autoreload.DJANGO_AUTORELOAD_ENV: "true"}
    while True:
        child = subprocess.Popen(command, env=environ, close_fds=False)
        with _signals(_hand_on(child)):
            code = child.wait()
        if code != RELOAD:
            return 1 if code < 0 else code  # below 0: a signal killed the child


def leave_within(patience: float, code: int) -> None:
    """End the process after `patience` seconds if it does not end by itself.

    A thread that is busy with a request would hold up the end of the interpreter.
    """
    timer = threading.Timer(patience, os._exit, [code])
    timer.daemon = True
    timer.start()


def _hand_on(child: "subprocess.Popen[bytes]") -> Callable[[int, FrameType | None], None]:
    signals = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal signals
        signals += 1
        if signals > 1:
            child.kill()
        elif sys.platform != "win32":  # there the console tells the child, and this would kill it
            child.send_signal(signal.SIGTERM)

    return handle


def _interrupt_once() -> Callable[[int, FrameType | None], None]:
    """Return a handler for the child: a terminal's SIGINT and the parent's SIGTERM are one."""
    came = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal came
        if not came:
            came = True
            raise KeyboardInterrupt

    return handle


@contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)


__all__ = ["leave_within", "run_with_reloader", "watch", "watch_over"]
