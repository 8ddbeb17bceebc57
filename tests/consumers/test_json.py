"""AsyncJsonWebsocketConsumer: documents instead of frames, encoders and decoders of one's own."""

import json
import math
from decimal import Decimal
from typing import Any

import pytest

from achannels import route_class
from achannels.asgi import Application
from achannels.consumers import AsyncJsonWebsocketConsumer
from achannels.testing import WebsocketClient


class Echo(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content: Any) -> None:
        await self.send_json(content)


def client(consumer: type[AsyncJsonWebsocketConsumer]) -> WebsocketClient:
    return WebsocketClient(Application([route_class(consumer)]), "/")


@pytest.mark.parametrize(
    "text", ["{}", "[1, 2.5, true, null]", '"grüße"', "5", ' {"a": 1}\n', r'"\ud83d\ude00"']
)
async def test_any_document_goes_both_ways(text: str) -> None:
    async with client(Echo) as ws:
        await ws.send(text)
        assert await ws.receive_json() == json.loads(text)


@pytest.mark.parametrize("text", ["-Infinity", '{"a": 1} x', "'a'", "1" * 5_000, "\ufeff{}"])
async def test_what_is_no_json_closes_with_1007(text: str) -> None:
    async with client(Echo) as ws:
        await ws.send(text)
        assert await ws.wait_closed() == 1007


async def test_a_class_without_any_method_takes_json_only() -> None:
    class Silent(AsyncJsonWebsocketConsumer):
        pass

    async with client(Silent) as ws:
        await ws.send_json({})
        assert await ws.receive_nothing()
        await ws.send("no json")
        assert await ws.wait_closed() == 1007


async def test_what_cannot_be_sent_is_raised_at_its_line() -> None:
    class Wrong(AsyncJsonWebsocketConsumer):
        async def receive_json(self, content: Any) -> None:
            for value in (math.nan, {"a": [math.inf]}):
                with pytest.raises(ValueError, match="not JSON compliant"):
                    await self.send_json(value)
            with pytest.raises(TypeError, match="Decimal"):
                await self.send_json(Decimal(1))
            await self.send_json({"still": "here"})

    async with client(Wrong) as ws:
        await ws.send_json({})
        assert await ws.receive_json() == {"still": "here"}


@pytest.mark.parametrize(("close", "code"), [(True, 1000), (4000, 4000)])
async def test_it_closes_after_its_last_word(close: bool | int, code: int) -> None:
    class Last(AsyncJsonWebsocketConsumer):
        async def receive_json(self, content: Any) -> None:
            await self.send_json("last", close=close)

    async with client(Last) as ws:
        await ws.send_json({})
        assert await ws.receive_json() == "last"
        assert await ws.wait_closed() == code


async def test_encoder_and_decoder_can_be_ones_own() -> None:
    class Money(Echo):
        @classmethod
        async def decode_json(cls, text_data: str) -> Any:
            if text_data == "overdrawn":
                raise ValueError("no money")
            return json.loads(text_data, parse_float=Decimal)

        @classmethod
        async def encode_json(cls, content: Any) -> str:
            assert isinstance(content, Decimal)
            return f'"{content} EUR"'

    async with client(Money) as ws:
        await ws.send("1.10")
        assert await ws.receive_json() == "1.10 EUR"
        await ws.send("overdrawn")
        assert await ws.wait_closed() == 1007
