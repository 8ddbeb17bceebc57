"""Bars of time: what a fault may cost on a machine that has nothing else to do."""

import os


def bar(seconds: float) -> float:
    """Return a bar; on a machine with more work than cores up to three times as long."""
    return seconds * min(3.0, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


__all__ = ["bar"]
