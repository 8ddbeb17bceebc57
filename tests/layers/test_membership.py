"""Receivers of a process, members of groups, and the way to all of them."""

import asyncio
import logging
import math
from typing import Any

import pytest

from achannels.codec import Encoded, encode
from achannels.exceptions import ChannelFull
from achannels.layers import membership as module
from achannels.layers.counters import Counters
from achannels.layers.membership import Membership, Post, Receivers


class Member:
    """A receiver that remembers what it gets, and does what the test says with it."""

    pending = 0
    capacity = 100

    def __init__(self) -> None:
        self.got: list[Any] = []

    def deliver(self, message: Encoded, *, group: bool) -> bool:
        assert group
        self.got.append(message.decode()["n"])
        return True

    def gap(self, groups: list[str], reason: str, since: float) -> None: ...


class Broken(Member):
    def deliver(self, message: Encoded, *, group: bool) -> bool:
        super().deliver(message, group=group)
        raise RuntimeError("broken")


def message(n: int = 0) -> Encoded:
    return encode({"n": n}, "room", 1_000)


def joined(
    count: int, groups: tuple[str, ...] = ("room",)
) -> tuple[Membership, list[Member], Counters]:
    books = Counters()
    membership, members = Membership(books), [Member() for _ in range(count)]
    for number, member in enumerate(members):
        for group in groups:
            membership.add(group, f"node!{number}", member, 0.0)
    return membership, members, books


