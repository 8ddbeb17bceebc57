"""`channels.asgi`: the layers of `CHANNEL_LAYERS` with blocking methods and their routing."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from achannels import backends, registry
from achannels.layers.memory import MemoryLayer
from achannels.legacy.asgi import (
    ChannelLayerManager,
    ChannelLayerWrapper,
    InvalidChannelLayerError,
    channel_layers,
    get_channel_layer,
)
from achannels.legacy.channel import Channel
from achannels.legacy.facade import LayerFacade
from achannels.legacy.message import Message
from achannels.legacy.routing import route
from achannels.legacy.test.base import fresh_layers
from achannels.testing import WebsocketClient

HERE = "tests.legacy.test_asgi"
MEMORY = "achannels.layers.memory.MemoryLayer"


def one(message: Any) -> None:
    message.reply_channel.send({"text": "one"})


some_routes = [route("websocket.receive", one)]


@pytest.fixture(autouse=True)
def _nothing_is_made() -> Any:
    channel_layers.backends.clear()
    yield
    channel_layers.backends.clear()


def configure(settings: Any, **config: Any) -> ChannelLayerManager:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": MEMORY, "ROUTING": [], **config}}
    registry.set_channel_layer(None)
    return channel_layers


def test_a_layer_is_made_once_and_kept(settings: Any) -> None:
    layers = configure(settings)
    assert layers["default"] is layers["default"]
    assert layers["default"].channel_layer.layer is registry.get_channel_layer()
    assert layers.backends == {"default": layers["default"]}


def test_which_aliases_there_are(settings: Any) -> None:
    layers = configure(settings)
    assert "default" in layers
    assert "other" not in layers
    assert list(layers) == ["default"] == list(layers.configs)
    with pytest.raises(KeyError, match="other"):
        layers["other"]


def test_the_routing_may_be_found_by_its_name(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.django.urls"
    assert (
        configure(settings, ROUTING=None)["default"].routing
        == "tests.django.routing.channel_routing"
    )


def test_a_layer_can_be_swapped(settings: Any) -> None:
    layers = configure(settings)
    before = layers["default"]
    own = ChannelLayerWrapper(LayerFacade(MemoryLayer()), "default", [])
    assert layers.set("default", own) is before
    assert layers["default"] is own
    Channel("one").send({"n": 1})
    assert own.receive(["one"]) == ("one", {"n": 1})
    assert layers.set("default", before) is own
    assert layers.set("unused", None) is None


def test_who_swaps_ours_swaps_this(settings: Any) -> None:
    layers = configure(settings)
    before = layers["default"]
    layer = MemoryLayer()
    with registry.override(layer):
        assert layers["default"].channel_layer.layer is layer
    assert layers["default"].channel_layer.layer is before.channel_layer.layer


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"BACKEND": "no.where.Layer"}, "cannot be imported"),
        ({"ROUTING": None}, r"CHANNEL_LAYERS\['default'\] has no ROUTING"),
        ({"CONFIG": {"nonsense": 1}}, "unknown key 'nonsense'"),
        ({"CONFIG": {"capacity": -1}}, r"CHANNEL_LAYERS\['default'\]: CONFIG 'capacity'"),
    ],
)
def test_a_wrong_entry_names_its_alias(settings: Any, config: dict[str, Any], text: str) -> None:
    settings.ROOT_URLCONF = None
    layers = configure(settings, **config)
    with pytest.raises(InvalidChannelLayerError, match=text) as error:
        layers["default"]
    assert isinstance(error.value, ValueError)
    assert "'default'" in str(error.value)


def test_a_layer_made_apart_is_not_kept(settings: Any) -> None:
    layers = configure(settings, CONFIG={"capacity": 3}, TEST_CONFIG={"capacity": 4})
    assert layers.make_backend("default").capacity == 3
    assert layers.make_backend("default") is not layers.make_backend("default")
    assert layers.backends == {}


def test_a_layer_for_tests_needs_its_config(settings: Any) -> None:
    layers = configure(settings, TEST_CONFIG={"capacity": 4})
    assert layers.make_test_backend("default").get_capacity("x") == 4
    with pytest.raises(InvalidChannelLayerError, match="has no TEST_CONFIG"):
        configure(settings).make_test_backend("default")
    with pytest.raises(KeyError):
        layers.make_test_backend("other")
    settings.CHANNEL_LAYERS = {"default": {"ROUTING": []}}
    with pytest.raises(InvalidChannelLayerError, match="has no BACKEND"):
        layers.make_backend("default")


def test_a_wrapper_is_its_layer_with_alias_and_router(settings: Any) -> None:
    wrapper = configure(settings, ROUTING=f"{HERE}.some_routes")["default"]
    assert (wrapper.alias, wrapper.routing) == ("default", f"{HERE}.some_routes")
    assert wrapper.router.match(Message({}, "websocket.receive")) == (one, {})
    assert wrapper.ChannelFull is wrapper.channel_layer.ChannelFull
    wrapper.send("one", {"n": 1})
    assert wrapper.channel_layer.receive(["one"]) == ("one", {"n": 1})
    assert str(wrapper) == f"default ({MEMORY})"
    assert wrapper.local_only()
    with pytest.raises(AttributeError):
        _ = wrapper.nonsense


def test_routes_that_were_added_outlive_the_layer(settings: Any) -> None:
    layers = configure(settings, ROUTING=[route("websocket.receive", one)])
    layers["default"].router.add_route(route("plugged", one))
    for layer in (layers.make_backend("default"), layers["default"]):
        assert layer.router.channels == {"websocket.receive", "plugged"}
    with fresh_layers(["default"]):
        assert "plugged" in layers["default"].router.channels
    layers = configure(settings, ROUTING=[route("websocket.receive", one)])
    assert "plugged" not in layers["default"].router.channels


def test_a_wrong_routing_is_improperly_configured(settings: Any) -> None:
    wrapper = configure(settings, ROUTING="no.where")["default"]
    with pytest.raises(ImproperlyConfigured, match=r"no\.where"):
        _ = wrapper.router


# Old paths.


def old(backend: str, **config: Any) -> dict[str, Any]:
    """Return our options for those of an old path."""
    return backends.BACKENDS[backend][1](config)


@pytest.mark.parametrize("backend", ["asgiref.inmemory.ChannelLayer", "asgi_ipc.IPCChannelLayer"])
def test_old_paths_name_a_layer_in_memory(settings: Any, backend: str) -> None:
    config = {"capacity": 3, "channel_capacity": {"mail.*": 1}, "expiry": 5, "prefix": "site"}
    wrapper = configure(settings, BACKEND=backend, CONFIG=config)["default"]
    assert isinstance(wrapper.channel_layer.layer, MemoryLayer)
    wrapper.send("mail.out", {})
    with pytest.raises(wrapper.ChannelFull):
        wrapper.send("mail.out", {})


def test_old_options_of_redis() -> None:
    config = {
        "hosts": [("localhost", 6379), "redis://other:6380/1"],
        "prefix": "site:",
        "expiry": 30,
        "channel_capacity": None,
        "symmetric_encryption_keys": ["key"],
        "stats_prefix": "stats:",
        "connection_kwargs": {"socket_timeout": 10},
    }
    for name in ("RedisChannelLayer", "RedisLocalChannelLayer", "core.RedisChannelLayer"):
        assert old(f"asgi_redis.{name}", **config) == {
            "hosts": [("localhost", 6379), "redis://other:6380/1"],
            "prefix": "site:",
            "expiry": 30,
            "symmetric_encryption_keys": ["key"],
        }
    for key in ("hosts", "symmetric_encryption_keys"):
        with pytest.raises(ValueError, match=f"CONFIG '{key}' is 'one'; it must be a list"):
            old("asgi_redis.RedisChannelLayer", **{key: "one"})


def test_old_options_of_sentinels() -> None:
    hosts = [("one", 26379), ("two", 26380)]
    sentinel = "asgi_redis.RedisSentinelChannelLayer"
    found = old(sentinel, hosts=hosts, services=["a", "b"], sentinel_refresh_interval=5, expiry=3)
    assert found == {
        "hosts": ["sentinel://one:26379,two:26380/a", "sentinel://one:26379,two:26380/b"],
        "expiry": 3,
    }
    assert old(sentinel, services=["a"])["hosts"] == ["sentinel://localhost:26379/a"]
    for wrong in ({}, {"services": "a"}, {"services": ["a"], "hosts": ["redis://one"]}):
        with pytest.raises(ValueError, match="CONFIG '"):
            old(sentinel, **wrong)


# For an asgi.py.


def test_the_layer_of_an_asgi_py_is_the_raw_one(settings: Any) -> None:
    configure(settings)
    layer = get_channel_layer()
    layer.send("one", {"n": 1})
    assert channel_layers["default"].receive(["one"]) == ("one", {"n": 1})


@pytest.mark.usefixtures("old_ways")
async def test_a_server_can_be_started_with_it(settings: Any) -> None:
    configure(settings, ROUTING=f"{HERE}.some_routes")
    async with WebsocketClient(get_channel_layer(), "/") as ws:
        await ws.send("hi")
        assert await ws.receive() == "one"
