"""The books of a layer, and the messages in the hands of workers."""

from datetime import UTC, datetime, timedelta

import pytest

from achannels.codec import encode
from achannels.contracts import Taken
from achannels.layers.counters import DEAD_LETTERS, REASONS, Counters, Letter, Work
from tests.doubles import assert_balanced


def letter(n: int = 0, *, durable: bool = True) -> Letter:
    return Letter(encode({"n": n}, "work", 1_000), durable=durable)


def taken(of: Letter, channel: str = "work") -> Taken:
    return Taken(channel, of.message.decode(), of.id, of.attempt, of.durable)


def dead(work: Work, of: Letter, reason: str = "no", channel: str = "work") -> None:
    work.take(of)
    assert work.settle(taken(of, channel), again=False, dead=reason) is None


# Counters.


def test_new_books_are_empty_and_list_every_reason() -> None:
    assert Counters().statistics(0) == {
        "accepted": 0,
        "delivered": 0,
        "expired": 0,
        "dropped": dict.fromkeys(REASONS, 0),
        "pending": 0,
    }
    assert set(REASONS) == {"full", "gone", "no_handler", "no_route", "overflow", "rejected"}


def test_answers_to_the_own_socket_count_as_accepted_and_delivered() -> None:
    books = Counters()
    books.accepted, books.delivered, books.expired, books.replies = 7, 2, 1, 3
    books.drop("full")
    books.drop("gone", 2)
    shown = books.statistics(1)
    assert (shown["accepted"], shown["delivered"], shown["pending"]) == (10, 5, 1)
    assert (shown["dropped"]["full"], shown["dropped"]["gone"]) == (1, 2)
    assert_balanced(shown)


def test_what_is_shown_is_a_copy() -> None:
    books = Counters()
    books.statistics(0)["dropped"]["full"] = 5
    assert books.statistics(0)["dropped"]["full"] == 0


def test_a_reason_of_another_layer_is_counted_too() -> None:
    books = Counters()
    books.drop("oversize")
    books.drop("oversize")
    assert books.statistics(0)["dropped"]["oversize"] == 2


# Work.


def test_a_message_in_hand_is_pending_until_it_is_settled() -> None:
    books, message = Counters(), letter()
    work = Work(books)
    work.take(message)
    assert work.pending == 1
    for _ in range(2):  # the second time it is not in hand any more
        assert work.settle(taken(message), again=False, dead=None) is None
    assert (work.pending, books.delivered) == (0, 1)


def test_a_message_that_nobody_has_seen_goes_back() -> None:
    books, message = Counters(), letter()
    work = Work(books)
    work.take(message)
    work.untake(message)
    assert (work.pending, books.delivered, message.attempt) == (0, 0, 1)


def test_a_message_keeps_its_id_over_its_attempts() -> None:
    work, message, other = Work(Counters()), letter(1), letter(2)
    work.take(message)
    work.take(other)
    first = message.id
    assert first != other.id
    assert work.settle(taken(message), again=True, dead=None) is message
    work.take(message)
    assert (message.id, message.attempt) == (first, 2)


@pytest.mark.parametrize(
    ("dead_", "reason"),
    [("no_handler", "no_handler"), ("no_route", "no_route"), ("ValueError: no", "rejected")],
)
def test_a_message_that_was_given_up_is_counted_by_its_reason(dead_: str, reason: str) -> None:
    books = Counters()
    dead(Work(books), letter(), dead_)
    assert books.dropped[reason] == 1
    assert sum(books.dropped.values()) == 1


def test_what_is_not_durable_is_no_dead_letter() -> None:
    work = Work(Counters())
    dead(work, letter(durable=False))
    assert work.dead_letters("work", 10) == []


def test_the_worker_decides_whether_a_message_is_durable() -> None:
    work, message = Work(Counters()), letter(durable=False)
    work.take(message)
    settled = taken(message)
    settled.durable = True
    work.settle(settled, again=False, dead="no")
    assert len(work.dead_letters("work", 10)) == 1


def test_dead_letters_are_listed_by_channel_the_oldest_first() -> None:
    work = Work(Counters())
    for n in range(3):
        dead(work, letter(n), f"reason {n}")
    dead(work, letter(9), channel="other")
    letters = work.dead_letters("work", 2)
    assert [(each.content, each.reason, each.attempts) for each in letters] == [
        ({"n": 0}, "reason 0", 1),
        ({"n": 1}, "reason 1", 1),
    ]
    assert timedelta(0) <= datetime.now(UTC) - letters[0].failed_at < timedelta(minutes=1)
    assert len(work.dead_letters("work", 10)) == 3
    assert work.dead_letters("unknown", 10) == []


def test_the_newest_1000_of_a_channel_are_kept() -> None:
    work = Work(Counters())
    for n in range(DEAD_LETTERS + 2):
        dead(work, letter(n))
    letters = work.dead_letters("work", 2_000)
    assert len(letters) == DEAD_LETTERS == 1_000
    assert (letters[0].content, letters[-1].content) == ({"n": 2}, {"n": 1_001})


def test_a_dead_letter_is_found_and_dropped_by_its_id() -> None:
    work, message = Work(Counters()), letter(1)
    dead(work, message)
    found = work.find("work", message.id)
    assert found is not None
    assert found.decode() == {"n": 1}
    for channel, id_ in (("work", "unknown"), ("other", message.id)):
        assert work.find(channel, id_) is None
        assert not work.drop(channel, id_)
    assert work.drop("work", message.id)
    assert not work.drop("work", message.id)
    assert work.find("work", message.id) is None


def test_clear_forgets_dead_letters_and_leaves_what_is_in_hand() -> None:
    work, message = Work(Counters()), letter(1)
    dead(work, letter(2))
    work.take(message)
    work.clear()
    assert (work.dead_letters("work", 10), work.pending) == ([], 1)
