"""`channels.asgi`: the layers of `CHANNEL_LAYERS`, with blocking methods and with their routing."""

from collections.abc import Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import django
from django.apps import apps
from django.conf import settings

from achannels import registry
from achannels.asgi import Application, get_asgi_application
from achannels.contracts import ChannelLayer
from achannels.dotted import load
from achannels.exceptions import ConfigurationError
from achannels.layers.memory import MemoryLayer
from achannels.legacy.facade import LayerFacade
from achannels.legacy.routing import Router
from achannels.legacy.utils import name_that_thing
from achannels.routing import BaseRoute
from achannels.types import Receive, Scope, Send

DEFAULT_CHANNEL_LAYER = "default"

_ROUTING = "achannels.django.conf.routing"
"""Imported when it is asked, since the settings import this module in their first lines."""


class InvalidChannelLayerError(ConfigurationError):
    """An entry of `CHANNEL_LAYERS` is wrong; the text names its alias."""


class ChannelLayerWrapper:
    """A layer with its alias and its routing; all else is the layer's.

    Args:
        channel_layer: The layer with blocking methods.
        alias: Its key in `CHANNEL_LAYERS`.
        routing: A list or dict of routes, or its dotted name.

    Attributes:
        channel_layer: As given.
        alias: As given.
        routing: As given.
    """

    def __init__(self, channel_layer: LayerFacade, alias: str, routing: Any) -> None:
        self.channel_layer = channel_layer
        self.alias = alias
        self.routing = routing
        self._router: Router | None = None

    @property
    def router(self) -> Router:
        """The router of its routing."""
        if self._router is None:
            self._router = Router(self.routing, channel_layers.added(self.alias, self.routing))
        return self._router

    @router.setter
    def router(self, router: Router) -> None:
        self._router = router

    def __getattr__(self, name: str) -> Any:
        return getattr(self.channel_layer, name)

    def __str__(self) -> str:
        return f"{self.alias} ({name_that_thing(self.channel_layer.layer)})"

    def local_only(self) -> bool:
        """Return whether it carries nothing between processes."""
        return isinstance(self.channel_layer.layer, MemoryLayer)


def core_layer_of(layer: "AnyLayer") -> ChannelLayer:
    """Return the layer under what 1.x sees of it."""
    if isinstance(layer, ChannelLayerWrapper):
        layer = layer.channel_layer
    return layer.layer if isinstance(layer, LayerFacade) else layer


AnyLayer = ChannelLayerWrapper | LayerFacade | ChannelLayer
"""What may be given as a layer."""


