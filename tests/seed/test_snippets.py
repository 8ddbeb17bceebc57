"""What an introduction to Channels 1.x shows runs here, in both worlds."""

import pytest

from achannels import Channel, Message, route, sync
from achannels.asgi import Application
from achannels.layers.memory import MemoryLayer
from achannels.testing import Node, WebsocketClient
from tests.seed.snippets import PRINTED, Spelling, module, snippet


def application() -> Application:
    """Return the application of the routing in `myproject.routing`."""
    return Application("myproject.routing.channel_routing")


def test_nothing_of_the_imports_of_channels_is_left(spelling: Spelling) -> None:
    for name in PRINTED:
        text = snippet(name, spelling)
        assert "from channels" not in text
        assert ("async def" in text) == (spelling == "async def" and "def " in text)


async def test_a_dict_routes_a_channel_to_a_consumer(
    channel_layer: MemoryLayer, spelling: Spelling
) -> None:
    module("myapp.consumers", snippet("a consumer", spelling))
    module("myproject.routing", snippet("its routing"))
    async with Node(application()) as node:
        await Channel("some-channel").send({"some": "data"})
        await node.idle()
    statistics = await channel_layer.statistics()
    assert (statistics["accepted"], statistics["delivered"], statistics["pending"]) == (1, 1, 0)


@pytest.mark.parametrize("world", ["achannels", "achannels.sync"])
async def test_a_message_has_its_content_and_its_channel(world: str) -> None:
    seen = []

    def in_a_thread(message: sync.Message) -> None:
        seen.append((message.content, message.channel.name))

    async def on_the_loop(message: Message) -> None:
        seen.append((message.content, message.channel.name))

    consumer = on_the_loop if world == "achannels" else in_a_thread
    async with Node(Application([route("some-channel", consumer)])) as node:
        await Channel("some-channel").send({"some": "data"})
        await node.idle()
    assert seen == [({"some": "data"}, "some-channel")]


async def test_a_socket_hears_its_echo(spelling: Spelling) -> None:
    module("myapp.consumers", snippet("echo", spelling))
    module("myproject.routing", snippet("echo routing"))
    async with WebsocketClient(application(), "/chat/") as socket:
        await socket.send("hello world")
        assert await socket.receive() == "hello world"
        assert await socket.receive_nothing()


async def test_everybody_in_the_group_hears_what_one_says(spelling: Spelling) -> None:
    module("myapp.consumers", snippet("chat", spelling))
    module("myproject.routing", snippet("chat routing"))
    chat = application()
    async with WebsocketClient(chat, "/") as anna, WebsocketClient(chat, "/any/path") as bert:
        await anna.send("hello")
        assert [await anna.receive(), await bert.receive()] == ["[user] hello"] * 2
        await bert.close()
        await anna.send("alone")
        assert await anna.receive() == "[user] alone"


async def test_a_name_is_kept_in_the_channel_session(spelling: Spelling) -> None:
    chat = chat_with_sessions(spelling)
    anna = WebsocketClient(chat, "/lobby/?username=anna")
    bert = WebsocketClient(chat, "/lobby/?username=bert%20b.")
    elsewhere = WebsocketClient(chat, "/attic/?username=carla")
    async with anna, bert, elsewhere:
        await anna.send("hi")
        for socket in (anna, bert):
            assert await socket.receive_json() == {"text": "hi", "username": "anna"}
        await bert.send("servus")
        for socket in (anna, bert):
            assert await socket.receive_json() == {"text": "servus", "username": "bert b."}
        assert await elsewhere.receive_nothing()


async def test_who_gives_no_name_is_closed(spelling: Spelling) -> None:
    async with WebsocketClient(chat_with_sessions(spelling), "/lobby/") as nobody:
        assert await nobody.wait_closed() == 1000


def chat_with_sessions(spelling: Spelling) -> Application:
    module("myapp.consumers", snippet("chat with sessions", spelling))
    module("myproject.routing", snippet("chat with sessions, routing"))
    return application()
