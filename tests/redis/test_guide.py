"""What the page on Redis and Valkey says, on real servers."""

import ast
import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from redis.credentials import UsernamePasswordCredentialProvider

import achannels.layers.redis
from achannels import Group, Message, registry, route, route_class
from achannels.asgi import Application
from achannels.codec import pack
from achannels.contracts import Origin, Receiver
from achannels.exceptions import LayerUnavailable
from achannels.layers.redis import RedisLayer
from achannels.layers.redis.hosts import Host, read_hosts
from achannels.testing import WebsocketClient
from achannels.testing.layer_suite import Connection, check_books
from tests.docs.snippets import TEXTS, forget_files, run
from tests.docs.test_reference import code, tables
from tests.redis.conftest import MakeLayer, Start
from tests.redis.deployments import Sentinels
from tests.redis.node import process
from tests.redis.servers import Server

PAGE = "docs/guide/redis.md"
TEXT = TEXTS[PAGE]

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def page() -> Iterator[ModuleType]:
    yield run(PAGE)
    forget_files()


def blocks(language: str, title: str = "") -> list[str]:
    head = f'{language} title="{title}"' if title else language
    return re.findall(rf"^```{head}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


async def ask(server: Server, *command: Any) -> Any:
    return await asyncio.to_thread(server.call, *command)


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not happened():  # noqa: ASYNC110 - a layer does not tell when it has come to rest
            await asyncio.sleep(0.005)


# Settings.


async def test_the_settings_of_the_first_example_work(
    page: ModuleType, server: Server, prefix: str
) -> None:
    entry = page.CHANNEL_LAYERS["default"]
    config = {**entry["CONFIG"], "hosts": [server.url], "prefix": prefix}
    layer = registry.make_layer(config={**entry, "CONFIG": config})
    await layer.open()
    await layer.send("thumbnails", {"n": 1})
    assert await layer.receive("thumbnails") == {"n": 1}
    await layer.aclose()


def test_the_table_has_every_keyword_with_its_default() -> None:
    rows = {code(row["key"]): row for row in tables(TEXT, "key") if "default" in row}
    parameters = signature(RedisLayer).parameters
    assert list(rows)[2:] == [each for each in parameters if each in list(rows)[2:]]
    assert set(rows) == set(parameters)
    for name, row in rows.items():
        default = parameters[name].default
        written = eval(code(row["default"]))
        if name == "hosts":
            assert [each.name for each in read_hosts(default)] == written
        else:
            assert written == (default if default is not None else {}), name


def test_the_servers_of_the_table_are_those_that_the_tests_run(server: Server) -> None:
    version = server.info("server").get("valkey_version") or server.info("server")["redis_version"]
    tested = [row["tested with"] for row in tables(TEXT, "") if "tested with" in row]
    assert any(version.startswith(f"{each}.") for each in tested)


ENTRIES: dict[str, dict[str, Any]] = {
    "redis://cache:6379/0": {"addresses": (("cache", 6379),)},
    "redis://chat:s3cret@cache": {"username": "chat", "password": "s3cret", "db": 0},
    "redis://:s3cret@cache": {"username": None, "password": "s3cret"},
    "rediss://cache:6380": {"addresses": (("cache", 6380),), "tls": True},
    "valkey://cache": {"addresses": (("cache", 6379),), "tls": False},
    "valkeys://cache": {"tls": True},
    "unix:///run/valkey.sock?db=1": {"addresses": ("/run/valkey.sock",), "db": 1},
    "sentinel://one,two:26379,three/main": {"kind": "sentinel", "service": "main"},
    "cluster://one:7000,two:7000?shards=3": {"kind": "cluster", "shards": 3},
    "sentinel://one,two,three/main?sentinel_password=other": {"sentinel_password": "other"},
    "redis://cache:6379": {"addresses": (("cache", 6379),)},
    "rediss://cache": {"tls": True},
    "sentinel://one,two/main": {"kind": "sentinel"},
    "redis://localhost:6379/0": {"addresses": (("localhost", 6379),)},
}


def facts(host: Host) -> dict[str, Any]:
    access = host.access
    return {
        "kind": host.kind,
        "addresses": host.addresses,
        "service": host.service,
        "shards": host.shards,
        "username": access.username,
        "password": access.password,
        "db": access.db,
        "tls": access.tls is not None,
        "sentinel_password": host.sentinel_access.password,
    }


def test_every_address_on_the_page_means_what_it_says() -> None:
    found = set(re.findall(r"[`\"](\w+://[\w:@.,/?=]+)[`\"]", TEXT))
    assert found == set(ENTRIES)
    for entry, wanted in ENTRIES.items():
        (host,) = read_hosts([entry])
        assert facts(host).items() >= wanted.items(), entry


def test_old_spellings_are_what_the_table_says() -> None:
    rows = [row for row in tables(TEXT, "entry") if "is" in row]
    assert len(rows) == 5
    *literal, with_provider = [code(row["entry"]) for row in rows]
    hosts = [read_hosts([ast.literal_eval(entry)])[0] for entry in literal]
    assert [facts(host)["addresses"] for host in hosts[:3]] == [(("cache", 6379),)] * 3
    assert (hosts[1].access.db, hosts[1].access.password) == (1, "s3cret")
    assert facts(hosts[2])["tls"]
    assert facts(hosts[3]) == facts(read_hosts([code(rows[3]["is"])])[0])
    provider = UsernamePasswordCredentialProvider("chat", "s3cret")
    (host,) = read_hosts([eval(with_provider, {"provider": provider})])
    assert host.access.provider is provider


def test_the_options_of_tls_are_options() -> None:
    options = re.findall(r"ssl_\w+(?==)", TEXT)
    assert len(options) == 5
    for option in options:
        read_hosts([f"rediss://cache?{option}=none"])


# Rights.

SCRIPTS = Path(achannels.layers.redis.__file__).parent / "scripts"


def rules(prefix: str) -> list[str]:
    """Return the rules of the page for another prefix."""
    (block,) = [each for each in blocks("text") if each.startswith("ACL SETUSER chat")]
    return block.replace("{mysite:", f"{{{prefix}:").split()[3:]


def test_the_rules_allow_what_the_scripts_call_and_no_more() -> None:
    called = {
        name.lower()
        for path in SCRIPTS.rglob("*.lua")
        for name in re.findall(r"redis\.p?call\('(\w+)'", path.read_text())
    }
    allowed = [rule[1:] for rule in rules("mysite") if rule.startswith("+")]
    assert len(allowed) == len(set(allowed))
    own = {"evalsha", "eval", "script|load", "xread", "select", "info", "cluster|slots"}
    assert set(allowed) == called | own


class Silent:
    """Hears what its node is told, and does nothing about it."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: None


async def use(here: RedisLayer, there: RedisLayer) -> None:
    """Have two layers do everything that a layer can do."""
    far = Connection(there)
    await here.group_add("room", far.channel)
    await here.group_add("room", "list")
    await here.group_send("room", {})
    await here.send(far.channel, {})
    await until(lambda: len(far.received) == 2)
    assert await here.group_channels("room") == {far.channel, "list"}
    for channel in (far.channel, "list"):
        await here.group_discard("room", channel)
    await here.send("work", {}, delay=0.01)
    await here.send("work", {}, durable=True)
    waiting = asyncio.create_task(there.take(["idle", "work"], slots=5, durable=["work"]))
    taken = [await waiting, await there.take(["work"], durable=["work"])]
    await there.settle(taken[0])
    await there.settle(taken[1], again=0.01)
    await there.settle(await there.take(["work"], durable=["work"]), dead="no")
    (letter,) = await there.dead_letters("work")
    assert await there.requeue("work", letter.id)
    await there.settle(await there.take(["work"], durable=["work"]), dead="no")
    (letter,) = await there.dead_letters("work")
    assert await there.drop_letter("work", letter.id)
    for layer in (here, there):
        layer.listen(Silent())
    socket = Connection(here)
    offered = here.offer("websocket.receive", pack({}), Origin(socket.channel, 1, 1))
    home = (await there.take(["websocket.receive"])).home
    await offered
    assert home is not None
    await here.forward(home, socket.channel, pack({}))
    await there.answer(socket.channel, pack({}))
    await there.tell(here.node, 0, pack({}))
    assert await here.claim(socket.channel)
    await here.send("left", {})
    await there.drain()
    await here.flush()
    check_books(await here.statistics())


async def test_a_user_with_these_rights_can_do_everything(
    start: Start, kind: str, layer: MakeLayer, prefix: str
) -> None:
    server = await start(lambda: Server(kind))
    await ask(server, "ACL", "SETUSER", "chat", *rules(prefix))
    url = f"redis://chat:s3cret@127.0.0.1:{server.port}/1"
    here, there = await layer(url, lease=0.6), await layer(url, lease=0.6)
    await use(here, there)
    await asyncio.to_thread(wait_for_renewal, server, prefix, here.node)
    assert await here.problems() == []
    for each in (here, there):
        await each.aclose()
    denied = await ask(server, "ACL", "LOG")
    assert {entry[entry.index("object") + 1] for entry in denied} <= {"client|setinfo"}


def wait_for_renewal(server: Server, prefix: str, node: str) -> None:
    from tests.redis.servers import execute, wait_until

    with server.client() as client:
        execute(client, "SELECT", 1)
        beat = ("HGET", f"{{{prefix}:0}}:hb", node)
        before = int(execute(client, *beat))
        wait_until(lambda: int(execute(client, *beat)) > before, "a renewal")


async def test_a_user_of_one_site_cannot_use_another(
    start: Start, kind: str, layer: MakeLayer
) -> None:
    server = await start(lambda: Server(kind))
    await ask(server, "ACL", "SETUSER", "chat", *rules("mine"))
    url = f"redis://chat:s3cret@127.0.0.1:{server.port}"
    with pytest.raises(LayerUnavailable, match=r"(?i)no permissions to access"):
        await layer(url, prefix="other")
    await layer(url, prefix="mine")


async def test_a_user_for_sentinels_needs_one_right(sentinels: Sentinels, layer: MakeLayer) -> None:
    (right,) = re.findall(r"`(\+sentinel\|\w+)`", TEXT)
    for each in sentinels.sentinels:
        await ask(each, "ACL", "SETUSER", "watch", "on", ">pw", "resetkeys", "-@all", right)
    ours = await layer(f"{sentinels.url}?sentinel_username=watch&sentinel_password=pw")
    await ours.send("work", {"n": 1})
    assert await ours.receive("work") == {"n": 1}


async def test_sites_with_prefixes_of_their_own_are_apart(
    layer: MakeLayer, server: Server, prefix: str
) -> None:
    one, other, same = [
        await layer(server.url, prefix=each) for each in (prefix, f"{prefix}-b", prefix)
    ]
    sockets = [Connection(each) for each in (other, same)]
    for each, socket in zip((other, same), sockets, strict=True):
        await each.group_add("room", socket.channel)
    await one.group_send("room", {"n": 1})
    await until(lambda: sockets[1].received == [{"n": 1}])
    assert await other.group_channels("room") == {sockets[0].channel}
    assert sockets[0].received == []


# What it costs.


COUNT = 4_000


def used(server: Server) -> int:
    """Return the memory of all keys: buffers of connections come and go with the load."""
    with server.client() as client, client.pipeline(transaction=False) as asking:
        for key in client.scan_iter(count=1000):
            asking.memory_usage(key, samples=0)
        return sum(size or 0 for size in asking.execute())


async def cost(server: Server, call: Callable[[int], Coroutine[Any, Any, None]]) -> float:
    """Return the memory that the server needs for each of `COUNT` calls."""
    before = await asyncio.to_thread(used, server)
    for first in range(0, COUNT, 200):
        await asyncio.gather(*(call(number) for number in range(first, first + 200)))
    return (await asyncio.to_thread(used, server) - before) / COUNT


def sizes() -> Iterator[list[int]]:
    for row in (row for row in tables(TEXT, "what") if "bytes" in str(list(row))):
        cell = row["bytes, for a text of 64 and of 1,000 bytes"]
        yield [int(each.replace(",", "")) for each in re.findall(r"[\d,]*\d", cell)]


PLAIN, DURABLE, DELAYED, LOGGED, MEMBERSHIP, NODE = sizes()


@pytest.mark.parametrize("column", [0, 1])
async def test_messages_take_the_memory_that_the_table_says(
    own_server: Server, layer: MakeLayer, prefix: str, column: int
) -> None:
    length = (64, 1_000)[column]
    content = {"text": "x" * length}
    ours = await layer(own_server.url, capacity=1_000_000, lease=60.0)
    await cost(own_server, lambda number: ours.send("work", content))  # buffers of the connection
    await ours.flush()
    for told, options in (
        (PLAIN, {}),
        (DURABLE, {"durable": True}),
        (DELAYED, {"delay": 3600.0}),
    ):
        send = partial(ours.send, "work", content, **options)
        found = await cost(own_server, lambda number, send=send: send())  # type: ignore[misc]
        assert length < found < 1.25 * told[column], (told, options, found)
        await ours.flush()
    async with process(hosts=[own_server.url], prefix=prefix, lease=60.0) as reader:
        await reader.do("attach", groups=["room"])
        reader.pause()
        found = await cost(own_server, lambda number: ours.group_send("room", content))
        assert length < found < 1.25 * LOGGED[column], found


async def test_members_take_the_memory_that_the_table_says(
    own_server: Server, layer: MakeLayer
) -> None:
    before = await asyncio.to_thread(used, own_server)
    ours = await layer(own_server.url)
    assert await asyncio.to_thread(used, own_server) - before < NODE[0]
    members = [Connection(ours).channel for _ in range(COUNT)]
    assert await cost(own_server, lambda number: ours.group_add("one", members[number])) < 40
    found = await cost(
        own_server, lambda number: ours.group_add(f"group-{number}", members[number])
    )
    assert 50 < found < 1.25 * MEMBERSHIP[0], found


async def test_a_process_has_three_connections(own_server: Server, layer: MakeLayer) -> None:
    before = len((await ask(own_server, "CLIENT", "LIST")).splitlines())
    ours = await layer(own_server.url)
    for number in range(200):
        await ours.group_add("room", Connection(ours).channel)
        await ours.send(f"work-{number % 3}", {})
    assert len((await ask(own_server, "CLIENT", "LIST")).splitlines()) == before + 3


async def test_a_full_server_refuses_and_loses_nothing(
    own_server: Server, layer: MakeLayer
) -> None:
    ours = await layer(own_server.url, lease=1.0)
    socket = Connection(ours)
    await ours.group_add("room", socket.channel)
    await ours.group_send("room", {"n": 1})
    await ask(own_server, "CONFIG", "SET", "maxmemory", "1")
    for sending in (ours.send("work", {}), ours.group_send("room", {})):
        with pytest.raises(LayerUnavailable, match="maxmemory") as raised:
            await sending
        assert raised.value.outcome == "refused"
    await asyncio.sleep(1.5)  # longer than the lease, which is renewed all the same
    await ask(own_server, "CONFIG", "SET", "maxmemory", "0")
    await ours.group_send("room", {"n": 2})
    await until(lambda: socket.received == [{"n": 1}, {"n": 2}])
    assert socket.gaps == []


async def test_a_master_that_refuses_while_it_is_alone(
    own_server: Server, layer: MakeLayer
) -> None:
    ours, _ = [await layer(own_server.url, lease=0.6) for _ in range(2)]
    socket = Connection(ours)
    await ours.group_add("room", socket.channel)
    await ask(own_server, "CONFIG", "SET", "min-replicas-to-write", "1")
    with pytest.raises(LayerUnavailable, match="NOREPLICAS Not enough good replicas to write"):
        await ours.send("work", {})
    await asyncio.sleep(1.5)  # longer than the lease
    await ask(own_server, "CONFIG", "SET", "min-replicas-to-write", "0")
    await asyncio.sleep(1.0)
    await ours.group_send("room", {"n": 1})
    await until(lambda: socket.received == [{"n": 1}])
    assert socket.gaps == []


@pytest.mark.parametrize("text", blocks("text", "redis.conf"))
async def test_the_servers_take_the_settings(start: Start, kind: str, text: str) -> None:
    server = await start(lambda: Server(kind, text.splitlines()))
    for line in text.splitlines():
        name, value = line.split()
        said = await ask(server, "CONFIG", "GET", name)
        assert value in ("1gb" if str(said[1]) == str(2**30) else said[1])


async def test_durable_and_delayed_messages_survive_with_the_data(
    start: Start, kind: str, layer: MakeLayer
) -> None:
    server = await start(lambda: Server(kind, ["appendonly yes", "appendfsync always"]))
    ours = await layer(server.url)
    socket = Connection(ours)
    await ours.group_add("room", socket.channel)
    await ours.send("work", {"n": 1}, durable=True)
    await ours.send("work", {"n": 2}, delay=0.2)
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    async with asyncio.timeout(15):
        assert [(await ours.receive("work"))["n"] for _ in range(2)] == [1, 2]
    await ours.group_send("room", {"n": 3})
    await until(lambda: socket.received == [{"n": 3}])
    assert socket.gaps == []


# Gaps.


async def connect(message: Message) -> None:
    await Group("board", channel_layer=message.channel_layer).add(message.reply_channel)
    await message.reply_channel.send({"accept": True})


@pytest.mark.parametrize("kind_of_consumer", ["function", "class"])
async def test_consumers_are_told_of_a_gap(
    page: ModuleType, own_server: Server, prefix: str, kind_of_consumer: str
) -> None:
    told: list[dict[str, Any]] = []

    async def on_gap(message: Message) -> None:
        told.append(dict(message.content))
        await page.on_gap(message)

    functions = [route("websocket.connect", connect), route("websocket.gap", on_gap)]
    routing = functions if kind_of_consumer == "function" else [route_class(page.Board)]
    layer = RedisLayer([own_server.url], prefix=prefix)
    async with WebsocketClient(Application(routing, layer=layer), "/board/") as socket:
        await asyncio.to_thread(own_server.restart_empty)
        assert await socket.receive_json(timeout=15) == {"reload": True}
        await layer.group_send("board", {"text": "again"})
        assert await socket.receive(timeout=15) == "again"
    await layer.aclose()
    if told:
        (content,) = told
        keys = {key for row in tables(TEXT, "key of the content") for key in named(row)}
        assert set(content) == keys
        assert (content["groups"], content["reason"]) == (["board"], "layer_reset")
        assert 0 < content["since"] < 60


def named(row: dict[str, str]) -> list[str]:
    return re.findall(r"`(\w+)`", row["key of the content"])


def test_the_reasons_of_a_gap_are_those_of_the_contract() -> None:
    (row,) = [row for row in tables(TEXT, "key of the content") if "`reason`" in str(row)]
    reasons = set(re.findall(r"`([a-z_]+)`:", row[""]))
    assert reasons == set(re.findall(r"`([a-z_]+)`:", Receiver.gap.__doc__ or "")) | {
        "worker_lost"  # of split mode
    }


def test_the_keys_of_the_page_are_keys(page: ModuleType) -> None:
    assert page.layer.hosts == ["redis://localhost:6379/0"]
