"""Process-specific channels of 1.x, whose names (`prefix!local`) their receiver makes up itself.

Here the part before a `!` is a node, and only that node makes names. A name made up elsewhere, by an
interface server of one's own say, stands for the channel with one reader `prefix?local`.
"""

import threading
from collections.abc import Iterable

from achannels.exceptions import InvalidName

_SHORTEST_NODE = 16
_REMEMBERED = 10_000


def is_foreign(name: str) -> bool:
    """Return whether a name with a `!` was made by no node of ours: theirs are long, without dots."""
    node, mark, _ = name.partition("!")
    return bool(mark) and ("." in node or len(node) < _SHORTEST_NODE)


def plain_name(name: str) -> str:
    """Return the name that a layer has for a channel."""
    return name.replace("!", "?", 1) if "!" in name and is_foreign(name) else name


class Locals:
    """The last 10,000 process-specific channels that were heard of.

    Who receives from a prefix means all of them.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._lock = threading.Lock()

    def note(self, name: object) -> None:
        """Remember a name that was sent to, joined a group, or was given as a reply channel."""
        if not isinstance(name, str) or "!" not in name or not is_foreign(name):
            return
        plain = plain_name(name)
        with self._lock:
            self._names.pop(plain, None)
            self._names[plain] = name
            while len(self._names) > _REMEMBERED:
                del self._names[next(iter(self._names))]

    def of(self, prefix: str) -> Iterable[str]:
        """Return the names that begin with a prefix.

        Raises:
            InvalidName: The prefix is that of a node, which hands its messages out itself.
        """
        if not is_foreign(prefix):
            raise InvalidName(
                f"channel name {prefix!r} is that of a node: its sockets take their messages "
                "themselves."
            )
        with self._lock:
            return [name for name in self._names.values() if name.startswith(prefix)]

    def old_name(self, plain: str) -> str:
        """Return the name that a channel of the layer has in 1.x."""
        return self._names.get(plain, plain)


heard = Locals()
"""Those of this process."""

__all__ = ["Locals", "heard", "is_foreign", "plain_name"]
