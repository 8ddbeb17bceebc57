"""AsyncWebsocketConsumer: what its methods send, and which frames it takes."""

from typing import Any

import pytest

from achannels import Group, route_class
from achannels.asgi import Application
from achannels.consumers import AsyncWebsocketConsumer
from achannels.exceptions import ConfigurationError, InvalidContent
from achannels.testing import ConnectionDenied, WebsocketClient


def client(consumer: type[AsyncWebsocketConsumer], **more: Any) -> WebsocketClient:
    return WebsocketClient(Application([route_class(consumer)]), "/", **more)


class Commands(AsyncWebsocketConsumer):
    """It does what a frame says."""

    async def receive(self, text_data: str) -> None:
        match text_data:
            case "text":
                await self.send(text_data="a text")
            case "empty":
                await self.send(text_data="")
            case "bytes":
                await self.send(bytes_data=b"bytes")
            case "last word":
                await self.send("last", close=True)
            case "last code":
                await self.send(text_data="last", close=4001)
            case "close":
                await self.close()
            case _:
                await self.close(code=4002, reason="enough")


async def test_a_class_without_any_method_accepts_and_listens() -> None:
    class Silent(AsyncWebsocketConsumer):
        pass

    async with client(Silent) as ws:
        await ws.send("a text")
        await ws.send(b"bytes")
        assert await ws.receive_nothing()


async def test_it_sends_text_and_bytes() -> None:
    async with client(Commands) as ws:
        for command, frame in (("text", "a text"), ("empty", ""), ("bytes", b"bytes")):
            await ws.send(command)
            assert await ws.receive() == frame


@pytest.mark.parametrize(("command", "code"), [("last word", 1000), ("last code", 4001)])
async def test_it_closes_after_its_last_word(command: str, code: int) -> None:
    async with client(Commands) as ws:
        await ws.send(command)
        assert await ws.receive() == "last"
        assert await ws.wait_closed() == code


@pytest.mark.parametrize(
    ("command", "code", "reason"),
    [("close", 1000, ""), ("close with code", 4002, "enough")],
)
async def test_it_closes(command: str, code: int, reason: str) -> None:
    async with client(Commands) as ws:
        await ws.send(command)
        assert await ws.wait_closed() == code
        assert ws.close_reason == reason


async def test_it_accepts_with_a_subprotocol_and_headers() -> None:
    class Choosy(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept("v2", headers=[(b"x-hello", b"you")])

    async with client(Choosy, subprotocols=["v1", "v2"]) as ws:
        assert ws.subprotocol == "v2"
        assert ws.headers["x-hello"] == "you"


@pytest.mark.parametrize("code", [None, True, 4401])
async def test_it_refuses_before_it_accepted(code: int | None) -> None:
    class Closed(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.close(code)

    with pytest.raises(ConnectionDenied) as denied:
        async with client(Closed):
            pass
    assert denied.value.status == 403


async def test_what_no_socket_can_send_is_raised_at_its_line() -> None:
    class Wrong(AsyncWebsocketConsumer):
        async def receive(self, text_data: str) -> None:
            with pytest.raises(InvalidContent, match="both text and bytes"):
                await self.send(text_data="a", bytes_data=b"a")
            with pytest.raises(InvalidContent, match="empty"):
                await self.send()
            with pytest.raises(InvalidContent, match=r"is of type bytes; it is a str"):
                await self.send(text_data=b"a")  # type: ignore[arg-type]
            with pytest.raises(InvalidContent, match=r"content\['close'\] is 1011"):
                await self.close(1011)
            await self.send(text_data="still here")

    async with client(Wrong) as ws:
        await ws.send("a")
        assert await ws.receive() == "still here"


# Which frames it takes.


async def _both(self: Any, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
    await self.send(text_data=f"{text_data} {bytes_data!r}")


async def _text(self: Any, text_data: str) -> None:
    await self.send(text_data=text_data)


async def _bytes(self: Any, bytes_data: bytes) -> None:
    await self.send(bytes_data=bytes_data)


async def _more(self: Any, text_data: str | None = None, **kwargs: Any) -> None:
    await self.send(text_data=f"{text_data} {kwargs}")


@pytest.mark.parametrize(
    ("receive", "frame", "answer"),
    [
        (_both, "a", "a None"),
        (_both, b"a", "None b'a'"),
        (_text, "a", "a"),
        (_text, b"a", 1003),
        (_bytes, b"a", b"a"),
        (_bytes, "a", 1003),
        (_more, "a", "a {}"),
        (_more, b"a", "None {'bytes_data': b'a'}"),
    ],
)
async def test_it_takes_the_kinds_that_its_receive_names(
    receive: Any, frame: str | bytes, answer: str | bytes | int
) -> None:
    consumer: Any = type("Taking", (AsyncWebsocketConsumer,), {"receive": receive})
    async with client(consumer) as ws:
        await ws.send(frame)
        if isinstance(answer, int):
            assert await ws.wait_closed() == answer
        else:
            assert await ws.receive() == answer


def test_a_receive_that_takes_no_frame_is_refused() -> None:
    async def receive(self: Any, message: str) -> None: ...

    with pytest.raises(ConfigurationError) as error:
        type("Taking", (AsyncWebsocketConsumer,), {"__module__": "chat", "receive": receive})
    assert str(error.value) == (
        "chat.Taking.receive takes neither text_data nor bytes_data. Write `async def receive("
        "self, text_data=None, bytes_data=None)`."
    )


def test_a_subclass_takes_what_it_says_itself() -> None:
    class Text(AsyncWebsocketConsumer):
        async def receive(self, text_data: str) -> None: ...

    class Bytes(Text):
        async def receive(self, bytes_data: bytes) -> None: ...  # type: ignore[override]

    class Inherits(Text):
        pass

    assert Bytes._takes == {"bytes_data"}
    assert Inherits._takes == Text._takes == {"text_data"}


# Groups.


async def test_it_is_in_its_groups_before_connect_is_called() -> None:
    class Member(AsyncWebsocketConsumer):
        groups = ("news", "sport")

        async def connect(self) -> None:
            for group in self.groups:
                await Group(group).send({"text": group})
            await self.accept()

    async with client(Member) as ws:
        assert [await ws.receive() for _ in range(2)] == ["news", "sport"]
