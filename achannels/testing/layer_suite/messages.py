"""Promises about messages: to whom, how often, in which order, unchanged."""

import asyncio
from collections import Counter

import pytest

from achannels.codec import encode
from achannels.exceptions import InvalidContent, InvalidName, MessageTooLarge
from achannels.testing.layer_suite.base import PATIENCE, Connection, SuiteBase


class MessageTests(SuiteBase):
    """Tests 1 to 12."""

    async def test_01_one_listener_gets_each_message_once(self) -> None:
        """A message goes to at most one listener, at most once."""
        async with self.layer(capacity=300) as layer:
            got: list[int] = []

            async def listen() -> None:
                while True:
                    got.append((await layer.receive("work"))["n"])

            listeners = [asyncio.create_task(listen()) for _ in range(7)]
            for n in range(300):
                await layer.send("work", {"n": n})
                if n % 10 == 0:
                    await asyncio.sleep(0)
            await self.eventually(lambda: len(got) >= 300)
            for listener in listeners:
                listener.cancel()
            await asyncio.wait(listeners)
            assert sorted(got) == list(range(300))

    async def test_02_cancelled_receives_lose_and_repeat_nothing(self) -> None:
        """1,000 cancelled receives over 300 messages: 0 lost, 0 twice."""
        async with self.layer(capacity=300) as layer:
            got: list[int] = []

            async def receive(many: bool) -> None:
                if many:
                    _, content = await layer.receive_many(["other", "busy"])
                else:
                    content = await layer.receive("busy")
                got.append(content["n"])

            sent = 0
            for turn in range(1_000):
                receiving = asyncio.create_task(receive(many=turn % 2 == 0))
                for _ in range(turn % 4):
                    await asyncio.sleep(0)
                if turn % 3 == 0 and sent < 300:
                    await layer.send("busy", {"n": sent})
                    sent += 1
                for _ in range(turn % 3):
                    await asyncio.sleep(0)
                receiving.cancel()
                await asyncio.wait([receiving])
            while sent < 300:
                await layer.send("busy", {"n": sent})
                sent += 1
            got += [each["n"] for each in await self.receive_all(layer, "busy", 300 - len(got))]
            assert Counter(got) == Counter(range(300))
            assert await self.is_empty(layer, "busy")

    async def test_03_a_cancelled_receive_passes_its_wake_up_on(self) -> None:
        """A message whose listener was cancelled as it arrived goes to the next listener."""
        async with self.layer() as layer:
            first = asyncio.create_task(layer.receive("work"))
            await asyncio.sleep(0.01)
            second = asyncio.create_task(layer.receive_many(["work", "more"]))
            await asyncio.sleep(0.01)
            await layer.send("work", {"n": 1})
            first.cancel()
            await asyncio.wait([first])
            if not first.cancelled():  # it was quicker, so the next one is for the second
                await layer.send("work", {"n": 1})
            async with asyncio.timeout(PATIENCE):
                assert await second == ("work", {"n": 1})

    async def test_04_a_listener_of_two_channels_leaves_one_to_the_other(self) -> None:
        """A listener that takes from one channel does not hold up those of its others."""
        async with self.layer() as layer:
            both = asyncio.create_task(layer.receive_many(["left", "right"]))
            await asyncio.sleep(0.01)
            right = asyncio.create_task(layer.receive("right"))
            await asyncio.sleep(0.01)
            await layer.send("right", {"n": 1})
            await layer.send("left", {"n": 2})
            async with asyncio.timeout(PATIENCE):
                channel, _ = await both
                if channel == "right":
                    await layer.send("right", {"n": 3})
                    await layer.receive("left")
                await right
            assert (await layer.statistics())["pending"] == 0

    async def test_05_first_in_first_out(self) -> None:
        """Messages of one sender to one channel arrive in the order of the sends."""
        async with self.layer() as layer:
            for channel in ("plain", "single?reader"):
                for n in range(50):
                    await layer.send(channel, {"n": n})
                got = await self.receive_all(layer, channel, 50)
                assert got == [{"n": n} for n in range(50)]

    async def test_06_first_in_first_out_to_a_socket(self) -> None:
        """The same for reply channels; direct and group sends of one sender keep their order."""
        async with self.layer() as layer:
            socket = Connection(layer)
            await layer.group_add("all", socket.channel)
            for n in range(30):
                if n % 3:
                    await layer.send(socket.channel, {"n": n})
                else:
                    await layer.group_send("all", {"n": n})
            await self.eventually(lambda: len(socket.received) >= 30)
            assert socket.received == [{"n": n} for n in range(30)]

    async def test_07_a_busy_channel_starves_no_other(self) -> None:
        """`receive_many` takes from its channels in turns."""
        async with self.layer() as layer:
            for n in range(20):
                await layer.send("busy", {"n": n})
            await layer.send("calm", {"n": 100})
            await layer.send("quiet", {"n": 200})
            channels = ["busy", "calm", "quiet"]
            first = [await layer.receive_many(channels) for _ in range(3)]
            assert {channel for channel, _ in first} == set(channels)
            for n in range(5):  # also when one is emptied each time
                await layer.send("calm", {"n": n})
                two = {(await layer.receive_many(channels))[0] for _ in range(2)}
                assert two == {"busy", "calm"}

    async def test_08_values_keep_their_types(self) -> None:
        """Bytes, text, numbers, lists, dicts, bools and None arrive as they were sent."""
        content = {
            "bytes": b"\x00\xff\n",
            "text": "Zürich \U0001f6a2 \x00",
            "ints": [0, -1, 2**63 - 1, -(2**63)],
            "float": 0.1,
            "nested": {"list": [{"deep": [b"x", None]}], "empty": {}, "": []},
            "yes": True,
            "no": False,
            "none": None,
        }
        async with self.layer() as layer:
            socket = Connection(layer)
            await layer.send("types", content)
            await layer.send(socket.channel, content)
            await self.eventually(lambda: len(socket.received) == 1)
            for got in (await layer.receive("types"), socket.received[0]):
                assert got == content
                assert type(got["bytes"]) is bytes
                assert type(got["yes"]) is bool
                assert type(got["float"]) is float

    async def test_09_everyone_gets_an_own_copy(self) -> None:
        """What the sender or another receiver changes afterwards is not seen."""
        async with self.layer() as layer:
            one, other = "one", "other"
            await layer.group_add("pair", one)
            await layer.group_add("pair", other)
            content = {"list": [1]}
            await layer.group_send("pair", content)
            content["list"].append(2)
            first = await layer.receive(one)
            first["list"].append(3)
            assert await layer.receive(other) == {"list": [1]}

    async def test_10_wrong_names_are_refused_by_every_method(self) -> None:
        """A name outside the grammar raises `InvalidName` in the caller."""
        wrong = ["", "a b", "a\n", "a!", "!a", "a!b!c", "a?b!c", "é", "*", "a" * 200]
        async with self.layer() as layer:
            for name in wrong:
                for call in (
                    lambda name=name: layer.send(name, {}),
                    lambda name=name: layer.receive(name),
                    lambda name=name: layer.receive_many(["right", name]),
                    lambda name=name: layer.group_add("right", name),
                    lambda name=name: layer.group_discard("right", name),
                    lambda name=name: layer.group_add(name, "right"),
                    lambda name=name: layer.group_discard(name, "right"),
                    lambda name=name: layer.group_send(name, {}),
                    lambda name=name: layer.group_channels(name),
                ):
                    with pytest.raises(InvalidName):
                        await asyncio.wait_for(call(), PATIENCE)
            for name in ("a!b", "a?b"):
                with pytest.raises(InvalidName):
                    await layer.group_send(name, {})
            await layer.send("a" * 199, {})
            await layer.group_add("g" * 199, "a" * 199)

    async def test_11_wrong_contents_are_refused(self) -> None:
        """What a message cannot carry raises `InvalidContent` in the sender."""
        async with self.layer() as layer:
            socket = Connection(layer)
            await layer.group_add("all", socket.channel)
            for content in (
                {"x": object()},
                {"x": {1, 2}},
                {1: "x"},
                {"x": {"y": [2**70]}},
                {"x": "\ud800"},
                ["no", "dict"],
            ):
                with pytest.raises(InvalidContent):
                    await layer.send("target", content)  # type: ignore[arg-type]
                with pytest.raises(InvalidContent):
                    await layer.send(socket.channel, content)  # type: ignore[arg-type]
                with pytest.raises(InvalidContent):
                    await layer.group_send("all", content)  # type: ignore[arg-type]
            assert (await layer.statistics())["accepted"] == 0

    async def test_12_a_message_may_have_message_size_bytes(self) -> None:
        """A content of `message_size` bytes is taken, one byte more is `MessageTooLarge`."""
        size = len(encode({"bytes": bytes(1_000)}, "", 10_000).body)
        async with self.layer(message_size=size) as layer:
            socket = Connection(layer)
            await layer.group_add("all", socket.channel)
            await layer.send("target", {"bytes": bytes(1_000)})
            await layer.group_send("all", {"bytes": bytes(1_000)})
            with pytest.raises(MessageTooLarge) as error:
                await layer.send("target", {"bytes": bytes(1_001)})
            assert (error.value.target, error.value.size, error.value.limit) == (
                "target",
                size + 1,
                size,
            )
            with pytest.raises(MessageTooLarge):
                await layer.group_send("all", {"bytes": bytes(1_001)})
            assert (await layer.statistics())["accepted"] == 2


__all__ = ["MessageTests"]