@pytest.fixture
def _slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each send give others a turn after every 32 members."""
    monkeypatch.setattr(module, "_TURN", -1.0)


# Members.


async def test_a_send_reaches_each_member_once() -> None:
    membership, members, books = joined(100)
    membership.add("room", "node!0", members[0], 0.0)
    await membership.send("room", message(1), 0.0)
    await membership.send("nobody", message(2), 0.0)
    assert [each.got for each in members] == [[1]] * 100
    assert books.accepted == 100


async def test_who_has_left_gets_nothing_more() -> None:
    membership, members, books = joined(3, ("room", "hall"))
    membership.discard("room", "node!1")
    membership.discard("room", "node!1")
    membership.discard("room", "unknown")
    membership.discard("unknown", "node!1")
    await membership.send("room", message(1), 0.0)
    await membership.send("hall", message(2), 0.0)
    assert [each.got for each in members] == [[1, 2], [2], [1, 2]]
    assert books.accepted == 5


def test_a_group_is_forgotten_with_its_last_member() -> None:
    membership, _, _ = joined(2, ("room", "hall"))
    assert "room" in membership
    membership.discard("room", "node!0")
    assert "room" in membership
    membership.discard("room", "node!1")
    assert "room" not in membership
    assert membership.find("room", 0.0) is None
    membership.clear()
    assert "hall" not in membership


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_channel_that_ends_is_in_no_group(count: int) -> None:
    groups = ("room", "hall", "attic")[:count]
    membership, _, _ = joined(2, groups)
    assert membership.groups_of("node!0") == set(groups)
    membership.detach("node!0")
    membership.detach("node!0")
    assert membership.groups_of("node!0") == set()
    for group in groups:
        members = membership.find(group, 0.0)
        assert members is not None
        assert list(members.receivers) == ["node!1"]


@pytest.mark.parametrize("leave", ["room", "hall", "attic"])
def test_the_groups_of_a_channel_are_known_after_each_change(leave: str) -> None:
    membership, _, _ = joined(1, ("room", "hall", "attic"))
    membership.discard(leave, "node!0")
    left = {"room", "hall", "attic"} - {leave}
    assert membership.groups_of("node!0") == left
    for group in sorted(left):
        membership.discard(group, "node!0")
    assert membership.groups_of("node!0") == set()
    membership.add("room", "node!0", Member(), 0.0)
    assert membership.groups_of("node!0") == {"room"}


def test_the_groups_of_a_channel_are_a_copy() -> None:
    membership, _, _ = joined(1, ("room", "hall"))
    membership.groups_of("node!0").clear()
    assert membership.groups_of("node!0") == {"room", "hall"}


# Memberships that lapse.


async def test_a_membership_lapses_at_its_time_unless_it_is_renewed() -> None:
    membership, first, second = Membership(Counters()), Member(), Member()
    membership.add("room", "first", first, 0.0, 10.0)
    membership.add("room", "second", second, 1.0, 11.0)
    membership.add("room", "first", first, 5.0, 15.0)
    await membership.send("room", message(1), 10.9)
    await membership.send("room", message(2), 11.0)
    await membership.send("room", message(3), 15.0)
    assert (first.got, second.got) == ([1, 2], [1])
    assert "room" not in membership


def test_groups_that_nobody_sends_to_do_not_pile_up() -> None:
    membership = Membership(Counters())
    for n in range(1_000):
        membership.add(f"room-{n}", "named", Member(), float(n), n + 10.0)
    left = sum(f"room-{n}" in membership for n in range(1_000))
    assert left <= 40, left  # ten of them have not lapsed
    assert len(membership.groups_of("named")) == left


# A send that takes long.


@pytest.mark.usefixtures("_slow")
async def test_a_long_send_gives_others_a_turn_and_keeps_the_order() -> None:
    membership, members, books = joined(100)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while membership.is_sending:
            turns += 1
            await asyncio.sleep(0)

    sends = [asyncio.create_task(membership.send("room", message(n), 0.0)) for n in range(3)]
    await asyncio.sleep(0)
    assert membership.is_sending
    await other()
    await asyncio.gather(*sends)
    assert [each.got for each in members] == [[0, 1, 2]] * 100
    assert turns >= 9
    assert books.accepted == 300


@pytest.mark.usefixtures("_slow")
async def test_a_long_send_reaches_no_one_who_leaves_before_its_turn() -> None:
    membership, members, books = joined(100)
    sending = asyncio.create_task(membership.send("room", message(1), 0.0))
    await asyncio.sleep(0)
    for number in (0, 50, 99):
        membership.detach(f"node!{number}")
    late = Member()
    membership.add("room", "node!late", late, 0.0)
    await sending
    missed = [number for number, each in enumerate(members) if each.got != [1]]
    assert missed == [50, 99]
    assert late.got == []
    assert books.accepted == 98


@pytest.mark.usefixtures("_slow")
async def test_who_leaves_and_comes_back_meanwhile_is_a_new_member() -> None:
    membership, members, _ = joined(100)
    sending = asyncio.create_task(membership.send("room", message(1), 0.0))
    await asyncio.sleep(0)
    again = Member()
    membership.detach("node!99")
    membership.add("room", "node!99", again, 0.0)
    await sending
    assert (members[99].got, again.got) == ([], [])


@pytest.mark.usefixtures("_slow")
async def test_a_cancelled_send_reaches_everyone_all_the_same() -> None:
    membership, members, _ = joined(100)
    sending = asyncio.create_task(membership.send("room", message(1), 0.0))
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert members[99].got == []
    await membership.wait_sent()
    assert [each.got for each in members] == [[1]] * 100
    assert not membership.is_sending


@pytest.mark.usefixtures("_slow")
async def test_sends_of_a_loop_that_has_stopped_are_given_up() -> None:
    membership, _, _ = joined(100)
    sending = asyncio.create_task(membership.send("room", message(1), 0.0))
    await asyncio.sleep(0)
    membership.forget_sends()
    assert not membership.is_sending
    await sending  # here it goes on, since this loop has not stopped
    assert not membership.is_sending


async def test_a_member_that_fails_is_logged_and_hurts_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    membership, members, books = joined(1)
    broken = Broken()
    membership.add("room", "node!broken", broken, 0.0)
    last = Member()
    membership.add("room", "node!last", last, 0.0)
    with caplog.at_level(logging.ERROR):
        await membership.send("room", message(1), 0.0)
    assert (members[0].got, broken.got, last.got) == ([1], [1], [1])
    assert (books.accepted, books.dropped["gone"]) == (3, 1)
    [record] = [each for each in caplog.records if each.name == "achannels.layer"]
    assert record.getMessage() == "a member of a group failed to take a message"
    assert record.exc_info is not None


# Ordinary channels as members.


def test_a_channel_as_a_member_posts_into_its_mailbox() -> None:
    posted: list[tuple[str, Encoded]] = []
    books, sent = Counters(), message(1)
    post = Post(lambda channel, message: posted.append((channel, message)), "named", books)
    assert post.deliver(sent, group=True)
    assert posted == [("named", sent)]
    assert sum(books.dropped.values()) == 0


def test_a_channel_without_room_counts_the_loss() -> None:
    def full(channel: str, message: Encoded) -> None:
        raise ChannelFull(channel, 1)

    books = Counters()
    assert Post(full, "named", books).deliver(message(), group=True)
    assert books.dropped["full"] == 1


# Receivers.


async def test_names_of_reply_channels_cannot_be_guessed() -> None:
    receivers = Receivers()
    names = {receivers.attach("node", Member()) for _ in range(100)}
    assert len(names) == 100
    for name in names:
        node, mark, key = name.partition("!")
        assert (node, mark) == ("node", "!")
        assert len(key) == 32  # 128 bits
    assert set(receivers.attached) == names
    assert receivers.loop is asyncio.get_running_loop()


async def test_what_a_detached_receiver_holds_is_pending_until_it_is_written() -> None:
    receivers, first, second = Receivers(), Member(), Member()
    one, two = receivers.attach("node", first), receivers.attach("node", second)
    first.pending, second.pending = 2, 3
    assert receivers.pending == 5
    receivers.detach(one)
    receivers.detach(one)
    assert receivers.pending == 5
    first.pending = 1
    assert receivers.pending == 4
    first.pending = 0
    assert receivers.pending == 3
    first.pending = 7  # forgotten when it held nothing
    assert receivers.pending == 3
    receivers.detach(two)
    assert receivers.clear() == 3
    assert receivers.pending == 0


async def test_receivers_that_have_written_all_do_not_pile_up() -> None:
    receivers = Receivers()
    members = [Member() for _ in range(100)]
    for member in members:
        name = receivers.attach("node", member)
        member.pending = 1
        receivers.detach(name)
        member.pending = 0
    assert len(receivers._leaving) <= 2


async def test_a_time_that_never_comes_is_no_lapse() -> None:
    membership, member = Membership(Counters()), Member()
    membership.add("room", "node!0", member, 0.0, math.inf)
    await membership.send("room", message(1), 1e12)
    assert member.got == [1]
