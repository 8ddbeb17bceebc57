"""What the page on layers says, and its snippets."""

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import override_settings

from achannels import Channel, Group, Message, registry, route
from achannels.asgi import Application
from achannels.backends import BACKENDS
from achannels.exceptions import ChannelFull, ConfigurationError
from achannels.layers.memory import MemoryLayer
from achannels.testing import Clock, Node, WebsocketClient
from tests.docs.snippets import TEXTS

PAGE = "docs/guide/layers.md"


def made(page: Any, **config: Any) -> MemoryLayer:
    """Return a layer with the settings that the page shows."""
    return MemoryLayer(**{**page.CHANNEL_LAYERS["default"]["CONFIG"], **config})


async def fill(layer: MemoryLayer, channel: str) -> int:
    """Send to a channel until it is full, and return how many messages it took."""
    count = 0
    with suppress(ChannelFull):
        while True:
            await layer.send(channel, {})
            count += 1
    return count


@pytest.mark.parametrize(
    ("channel", "capacity"),
    [("thumbnails", 5000), ("thumbnails.small", 100), ("mail.new", 20), ("mail", 100)],
)
async def test_capacity_of_the_settings(page: Any, channel: str, capacity: int) -> None:
    async with made(page) as layer:
        assert await fill(layer, channel) == capacity
        books = await layer.statistics()
        assert (books["accepted"], books["pending"]) == (capacity, capacity)


@pytest.mark.parametrize(
    ("channel", "capacity"),
    [
        ("mail.urgent", 1000),
        ("mail.other", 20),
        ("tenant-7.mail", 50),
        ("tenant-x.mail", 100),
        ("a-tenant-7.mail", 100),
    ],
)
async def test_the_first_pattern_decides(page: Any, channel: str, capacity: int) -> None:
    async with page.layer as layer:
        assert await fill(layer, channel) == capacity


async def test_patterns_see_the_part_after_the_mark(page: Any) -> None:
    async with page.layer as layer:
        assert await fill(layer, await layer.new_channel("mail")) == 20


async def test_expiry_of_the_settings(page: Any, channel_clock: Clock) -> None:
    async with made(page, clock=channel_clock) as layer:
        for channel in ("prices", "others"):
            await layer.send(channel, {})
            await layer.send(channel, {}, durable=True)
        await layer.send("others", {}, delay=1.0)
        channel_clock.advance(2.0)
        books = await layer.statistics()
        assert (books["expired"], books["pending"]) == (1, 4)
        channel_clock.advance(58.0)
        books = await layer.statistics()
        assert (books["expired"], books["pending"]) == (2, 3)
        channel_clock.advance(1e6)
        assert (await layer.statistics())["pending"] == 3


async def test_a_group_send_to_a_full_channel_is_counted(page: Any) -> None:
    async with made(page) as layer:
        assert await fill(layer, "mail.new") == 20
        await layer.group_add("writers", "mail.new")
        await layer.group_send("writers", {})
        assert (await layer.statistics())["dropped"]["full"] == 1


async def test_a_membership_of_a_channel_ends(page: Any, channel_clock: Clock) -> None:
    async with made(page, clock=channel_clock) as layer:
        await layer.group_add("writers", "mail.new")
        channel_clock.advance(86_399.0)
        await layer.group_add("writers", "mail.new")
        channel_clock.advance(86_399.0)
        assert await layer.group_channels("writers") == {"mail.new"}
        channel_clock.advance(1.0)
        assert await layer.group_channels("writers") == set()


@pytest.mark.parametrize("config", [{"capasity": 5}, {"expiry": -1}])
def test_errors_are_those_of_the_page(config: dict[str, int]) -> None:
    layers = {"default": {"CONFIG": config}}
    with override_settings(CHANNEL_LAYERS=layers), pytest.raises(ConfigurationError) as raised:
        registry.make_layer()
    assert str(raised.value) in TEXTS[PAGE]


def test_the_page_names_every_key() -> None:
    text = TEXTS[PAGE]
    keywords = MemoryLayer.__init__.__annotations__.keys() - {"clock", "return"}
    for key in [*registry.KEYS, *keywords]:
        assert f"| `{key}` |" in text
    for path, (ours, _) in BACKENDS.items():
        if ours == registry.MEMORY:
            assert f"`{path}`" in text


def test_a_layer_is_registered(page: Any) -> None:
    layer = registry.get_channel_layer()
    assert isinstance(layer, MemoryLayer)
    assert layer is Group("news").channel_layer


async def test_an_application_with_its_own_layer(page: Any) -> None:
    async with WebsocketClient(page.application, "/") as socket:
        assert await Group("news").channel_layer.group_channels("news") == set()
        await Group("news", channel_layer=page.layer).send({"text": "for you"})
        assert await socket.receive() == "for you"


async def test_a_queue_of_another_alias(page: Any) -> None:
    written: asyncio.Queue[str] = asyncio.Queue()
    lines = SimpleNamespace(append=written.put_nowait)
    with registry.override(MemoryLayer(), "audit") as layer:
        reading = asyncio.create_task(page.keep_audit_log(lines))
        await page.audit("logged in")
        await page.audit("logged out")
        assert [await written.get(), await written.get()] == ["logged in", "logged out"]
        reading.cancel()
        assert (await layer.statistics())["delivered"] == 2
        assert (await Channel("entries").channel_layer.statistics())["accepted"] == 0


def test_an_unknown_alias() -> None:
    with pytest.raises(ConfigurationError, match="'audit'; CHANNEL_LAYERS has default"):
        registry.get_channel_layer("audit")


async def test_a_socket_joins_no_group_of_another_layer() -> None:
    async def connect(message: Message) -> None:
        await Group("news", "audit").add(message.reply_channel)
        await message.reply_channel.send({"accept": True})
        await Channel(message.reply_channel.name, "audit").send({"text": "lost"})

    with registry.override(MemoryLayer(), "audit") as other:
        application = Application([route("websocket.connect", connect)])
        async with WebsocketClient(application, "/") as socket:
            await Group("news", "audit").send({"text": "lost, too"})
            assert await socket.receive_nothing()
        books = await other.statistics()
        assert (books["accepted"], books["dropped"]["gone"]) == (1, 1)


async def test_the_sum_holds(page: Any, channel_layer: MemoryLayer) -> None:
    registry.set_channel_layer(channel_layer)

    async def work(message: Message) -> None:
        await Group("five").send({})

    async with Node(Application([route("work", work)])) as node:
        for number in range(5):
            await Group("five").add(f"member-{number}")
        await Channel("work").send({})
        await node.idle()
    assert sum((await page.losses()).values()) == 0
    books = await channel_layer.statistics()
    assert (books["accepted"], books["delivered"], books["pending"]) == (6, 1, 5)
