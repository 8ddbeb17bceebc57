"""AsyncJsonWebsocketConsumer: frames are JSON documents."""

import json
from typing import Any, ClassVar

from achannels.consumers.base import BadFrame
from achannels.consumers.websocket import AsyncWebsocketConsumer
from achannels.types import Content


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def read_json(text: str) -> Any:
    """Return what a text says.

    Raises:
        ValueError: It is not JSON; `NaN` and `Infinity` are not.
    """
    return _DECODER.decode(text)


class AsyncJsonWebsocketConsumer(AsyncWebsocketConsumer):
    """`receive_json(content)` and `send_json(content)`.

    A frame that is not JSON closes the socket with 1007, a binary one with 1003; the consumer is
    not called. `NaN` and `Infinity` are not JSON.
    """

    _hooks: ClassVar[frozenset[str]] = AsyncWebsocketConsumer._hooks | {"receive_json"}

    async def receive_json(self, content: Any) -> None:
        """Take a decoded frame."""

    async def send_json(self, content: Any, close: bool | int = False) -> None:
        """Send a value as a JSON text frame; waits while the client is slow.

        Args:
            content: What `encode_json` takes.
            close: Close afterwards: `True` for 1000, or a code.

        Raises:
            TypeError: `encode_json` cannot encode it.
            ValueError: It holds `NaN` or `Infinity`.
        """
        await self.send(text_data=await self.encode_json(content), close=close)

    async def take_frame(self, content: Content) -> None:
        """Decode a frame and hand it to `receive_json`.

        Raises:
            BadFrame: It is not a text frame with JSON.
        """
        text = content.get("text")
        if text is None:
            raise BadFrame(1003, "this consumer takes text frames with JSON only")
        try:
            decoded = await self.decode_json(text)
        except (ValueError, RecursionError) as error:
            raise BadFrame(1007, "the frame is not JSON") from error
        await self.receive_json(decoded)

    @classmethod
    async def decode_json(cls, text_data: str) -> Any:
        """Return what the text of a frame says; override it for another decoder.

        Raises:
            ValueError: The text is not JSON.
        """
        return read_json(text_data)

    @classmethod
    async def encode_json(cls, content: Any) -> str:
        """Return a value as text; override it for another encoder."""
        return json.dumps(content, allow_nan=False)


__all__ = ["AsyncJsonWebsocketConsumer", "read_json"]
