"""Bars of time: what a fault may cost on a machine that has nothing else to do."""

import os


def bar(seconds: float) -> float:
    """Return a bar; on a machine with more work than cores it grows with what waits for a core."""
    waiting = os.getloadavg()[0] / (os.cpu_count() or 1)
    return seconds * max(1.0, 2 * waiting)


__all__ = ["bar"]
