"""A layer against a model of dictionaries and lists, with random calls.

```python
from hypothesis import settings
from achannels.testing.layer_model import LayerModel

class MemoryLayerModel(LayerModel):
    def make_layer(self, **config):
        return MemoryLayer(clock=self.clock, **config)

TestMemoryLayerModel = MemoryLayerModel.TestCase
TestMemoryLayerModel.settings = settings(max_examples=500, stateful_step_count=30)
```

After each call the machine compares what was received, who waits in vain, the members of each
group, and every number of `statistics()`.
"""

import asyncio
import math
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from achannels.contracts import ChannelLayer, Statistics, Taken
from achannels.exceptions import ChannelFull
from achannels.testing.clock import Clock
from achannels.testing.layer_suite.base import Connection, check_books
from achannels.testing.layer_suite.model import ModelBox, ModelLetter, ModelSocket
from achannels.types import Content

T = TypeVar("T")

CAPACITY = 3
EXPIRY = 10.0
GROUP_EXPIRY = 25.0
SOCKETS = 4

channels = st.sampled_from(["plain", "other", "single?reader"])
groups = st.sampled_from(["room", "hall"])
choices = st.integers(min_value=0, max_value=99)


class LayerModel(RuleBasedStateMachine):
    """The machine; override `make_layer`, and `pass_time` and `quiet` where time is real."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.now = 0.0
        self.loop = asyncio.new_event_loop()
        self.boxes: dict[str, ModelBox] = {}
        self.members: dict[str, dict[str, float]] = {"room": {}, "hall": {}}
        self.sockets: list[ModelSocket] = []
        self.listeners: list[tuple[tuple[str, ...], asyncio.Task[tuple[str, Content]]]] = []
        self.taken: list[tuple[Taken, ModelLetter]] = []
        self.dead: list[tuple[str, ModelLetter]] = []
        self.sent = 0
        self.accepted = self.delivered = self.expired = 0
        self.dropped = dict.fromkeys(("full", "gone", "overflow", "rejected"), 0)

    # Hooks.

    def make_layer(self, **config: Any) -> ChannelLayer:
        """Return a new, empty layer; `config` holds keys of `CONFIG`."""
        raise NotImplementedError("make_layer() must return a new layer made with **config")

    async def pass_time(self, seconds: float) -> None:
        """Let the layer's time pass."""
        self.clock.advance(seconds)

    async def quiet(self) -> None:
        """Wait until everything that was sent has arrived, and who was woken has run."""
        for _ in range(6):
            await asyncio.sleep(0)

    # Helpers.

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Run a call, let the layer come to rest, and collect what listeners have got."""

        async def main() -> T:
            try:
                return await call
            finally:
                await self.quiet()

        try:
            return self.loop.run_until_complete(main())
        finally:
            self.collect()

    def collect(self) -> None:
        """Check what finished listeners have got: the oldest messages of their channels."""
        got: dict[str, list[int]] = {}
        for names, task in [each for each in self.listeners if each[1].done()]:
            self.listeners.remove((names, task))
            if not task.cancelled():
                channel, content = task.result()
                assert channel in names
                got.setdefault(channel, []).append(content["n"])
        for channel, numbers in got.items():
            box = self.box(channel)
            assert sorted(numbers) == sorted(each.n for each in box.ready[: len(numbers)])
            del box.ready[: len(numbers)]
            self.delivered += len(numbers)
        for names, _ in self.listeners:
            assert not any(self.box(each).ready for each in names), "a listener waits in vain"

    def box(self, channel: str) -> ModelBox:
        """Return a channel of the model as it is now."""
        box = self.boxes.setdefault(channel, ModelBox())
        self.expired += box.look(self.now)
        return box

    def number(self) -> Content:
        """Return a content with the next number."""
        self.sent += 1
        return {"n": self.sent}

    def put(self, channel: str, *, delay: float = 0.0, durable: bool = False) -> bool:
        """Put the last number into the model's channel, if there is room."""
        box = self.box(channel)
        if box.pending >= CAPACITY:
            return False
        letter = ModelLetter(
            self.sent, math.inf if delay or durable else self.now + EXPIRY, durable
        )
        if delay:
            box.delayed.append((self.now + delay, letter))
        else:
            box.ready.append(letter)
        self.accepted += 1
        return True

    def push(self, socket: ModelSocket, *, group: bool) -> bool:
        """Push the last number to the model's socket."""
        if socket.connection.reading:
            socket.expected.append(self.sent)
            self.delivered += 1
        elif len(socket.waiting) < CAPACITY:
            socket.waiting.append(self.sent)
        elif group:
            self.dropped["overflow"] += 1
        else:
            return False
        self.accepted += 1
        return True

    def group(self, name: str) -> dict[str, float]:
        """Return a group of the model as it is now."""
        self.members[name] = {k: end for k, end in self.members[name].items() if end > self.now}
        return self.members[name]

    def is_refused(self, call: Coroutine[Any, Any, None]) -> bool:
        """Run a send and return whether it raised `ChannelFull`."""
        try:
            self.run(call)
        except ChannelFull:
            return True
        return False

    # Calls.

    @initialize()
    def begin(self) -> None:
        """Make the layer."""
        self.layer = self.make_layer(capacity=CAPACITY, expiry=EXPIRY, group_expiry=GROUP_EXPIRY)
        self.run(self.layer.open())

    @rule(channel=channels, delay=st.sampled_from([0.0, 0.0, 4.0, 15.0]), durable=st.booleans())
    def send(self, channel: str, delay: float, durable: bool) -> None:
        """Send to an ordinary channel."""
        content = self.number()
        taken = self.put(channel, delay=delay, durable=durable)
        refused = self.is_refused(self.layer.send(channel, content, delay=delay, durable=durable))
        assert refused is not taken

    @rule(group=groups)
    def group_send(self, group: str) -> None:
        """Send to a group."""
        content = self.number()
        sockets = {each.connection.channel: each for each in self.sockets}
        for channel in self.group(group):
            if channel in sockets:
                self.push(sockets[channel], group=True)
            elif not self.put(channel):
                self.accepted += 1
                self.dropped["full"] += 1
        self.run(self.layer.group_send(group, content))

    @rule(group=groups, channel=channels)
    def add(self, group: str, channel: str) -> None:
        """Have an ordinary channel join."""
        self.group(group)[channel] = self.now + GROUP_EXPIRY
        self.run(self.layer.group_add(group, channel))

    @rule(group=groups, channel=channels)
    def discard(self, group: str, channel: str) -> None:
        """Have an ordinary channel leave."""
        self.group(group).pop(channel, None)
        self.run(self.layer.group_discard(group, channel))

    @rule(channel=channels)
    def receive(self, channel: str) -> None:
        """Receive what is there."""
        if not self.box(channel).ready:
            return
        letter = self.box(channel).ready.pop(0)
        self.delivered += 1
        assert self.run(self.layer.receive(channel)) == {"n": letter.n}

    @rule(names=st.lists(channels, min_size=1, max_size=3, unique=True))
    def listen(self, names: list[str]) -> None:
        """Begin to wait for messages."""

        async def start() -> None:
            task = self.loop.create_task(self.layer.receive_many(names))
            self.listeners.append((tuple(names), task))

        self.run(start())

    @precondition(lambda self: self.listeners)
    @rule(choice=choices, sends=st.integers(0, 2))
    def cancel(self, choice: int, sends: int) -> None:
        """Cancel a listener, also just when messages for it arrive."""
        names, task = self.listeners[choice % len(self.listeners)]

        async def send_and_cancel() -> None:
            for _ in range(sends):
                content = self.number()
                if self.put(names[0]):
                    await self.layer.send(names[0], content)
            task.cancel()

        self.run(send_and_cancel())

    @rule(channel=channels)
    def take(self, channel: str) -> None:
        """Take what is there, as a worker does."""
        if not self.box(channel).ready or not hasattr(self.layer, "take"):
            return
        letter = self.box(channel).ready.pop(0)
        taken: Taken = self.run(self.layer.take([channel]))
        assert taken.content == {"n": letter.n}
        assert (taken.attempt, taken.durable) == (letter.attempt, letter.durable)
        self.taken.append((taken, letter))

    @precondition(lambda self: self.taken)
    @rule(choice=choices, end=st.sampled_from(["done", "dead", 0.0, 4.0]))
    def settle(self, choice: int, end: str | float) -> None:
        """Say what became of a message."""
        taken, letter = self.taken.pop(choice % len(self.taken))
        settle = self.layer.settle  # type: ignore[attr-defined]
        if end == "done":
            self.delivered += 1
            self.run(settle(taken))
        elif end == "dead":
            self.dropped["rejected"] += 1
            if letter.durable:
                self.dead.append((taken.channel, letter))
            self.run(settle(taken, dead="no"))
        else:
            assert isinstance(end, float)
            letter.attempt += 1
            letter.expires = math.inf
            self.box(taken.channel).delayed.append((self.now + end, letter))
            self.run(settle(taken, again=end))

    @precondition(lambda self: self.dead)
    @rule(requeue=st.booleans())
    def dead_letter(self, requeue: bool) -> None:
        """Requeue or drop the oldest dead letter."""
        channel, letter = self.dead.pop(0)
        found = self.run(self.layer.dead_letters(channel))[0]  # type: ignore[attr-defined]
        assert (found.content, found.attempts) == ({"n": letter.n}, letter.attempt)
        if requeue and self.box(channel).pending < CAPACITY:
            self.box(channel).ready.append(ModelLetter(letter.n, math.inf, durable=True))
            self.accepted += 1
            assert self.run(self.layer.requeue(channel, found.id))  # type: ignore[attr-defined]
        else:
            assert self.run(self.layer.drop_letter(channel, found.id))  # type: ignore[attr-defined]

    @precondition(lambda self: len(self.sockets) < SOCKETS)
    @rule(group=groups)
    def attach(self, group: str) -> None:
        """Connect a socket, which joins a group."""

        async def connect() -> None:
            connection = Connection(self.layer, CAPACITY)
            self.sockets.append(ModelSocket(connection))
            await self.layer.group_add(group, connection.channel)
            self.group(group)[connection.channel] = math.inf

        self.run(connect())

    @precondition(lambda self: self.sockets)
    @rule(choice=choices)
    def detach(self, choice: int) -> None:
        """End a socket, and send to it."""
        socket = self.sockets.pop(choice % len(self.sockets))
        self.dropped["gone"] += len(socket.waiting) + 1
        self.accepted += 1
        for members in self.members.values():
            members.pop(socket.connection.channel, None)
        socket.connection.close()
        self.run(self.layer.send(socket.connection.channel, self.number()))

    @precondition(lambda self: self.sockets)
    @rule(choice=choices)
    def send_to_socket(self, choice: int) -> None:
        """Send to one socket."""
        socket = self.sockets[choice % len(self.sockets)]
        content = self.number()
        taken = self.push(socket, group=False)
        assert self.is_refused(self.layer.send(socket.connection.channel, content)) is not taken

    @precondition(lambda self: self.sockets)
    @rule(choice=choices)
    def stall_or_read(self, choice: int) -> None:
        """Have a client stop or begin to read."""
        socket = self.sockets[choice % len(self.sockets)]
        socket.connection.reading = not socket.connection.reading
        if socket.connection.reading:
            self.delivered += len(socket.waiting)
            socket.expected += socket.waiting
            socket.waiting.clear()

    @rule(seconds=st.sampled_from([1.0, 4.0, 9.0, 10.0, 26.0]))
    def pass_some_time(self, seconds: float) -> None:
        """Let time pass: messages expire, become due, memberships lapse."""
        self.now += seconds
        self.run(self.pass_time(seconds))

    @rule()
    def flush(self) -> None:
        """Empty the layer."""
        for channel in list(self.boxes):
            self.dropped["rejected"] += self.box(channel).pending
        self.boxes.clear()
        self.members = {"room": {}, "hall": {}}
        self.dead.clear()
        self.run(self.layer.flush())

    # What holds after each call.

    @invariant()
    def is_as_the_model(self) -> None:
        """Compare what was received, who is a member, and the books."""
        if not hasattr(self, "layer"):
            return
        for socket in self.sockets:
            assert [each["n"] for each in socket.connection.received] == socket.expected
        members, books = self.run(self.look())
        assert members == {name: set(self.group(name)) for name in self.members}
        check_books(books)
        pending = sum(self.box(channel).pending for channel in list(self.boxes))
        pending += len(self.taken) + sum(len(each.waiting) for each in self.sockets)
        assert (books["accepted"], books["delivered"], books["expired"], books["pending"]) == (
            self.accepted,
            self.delivered,
            self.expired,
            pending,
        )
        assert {k: v for k, v in books["dropped"].items() if v} == {
            k: v for k, v in self.dropped.items() if v
        }

    async def look(self) -> tuple[dict[str, set[str]], Statistics]:
        """Return what the layer says of itself."""
        members = {name: await self.layer.group_channels(name) for name in self.members}
        return members, await self.layer.statistics()

    def teardown(self) -> None:
        """Close the layer and the loop."""
        if hasattr(self, "layer"):
            for _, task in self.listeners:
                task.cancel()
            self.loop.run_until_complete(self.quiet())
            self.loop.run_until_complete(self.layer.aclose())
        self.loop.close()


__all__ = ["LayerModel"]
