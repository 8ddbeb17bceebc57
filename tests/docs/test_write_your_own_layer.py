"""What the page on layers of others says, and its snippets."""

import re
from inspect import signature
from typing import Any

import pytest

from achannels import registry, route
from achannels.asgi import Application
from achannels.exceptions import ConfigurationError
from achannels.layers.memory import MemoryLayer
from achannels.layers.redis import RedisLayer
from achannels.message import Message
from achannels.testing import Node, layer_suite
from tests.docs.snippets import TEXTS
from tests.layers.thirdparty.layer import HubLayer

PAGE = "docs/guide/write-your-own-layer.md"


def texts() -> list[str]:
    return [text.strip() for text in re.findall(r"```text\n(.*?)```", TEXTS[PAGE], re.DOTALL)]


def test_the_settings_make_the_layer(page: Any) -> None:
    layer = registry.make_layer(config=page.CHANNEL_LAYERS["default"])
    assert isinstance(layer, HubLayer)
    assert page.TestHubLayer().make_layer


def test_a_wrong_key_is_told_as_the_page_says(page: Any) -> None:
    config = {**page.CHANNEL_LAYERS["default"], "CONFIG": {"path": "/hub", "sight": "a"}}
    with pytest.raises(ConfigurationError) as raised:
        registry.make_layer(config=config)
    assert str(raised.value) == texts()[0]


class WithoutWork(MemoryLayer):
    take = None  # type: ignore[assignment]


WithoutWork.__name__ = "HubLayer"


async def test_background_work_is_refused_as_the_page_says() -> None:
    async def thumbnail(message: Message) -> None: ...

    application = Application([route("thumbnails", thumbnail)], layer=WithoutWork())
    with pytest.raises(ConfigurationError) as raised:
        async with Node(application):
            pass
    assert str(raised.value) == texts()[1]


def test_each_layer_has_the_settings_that_the_suite_gives() -> None:
    row = next(line for line in TEXTS[PAGE].splitlines() if "`make_layer(**config)`" in line)
    named = re.findall(r"`(\w+)`", row.partition("six settings")[2])
    assert len(named) == 6
    for layer in (MemoryLayer, RedisLayer, HubLayer):
        assert set(named) <= signature(layer).parameters.keys()


def test_the_classes_of_the_suite_make_it_up() -> None:
    named = re.findall(r"`(\w+Tests)`", TEXTS[PAGE])
    assert {getattr(layer_suite, name) for name in named} == {
        each for each in layer_suite.LayerSuite.__mro__ if each.__name__.endswith("Tests")
    }
    numbers = [name[5:7] for name in dir(layer_suite.LayerSuite) if name.startswith("test_")]
    assert numbers == [f"{n:02}" for n in range(1, 51)]
    assert layer_suite.SuiteBase.silence == 0.02
