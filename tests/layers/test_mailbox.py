"""Queues of ordinary channels: limits by pattern, order, expiry, delays, and who is woken."""

import asyncio
import math
import re
from typing import Any

import pytest

from achannels.codec import Encoded, encode
from achannels.exceptions import ChannelFull, ConfigurationError
from achannels.layers.counters import Counters, Letter
from achannels.layers.mailbox import ByChannel, Mailbox, Mailboxes, check_count, check_seconds


def message(n: int = 0) -> Encoded:
    return encode({"n": n}, "work", 1_000)


def numbers(box: Mailbox, now: float = 0.0) -> list[int]:
    found = []
    while box.has_message(now):
        found.append(box.pop().message.decode()["n"])
    return found


def mailbox(capacity: int = 10, expiry: float = 10.0) -> tuple[Mailbox, Counters]:
    books = Counters()
    return Mailbox("work", capacity, expiry, books), books


def mailboxes(expiry: float = 10.0, **patterns: float) -> tuple[Mailboxes, Counters]:
    books = Counters()
    limits = ByChannel("capacity", 10, None, check_count)
    seconds = ByChannel("expiry", expiry, patterns or None, check_seconds)
    return Mailboxes(limits, seconds, books), books


# Limits.


@pytest.mark.parametrize("value", [0, -1, 1.0, "5", True, None])
def test_a_count_is_an_int_from_1_up(value: object) -> None:
    assert check_count("'capacity'", 1) == 1
    with pytest.raises(ConfigurationError) as error:
        check_count("'capacity'", value)
    assert str(error.value) == f"CONFIG 'capacity' is {value!r}; it must be an int from 1 up."


@pytest.mark.parametrize("value", [0, -1.5, "5", True, None, math.nan])
def test_seconds_are_a_number_above_0(value: object) -> None:
    assert check_seconds("'expiry'", 1) == 1.0
    assert check_seconds("'expiry'", math.inf) == math.inf
    with pytest.raises(ConfigurationError) as error:
        check_seconds("'expiry'", value)
    assert str(error.value) == (
        f"CONFIG 'expiry' is {value!r}; it must be a number of seconds above 0."
    )


def test_the_first_pattern_that_matches_decides() -> None:
    patterns = {
        "mail.*": 1,
        re.compile("mail|post"): 2,
        "specific.*": 3,
        "*.news": 4,
    }
    limits = ByChannel("capacity", 100, patterns, check_count)
    for channel, limit in {
        "mail.in": 1,
        "mail": 2,  # a regular expression matches the beginning
        "post.office": 2,
        "my.mail.in": 100,  # a glob matches the whole
        "node!specific.x": 3,  # the name is the part after the mark
        "my.news": 4,
        "my.news.old": 100,
        "other": 100,
    }.items():
        assert limits[channel] == limit, channel


def test_without_patterns_every_channel_has_the_default() -> None:
    assert ByChannel("capacity", 7, None, check_count)["any"] == 7
    assert ByChannel("capacity", 7, {}, check_count)["any"] == 7


