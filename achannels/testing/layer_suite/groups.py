"""Promises about groups and reply channels."""

import asyncio

import pytest

from achannels.testing.layer_suite.base import PATIENCE, Connection, SuiteBase


class GroupTests(SuiteBase):
    """Tests 22 to 33."""

    async def test_22_who_has_joined_gets_every_later_send(self) -> None:
        """When `group_add` has returned, each send that starts later reaches the channel."""
        async with self.layer() as layer:
            sockets: list[Connection] = []
            for n in range(20):
                socket = Connection(layer)
                sockets.append(socket)
                await layer.group_add("room", socket.channel)
                await layer.group_send("room", {"n": n})
            counts = list(range(20, 0, -1))
            await self.eventually(lambda: [len(each.received) for each in sockets] == counts)
            for first, socket in enumerate(sockets):
                assert [each["n"] for each in socket.received] == list(range(first, 20))

    async def test_23_who_has_left_gets_no_later_send(self) -> None:
        """When `group_discard` has returned, no later send reaches the channel."""
        async with self.layer() as layer:
            staying, leaving = Connection(layer), Connection(layer)
            for socket in (staying, leaving):
                await layer.group_add("room", socket.channel)
            await layer.group_send("room", {"n": 0})
            await layer.group_discard("room", leaving.channel)
            for n in range(1, 10):
                await layer.group_send("room", {"n": n})
            await self.eventually(lambda: len(staying.received) == 10)
            assert leaving.received == [{"n": 0}]

    async def test_24_joining_and_leaving_may_be_repeated(self) -> None:
        """`group_add` and `group_discard` are idempotent; a member gets each message once."""
        async with self.layer() as layer:
            socket = Connection(layer)
            await layer.group_discard("room", socket.channel)
            for _ in range(3):
                await layer.group_add("room", socket.channel)
            await layer.group_send("room", {"n": 1})
            await self.eventually(lambda: bool(socket.received))
            for _ in range(2):
                await layer.group_discard("room", socket.channel)
            await layer.group_send("room", {"n": 2})
            await layer.group_add("room", socket.channel)
            await layer.group_send("room", {"n": 3})
            await self.eventually(lambda: len(socket.received) == 2)
            assert socket.received == [{"n": 1}, {"n": 3}]

    async def test_25_all_members_see_one_order(self) -> None:
        """Members see the sends of several senders to one group in the same order."""
        async with self.layer() as layer:
            sockets = [Connection(layer) for _ in range(2_000)]
            await asyncio.gather(*(layer.group_add("room", each.channel) for each in sockets))

            async def talk(sender: int) -> None:
                for n in range(5):
                    await layer.group_send("room", {"sender": sender, "n": n})
                    await asyncio.sleep(0)

            await asyncio.gather(*(talk(sender) for sender in range(4)))
            await self.eventually(lambda: all(len(each.received) == 20 for each in sockets))
            assert all(each.received == sockets[0].received for each in sockets)
            for sender in range(4):
                assert [e["n"] for e in sockets[0].received if e["sender"] == sender] == [*range(5)]

    async def test_26_ordinary_channels_can_be_members(self) -> None:
        """A group send puts a message into the queue of each ordinary member."""
        async with self.layer() as layer:
            own = await layer.new_channel()
            channels = ["plain", "single?reader", own]
            for channel in channels:
                await layer.group_add("mixed", channel)
            assert await layer.group_channels("mixed") == set(channels)
            await layer.group_send("mixed", {"n": 1})
            for channel in channels:
                assert await layer.receive(channel) == {"n": 1}
            await layer.group_discard("mixed", own)
            await layer.group_send("mixed", {"n": 2})
            assert await self.is_empty(layer, own)

    async def test_27_memberships_of_ordinary_channels_lapse(self) -> None:
        """They end `group_expiry` after the last `group_add`; sockets stay while they live."""
        async with self.layer(group_expiry=5 * self.tick) as layer:
            socket = Connection(layer)
            for channel in ("once", "again", socket.channel):
                await layer.group_add("mixed", channel)
            await self.pass_time(3 * self.tick)
            await layer.group_add("mixed", "again")
            await self.pass_time(3 * self.tick)
            assert await layer.group_channels("mixed") == {"again", socket.channel}
            await layer.group_send("mixed", {})
            await self.pass_time(3 * self.tick)
            await layer.group_send("mixed", {})
            assert await layer.group_channels("mixed") == {socket.channel}
            await self.eventually(lambda: len(socket.received) == 2)
            assert (await layer.statistics())["accepted"] == 3

    async def test_28_the_members_can_be_listed(self) -> None:
        """`group_channels` is the set of names; that of an unknown group is empty."""
        async with self.layer() as layer:
            sockets = [Connection(layer) for _ in range(3)]
            for socket in sockets:
                await layer.group_add("room", socket.channel)
            await layer.group_add("elsewhere", sockets[0].channel)
            assert await layer.group_channels("room") == {each.channel for each in sockets}
            await layer.group_discard("room", sockets[1].channel)
            names = await layer.group_channels("room")
            assert names == {sockets[0].channel, sockets[2].channel}
            assert await layer.group_channels("nobody") == set()
            await layer.group_send("nobody", {})

    async def test_29_a_socket_that_ends_is_in_no_group(self) -> None:
        """`detach` ends all memberships; nobody has to leave by hand."""
        async with self.layer() as layer:
            ending, staying = Connection(layer), Connection(layer)
            for group in ("a", "b", "c"):
                for socket in (ending, staying):
                    await layer.group_add(group, socket.channel)
            ending.close()
            for group in ("a", "b", "c"):
                await layer.group_send(group, {})
                assert await layer.group_channels(group) == {staying.channel}
            await self.eventually(lambda: len(staying.received) == 3)
            assert ending.received == []
            await layer.group_add("a", ending.channel)
            await layer.group_send("a", {})
            assert ending.received == []
            layer.detach(ending.channel)

    async def test_30_a_send_to_a_socket_that_is_gone_is_counted(self) -> None:
        """It is not raised: reply channels that were detached or never were count as `gone`."""
        async with self.layer() as layer:
            socket = Connection(layer)
            socket.close()
            await layer.send(socket.channel, {})
            await layer.send(f"{layer.node}!nobody", {})
            books = await layer.statistics()
            assert (books["accepted"], books["dropped"]["gone"]) == (2, 2)

    async def test_31_names_of_reply_channels_are_new(self) -> None:
        """`attach` gives each receiver a name of its own, which begins with the node's."""
        async with self.layer() as layer:
            names = {Connection(layer).channel for _ in range(500)}
            assert len(names) == 500
            assert {name.partition("!")[0] for name in names} == {layer.node}

    async def test_32_new_channels_are_received_from_by_their_maker(self) -> None:
        """`new_channel` gives a new name each time, for receiving and for groups."""
        async with self.layer() as layer:
            names = {await layer.new_channel() for _ in range(100)} | {
                await layer.new_channel("prefix") for _ in range(100)
            }
            assert len(names) == 200
            first, second = sorted(names)[:2]
            await layer.send(first, {"n": 1})
            async with asyncio.timeout(PATIENCE):
                assert await layer.receive_many([second, first]) == (first, {"n": 1})
                waiting = asyncio.create_task(layer.receive(second))
                await asyncio.sleep(0)
                await layer.send(second, {"n": 2})
                assert await waiting == {"n": 2}

    async def test_33_nobody_receives_from_the_channel_of_a_socket(self) -> None:
        """Its receiver gets its messages; `receive` raises at once, also for other processes'."""
        async with self.layer() as layer:
            socket = Connection(layer)
            for channel in (socket.channel, "elsewhere!abc"):
                with pytest.raises(TypeError):
                    await asyncio.wait_for(layer.receive(channel), PATIENCE)


__all__ = ["GroupTests"]
