"""Which layer an alias stands for."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from achannels import Channel, Group, get_channel_layer, registry
from achannels.backends import BACKENDS
from achannels.exceptions import ConfigurationError
from achannels.layers.memory import MemoryLayer


@pytest.fixture(autouse=True)
def _no_settings() -> Iterator[None]:
    """Begin without settings and without layers, and put back what was there."""
    before = dict(registry.configured())
    layers = {alias: registry.set_channel_layer(None, alias) for alias in ("default", "other")}
    registry.configure({})
    yield
    registry.configure(before)
    for alias, layer in layers.items():
        registry.set_channel_layer(layer, alias)


class Anything(MemoryLayer):
    """A layer whose constructor takes any keyword."""

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config = config


def refusal(config: Any, alias: str = "default") -> str:
    registry.configure({alias: config})
    with pytest.raises(ConfigurationError) as error:
        get_channel_layer(alias)
    return str(error.value)


def test_without_settings_the_default_is_a_memory_layer() -> None:
    layer = get_channel_layer()
    assert isinstance(layer, MemoryLayer)
    assert get_channel_layer() is get_channel_layer("default") is layer


def test_a_layer_is_made_of_its_settings_at_its_first_use() -> None:
    registry.configure(
        {
            "default": {},
            "other": {"BACKEND": registry.MEMORY, "CONFIG": {"message_size": 1_000}},
        }
    )
    assert get_channel_layer("other").message_size == 1_000
    assert get_channel_layer("other") is get_channel_layer("other")
    assert get_channel_layer() is not get_channel_layer("other")
    assert get_channel_layer().message_size == 1_048_576


def test_threads_that_come_at_the_same_moment_get_one_layer() -> None:
    both = Barrier(2, timeout=10)

    class Slow(MemoryLayer):
        def __init__(self) -> None:
            super().__init__()
            both.wait()

    registry.configure({"default": {"BACKEND": Slow}})
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(get_channel_layer, ["default", "default"])
    assert first is second is get_channel_layer()


def test_layers_made_before_stay_as_they_are() -> None:
    layer = get_channel_layer()
    registry.configure({"default": {"CONFIG": {"message_size": 1_000}}})
    assert get_channel_layer() is layer
    registry.set_channel_layer(None)
    assert get_channel_layer().message_size == 1_000


def test_make_layer_registers_nothing() -> None:
    made = registry.make_layer()
    assert get_channel_layer() is not made


def test_an_unknown_alias_is_told_the_known_ones() -> None:
    registry.configure({"other": {}})
    with pytest.raises(ConfigurationError) as error:
        get_channel_layer("tohre")
    assert str(error.value) == (
        "there is no channel layer 'tohre'; CHANNEL_LAYERS has default, other."
    )


def test_a_registered_layer_needs_no_settings() -> None:
    first, second = MemoryLayer(), MemoryLayer()
    assert registry.set_channel_layer(first, "other") is None
    assert get_channel_layer("other") is first
    assert registry.set_channel_layer(second, "other") is first
    assert registry.set_channel_layer(None, "other") is second
    with pytest.raises(ConfigurationError):
        get_channel_layer("other")


def test_names_look_their_layer_up_at_each_call() -> None:
    news, work = Group("news"), Channel("work", "other")
    before = get_channel_layer()
    assert news.channel_layer is before
    with (
        registry.override(MemoryLayer()) as swapped,
        registry.override(MemoryLayer(), "other") as o,
    ):
        assert news.channel_layer is swapped
        assert work.channel_layer is o
    assert news.channel_layer is before


def test_override_puts_back_what_was_there_also_when_the_block_raises() -> None:
    before = get_channel_layer()
    with pytest.raises(RuntimeError), registry.override(MemoryLayer()):
        raise RuntimeError("in the block")
    assert get_channel_layer() is before
    with registry.override(MemoryLayer(), "other"):
        pass
    with pytest.raises(ConfigurationError):
        get_channel_layer("other")


OLD = [path for path, (ours, _) in BACKENDS.items() if ours == registry.MEMORY]


@pytest.mark.parametrize("path", [MemoryLayer, registry.MEMORY, *OLD])
def test_a_backend_is_a_class_a_dotted_name_or_an_old_one(path: object) -> None:
    registry.configure({"default": {"BACKEND": path}})
    assert isinstance(get_channel_layer(), MemoryLayer)


@pytest.mark.parametrize(
    ("backend", "text"),
    [
        (5, "is 5; give a dotted path, for example 'achannels.layers.memory.MemoryLayer'."),
        (
            "memory",
            "is 'memory'; give a dotted path, for example 'achannels.layers.memory.MemoryLayer'.",
        ),
        (
            "achannels.layers.memry.MemoryLayer",
            (
                "is 'achannels.layers.memry.MemoryLayer', which cannot be imported: "
                "No module named 'achannels.layers.memry'."
            ),
        ),
        (
            "achannels.layers.memory.Layer",
            (
                "is 'achannels.layers.memory.Layer', which cannot be imported: "
                "module 'achannels.layers.memory' has no attribute 'Layer'."
            ),
        ),
        (
            "achannels.registry.make_layer",
            "is 'achannels.registry.make_layer', which is not a class.",
        ),
    ],
)
def test_a_backend_that_is_none(backend: object, text: str) -> None:
    assert refusal({"BACKEND": backend}) == f"CHANNEL_LAYERS['default']['BACKEND'] {text}"


@pytest.mark.parametrize("config", [None, ["capacity"], 5])
def test_a_config_is_a_dict(config: object) -> None:
    assert refusal({"CONFIG": config}, "other") == (
        f"CHANNEL_LAYERS['other']['CONFIG'] is {config!r}; it must be a dict."
    )


def test_an_unknown_key_of_the_config_is_told_the_nearest() -> None:
    assert refusal({"CONFIG": {"capasity": 5}}) == (
        "CHANNEL_LAYERS['default']['CONFIG'] has the unknown key 'capasity'. "
        "Did you mean 'capacity'?"
    )


@pytest.mark.parametrize("key", ["zzz", 5])
def test_an_unknown_key_that_is_near_to_none_is_told_all(key: object) -> None:
    text = refusal({"CONFIG": {key: 5}})
    assert text == (
        f"CHANNEL_LAYERS['default']['CONFIG'] has the unknown key {key!r}. Known: capacity, "
        "channel_capacity, expiry, channel_expiry, group_expiry, message_size, clock."
    )


def test_a_layer_that_takes_any_keyword_gets_them_all() -> None:
    registry.configure({"default": {"BACKEND": Anything, "CONFIG": {"shards": 3}}})
    layer = get_channel_layer()
    assert isinstance(layer, Anything)
    assert layer.config == {"shards": 3}


def test_what_is_wrong_with_a_value_is_said_by_the_layer() -> None:
    assert refusal({"CONFIG": {"capacity": 0}}) == (
        "CONFIG 'capacity' is 0; it must be an int from 1 up."
    )
    registry.configure({"default": {}})
    assert isinstance(get_channel_layer(), MemoryLayer)


def test_a_layer_is_adopted_where_its_alias_stands_for_nothing_yet() -> None:
    registry.set_channel_layer(None)
    first = MemoryLayer()
    assert registry.adopt(first)
    assert registry.get_channel_layer() is first
    assert not registry.adopt(MemoryLayer())
    registry.configure({"second": {}})
    assert not registry.adopt(MemoryLayer(), "second")
    assert registry.get_channel_layer() is first
