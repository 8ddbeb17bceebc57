"""`channels.security.websockets`: which pages may open a socket."""

from typing import Any

import pytest

from achannels import Message as AsyncMessage
from achannels.asgi import Application
from achannels.channel import Channel
from achannels.exceptions import DenyConnection
from achannels.legacy.message import Message
from achannels.legacy.routing import route
from achannels.legacy.security.websockets import (
    AllowedHostsOnlyOriginValidator,
    BaseOriginValidator,
    allowed_hosts_only,
)
from achannels.testing import ConnectionDenied, WebsocketClient


class OnlyExample(BaseOriginValidator):
    def validate_origin(self, message: Any, origin: str) -> bool:
        return origin == "https://example.org"


@OnlyExample
def consumer(message: Any, room: str = "") -> str:
    """A consumer."""
    return f"ran in {room}"


def connect(origin: Any = None, **content: Any) -> Message:
    headers = [[b"host", b"here"]]
    if origin is not None:
        headers.append([b"origin", origin])
    return Message({"headers": headers, **content}, "websocket.connect")


def test_it_keeps_what_it_decorates() -> None:
    assert getattr(consumer, "__name__", None) == "consumer"
    assert consumer.__doc__ == "A consumer."
    assert isinstance(consumer, BaseOriginValidator)


def test_the_origin_decides() -> None:
    assert consumer(connect(b"https://example.org"), room="a") == "ran in a"
    with pytest.raises(DenyConnection):
        consumer(connect(b"https://example.com"))


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"headers": []},
        {"headers": [[b"host", b"here"]]},
        {"headers": [[b"origin", b"https://example.\xff"]]},
        {"headers": [[b"origin"]]},
    ],
)
def test_without_an_origin_nobody_connects(content: dict[str, Any]) -> None:
    with pytest.raises(DenyConnection):
        consumer(Message(content, "websocket.connect"))


def test_a_header_can_be_read() -> None:
    sent = connect(b"https://example.org")
    assert consumer.get_header(sent, b"host") == b"here"
    assert consumer.get_origin(sent) == "https://example.org"
    with pytest.raises(KeyError):
        consumer.get_header(sent, b"cookie")


def test_a_validator_has_to_decide() -> None:
    with pytest.raises(NotImplementedError, match="BaseOriginValidator does not say"):
        BaseOriginValidator(lambda message: None)(connect(b"https://example.org"))


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (b"https://example.org", True),
        (b"http://EXAMPLE.org:8000", True),
        (b"https://sub.example.com", True),
        (b"https://example.net", False),
        (b"null", False),
        (b"", False),
        (b"example.org", False),
        (b"https://[::1", False),
    ],
)
def test_allowed_hosts(settings: Any, origin: bytes, allowed: bool) -> None:
    settings.ALLOWED_HOSTS = ["example.org", ".example.com"]
    decorated = allowed_hosts_only(lambda message: "ran")
    assert allowed_hosts_only is AllowedHostsOnlyOriginValidator
    if allowed:
        assert decorated(connect(origin)) == "ran"
    else:
        with pytest.raises(DenyConnection):
            decorated(connect(origin))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_local_pages_while_developing(settings: Any, host: str) -> None:
    settings.ALLOWED_HOSTS, settings.DEBUG = [], True
    decorated = allowed_hosts_only(lambda message: "ran")
    assert decorated(connect(f"http://{host}:8000".encode())) == "ran"


async def test_it_decorates_async_def() -> None:
    @OnlyExample
    async def consumer(message: AsyncMessage) -> str:
        return "ran"

    def sent(origin: bytes) -> AsyncMessage:
        return AsyncMessage({"headers": [[b"origin", origin]]}, Channel("websocket.connect"))

    assert await consumer(sent(b"https://example.org")) == "ran"
    with pytest.raises(DenyConnection):
        await consumer(sent(b"https://example.com"))
    assert isinstance(consumer, OnlyExample)


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.usefixtures("old_ways")
async def test_over_a_socket(kind: str) -> None:
    @OnlyExample
    def plain(message: Any) -> None:
        message.reply_channel.send({"accept": True})

    @OnlyExample
    async def coroutine(message: AsyncMessage) -> None:
        await message.reply_channel.send({"accept": True})

    chosen = plain if kind == "def" else coroutine
    application = Application([route("websocket.connect", chosen)])
    async with WebsocketClient(application, "/", origin="https://example.org"):
        pass
    for origin in ("https://example.com", None):
        with pytest.raises(ConnectionDenied) as denied:
            async with WebsocketClient(application, "/", origin=origin):
                pass
        assert denied.value.status == 403