class ChannelLayerManager:
    """The layers by alias; each is made when it is first asked for.

    What it gives for an alias is a view of the layer that `achannels.get_channel_layer` returns for
    it: who swaps one swaps both.

    Attributes:
        backends: What was made or set, by alias.
    """

    def __init__(self) -> None:
        self.backends: dict[str, ChannelLayerWrapper] = {}
        self._facades: WeakKeyDictionary[Any, LayerFacade] = WeakKeyDictionary()
        self._added: list[tuple[str, Any, list[BaseRoute]]] = []

    @property
    def configs(self) -> Mapping[str, Mapping[str, Any]]:
        """The setting `CHANNEL_LAYERS`."""
        found: Mapping[str, Mapping[str, Any]] = getattr(settings, "CHANNEL_LAYERS", {})
        return found

    def __contains__(self, alias: object) -> bool:
        return alias in self.configs

    def __iter__(self) -> Iterator[str]:
        return iter(self.configs)

    def __getitem__(self, alias: str) -> ChannelLayerWrapper:
        known = alias == DEFAULT_CHANNEL_LAYER or alias in self.configs
        if not known and alias not in self.backends:
            raise KeyError(alias)
        try:
            layer = registry.get_channel_layer(alias)
        except ConfigurationError as error:
            raise _invalid(alias, error) from error
        wrapper = self.backends.get(alias)
        if wrapper is None or wrapper.channel_layer.layer is not layer:
            wrapper = self._wrap(alias, layer)
            self.backends[alias] = wrapper
        return wrapper

    def set(self, alias: str, wrapper: ChannelLayerWrapper | None) -> ChannelLayerWrapper | None:
        """Have an alias stand for another layer, and return the one before, if there was one."""
        before = self.backends.pop(alias, None)
        if wrapper is not None:
            self.backends[alias] = wrapper
        registry.set_channel_layer(wrapper.channel_layer.layer if wrapper else None, alias)
        return before

    def make_backend(self, alias: str) -> ChannelLayerWrapper:
        """Make a layer from its settings; it is not kept.

        Raises:
            KeyError: There is no such alias.
            InvalidChannelLayerError: Its settings are wrong.
        """
        return self._make(alias, "CONFIG")

    def make_test_backend(self, alias: str) -> ChannelLayerWrapper:
        """Make a layer from its settings with `TEST_CONFIG` in place of `CONFIG`; it is not kept.

        Raises:
            KeyError: There is no such alias.
            InvalidChannelLayerError: Its settings are wrong, or have no `TEST_CONFIG`.
        """
        if "TEST_CONFIG" not in self.configs[alias]:
            raise InvalidChannelLayerError(f"CHANNEL_LAYERS[{alias!r}] has no TEST_CONFIG.")
        return self._make(alias, "TEST_CONFIG")

    def added(self, alias: str, routing: Any) -> list[BaseRoute]:
        """Return the routes that were added to the router of an alias, behind a routing of it.

        They outlive the layer, which is made anew when the apps are ready.
        """
        for each, of, routes in self._added:
            if each == alias and of == routing:
                return routes
        added: list[BaseRoute] = []
        self._added.append((alias, routing, added))
        return added

    def over(self, layer: ChannelLayer) -> LayerFacade:
        """Return the blocking methods over a layer."""
        facade = self._facades.get(layer)
        if facade is None:
            facade = self._facades[layer] = LayerFacade(layer)
        return facade

    def _make(self, alias: str, key: str) -> ChannelLayerWrapper:
        config = self.configs[alias]
        if "BACKEND" not in config:
            raise InvalidChannelLayerError(f"CHANNEL_LAYERS[{alias!r}] has no BACKEND.")
        try:
            layer = registry.make_layer(alias, {**config, "CONFIG": config.get(key, {})})
        except ConfigurationError as error:
            raise _invalid(alias, error) from error
        return self._wrap(alias, layer, key)

    def _wrap(self, alias: str, layer: ChannelLayer, key: str = "CONFIG") -> ChannelLayerWrapper:
        config = self.configs.get(alias, {})
        facade = self._facades[layer] = LayerFacade(layer, config.get(key))
        routing = config.get("ROUTING")
        if routing is None and alias == DEFAULT_CHANNEL_LAYER:
            routing = load(_ROUTING)() or None  # where a module of that name is
        if routing is None and alias in self.configs:
            raise InvalidChannelLayerError(
                f"CHANNEL_LAYERS[{alias!r}] has no ROUTING. Give a list of routes or its dotted "
                "name, for example 'mysite.routing.channel_routing'."
            )
        return ChannelLayerWrapper(facade, alias, [] if routing is None else routing)


def _invalid(alias: str, error: ConfigurationError) -> InvalidChannelLayerError:
    text = str(error)
    place = f"CHANNEL_LAYERS[{alias!r}]"
    return InvalidChannelLayerError(text if place in text else f"{place}: {text}")


class ProjectLayer(LayerFacade):
    """The layer of a project, as its `asgi.py` makes it; a server can be started with it.

    `uvicorn mysite.asgi:channel_layer` serves the project, as `mysite.asgi:application` would.
    """

    _application: Application | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection."""
        if self._application is None:
            self._application = get_asgi_application()
        await self._application(scope, receive, send)


def get_channel_layer(alias: str = DEFAULT_CHANNEL_LAYER) -> ProjectLayer:
    """Prepare Django and return a layer with its blocking methods, for an `asgi.py`."""
    if not apps.ready:
        django.setup(set_prefix=False)
    facade = channel_layers[alias].channel_layer
    return ProjectLayer(facade.layer, channel_layers.configs.get(alias, {}).get("CONFIG"))


channel_layers = ChannelLayerManager()
"""The layers of `CHANNEL_LAYERS`."""

__all__ = [
    "DEFAULT_CHANNEL_LAYER",
    "AnyLayer",
    "ChannelLayerManager",
    "ChannelLayerWrapper",
    "InvalidChannelLayerError",
    "channel_layers",
    "core_layer_of",
    "get_channel_layer",
]
