"""The scripts that run inside the server."""

import hashlib
from collections.abc import Set
from importlib.resources import files

_FOLDER = files(__package__) / "scripts"


class Script:
    """A script of the shard.

    Args:
        *parts: Names of the files that make it up, in order.
        codes: Of the operations that it can do, for a batch that has no others.
        frees: It only ever frees memory, and runs also when the server has none left.

    Attributes:
        text: Its source.
        sha: How the server knows it once it was loaded.
        codes: The operations.
    """

    __slots__ = ("codes", "sha", "text")

    def __init__(self, *parts: str, codes: str = "", frees: bool = False) -> None:
        self.codes = frozenset(codes)
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
    "parts/send_ops",
    "parts/log_ops",
    "parts/take_ops",
    "parts/queue_ops",
    "parts/run",
)
SEND = Script(
    "parts/head", "parts/batch", "parts/queue", "parts/send_ops", "parts/run", codes="DGQ"
)
TAKE = Script("parts/head", "parts/batch", "parts/queue", "parts/take_ops", "parts/run", codes="T")

ALL = (REGISTER, RENEW, FENCE, COMMIT, BATCH, SEND, TAKE)


def batch_script(codes: Set[str]) -> Script:
    """Return the script for a batch of such operations.

    The server makes all functions of a script anew at each call, which costs more than most
    operations do: so the common batches have scripts without the rest.
    """
    for script in (SEND, TAKE):
        if codes <= script.codes:
            return script
    return BATCH


__all__ = ["ALL", "COMMIT", "FENCE", "REGISTER", "RENEW", "Script", "batch_script"]
