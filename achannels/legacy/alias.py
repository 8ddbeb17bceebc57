"""The old names: `channels.X` is `achannels.legacy.X`, one module under two names."""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from achannels.exceptions import ConfigurationError

LEGACY = "achannels.legacy"

MODULES = {
    "asgiref.inmemory": f"{LEGACY}.inmemory",
    "asgi_redis": f"{LEGACY}.redis",
    "asgi_ipc": f"{LEGACY}.ipc",
}
"""Modules of other packages of the time, and what stands in for them."""


def refuse_beside_another() -> None:
    """Raise if this environment has a package of its own that is imported as `channels`.

    Raises:
        ConfigurationError: It has; the text says where, and what to do.
    """
    origin = another()
    if origin is None:
        return
    try:
        name = f"the package channels {version('channels')}"
        advice = "Uninstall it (pip uninstall channels)"
    except PackageNotFoundError:
        name = "a package 'channels' of your own"
        advice = "Give that package another name"
    raise ConfigurationError(
        f"achannels.legacy.install() puts Channels 1.x at the name 'channels', and that is taken by "
        f"{name} in {origin}. {advice}, or write `from achannels.legacy import ...` in place of "
        "`from channels import ...`, and install(names=False)."
    )


def another() -> str | None:
    """Return the file of a package `channels` that is not this one, `None` if there is none."""
    loaded = sys.modules.get("channels")
    if loaded is not None and loaded.__name__ == LEGACY:
        return None
    return getattr(loaded, "__file__", None) or _found("channels")


def _found(name: str) -> str | None:
    """Return the file of a package that could be imported, which is not done."""
    spec = PathFinder.find_spec(name)
    return spec.origin if spec is not None else None


class AliasFinder(MetaPathFinder):
    """Finds the modules of Channels 1.x here."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load a module of an old name; `None` for any other."""
        real = real_name(fullname)
        if real is None or importlib.util.find_spec(real) is None:
            return None
        return ModuleSpec(fullname, AliasLoader(real), is_package=False)


class AliasLoader(Loader):
    """Gives the module of the new name."""

    def __init__(self, real: str) -> None:
        self._real = real
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module of the new name, imported."""
        module = importlib.import_module(self._real)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Give the module its own spec back; it was executed already."""
        module.__spec__ = self._spec


def real_name(fullname: str) -> str | None:
    """Return the module that an old name stands for, `None` for a name that is none."""
    if fullname in MODULES:
        return MODULES[fullname]
    package, dot, rest = fullname.partition(".")
    if package != "channels":
        return None
    return f"{LEGACY}{dot}{rest}"


def put_in_place() -> None:
    """Have the old names found; more than once does nothing."""
    if not any(isinstance(finder, AliasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, AliasFinder())


__all__ = [
    "LEGACY",
    "MODULES",
    "AliasFinder",
    "another",
    "put_in_place",
    "real_name",
    "refuse_beside_another",
]
