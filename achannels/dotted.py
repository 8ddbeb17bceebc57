"""Dotted names: what settings and routes say instead of the object itself."""

import difflib
import importlib
import pkgutil
import sys
from collections.abc import Iterable
from typing import Any

from achannels.exceptions import ConfigurationError


def load(dotted: str) -> Any:
    """Import the object that a dotted name names.

    Args:
        dotted: Module and name in it, `package.module.name`.

    Raises:
        ConfigurationError: There is no such module or name, or an import in it failed; the text
            has the nearest name. Other errors of the module pass.
    """
    module, _, name = dotted.rpartition(".")
    if not module or not all(part.isidentifier() for part in dotted.split(".")):
        raise ConfigurationError(f"{dotted!r} is no dotted name. Write 'package.module.name'.")
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        missing = error.name or ""
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{missing}."):
            raise ConfigurationError(
                f"there is no module {missing}.{_near_module(missing)}"
            ) from error
        raise ConfigurationError(f"importing {module} failed: {error}.") from error
    try:
        return getattr(found, name)
    except AttributeError:
        names = [each for each in dir(found) if not each.startswith("__")]
        raise ConfigurationError(f"module {module} has no {name!r}.{near(name, names)}") from None


def near(word: str, known: Iterable[str]) -> str:
    """Return ` Did you mean '…'?` with the known word nearest to `word`, or nothing."""
    found = difflib.get_close_matches(word, known, 1)
    return f" Did you mean {found[0]!r}?" if found else ""


def _near_module(missing: str) -> str:
    parent, _, name = missing.rpartition(".")
    path = getattr(sys.modules.get(parent), "__path__", None) if parent else None
    if parent and path is None:
        return ""
    return near(name, [each.name for each in pkgutil.iter_modules(path)])


__all__ = ["load", "near"]
