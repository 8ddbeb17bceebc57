"""Numbered messages between nodes, and the account of what became of each."""

import asyncio
import math
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from achannels.exceptions import ChannelFull, LayerUnavailable
from achannels.layers.redis import RedisLayer
from achannels.testing.layer_suite.base import Connection

PATIENCE = 8.0
"""Seconds in which what was accepted must arrive once nothing stands in its way."""


@dataclass(eq=False)
class Sent:
    """One send: when it began and ended, and how.

    Attributes:
        outcome: `ok`, `full`, or what a `LayerUnavailable` says: `refused`, `unknown`.
    """

    sender: str
    number: int
    target: str
    began: float
    ended: float = math.inf
    outcome: str = ""


@dataclass
class Member:
    """A socket in a group, and when.

    Attributes:
        since: When the join began and when it had returned.
        until: When the leave began and when it had returned.
    """

    inbox: Connection
    group: str
    since: tuple[float, float]
    until: tuple[float, float] = (math.inf, math.inf)

    def must_get(self, sent: Sent) -> bool:
        """Return whether a message that was accepted must arrive; see `Traffic.arrived`."""
        return self.since[1] <= sent.began and sent.ended <= self.until[0]

    def may_get(self, sent: Sent) -> bool:
        """Return whether it may arrive."""
        return self.since[0] <= sent.ended and sent.began <= self.until[1]


@dataclass
class Account:
    """What became of the messages; deliveries are counted per receiver.

    Attributes:
        sent: Sends by outcome.
        expected: Deliveries that had to happen.
        delivered: Deliveries that happened.
        lost: Deliveries that had to happen and did not.
        duplicated: Deliveries of what the receiver had already got.
        reordered: Deliveries of what the sender had sent before one that came earlier.
        ghosts: Deliveries of what was refused, or sent outside of the membership.
        slowest: Seconds that the slowest send took.
    """

    sent: Counter[str] = field(default_factory=Counter)
    expected: int = 0
    delivered: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    ghosts: int = 0
    slowest: float = 0.0
    losses: list[Sent] = field(default_factory=list, repr=False)

    @property
    def wrong(self) -> tuple[int, int, int, int]:
        """Lost, duplicated, reordered, ghosts."""
        return self.lost, self.duplicated, self.reordered, self.ghosts


