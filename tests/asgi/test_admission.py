"""Which handshakes reach a consumer, and what the others are answered."""

from typing import Any

import pytest

from achannels import Message, route
from achannels.asgi import Application
from achannels.asgi.admission import claims, refusal
from achannels.routing import Router
from achannels.testing import ConnectionDenied, WebsocketClient
from tests.doubles import websocket_scope

FOREIGN = {"headers": [(b"host", b"testserver"), (b"origin", b"http://other.org")]}


async def consumer(message: Message) -> None:
    await message.reply_channel.send({"accept": True})


@pytest.mark.parametrize(
    ("scope", "routed", "draining", "unrouted", "answer"),
    [
        ({}, True, False, "reject", None),
        ({}, False, False, "accept", None),
        ({}, False, False, "reject", (404, "there is nothing at this path")),
        (FOREIGN, True, False, "accept", (403, "this page may not open a socket here")),
        (FOREIGN, False, True, "reject", (403, "this page may not open a socket here")),
        ({}, False, True, "reject", (404, "there is nothing at this path")),
        ({}, True, True, "reject", (503, "the server is stopping")),
        ({}, False, True, "accept", (503, "the server is stopping")),
    ],
)
async def test_the_first_reason_to_refuse_is_the_answer(
    scope: dict[str, Any],
    routed: bool,
    draining: bool,
    unrouted: Any,
    answer: tuple[int, str] | None,
) -> None:
    async with Application([], unrouted=unrouted) as app:
        node = await app.node()
        node.draining = draining
        content = {"path": "/"}
        assert refusal(node, websocket_scope(**scope), content, routed=routed) == answer


@pytest.mark.parametrize(
    ("channel", "path", "claimed"),
    [
        ("websocket.connect", "/chat/", True),
        ("websocket.receive", "/chat/", True),
        ("websocket.connect", "/other/", False),
        ("websocket.disconnect", "/chat/", False),
        ("websocket.gap", "/chat/", False),
        ("http.request", "/chat/", False),
    ],
)
def test_connect_and_receive_claim_a_path_and_nothing_else(
    channel: str, path: str, claimed: bool
) -> None:
    router = Router([route(channel, consumer, path="chat/")])
    assert claims(router, {"path": path}) is claimed


def test_a_filter_on_what_a_handshake_does_not_have_may_match_later() -> None:
    router = Router([route("websocket.receive", consumer, path="chat/", text="^/quit")])
    assert claims(router, {"path": "/chat/"})


@pytest.mark.parametrize("channel", ["websocket.connect", "websocket.receive"])
async def test_a_page_of_another_site_is_403_and_wakes_no_consumer(channel: str) -> None:
    called = []

    async def noted(message: Message) -> None:
        called.append(message.channel.name)

    app = Application([route(channel, noted), route("websocket.disconnect", noted)])
    with pytest.raises(ConnectionDenied) as denied:
        async with WebsocketClient(app, "/", headers={"origin": "http://other.org"}):
            pass
    assert (denied.value.status, denied.value.reason) == (
        403,
        "this page may not open a socket here",
    )
    assert called == []