@pytest.mark.parametrize(
    ("default", "patterns", "text"),
    [
        (0, None, "CONFIG 'capacity' is 0; it must be an int from 1 up."),
        (
            1,
            ["mail.*"],
            (
                "CONFIG 'channel_capacity' is ['mail.*']; it must be a dict of channel patterns, for "
                "example {'thumbnails': 5000, 'mail.*': 20}."
            ),
        ),
        (
            1,
            {5: 5},
            (
                "CONFIG 'channel_capacity' has the key 5; a channel pattern is a str such as 'mail.*', "
                "or a compiled regular expression of str."
            ),
        ),
        (
            1,
            {re.compile(b"mail"): 5},
            (
                "CONFIG 'channel_capacity' has the key re.compile(b'mail'); a channel pattern is a str "
                "such as 'mail.*', or a compiled regular expression of str."
            ),
        ),
        (
            1,
            {"mail.*": 0},
            "CONFIG 'channel_capacity'['mail.*'] is 0; it must be an int from 1 up.",
        ),
        (
            1,
            {re.compile("^mail"): "5"},
            "CONFIG 'channel_capacity'['^mail'] is '5'; it must be an int from 1 up.",
        ),
    ],
)
def test_wrong_limits_are_told_what_they_may_be(default: int, patterns: Any, text: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        ByChannel("capacity", default, patterns, check_count)
    assert str(error.value) == text


# One mailbox.


def test_first_in_first_out() -> None:
    box, _ = mailbox()
    for n in range(5):
        box.put(message(n), 0.0, durable=n % 2 == 0)
    assert numbers(box) == [0, 1, 2, 3, 4]
    assert box.pending == 0


def test_it_refuses_more_than_its_capacity() -> None:
    box, books = mailbox(capacity=2)
    box.put(message(0), 0.0, delay=5)
    box.put(message(1), 0.0)
    for more in ({}, {"delay": 1.0}, {"durable": True}):
        with pytest.raises(ChannelFull) as error:
            box.put(message(), 0.0, **more)
        assert (error.value.channel, error.value.capacity) == ("work", 2)
    assert (box.pending, books.statistics(0)["accepted"]) == (2, 0)


def test_expired_messages_make_room_and_are_counted() -> None:
    box, books = mailbox(capacity=2, expiry=10)
    box.put(message(0), 0.0)
    box.put(message(1), 5.0)
    box.put(message(2), 10.0)
    assert (books.expired, box.pending) == (1, 2)
    assert numbers(box, 14.9) == [1, 2]


def test_a_message_expires_exactly_at_its_expiry() -> None:
    box, books = mailbox(expiry=10)
    box.put(message(0), 0.0)
    assert box.has_message(9.9)
    assert not box.has_message(10.0)
    assert (books.expired, box.pending) == (1, 0)


def test_expire_finds_what_stands_behind_a_message_that_lasts() -> None:
    box, books = mailbox(expiry=10)
    box.put(message(0), 0.0, durable=True)
    box.put(message(1), 0.0)
    box.put(message(2), 5.0)
    box.expire(10.0)
    assert (books.expired, box.pending) == (1, 2)
    assert numbers(box, 100.0) == [0]
    box.expire(100.0)
    assert (books.expired, box.pending) == (2, 0)


def test_delayed_messages_come_when_they_are_due_in_the_order_of_being_due() -> None:
    box, _ = mailbox(expiry=10)
    assert box.next_due == math.inf
    box.put(message(3), 0.0, delay=7)
    box.put(message(1), 0.0, delay=5)
    box.put(message(2), 0.0, delay=5)
    assert (box.next_due, box.pending) == (5.0, 3)
    assert not box.has_message(4.9)
    box.put(message(4), 6.0)
    assert numbers(box, 100.0) == [1, 2, 3]
    assert box.next_due == math.inf


def test_a_message_that_is_due_comes_before_one_that_is_sent_later() -> None:
    box, _ = mailbox()
    box.put(message(1), 0.0, delay=5)
    box.put(message(2), 5.0)
    assert numbers(box, 5.0) == [1, 2]


def test_expire_looks_at_what_is_due_too() -> None:
    box, _ = mailbox()
    box.put(message(1), 0.0, delay=5)
    box.expire(5.0)
    assert (box.next_due, numbers(box, 5.0)) == (math.inf, [1])


def test_a_message_that_is_tried_again_needs_no_room_and_does_not_expire() -> None:
    box, _ = mailbox(capacity=1, expiry=10)
    box.put(message(1), 0.0)
    box.put_again(Letter(message(2), expires=0.0), 0.0, 0.0)
    box.put_again(Letter(message(3), expires=0.0), 0.0, 5.0)
    assert box.pending == 3
    assert numbers(box, 100.0) == [2, 3]


def test_a_message_that_reached_nobody_goes_back_to_its_place() -> None:
    box, books = mailbox(expiry=10)
    box.put(message(1), 0.0)
    box.put(message(2), 5.0)
    letter = box.pop()
    box.put_back(letter)
    assert numbers(box, 0.0) == [1, 2]
    box.put_back(letter)
    box.expire(10.0)
    assert (books.expired, box.pending) == (1, 0)


def test_clear_empties_it() -> None:
    box, _ = mailbox()
    box.put(message(1), 0.0)
    box.put(message(2), 0.0, delay=5)
    assert box.clear() == 2
    assert (box.pending, numbers(box, 100.0)) == (0, [])


# Who is woken.


async def waiters(box: Mailbox, count: int) -> list[asyncio.Future[None]]:
    loop = asyncio.get_running_loop()
    made: list[asyncio.Future[None]] = [loop.create_future() for _ in range(count)]
    box.waiters.update(dict.fromkeys(made))
    return made


def woken(futures: list[asyncio.Future[None]]) -> list[bool]:
    return [each.done() and not each.cancelled() for each in futures]


async def test_one_message_wakes_the_oldest_waiter() -> None:
    box, _ = mailbox()
    made = await waiters(box, 3)
    made[0].cancel()
    box.put(message(), 0.0)
    assert woken(made) == [False, True, False]
    box.put(message(), 0.0, durable=True)
    assert woken(made) == [False, True, True]
    box.put(message(), 0.0)
    assert not box.waiters


async def test_a_delayed_message_wakes_everyone_to_set_a_timer() -> None:
    box, _ = mailbox()
    made = await waiters(box, 3)
    made[1].cancel()
    box.put(message(), 0.0, delay=5)
    assert woken(made) == [True, False, True]


async def test_a_wake_up_is_passed_on_while_there_are_messages() -> None:
    box, _ = mailbox(expiry=10)
    made = await waiters(box, 2)
    box.pass_on(0.0)
    assert woken(made) == [False, False]
    box.put(message(), 0.0)
    assert woken(made) == [True, False]
    box.pass_on(20.0)  # it has expired
    assert woken(made) == [True, False]
    box.put(message(), 20.0)
    assert woken(made) == [True, True]
    box.pass_on(20.0)


async def test_the_waiter_of_a_closed_loop_is_skipped() -> None:
    box, _ = mailbox()

    async def wait() -> None:
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: None)
        box.waiters[future] = None

    await asyncio.to_thread(lambda: asyncio.run(wait()))
    made = await waiters(box, 1)
    box.wake_all()
    assert woken(made) == [True]


