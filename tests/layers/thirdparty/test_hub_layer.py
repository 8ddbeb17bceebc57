"""A layer as a third party writes it: it passes the suite, carries a project, and needs only what is public."""

import ast
import asyncio
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core import checks
from django.test import override_settings

from achannels import Group, Message, registry, route
from achannels.asgi import Application
from achannels.contracts import ChannelLayer, WorkLayer
from achannels.exceptions import ChannelFull, ConfigurationError, LayerUnavailable
from achannels.layers import BaseLayer
from achannels.testing import WebsocketClient
from achannels.testing.layer_suite import Connection, LayerSuite, check_books
from tests.docs.test_reference import documented
from tests.layers.thirdparty.layer import HubLayer

HERE = Path(__file__).parent
ROOT = Path(__file__).parents[3]
BACKEND = "tests.layers.thirdparty.layer.HubLayer"


class HubProcess:
    """A hub on its socket file. Layers wait for it, so nobody waits for it here."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.layers.thirdparty.hub", str(self.path)]
        self._process = subprocess.Popen(command, cwd=ROOT)

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self.path.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    process = HubProcess(tmp_path_factory.mktemp("hub") / "hub.sock")
    yield process
    process.kill()


@pytest.fixture
def own_hub(tmp_path: Path) -> Iterator[HubProcess]:
    process = HubProcess(tmp_path / "hub.sock")
    yield process
    process.kill()


@pytest.mark.timeout(60)
class TestHubLayer(LayerSuite):
    tick = 0.25

    @pytest.fixture(autouse=True)
    def _hub(self, hub: HubProcess) -> None:
        self.path = str(hub.path)

    async def make_layer(self, **config: Any) -> HubLayer:
        return HubLayer(self.path, site=secrets.token_hex(4), timeout=15.0, **config)


def test_it_keeps_the_contract() -> None:
    layer: ChannelLayer = HubLayer("/nowhere")
    assert isinstance(layer, ChannelLayer)
    assert not isinstance(layer, WorkLayer)


# Several processes.


@pytest.fixture
async def site(hub: HubProcess) -> AsyncIterator[Callable[[], HubLayer]]:
    """Makes layers of one site."""
    name, made = secrets.token_hex(4), list[HubLayer]()

    def make() -> HubLayer:
        made.append(HubLayer(str(hub.path), site=name, timeout=15.0))
        return made[-1]

    yield make
    for layer in made:
        await layer.aclose()


async def eventually(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not happened():  # noqa: ASYNC110 - a layer does not tell when it has come to rest
            await asyncio.sleep(0.005)


async def test_nodes_share_channels_groups_and_sockets(site: Callable[[], HubLayer]) -> None:
    here, there = site(), site()
    for layer in (here, there):
        await layer.open()
    socket = Connection(there, capacity=1)
    await here.group_add("room", socket.channel)
    await here.group_send("room", {"n": 1})
    await eventually(lambda: socket.received == [{"n": 1}])
    assert await there.group_channels("room") == {socket.channel}

    socket.reading = False
    await here.send(socket.channel, {"n": 2})
    with pytest.raises(ChannelFull, match="its capacity is 1"):
        await here.send(socket.channel, {"n": 3})
    socket.reading = True

    listening = [asyncio.create_task(layer.receive("work")) for layer in (here, there)]
    for n in range(2):
        await here.send("work", {"n": n})
    assert sorted(each["n"] for each in await asyncio.gather(*listening)) == [0, 1]
    for layer in (here, there):
        check_books(await layer.statistics())


async def test_a_node_that_is_killed_is_in_no_group(site: Callable[[], HubLayer]) -> None:
    layer = site()
    command = ["-m", "tests.layers.thirdparty.member", layer._path, layer._site, "room"]
    member = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert member.stdout is not None
    channel = (await member.stdout.readline()).decode().strip()
    try:
        assert await layer.group_channels("room") == {channel}
        await layer.send(channel, {})
        with pytest.raises(ChannelFull):
            await layer.send(channel, {})
    finally:
        member.kill()
        await member.communicate()
    async with asyncio.timeout(15):
        while await layer.group_channels("room"):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    await layer.send(channel, {})
    assert (await layer.statistics())["dropped"]["gone"] == 1


async def test_a_hub_that_restarts_is_a_gap(own_hub: HubProcess) -> None:
    async with HubLayer(str(own_hub.path), timeout=15.0) as layer:
        member, other = Connection(layer), Connection(layer)
        await layer.group_add("room", member.channel)
        listening = asyncio.create_task(layer.receive("work"))
        await asyncio.to_thread(own_hub.kill)
        await asyncio.to_thread(own_hub.start)
        await eventually(lambda: bool(member.gaps and other.gaps))
        assert (member.gaps, other.gaps) == ([(["room"], "layer_reset")], [([], "layer_reset")])
        await layer.group_send("room", {"n": 1})
        await eventually(lambda: member.received == [{"n": 1}])
        await layer.send("work", {"n": 2})
        assert await listening == {"n": 2}


async def outcome(layer: HubLayer) -> str:
    try:
        await layer.send("work", {})
    except LayerUnavailable as error:
        return error.outcome
    return "taken"


async def test_a_call_that_has_no_answer_has_an_outcome(own_hub: HubProcess) -> None:
    path = str(own_hub.path)
    async with HubLayer(path, timeout=15.0), HubLayer(path, timeout=1.0) as layer:
        assert await outcome(layer) == "taken"
        own_hub.pause()
        assert await outcome(layer) == "unknown"
        await asyncio.to_thread(own_hub.kill)
        assert await outcome(layer) in {"unknown", "refused"}  # the connection may end just now
        assert await outcome(layer) == "refused"


# A project with it.


async def connect(message: Message) -> None:
    await Group("room", channel_layer=message.channel_layer).add(message.reply_channel)
    await message.reply_channel.send({"accept": True})


async def receive(message: Message) -> None:
    await Group("room", channel_layer=message.channel_layer).send({"text": message["text"]})


ROUTING = [route("websocket.connect", connect), route("websocket.receive", receive)]

SENDER = """
import sys
from achannels import registry
from achannels.sync import Group