class Traffic:
    """Sends, and knows of every receiver what it must have got.

    Args:
        seed: Of everything random.
    """

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.sends: dict[tuple[str, int], Sent] = {}
        self.members: list[Member] = []
        self.inboxes: dict[str, Connection] = {}
        self.taken: list[tuple[str, int]] = []
        self._numbers: Counter[str] = Counter()

    # Receivers.

    def inbox(self, layer: RedisLayer, capacity: int = 1_000_000) -> Connection:
        """Attach a socket."""
        found = Connection(layer, capacity)
        self.inboxes[found.channel] = found
        return found

    async def join(self, group: str, inbox: Connection, by: RedisLayer | None = None) -> Member:
        """Make a socket a member, through its own layer or another."""
        began = _now()
        await (by or _layer(inbox)).group_add(group, inbox.channel)
        member = Member(inbox, group, (began, _now()))
        self.members.append(member)
        return member

    async def arrived(self, member: Member) -> None:
        """Wait until a member has got all that was accepted for it so far.

        What others sent before a leave and what has not been read by then is not promised.
        """
        async with asyncio.timeout(PATIENCE):
            while True:
                got = {(each["sender"], each["number"]) for each in member.inbox.received}
                if all(
                    key in got
                    for key, sent in self.sends.items()
                    if sent.outcome == "ok"
                    and sent.target == f"#{member.group}"
                    and member.must_get(sent)
                ):
                    return
                await asyncio.sleep(0.01)

    async def leave(self, member: Member, by: RedisLayer | None = None) -> None:
        """End a membership."""
        began = _now()
        member.until = (began, math.inf)
        await (by or _layer(member.inbox)).group_discard(member.group, member.inbox.channel)
        member.until = (began, _now())

    @asynccontextmanager
    async def worker(self, layer: RedisLayer, channel: str) -> AsyncIterator[None]:
        """Receive from a named channel while the block runs."""

        async def work() -> None:
            while True:
                content = await layer.receive(channel)
                self.taken.append((content["sender"], content["number"]))

        task = asyncio.create_task(work())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    # Senders.

    async def send(self, layer: RedisLayer, sender: str, target: str) -> Sent:
        """Send one message: to a group (`#name`), a socket, or a named channel."""
        self._numbers[sender] += 1
        sent = Sent(sender, self._numbers[sender], target, _now())
        self.sends[sender, sent.number] = sent
        content = {"sender": sender, "number": sent.number}
        try:
            if target.startswith("#"):
                await layer.group_send(target[1:], content)
            else:
                await layer.send(target, content)
        except LayerUnavailable as error:
            sent.outcome = error.outcome
        except ChannelFull:
            sent.outcome = "full"
        else:
            sent.outcome = "ok"
        sent.ended = _now()
        return sent

    async def burst(self, layer: RedisLayer, sender: str, target: str, count: int) -> list[Sent]:
        """Send several in one turn of the loop, and wait for all."""
        return await asyncio.gather(*(self.send(layer, sender, target) for _ in range(count)))

    async def keep_sending(
        self, layer: RedisLayer, sender: str, targets: list[str], rate: float, burst: int = 1
    ) -> None:
        """Send until cancelled, without waiting for answers; then wait for them.

        Args:
            layer: Sends.
            sender: Its name here.
            targets: They take turns.
            rate: Bursts in a second.
            burst: Messages in each.
        """
        sending: set[asyncio.Task[list[Sent]]] = set()
        turn = 0
        try:
            while True:
                target = targets[turn % len(targets)]
                turn += 1
                task = asyncio.create_task(self.burst(layer, sender, target, burst))
                sending.add(task)
                task.add_done_callback(sending.discard)
                await asyncio.sleep(self.random.uniform(0.5, 1.5) / rate)
        finally:
            if sending:
                await asyncio.wait(set(sending))

    @asynccontextmanager
    async def flowing(
        self, layer: RedisLayer, targets: list[str], *, rate: float = 100.0, burst: int = 1
    ) -> AsyncIterator[None]:
        """Send while the block runs."""
        sender = f"s{len(self._numbers)}"
        self._numbers[sender] = 0
        task = asyncio.create_task(self.keep_sending(layer, sender, targets, rate, burst))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    # The account.

    async def settle(self, patience: float = PATIENCE) -> Account:
        """Wait until everything has arrived, or time is up, and return and print the account."""
        deadline = _now() + patience
        while self.account().lost and _now() < deadline:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.3)
        await asyncio.sleep(0.1)  # what must not come has a moment to come
        account = self.account()
        print(f"\n{account}")  # noqa: T201 - for whoever reads the run
        return account

    def account(self) -> Account:
        """Count."""
        account = Account(Counter(sent.outcome or "pending" for sent in self.sends.values()))
        account.slowest = max((s.ended - s.began for s in self.sends.values()), default=0.0)
        groups: defaultdict[str, list[Member]] = defaultdict(list)
        for member in self.members:
            groups[member.inbox.channel].append(member)
        for channel, inbox in self.inboxes.items():
            got = [(each["sender"], each["number"]) for each in inbox.received]
            self._count(account, got, self._judge(channel, groups[channel]))
        named = {sent.target for sent in self.sends.values()} - {*self.inboxes}
        named = {target for target in named if not target.startswith("#")}
        self._count(account, self.taken, lambda sent: (sent.target in named, sent.target in named))
        return account

    def _judge(self, channel: str, members: list[Member]) -> Callable[[Sent], tuple[bool, bool]]:
        def judge(sent: Sent) -> tuple[bool, bool]:
            if sent.target == channel:
                return True, True
            mine = [each for each in members if sent.target == f"#{each.group}"]
            return any(m.must_get(sent) for m in mine), any(m.may_get(sent) for m in mine)

        return judge

    def _count(
        self,
        account: Account,
        got: list[tuple[str, int]],
        judge: Callable[[Sent], tuple[bool, bool]],
    ) -> None:
        seen = Counter(got)
        account.delivered += len(got)
        account.duplicated += sum(count - 1 for count in seen.values())
        highest: Counter[Any] = Counter()
        for sender, number in got:
            line = (sender, self.sends[sender, number].target)
            account.reordered += number < highest[line]
            highest[line] = max(highest[line], number)
        for key, sent in self.sends.items():
            must, may = judge(sent)
            if sent.outcome == "ok" and must:
                account.expected += 1
                if not seen[key]:
                    account.lost += 1
                    account.losses.append(sent)
            if seen[key] and (not may or sent.outcome in {"refused", "full"}):
                account.ghosts += 1


def _now() -> float:
    return asyncio.get_running_loop().time()


def _layer(inbox: Connection) -> RedisLayer:
    layer = inbox.layer
    assert isinstance(layer, RedisLayer)
    return layer


__all__ = ["Account", "Member", "Sent", "Traffic"]