# All mailboxes.


def test_channels_take_turns() -> None:
    boxes, _ = mailboxes()
    for n in range(3):
        for channel in ("a", "b"):
            boxes.open(channel, 0.0).put(message(n), 0.0)
    names = ["a", "b", "c"]
    order = []
    while (found := boxes.pop(names, 0.0)) is not None:
        order.append(found[0])
    assert order == ["a", "b"] * 3
    boxes.open("c", 0.0).put(message(), 0.0)
    boxes.open("a", 0.0).put(message(), 0.0)
    assert [boxes.pop(names, 0.0)[0] for _ in range(2)] == ["a", "c"]  # type: ignore[index]


def test_a_mailbox_has_the_limits_of_its_channel() -> None:
    boxes, books = mailboxes(expiry=10, short=1)
    boxes.open("short", 0.0).put(message(), 0.0)
    boxes.open("long", 0.0).put(message(), 0.0)
    assert boxes.count(5.0) == 1
    assert books.expired == 1


def test_count_forgets_what_is_empty() -> None:
    boxes, _ = mailboxes()
    boxes.open("empty", 0.0)
    boxes.open("full", 0.0).put(message(), 0.0)
    assert boxes.count(0.0) == 1
    assert "empty" not in boxes
    assert "full" in boxes


def test_channels_that_nobody_reads_are_forgotten_as_others_come() -> None:
    boxes, books = mailboxes(expiry=10)
    names = [f"channel-{n}" for n in range(2_000)]
    alive = []
    for n, name in enumerate(names):
        boxes.open(name, float(n)).put(message(), float(n))
        boxes.sweep(float(n))
        alive.append(sum(each in boxes for each in names[max(0, n - 60) : n + 1]))
    left = sum(name in boxes for name in names)
    assert left <= 60, left  # ten of them have not expired
    assert books.expired == 2_000 - left
    assert max(alive) <= 60


async def test_a_mailbox_where_someone_waits_is_kept() -> None:
    boxes, _ = mailboxes()
    waiting = asyncio.create_task(boxes.wait(["waited"], 0.0, timed=True))
    await asyncio.sleep(0)
    has_waiters = [boxes.has_waiters]
    boxes.count(0.0)
    assert "waited" in boxes
    boxes.wake_all()
    await waiting
    assert [*has_waiters, boxes.has_waiters] == [True, False]
    boxes.count(0.0)
    assert "waited" not in boxes


async def test_who_waits_for_several_is_in_no_mailbox_afterwards() -> None:
    boxes, _ = mailboxes()
    waiting = asyncio.create_task(boxes.wait(["a", "b"], 0.0, timed=True))
    await asyncio.sleep(0)
    boxes.open("b", 0.0).put(message(), 0.0)
    await waiting
    assert not boxes.has_waiters


async def test_who_is_cancelled_passes_the_wake_up_on() -> None:
    boxes, _ = mailboxes()
    first = asyncio.create_task(boxes.wait(["a"], 0.0, timed=True))
    second = asyncio.create_task(boxes.wait(["a"], 0.0, timed=True))
    await asyncio.sleep(0)
    boxes.open("a", 0.0).put(message(), 0.0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second


async def test_a_timer_wakes_who_waits_for_a_delayed_message() -> None:
    boxes, _ = mailboxes()
    boxes.open("a", 0.0).put(message(), 0.0, delay=0.01)
    await asyncio.wait_for(boxes.wait(["b", "a"], 0.0, timed=True), 5)


async def test_on_a_clock_of_the_test_no_timer_is_set() -> None:
    boxes, _ = mailboxes()
    boxes.open("a", 0.0).put(message(), 0.0, delay=0.001)
    waiting = asyncio.create_task(boxes.wait(["a"], 0.0, timed=False))
    other = asyncio.create_task(boxes.wait(["b"], 0.0, timed=False))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    boxes.wake_delayed()
    await waiting
    assert not other.done()
    boxes.wake_all()
    await other


async def test_a_timer_that_comes_as_a_message_does_wakes_once() -> None:
    boxes, _ = mailboxes()
    box = boxes.open("a", 0.0)
    box.put(message(), 0.0, delay=0.0001)
    waiting = asyncio.create_task(boxes.wait(["a"], 0.0, timed=True))
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    until = loop.time() + 0.002
    while loop.time() < until:
        pass
    loop.call_soon(box.wake_all)  # the timer is due, too, and comes behind it
    await waiting


def test_a_channel_that_is_forgotten_has_nobody_to_wake() -> None:
    boxes, _ = mailboxes()
    boxes.pass_on(["forgotten"], 0.0)
    assert "forgotten" not in boxes


def test_clear_empties_them_all() -> None:
    boxes, _ = mailboxes()
    boxes.open("a", 0.0).put(message(), 0.0)
    boxes.open("b", 0.0).put(message(), 0.0, delay=5)
    assert boxes.clear() == 2
    assert boxes.count(100.0) == 0
