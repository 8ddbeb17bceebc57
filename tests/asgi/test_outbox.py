"""The queue to one client: order, bounds, policies, slow and broken clients, and books that balance."""

import asyncio
import itertools
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from achannels.asgi.events import Reply, closing, prepare
from achannels.asgi.limits import Limits
from achannels.asgi.outbox import Outbox
from achannels.layers.counters import Counters
from achannels.options import Overflow
from achannels.types import Event
from tests.doubles import BrokenSend, RecordingSend, StalledSend, errors

ACCEPT: Event = {"type": "websocket.accept"}


class Tasks:
    """Starts tasks as a node does, and waits for them."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []

    def __call__(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.append(task)
        return task

    async def done(self) -> None:
        """Wait until all of them have ended."""
        while unfinished := [task for task in self.tasks if not task.done()]:
            await asyncio.wait(unfinished)


class Box:
    """An outbox and what it was given."""

    def __init__(
        self,
        send: Callable[[Event], Awaitable[None]],
        *,
        capacity: int = 10,
        size: int = 10_000,
        overflow: Overflow = "close",
        stall: float = 60.0,
    ) -> None:
        self.books = Counters()
        self.spawn = Tasks()
        self.ends: list[int] = []
        limits = Limits(capacity, size, overflow, stall)
        self.outbox = Outbox(send, limits, self.books, self.spawn, self.ends.append)

    def push(self, *texts: str, group: bool = True) -> list[bool]:
        """Push frames, and count what was accepted as a layer does."""
        return [self.push_reply(prepare({"text": text}), group=group) for text in texts]

    def push_reply(self, reply: Reply, *, group: bool = True) -> bool:
        taken = self.outbox.push(reply, group=group)
        self.books.accepted += taken
        return taken

    def write(self, **content: Any) -> asyncio.Task[None]:
        if content.keys() == {"text"}:
            return asyncio.create_task(self.outbox.write_text(content["text"]))
        return asyncio.create_task(self.outbox.write(prepare(content)))

    def check(self) -> None:
        """Check that the books balance."""
        books, pending = self.books, self.outbox.pending
        settled = books.delivered + sum(books.dropped.values())
        assert books.accepted == settled + pending, (books.accepted, books.dropped, pending)

    async def end(self) -> None:
        await self.outbox.shut()
        await self.spawn.done()
        self.check()
        assert self.outbox.pending == 0


def texts(send: RecordingSend) -> list[str]:
    return [event["text"] for event in send.events if "text" in event]


async def open_box(send: Callable[[Event], Awaitable[None]], **limits: Any) -> Box:
    box = Box(send, **limits)
    await box.outbox.open(ACCEPT)
    return box


async def stalled_box(**limits: Any) -> tuple[Box, StalledSend]:
    """Return an outbox whose client has taken the accept and one frame, and takes nothing more."""
    send = StalledSend(after=1)
    box = await open_box(send, **limits)
    box.push("first")
    await send.stalled.wait()
    return box, send


# An idle client.


async def test_a_frame_for_an_idle_client_is_written_by_who_pushes_it() -> None:
    send = RecordingSend()
    box = await open_box(send)
    assert box.push("a", "b") == [True, True]
    assert texts(send) == ["a", "b"]
    assert box.spawn.tasks == []
    assert (box.books.delivered, box.outbox.pending) == (2, 0)
    await box.end()


async def test_a_reply_to_an_idle_client_is_written_without_a_task() -> None:
    send = RecordingSend()
    box = await open_box(send)
    await box.outbox.write(prepare({"text": "a"}))
    await box.outbox.write_text("b")
    assert texts(send) == ["a", "b"]
    assert box.spawn.tasks == []
    assert (box.books.replies, box.books.accepted) == (2, 0)
    await box.end()


async def test_a_reply_with_close_is_a_frame_and_a_close() -> None:
    send = RecordingSend()
    box = await open_box(send)
    await box.outbox.write(prepare({"text": "bye", "close": 4000}))
    assert send.events[1:] == [
        {"type": "websocket.send", "text": "bye"},
        {"type": "websocket.close", "code": 4000},
    ]
    assert box.outbox.close_sent
    assert box.outbox.is_closed
    await box.end()


async def test_an_accept_alone_in_a_group_frame_is_delivered_and_opens_nothing() -> None:
    send = RecordingSend()
    box = Box(send)
    box.push_reply(prepare({"accept": True}))
    assert (send.types, box.outbox.is_open) == ([], False)
    await box.outbox.open(ACCEPT)
    await box.spawn.done()
    assert send.types == ["websocket.accept"]
    assert box.books.delivered == 1
    await box.end()


# Before the accept.


async def test_frames_wait_for_the_accept_in_order() -> None:
    send = RecordingSend()
    box = Box(send)
    assert not box.outbox.is_open
    box.push("a", "b")
    writing = box.write(text="c")
    assert (send.events, box.outbox.pending) == ([], 2)
    box.check()
    await box.outbox.open(ACCEPT)
    await writing
    assert send.types[0] == "websocket.accept"
    assert texts(send) == ["a", "b", "c"]
    assert bool(box.outbox.is_open)
    await box.end()


async def test_frames_before_the_accept_are_bounded() -> None:
    box = Box(RecordingSend(), capacity=2)
    assert box.push("a", "b", "c", group=False) == [True, True, False]
    assert box.push("d", group=True) == [True]
    assert box.books.dropped["overflow"] == 1
    await box.end()


async def test_frames_wait_while_the_accept_is_written() -> None:
    send = StalledSend()
    box = Box(send)
    opening = asyncio.create_task(box.outbox.open(ACCEPT))
    await send.stalled.wait()
    box.push("a")
    assert box.outbox.pending == 1
    send.released.set()
    await opening
    await box.spawn.done()
    assert send.types == ["websocket.accept", "websocket.send"]
    await box.end()


async def test_it_opens_once() -> None:
    send = RecordingSend()
    box = await open_box(send)
    await box.outbox.open(ACCEPT)
    await box.outbox.shut()
    await box.outbox.open(ACCEPT)
    assert send.types == ["websocket.accept"]
    await box.end()


async def test_it_does_not_open_after_it_was_shut() -> None:
    send = RecordingSend()
    box = Box(send)
    box.push("a")
    await box.outbox.shut()
    await box.outbox.open(ACCEPT)
    assert send.events == []
    assert box.books.dropped["gone"] == 1
    await box.end()


# A slow client.


async def test_frames_for_a_slow_client_wait_in_order() -> None:
    box, send = await stalled_box()
    box.push("second")
    third = box.write(text="third")
    await asyncio.sleep(0)
    box.push("fourth")
    assert box.outbox.pending == 3
    box.check()
    assert not third.done()
    send.released.set()
    await third
    await box.spawn.done()
    assert texts(send) == ["first", "second", "third", "fourth"]
    assert (box.books.delivered, box.books.replies) == (3, 1)
    await box.end()


async def test_a_reply_waits_until_the_client_took_it() -> None:
    send = StalledSend(after=1)
    box = await open_box(send)
    first, second = box.write(text="first"), box.write(text="second")
    await send.stalled.wait()
    box.push("third")
    assert box.outbox.pending == 1
    await asyncio.sleep(0)
    assert not first.done()
    assert not second.done()
    send.released.set()
    await asyncio.gather(first, second)
    await box.spawn.done()
    assert texts(send) == ["first", "second", "third"]
    await box.end()


async def test_the_writer_gives_others_a_turn() -> None:
    box, send = await stalled_box(capacity=1000, size=100_000)
    box.push(*(str(number) for number in range(300)))
    send.released.set()
    turns = 0
    while len(send.events) < 302:
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 4
    await box.end()


# Bounds and policies.


@pytest.mark.parametrize("waiting", ["group", "direct", "reply"])
async def test_a_direct_send_to_a_full_outbox_is_refused(waiting: str) -> None:
    box, send = await stalled_box(capacity=1)
    writing = None
    if waiting == "reply":
        writing = box.write(text="second")
        await asyncio.sleep(0)
    else:
        assert box.push("second", group=waiting == "group") == [True]
    assert box.push("third", group=False) == [False]
    assert box.ends == []
    send.released.set()
    await box.spawn.done()
    if writing is not None:
        await writing
    assert texts(send) == ["first", "second"]
    await box.end()


async def test_close_closes_with_1013_and_counts_what_had_no_room() -> None:
    box, send = await stalled_box(capacity=2)
    box.push("second", "third", "fourth", "fifth")
    assert box.ends == [1013, 1013]
    assert box.books.dropped["overflow"] == 2
    assert box.outbox.pending == 3
    box.check()
    await box.end()
    assert texts(send) == []


async def test_drop_new_keeps_what_waits() -> None:
    box, send = await stalled_box(capacity=2, overflow="drop_new")
    box.push("second", "third", "fourth", "fifth")
    assert (box.ends, box.books.dropped["overflow"]) == ([], 2)
    send.released.set()
    await box.spawn.done()
    assert texts(send) == ["first", "second", "third"]
    await box.end()


async def test_drop_oldest_keeps_the_newest() -> None:
    box, send = await stalled_box(capacity=2, overflow="drop_oldest")
    box.push("second", "third", "fourth", "fifth")
    assert (box.ends, box.books.dropped["overflow"]) == ([], 2)
    box.check()
    send.released.set()
    await box.spawn.done()
    assert texts(send) == ["first", "fourth", "fifth"]
    await box.end()


async def test_drop_oldest_drops_no_reply() -> None:
    box, send = await stalled_box(capacity=2, overflow="drop_oldest")
    reply = box.write(text="reply")
    await asyncio.sleep(0)
    box.push("second", "third")
    assert box.books.dropped["overflow"] == 1
    send.released.set()
    await reply
    await box.spawn.done()
    assert texts(send) == ["first", "reply", "second"]
    await box.end()


async def test_drop_oldest_drops_as_many_as_the_new_one_weighs() -> None:
    box, send = await stalled_box(size=4 * 64 + 4, overflow="drop_oldest")
    box.push("a", "b", "c", "d", "e" * 66)
    assert box.books.dropped["overflow"] == 2
    send.released.set()
    await box.spawn.done()
    assert texts(send) == ["first", "c", "d", "e" * 66]
    await box.end()


async def test_bytes_are_bounded() -> None:
    box, _ = await stalled_box(size=200)
    assert box.push("a" * 36, "b" * 36, "c", group=False) == [True, True, False]
    assert box.push("ü" * 1000, group=False) == [False]
    await box.end()


async def test_a_frame_over_the_bytes_is_taken_when_nothing_waits() -> None:
    box, send = await stalled_box(size=100)
    assert box.push("a" * 200, "b", group=False) == [True, False]
    send.released.set()
    await box.spawn.done()
    assert box.push("c", group=False) == [True]
    assert texts(send) == ["first", "a" * 200, "c"]
    await box.end()


async def test_what_was_written_weighs_nothing() -> None:
    send = StalledSend(after=1)
    box = await open_box(send, size=200)
    for _ in range(3):
        send.released.clear()
        send.stalled.clear()
        assert box.push("first", "a" * 36, "b" * 36, "c", group=False) == [True, True, True, False]
        send.released.set()
        await box.spawn.done()
    await box.end()


async def test_limits_may_change() -> None:
    box, _ = await stalled_box(capacity=1)
    assert box.outbox.capacity == 1
    box.outbox.limit(Limits(3, 10_000, "drop_new", 60.0))
    assert box.outbox.capacity == 3
    box.push("second", "third", "fourth", "fifth")
    assert (box.ends, box.books.dropped["overflow"]) == ([], 1)
    await box.end()


# A client that stalls.


async def test_a_push_that_stalls_ends_the_socket_with_1013() -> None:
    box, send = await stalled_box(stall=0.0)
    box.push("second")
    reply = box.write(text="third")
    await reply
    await box.spawn.done()
    assert box.ends == [1013]
    assert box.books.dropped["gone"] == 3
    assert box.books.replies == 0
    assert box.outbox.is_closed
    box.check()
    assert texts(send) == []
    await box.end()


async def test_a_reply_that_stalls_returns_and_is_counted() -> None:
    send = StalledSend(after=1)
    box = await open_box(send, stall=0.0)
    await box.write(text="a")
    assert box.ends == [1013]
    assert (box.books.replies, box.books.accepted, box.books.dropped["gone"]) == (0, 1, 1)
    await box.end()


async def test_a_stalled_client_is_still_told_to_go() -> None:
    send = StalledSend(after=1)
    box = await open_box(send, stall=0.0)
    await box.outbox.write(prepare({"text": "a"}))
    send.released.set()
    await box.outbox.close(closing(1013), 60.0)
    assert send.events[-1] == {"type": "websocket.close", "code": 1013}
    await box.end()


async def test_each_frame_of_a_client_that_reads_slowly_has_its_own_time() -> None:
    taken = asyncio.Semaphore(0)
    send = RecordingSend()

    async def slow(event: Event) -> None:
        await taken.acquire()
        await send(event)

    box = Box(slow)
    opening = asyncio.create_task(box.outbox.open(ACCEPT))
    taken.release()
    await opening
    box.push(*"abcdefgh")
    for _ in range(8):
        taken.release()
        await asyncio.sleep(0)
    await box.spawn.done()
    assert texts(send) == [*"abcdefgh"]
    assert box.ends == []
    await box.end()


# A client that is gone, and a server that fails.


@pytest.mark.parametrize("error", [ConnectionResetError, TimeoutError, RuntimeError])
async def test_a_push_to_a_client_that_is_gone_is_counted(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    box = await open_box(BrokenSend(after=1, error=error))
    assert box.push("a", "b", group=False) == [True, True]
    assert box.push("c") == [True]
    assert (box.ends, box.books.dropped["gone"]) == ([1006], 3)
    assert box.outbox.is_closed
    assert not errors(caplog.records, "achannels.server")
    await box.end()


@pytest.mark.parametrize("error", [ConnectionResetError, TimeoutError, RuntimeError, KeyError])
async def test_a_reply_to_a_client_that_is_gone_is_counted_and_not_raised(
    error: type[Exception],
) -> None:
    box = await open_box(BrokenSend(after=1, error=error))
    await box.outbox.write(prepare({"text": "a"}))
    await box.outbox.write(prepare({"text": "b"}))
    assert (box.ends, box.books.replies) == ([1006], 0)
    assert (box.books.accepted, box.books.dropped["gone"]) == (2, 2)
    await box.end()


@pytest.mark.parametrize("error", [ConnectionResetError, TimeoutError, RuntimeError])
async def test_a_client_that_goes_while_frames_wait(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    gone = asyncio.Event()

    async def send(event: Event) -> None:
        if event["type"] == "websocket.send":
            await gone.wait()
            raise error("gone")

    box = await open_box(send)
    box.push("a", "b")
    reply = box.write(text="c")
    await asyncio.sleep(0)
    gone.set()
    await reply
    await box.spawn.done()
    assert (box.ends, box.books.dropped["gone"], box.books.delivered) == ([1006], 3, 0)
    assert not errors(caplog.records, "achannels.server")
    await box.end()


@pytest.mark.parametrize("when", ["push", "write", "queue"])
async def test_a_server_that_fails_is_logged_and_its_socket_given_up(
    when: str, caplog: pytest.LogCaptureFixture
) -> None:
    send = BrokenSend(after=1, error=KeyError)
    box = Box(send) if when == "queue" else await open_box(send)
    if when == "write":
        await box.write(text="a")
    else:
        box.push("a")
    await box.outbox.open(ACCEPT)
    await box.spawn.done()
    assert (box.ends, box.books.dropped["gone"]) == ([1006], 1)
    (record,) = errors(caplog.records, "achannels.server")
    assert record.getMessage() == "the server failed to send; its socket is given up"
    assert record.exc_info is not None
    assert record.exc_info[0] is KeyError
    await box.end()


async def test_an_accept_that_fails_gives_the_socket_up() -> None:
    box = Box(BrokenSend(error=ConnectionResetError))
    box.push("a")
    reply = box.write(text="b")
    await asyncio.sleep(0)
    await box.outbox.open(ACCEPT)
    await reply
    assert (box.ends, box.books.dropped["gone"]) == ([1006], 2)
    await box.end()


async def test_an_accept_that_stalls_ends_the_socket() -> None:
    box = Box(StalledSend(), stall=0.0)
    box.push("a")
    await box.outbox.open(ACCEPT)
    assert (box.ends, box.books.dropped["gone"]) == ([1013], 1)
    await box.end()


async def test_the_close_of_a_reply_that_fails_gives_the_socket_up() -> None:
    send = BrokenSend(after=2)
    box = await open_box(send)
    await box.outbox.write(prepare({"text": "bye", "close": True}))
    assert (box.ends, box.outbox.close_sent) == ([1006], True)
    assert box.books.dropped["gone"] == 1
    await box.end()


# Closing.


async def test_close_drops_what_waits_and_sends_the_code_last() -> None:
    box, send = await stalled_box()
    box.push("second")
    reply = box.write(text="third")
    await asyncio.sleep(0)
    close = asyncio.create_task(box.outbox.close(closing(1012), 60.0))
    await reply
    assert box.books.dropped["gone"] == 2
    assert (box.outbox.close_sent, box.outbox.is_closed) == (True, True)
    assert send.types == ["websocket.accept"]
    send.released.set()
    await close
    assert send.types == ["websocket.accept", "websocket.send", "websocket.close"]
    assert (texts(send), box.books.delivered) == (["first"], 1)
    box.push("fourth")
    await box.outbox.write(prepare({"text": "fifth"}))
    assert box.books.dropped["gone"] == 4
    await box.end()


async def test_close_waits_for_the_reply_that_is_being_written() -> None:
    send = StalledSend(after=1)
    box = await open_box(send)
    reply = box.write(text="a")
    await send.stalled.wait()
    close = asyncio.create_task(box.outbox.close(closing(1012), 60.0))
    await asyncio.sleep(0)
    send.released.set()
    await asyncio.gather(reply, close)
    assert send.types == ["websocket.accept", "websocket.send", "websocket.close"]
    assert (box.books.replies, box.books.dropped["gone"]) == (1, 0)
    await box.end()


async def test_close_waits_for_the_accept_that_is_being_written() -> None:
    send = StalledSend()
    box = Box(send)
    opening = asyncio.create_task(box.outbox.open(ACCEPT))
    await send.stalled.wait()
    close = asyncio.create_task(box.outbox.close(closing(1012), 60.0))
    await asyncio.sleep(0)
    send.released.set()
    await asyncio.gather(opening, close)
    assert send.types == ["websocket.accept", "websocket.close"]
    await box.end()


@pytest.mark.parametrize("in_hand", ["nothing", "frame", "reply"])
async def test_close_has_patience_and_no_more(in_hand: str) -> None:
    send = StalledSend(after=1)
    box = await open_box(send)
    writing = box.write(text="a") if in_hand == "reply" else None
    if in_hand == "frame":
        box.push("a")
    await asyncio.sleep(0)
    await box.outbox.close(closing(1012), 0.0)
    assert send.types == ["websocket.accept"]
    send.released.set()
    if writing is not None:
        await writing
    await box.end()


async def test_close_sends_nothing_after_the_client_went_meanwhile() -> None:
    gone = asyncio.Event()
    seen: list[str] = []

    async def send(event: Event) -> None:
        seen.append(event["type"])
        if event["type"] == "websocket.send":
            await gone.wait()
            raise ConnectionResetError

    box = await open_box(send)
    box.push("a")
    close = asyncio.create_task(box.outbox.close(closing(1012), 60.0))
    await asyncio.sleep(0)
    gone.set()
    await close
    assert seen == ["websocket.accept", "websocket.send"]
    await box.end()


@pytest.mark.parametrize("error", [ConnectionResetError, RuntimeError, KeyError])
async def test_a_close_that_the_server_refuses_is_not_raised(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    box = await open_box(BrokenSend(after=1, error=error))
    with caplog.at_level(logging.INFO):
        await box.outbox.close(closing(1012), 60.0)
    assert caplog.records == []
    await box.end()


@pytest.mark.parametrize(("code", "sent"), [(1011, 4011), (1012, 4012), (1000, 1000), (4401, 4401)])
async def test_a_server_that_sends_only_codes_of_applications_is_given_one(
    code: int, sent: int
) -> None:
    send = RecordingSend()

    async def as_daphne(event: Event) -> None:
        if 1000 < event.get("code", 1000) < 3000:
            raise Exception(f"invalid close code {code} (must be 1000 or from [3000, 4999])")
        await send(event)

    box = await open_box(as_daphne)
    await box.outbox.close(closing(code), 60.0)
    assert send.events[1:] == [{**closing(code), "code": sent}]
    await box.end()


async def test_nothing_is_closed_before_the_accept() -> None:
    send = RecordingSend()
    box = Box(send)
    box.push("a")
    await box.outbox.close(closing(1012), 60.0)
    assert (send.events, box.outbox.close_sent) == ([], False)
    await box.end()


async def test_a_close_is_sent_once() -> None:
    send = RecordingSend()
    box = await open_box(send)
    await box.outbox.write(prepare({"close": 4000}))
    await box.outbox.close(closing(1012), 60.0)
    await box.outbox.close(closing(1012), 60.0)
    assert send.events[1:] == [{"type": "websocket.close", "code": 4000}]
    await box.end()


async def test_what_waits_behind_a_close_is_gone() -> None:
    box, send = await stalled_box()
    reply = box.write(close=4000)
    await asyncio.sleep(0)
    box.push("second")
    send.released.set()
    await reply
    await box.spawn.done()
    assert send.types == ["websocket.accept", "websocket.send", "websocket.close"]
    assert box.books.dropped["gone"] == 1
    await box.end()


# Ends and cancellations.


async def test_shut_ends_the_writer() -> None:
    box, send = await stalled_box()
    box.push("second")
    reply = box.write(text="third")
    await asyncio.sleep(0)
    await box.outbox.shut()
    await reply
    assert all(task.done() for task in box.spawn.tasks)
    assert (box.books.dropped["gone"], box.outbox.pending) == (3, 0)
    box.check()
    assert texts(send) == []


async def test_shut_ends_a_writer_that_has_not_begun() -> None:
    send = StalledSend(after=1)
    box = await open_box(send)
    box.push("a", "b")
    await box.outbox.shut()
    assert (box.outbox.pending, box.books.dropped["gone"]) == (0, 2)
    box.check()


async def test_a_writer_that_is_cancelled_before_it_began_leaves_balanced_books() -> None:
    send = StalledSend(after=1)
    box = await open_box(send)
    box.push("a", "b")
    box.spawn.tasks[0].cancel()
    await box.spawn.done()
    await asyncio.sleep(0)
    assert (box.outbox.pending, box.books.dropped["gone"]) == (1, 1)
    box.check()
    send.released.set()
    box.push("c")
    await box.spawn.done()
    assert texts(send) == ["b", "c"]
    await box.end()


async def test_a_cancelled_reply_lets_the_others_pass() -> None:
    send = StalledSend(after=1)
    box = await open_box(send)
    reply = box.write(text="a")
    await send.stalled.wait()
    box.push("b")
    reply.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reply
    send.released.set()
    await box.spawn.done()
    assert texts(send) == ["b"]
    box.check()
    await box.end()


async def test_a_reply_that_is_cancelled_while_it_waits_is_still_sent_in_its_place() -> None:
    box, send = await stalled_box()
    reply = box.write(text="second")
    await asyncio.sleep(0)
    box.push("third")
    reply.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reply
    send.released.set()
    await box.spawn.done()
    assert texts(send) == ["first", "second", "third"]
    box.check()
    await box.end()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
async def test_it_works_with_eager_tasks() -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - not in 3.11
    try:
        box, send = await stalled_box()
        box.push("second")
        third = box.write(text="third")
        send.released.set()
        await third
        await box.outbox.write(prepare({"text": "fourth"}))
        box.push_reply(prepare({"text": "bye", "close": True}))
        await box.spawn.done()
        assert texts(send) == ["first", "second", "third", "fourth", "bye"]
        await box.end()
    finally:
        loop.set_task_factory(None)


# Any order of things.


class ScriptedSend:
    """A server's `send` whose calls finish, suspend or fail as the script says; one at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.script: Iterator[str] = itertools.repeat("finish")
        self.begun: list[Event] = []
        self.written: list[Event] = []
        self.waiting: asyncio.Future[None] | None = None
        self.active = False

    async def __call__(self, event: Event) -> None:
        assert not self.active, "two sends at once"
        self.active = True
        self.begun.append(event)
        try:
            match next(self.script, "finish"):
                case "suspend":
                    self.waiting = self.loop.create_future()
                    await self.waiting
                case "gone":
                    raise ConnectionResetError
                case "refuse":
                    raise RuntimeError("after websocket.close")
                case "fail":
                    raise KeyError("a bug of the server")
                case _:
                    pass
            self.written.append(event)
        finally:
            self.waiting = None
            self.active = False


