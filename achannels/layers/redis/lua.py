"""The scripts that run inside the server."""

import hashlib
from importlib.resources import files

_FOLDER = files(__package__) / "scripts"


class Script:
    """A script of the shard.

    Args:
        *parts: Names of the files that make it up, in order.
        frees: It only ever frees memory, and runs also when the server has none left.

    Attributes:
        text: Its source.
        sha: How the server knows it once it was loaded.
    """

    __slots__ = ("sha", "text")

    def __init__(self, *parts: str, frees: bool = False) -> None:
        texts = [(_FOLDER / f"{part}.lua").read_text(encoding="utf-8") for part in parts]
        self.text = ("#!lua flags=allow-oom\n" if frees else "") + "\n".join(texts)
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


REGISTER = Script("parts/head", "parts/fence", "register")
RENEW = Script("parts/head", "parts/queue", "renew", frees=True)
FENCE = Script("parts/head", "parts/fence", "fence", frees=True)
COMMIT = Script("parts/head", "commit", frees=True)
BATCH = Script(
    "parts/head",
    "parts/batch",
    "parts/queue",
    "parts/log_ops",
    "parts/queue_ops",
    "parts/run",
)

ALL = (REGISTER, RENEW, FENCE, COMMIT, BATCH)

__all__ = ["ALL", "BATCH", "COMMIT", "FENCE", "REGISTER", "RENEW", "Script"]
