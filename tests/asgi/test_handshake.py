"""A socket that waits to be accepted or refused: the events, the sub-protocol, the access lines."""

import asyncio
import logging
from typing import Any

import pytest

from achannels.asgi.events import ACCEPT, Reply, prepare
from achannels.asgi.handshake import Handshake, log, refuse
from achannels.asgi.limits import Limits
from achannels.asgi.outbox import Outbox
from achannels.layers.counters import Counters
from achannels.types import Send
from tests.doubles import BrokenSend, RecordingSend, websocket_scope

LIMITS = Limits(10, 1_000, "close", 1.0)


def handshake(send: Send, accepted: tuple[str, ...] = (), **scope: Any) -> tuple[Handshake, Outbox]:
    spawn = asyncio.get_running_loop().create_task
    outbox = Outbox(send, LIMITS, Counters(), spawn, lambda code: None)
    return Handshake(websocket_scope(**scope), "/shop/", send, outbox, accepted), outbox


async def test_accept_opens_the_socket() -> None:
    send = RecordingSend()
    shaking, outbox = handshake(send)
    await shaking.accept(ACCEPT)
    assert send.events == [{"type": "websocket.accept", "subprotocol": None}]
    assert outbox.is_open


async def test_what_others_share_is_not_changed() -> None:
    shaking, _ = handshake(RecordingSend())
    await shaking.accept(ACCEPT)
    assert ACCEPT.accept == {"type": "websocket.accept"}


async def test_data_without_accept_opens_the_socket() -> None:
    send = RecordingSend()
    shaking, _ = handshake(send)
    await shaking.accept(prepare({"text": "hi"}))
    assert send.types == ["websocket.accept"]


@pytest.mark.parametrize(
    ("offered", "taken", "chosen"),
    [
        (["b", "a"], ("a", "b"), "b"),
        (["x", "a"], ("a", "b"), "a"),
        (["x"], ("a",), None),
        (["a"], (), None),
        ([], ("a",), None),
        (None, ("a",), None),
    ],
)
async def test_the_first_of_the_clients_that_is_accepted_is_chosen(
    offered: list[str] | None, taken: tuple[str, ...], chosen: str | None
) -> None:
    send = RecordingSend()
    shaking, _ = handshake(send, taken, subprotocols=offered)
    await shaking.accept(ACCEPT)
    assert send.events[0]["subprotocol"] == chosen


async def test_the_consumers_choice_wins() -> None:
    send = RecordingSend()
    shaking, _ = handshake(send, ("a",), subprotocols=["a", "b"])
    reply: Reply = prepare({"accept": True, "subprotocol": "b", "headers": [(b"x", b"y")]})
    await shaking.accept(reply)
    assert send.events == [
        {"type": "websocket.accept", "subprotocol": "b", "headers": [(b"x", b"y")]}
    ]


async def test_deny_is_an_http_answer_and_shuts_the_outbox() -> None:
    send = RecordingSend()
    shaking, outbox = handshake(send)
    await shaking.deny(401, "log in first", [(b"www-authenticate", b"Basic")])
    assert send.types == ["websocket.http.response.start", "websocket.http.response.body"]
    assert (send.events[0]["status"], send.events[1]["body"]) == (401, b"log in first")
    assert (b"www-authenticate", b"Basic") in send.events[0]["headers"]
    assert outbox.is_closed
    await outbox.open({"type": "websocket.accept"})
    assert len(send.events) == 2


async def test_a_server_without_http_answers_closes() -> None:
    send = RecordingSend()
    await refuse(websocket_scope(extensions=None), "/", send, 404, "nothing here")
    assert send.events == [{"type": "websocket.close", "code": 1000}]


@pytest.mark.parametrize("after", [0, 1])
async def test_a_client_that_left_before_it_was_refused_is_no_error(
    after: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await refuse(websocket_scope(), "/", BrokenSend(after=after), 404)
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


async def test_a_server_that_fails_to_refuse_is_an_error() -> None:
    with pytest.raises(ValueError, match="the client is gone"):
        await refuse(websocket_scope(), "/", BrokenSend(error=ValueError), 404)


async def test_each_answer_is_an_access_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="achannels.server"):
        for answer in ("accept", "deny"):
            shaking, _ = handshake(RecordingSend())
            if answer == "accept":
                await shaking.accept(ACCEPT)
            else:
                await shaking.deny(404)
    assert [record.getMessage() for record in caplog.records] == [
        '"WebSocket CONNECT /shop/" 101',
        '"WebSocket REJECT /shop/" 404',
    ]
    assert caplog.records[0].__dict__["client"] == ("127.0.0.1", 50123)


def test_access_lines_can_be_switched_off(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="achannels.server"):
        log("CONNECT", "/", 101, websocket_scope())
    assert caplog.records == []
