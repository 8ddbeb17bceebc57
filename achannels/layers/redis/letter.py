"""A message of a named channel as the shard hands it over."""

from collections.abc import Callable
from typing import Any

from achannels.codec import Encoded
from achannels.contracts import Origin


class Letter:
    """A message that this node has taken.

    Attributes:
        channel: Its channel.
        id: Of a durable message; empty for others.
        key: Its name in the hands of a worker.
        attempt: 1 for the first time.
        expires: When it expires, as the shard writes it.
        origin: The socket whose event it is.
        incarnations: With an origin: those of this node in all shards when it took the message.
        body: Its content as the shard has it.
        message: Its content.
    """

    __slots__ = (
        "attempt",
        "body",
        "channel",
        "expires",
        "id",
        "incarnations",
        "key",
        "message",
        "origin",
    )

    def __init__(
        self, channel: str, found: bytes | list[Any], decrypt: Callable[[bytes], bytes]
    ) -> None:
        self.channel = channel
        self.id = self.incarnations = ""
        self.attempt = 1
        self.origin: Origin | None = None
        if isinstance(found, bytes):  # a plain message as it was in the list
            self.expires, self.body = found[1:15], found[15:]
        else:
            id, self.attempt, self.expires, origin, self.body = found
            self.id = id.decode()
            if origin:
                node, local, term, number, alive, self.incarnations = origin.decode().split(" ")
                self.origin = Origin(f"{node}!{local}", int(term), int(number), alive == "1")
        self.message = Encoded(decrypt(self.body))
        self.key = self.id


__all__ = ["Letter"]
