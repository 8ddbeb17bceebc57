"""The fixtures that come with the package, for pytest with any asyncio runner.

Each test gets fresh memory layers, whatever `CHANNEL_LAYERS` says; keys of its `CONFIG` and
`TEST_CONFIG` that a `MemoryLayer` knows are kept.
"""

import importlib
import inspect
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from achannels import registry
from achannels.asgi import get_asgi_application
from achannels.layers.memory import MemoryLayer
from achannels.testing.clock import Clock
from achannels.testing.liveserver import LiveServer
from achannels.types import ASGIApplication


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting `channel_application`."""
    parser.addini(
        "channel_application",
        "dotted name of the application that the fixture channel_server serves, for example "
        "mysite.asgi:application; with Django, get_asgi_application() if it is not set",
        default="",
    )


@pytest.fixture(autouse=True)
def _fresh_channel_layers(request: pytest.FixtureRequest) -> Iterator[Clock | None]:
    clock = Clock() if "channel_clock" in request.fixturenames else None
    before = {}
    for alias, settings in {"default": {}, **registry.configured()}.items():
        before[alias] = registry.set_channel_layer(_memory_layer(settings, clock), alias)
    yield clock
    for alias, layer in before.items():
        registry.set_channel_layer(layer, alias)


@pytest.fixture
def channel_layer(_fresh_channel_layers: object) -> MemoryLayer:
    """The `default` layer of the test: a `MemoryLayer` that nobody used before."""
    layer = registry.get_channel_layer()
    assert isinstance(layer, MemoryLayer)
    return layer


@pytest.fixture
def channel_clock(_fresh_channel_layers: Clock | None) -> Clock:
    """The clock of the test's layers; their time stands still until the test advances it."""
    assert _fresh_channel_layers is not None
    return _fresh_channel_layers


@pytest.fixture
def channel_application(request: pytest.FixtureRequest) -> ASGIApplication:
    """The application that `channel_server` serves; a project may override this fixture."""
    dotted = str(request.config.getini("channel_application"))
    if dotted:
        module, _, name = dotted.replace(":", ".").rpartition(".")
        application: ASGIApplication = getattr(importlib.import_module(module), name)
        return application
    if _django_is_configured():
        return get_asgi_application()
    raise pytest.UsageError(
        "the fixture channel_server does not know what to serve. Set channel_application = "
        "'module:name' in the settings of pytest, or override the fixture channel_application."
    )


@pytest.fixture
def channel_server(
    _fresh_channel_layers: object, channel_application: ASGIApplication
) -> Iterator[LiveServer]:
    """A real server on a free port, in a thread: `.url`, and `.websocket(path, user=...)`."""
    with LiveServer(channel_application) as server:
        yield server


def _memory_layer(settings: Any, clock: Clock | None) -> MemoryLayer:
    known = inspect.signature(MemoryLayer).parameters
    config = {**settings.get("CONFIG", {}), **settings.get("TEST_CONFIG", {})}
    options: dict[str, Any] = {key: value for key, value in config.items() if key in known}
    if clock is not None:
        options["clock"] = clock
    return MemoryLayer(**options)


def _django_is_configured() -> bool:
    """Whether this is a Django project; Django itself is not imported to find out."""
    conf = sys.modules.get("django.conf")
    if conf is not None:
        return bool(conf.settings.configured) or bool(os.environ.get("DJANGO_SETTINGS_MODULE"))
    return bool(os.environ.get("DJANGO_SETTINGS_MODULE"))


__all__ = ["channel_application", "channel_clock", "channel_layer", "channel_server"]
