"""What Linux tells about processes and cores."""

import ctypes
import os
import resource
import signal
import time
from pathlib import Path

_SET_DEATH_SIGNAL = 1


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of all threads of a process, ended ones included.

    Reads the process's CPU clock, whose id is made of its pid as `clock_getcpuclockid(3)` does:
    nanoseconds, where `/proc/<pid>/stat` counts in hundredths of a second.
    """
    return time.clock_gettime((~pid << 3) | 2)


def resident_kib(pid: int) -> int:
    """Return the resident set size of a process in KiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


def cores() -> tuple[int | None, int | None]:
    """Return a core for the server and another for the client, or no choice on a single core."""
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else (None, None)


def pin(core: int | None) -> None:
    """Keep this process on one core; `None` leaves it free."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def raise_file_limit() -> None:
    """Allow this process, and the servers it starts, as many sockets as the system permits."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def end_with_parent() -> None:
    """Have the system end this process when the one that started it ends, however that ends."""
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