config = {"path": sys.argv[1], "site": sys.argv[2]}
registry.configure({"default": {"BACKEND": "%s", "CONFIG": config}})
Group("room").send({"text": "from a script"})
"""


async def test_a_project_names_it_by_its_path(site: Callable[[], HubLayer]) -> None:
    place = site()
    config = {"path": place._path, "site": place._site, "timeout": 15.0}
    layers = {"default": {"BACKEND": BACKEND, "CONFIG": config}}
    with override_settings(CHANNEL_LAYERS=layers):
        assert await asyncio.to_thread(checks.run_checks, tags=["achannels"]) == []
        here, there = (registry.make_layer() for _ in range(2))
    applications = [Application(ROUTING, layer=layer) for layer in (here, there)]
    anna, bert = (WebsocketClient(each, "/") for each in applications)
    async with anna, bert:
        await anna.send("hello")
        for socket in (anna, bert):
            assert await socket.receive(timeout=15) == "hello"
        command = [sys.executable, "-c", SENDER % BACKEND, place._path, place._site]
        await asyncio.to_thread(subprocess.run, command, cwd=ROOT, check=True)
        for socket in (anna, bert):
            assert await socket.receive(timeout=15) == "from a script"
    for layer in (here, there):
        await layer.aclose()


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"path": "/hub", "sight": "a"}, "has the unknown key 'sight'. Did you mean 'site'?"),
        ({"path": "/hub", "expiry": -1}, "'expiry' is -1; it must be a number of seconds above 0"),
    ],
)
def test_its_settings_are_checked_as_those_of_others(config: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(text)):
        registry.make_layer(config={"BACKEND": BACKEND, "CONFIG": config})


# Only what is public.


def trees() -> list[ast.Module]:
    return [ast.parse((HERE / name).read_text()) for name in ("hub.py", "layer.py")]


def test_it_imports_only_public_names() -> None:
    imported = [
        f"{node.module}.{name.name}"
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("achannels")
        for name in node.names
    ]
    assert len(imported) > 15
    assert sorted(set(imported) - set(documented())) == []


def test_it_uses_of_its_base_only_what_is_for_subclasses() -> None:
    """Names with an underscore that `BaseLayer` has, and its docstring does not speak of."""
    used = {
        node.attr
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_")
    }
    hidden = {name for name in {*vars(BaseLayer), "_home", "_closed"} if re.match("_[a-z]", name)}
    spoken_of = set(re.findall(r"`(_\w+)", BaseLayer.__doc__ or ""))
    assert used & hidden
    assert sorted(used & hidden - spoken_of) == []
