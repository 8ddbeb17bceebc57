"""Which layer an alias stands for: looked up at each call, so tests can swap a layer.

Layers are made at their first use from a `CHANNEL_LAYERS` mapping; with none, `default` is a
`MemoryLayer`.
"""

import difflib
import importlib
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from achannels.backends import BACKENDS, MEMORY
from achannels.contracts import ChannelLayer
from achannels.exceptions import ConfigurationError

KEYS = frozenset({"BACKEND", "ROUTING", "CONFIG", "TEST_CONFIG"})

_INSTALL = " Run: pip install 'achannels[redis]'"

_configs: dict[str, Mapping[str, Any]] = {}
_layers: dict[str, ChannelLayer] = {}


def configure(layers: Mapping[str, Mapping[str, Any]]) -> None:
    """Take `CHANNEL_LAYERS`. Layers made before stay as they are."""
    _configs.clear()
    _configs.update(layers)


def configured() -> Mapping[str, Mapping[str, Any]]:
    """Return what `configure` was given."""
    return _configs


def get_channel_layer(alias: str = "default") -> ChannelLayer:
    """Return the layer of an alias; it is made at the first call.

    Raises:
        ConfigurationError: There is no such alias, or its settings are wrong.
    """
    try:
        return _layers[alias]
    except KeyError:
        pass
    # Threads that come at the same moment make one each, and all get the one that was first.
    return _layers.setdefault(alias, make_layer(alias))


def make_layer(alias: str = "default", config: Mapping[str, Any] | None = None) -> ChannelLayer:
    """Make a layer from its settings without registering it.

    Args:
        alias: Whose settings.
        config: Settings to take in their place.

    Raises:
        ConfigurationError: There is no such alias, or its settings are wrong.
    """
    if config is not None:
        return _build(alias, config)
    if alias not in _configs:
        if alias == "default":
            return _build(alias, {"BACKEND": MEMORY})
        known = ", ".join(sorted({"default", *_configs}))
        raise ConfigurationError(
            f"there is no channel layer {alias!r}; CHANNEL_LAYERS has {known}."
        )
    return _build(alias, _configs[alias])


def set_channel_layer(layer: ChannelLayer | None, alias: str = "default") -> ChannelLayer | None:
    """Register a layer under an alias (`None` forgets it) and return the one before."""
    if layer is None:
        return _layers.pop(alias, None)
    before = _layers.get(alias)
    _layers[alias] = layer
    return before


def adopt(layer: ChannelLayer, alias: str = "default") -> bool:
    """Register a layer under an alias that stands for nothing yet, and return whether it did.

    An alias that settings name, or whose layer was made already, stays what it is.
    """
    if alias in _configs or alias in _layers:
        return False
    _layers[alias] = layer
    return True


@contextmanager
def override(layer: ChannelLayer, alias: str = "default") -> Iterator[ChannelLayer]:
    """Have the alias stand for `layer` inside the `with` block."""
    before = set_channel_layer(layer, alias)
    try:
        yield layer
    finally:
        set_channel_layer(before, alias)


def backend_class(alias: str, config: Mapping[str, Any]) -> type:
    """Return the class that `BACKEND` names.

    Raises:
        ConfigurationError: It is missing, or cannot be imported.
    """
    path = config.get("BACKEND", MEMORY)
    place = f"CHANNEL_LAYERS[{alias!r}]['BACKEND']"
    if isinstance(path, type):
        return path
    if not isinstance(path, str) or "." not in path:
        raise ConfigurationError(
            f"{place} is {path!r}; give a dotted path, for example {MEMORY!r}."
        )
    ours, _ = BACKENDS.get(path, (path, None))
    module_name, _, name = ours.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        package = (getattr(error, "name", None) or "").partition(".")[0]
        advice = _INSTALL if package == "redis" else ""
        raise ConfigurationError(
            f"{place} is {path!r}, which cannot be imported: {error}.{advice}"
        ) from error
    if not isinstance(found, type):
        raise ConfigurationError(f"{place} is {path!r}, which is not a class.")
    return found


def _build(alias: str, config: Mapping[str, Any]) -> ChannelLayer:
    backend = backend_class(alias, config)
    options = config.get("CONFIG", {})
    if not isinstance(options, Mapping):
        raise ConfigurationError(
            f"CHANNEL_LAYERS[{alias!r}]['CONFIG'] is {options!r}; it must be a dict."
        )
    old = BACKENDS.get(str(config.get("BACKEND")))
    if old is not None:
        options = old[1](options)
    known = inspect.signature(backend).parameters
    for key in options:
        if key not in known and not any(p.kind is p.VAR_KEYWORD for p in known.values()):
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
            raise ConfigurationError(
                f"CHANNEL_LAYERS[{alias!r}]['CONFIG'] has the unknown key {key!r}. {hint}"
            )
    layer: ChannelLayer = backend(**options)
    return layer


__all__ = [
    "KEYS",
    "MEMORY",
    "adopt",
    "backend_class",
    "configure",
    "configured",
    "get_channel_layer",
    "make_layer",
    "override",
    "set_channel_layer",
]