class OutboxMachine(RuleBasedStateMachine):
    """Pushes, replies, closes, cancellations and a moody server, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.books = Counters()
        self.writers: list[asyncio.Task[None]] = []
        self.replies: list[asyncio.Task[None]] = []
        self.others: list[asyncio.Task[None]] = []
        self.numbers = itertools.count()
        self.ends: list[int] = []
        self.send = ScriptedSend(self.loop)
        self.pushed: set[str] = set()
        self.limits = Limits(3, 400, "close", 3600.0)
        self.outbox = Outbox(self.send, self.limits, self.books, self.spawn, self.ends.append)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self.loop.create_task(work)
        self.writers.append(task)
        return task

    def text(self, length: int) -> str:
        return f"{next(self.numbers):04}{'x' * length}"

    @initialize(overflow=st.sampled_from(["close", "drop_oldest", "drop_new"]))
    def choose(self, overflow: Overflow) -> None:
        self.limits = Limits(3, 400, overflow, 3600.0)
        self.outbox.limit(self.limits)

    @rule(
        moods=st.lists(st.sampled_from(["finish", "suspend", "suspend", "gone", "refuse", "fail"]))
    )
    def prepare_server(self, moods: list[str]) -> None:
        self.send.script = iter(moods)

    @rule()
    def accept(self) -> None:
        self.others.append(self.loop.create_task(self.outbox.open(ACCEPT)))

    @rule(
        length=st.integers(0, 200),
        group=st.booleans(),
        close=st.integers(0, 9).map(lambda chance: chance == 0),
    )
    def push(self, length: int, group: bool, close: bool) -> None:
        text = self.text(length)
        content = {"text": text, "close": True} if close else {"text": text}
        taken = self.outbox.push(prepare(content), group=group)
        self.books.accepted += taken
        self.pushed.add(text)
        assert taken or not group

    @rule(length=st.integers(0, 200), close=st.integers(0, 9).map(lambda chance: chance == 0))
    def reply(self, length: int, close: bool) -> None:
        async def write() -> None:
            text = self.text(length)
            if close:
                await self.outbox.write(prepare({"text": text, "close": 4000}))
            else:
                await self.outbox.write_text(text)

        self.replies.append(self.loop.create_task(write()))

    @precondition(lambda self: self.send.waiting is not None)
    @rule(error=st.sampled_from([None, None, None, BrokenPipeError, RuntimeError, KeyError]))
    def server_goes_on(self, error: type[Exception] | None) -> None:
        waiting = self.send.waiting
        if waiting is None or waiting.done():
            return
        if error is None:
            waiting.set_result(None)
        else:
            waiting.set_exception(error("later"))

    @rule(stall=st.sampled_from([0.0, 3600.0]))
    def lose_patience(self, stall: float) -> None:
        self.outbox.limit(Limits(3, 400, self.limits.overflow, stall))

    @rule(patience=st.sampled_from([0.0, 3600.0]))
    def close(self, patience: float) -> None:
        self.others.append(self.loop.create_task(self.outbox.close(closing(1012), patience)))

    @rule()
    def shut(self) -> None:
        self.others.append(self.loop.create_task(self.outbox.shut()))

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        tasks = [task for task in (*self.writers, *self.replies) if not task.done()]
        if tasks:
            data.draw(st.sampled_from(tasks)).cancel()

    @rule(turns=st.integers(1, 5))
    def turn(self, turns: int) -> None:
        for _ in range(turns):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    @invariant()
    def books_balance(self) -> None:
        settled = self.books.delivered + sum(self.books.dropped.values())
        assert self.books.accepted == settled + self.outbox.pending

    @invariant()
    def frames_from_elsewhere_are_delivered_when_written(self) -> None:
        written = [event for event in self.send.written if event.get("text") in self.pushed]
        unsure = self.send.active  # it was written, and its writer has not run yet
        assert abs(self.books.delivered - len(written)) <= 1 + unsure

    @invariant()
    def order_is_kept(self) -> None:
        found = [event["text"] for event in self.send.begun if "text" in event]
        assert found == sorted(found)
        types = [event["type"] for event in self.send.begun]
        assert types[:1] in ([], ["websocket.accept"])
        assert types.count("websocket.accept") <= 1
        if "websocket.close" in types:
            closes = self.send.begun[types.index("websocket.close") :]
            assert {event["type"] for event in closes} == {"websocket.close"}
            first = closes[0]["code"]  # daphne takes none of the standard's codes: it gets another
            assert [event["code"] for event in closes] in ([first], [first, first + 3000])

    @invariant()
    def what_waits_is_bounded(self) -> None:
        assert self.outbox.pending <= self.outbox.capacity + 1

    def teardown(self) -> None:
        self.send.script = itertools.repeat("finish")
        self.others.append(self.loop.create_task(self.outbox.shut()))
        for _ in range(20):
            if self.send.waiting is not None and not self.send.waiting.done():
                self.send.waiting.set_result(None)
            self.turn(3)
        tasks = [*self.writers, *self.replies, *self.others]
        assert all(task.done() for task in tasks), [task for task in tasks if not task.done()]
        failed = [task.exception() for task in tasks if not task.cancelled()]
        assert not any(failed), failed
        assert self.outbox.pending == 0
        self.books_balance()
        written = [event for event in self.send.written if event.get("text") in self.pushed]
        assert self.books.delivered <= len(written)
        self.loop.close()


OutboxMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestOutboxMachine = OutboxMachine.TestCase
