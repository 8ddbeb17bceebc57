"""System checks: what is wrong in the settings, and what to write instead."""

import ast
import asyncio
import re
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from django.conf import settings
from django.core import checks

from achannels import registry
from achannels.asgi.origin import OriginCheck
from achannels.asgi.settings import resolve
from achannels.auth import get_user_loader
from achannels.django import commands, conf, reload
from achannels.django.sessions import sessions_in
from achannels.exceptions import ConfigurationError
from achannels.layers.memory import MemoryLayer
from achannels.options import Options
from achannels.routing import Router
from achannels.sessions import get_http_sessions

TAG = "achannels"

_ELSEWHERE = ("<", str(Path(__file__).parent.parent), sysconfig.get_path("stdlib"))
"""How the names of files begin that are none of the project's: this package, Python itself."""

Messages = Iterator[checks.CheckMessage]

_HINTS = {
    "E003": f"Give the dotted name of a layer, for example {registry.MEMORY!r}.",
    "E004": "Correct it, or leave it out: each key of CONFIG has a default.",
    "E006": "Correct it, or leave it out: each key of ACHANNELS has a default.",
    "E007": "Mend what is named, or take it out of the routing.",
}
"""What to do where a text says only what is wrong."""

_NUMBERS = {"unusable": "E010", "old": "E011", "evicts": "W006"}


class Problem(Protocol):
    """Something to mend."""

    @property
    def kind(self) -> str:
        """A key of `_NUMBERS`."""

    @property
    def text(self) -> str:
        """What is wrong, then what to do."""


@runtime_checkable
class Inspected(Protocol):
    """A layer that can tell what is wrong with its servers."""

    async def problems(self) -> Sequence[Problem]:
        """Connect to the servers and return what is wrong."""


def register() -> None:
    """Have Django run the checks."""
    checks.register(check_layers, TAG)
    checks.register(check_settings, TAG)
    checks.register(check_routing, TAG)
    checks.register(check_server, TAG)
    checks.register(check_deployment, TAG, deploy=True)
    checks.register(check_layer_servers, TAG, deploy=True)


def check_layers(**kwargs: Any) -> list[checks.CheckMessage]:
    """Check `CHANNEL_LAYERS`."""
    try:
        layers = conf.layers()
    except ConfigurationError as error:
        return [_error("E001", error)]
    found = [message for alias in layers for message in _layer(alias, layers[alias])]
    return [*_no_default(layers), *found]


def check_settings(**kwargs: Any) -> list[checks.CheckMessage]:
    """Check `ACHANNELS` and its variables in the environment."""
    try:
        conf.keywords()
    except ConfigurationError as error:
        return [_error("E005", error)]
    try:
        values = conf.application_settings()
    except ConfigurationError as error:
        return [_error("E006", error)]
    problems = (
        _raised(OriginCheck, values.allowed_origins),
        _raised(resolve, "USER", values.user),
        _raised(resolve, "LIFESPAN", values.lifespan),
        _raised(sessions_in, values.channel_session_engine),
    )
    return [_error("E006", problem) for problem in problems if problem is not None]


def check_routing(**kwargs: Any) -> list[checks.CheckMessage]:
    """Check the routing, and that what its consumers ask for can be loaded."""
    try:
        routing = conf.routing()
    except ConfigurationError:
        return []  # that is E001
    if isinstance(routing, list) and not routing:
        return list(_no_routing())
    try:
        router = Router(routing)
        consumers = [(consumer, Options.of(consumer)) for consumer in router.consumers()]
    except Exception as error:  # noqa: BLE001 - whatever the project's modules raise
        return [_broken(routing, error)]
    return [message for each, options in consumers for message in _unloaded(each, options)]


def check_server(**kwargs: Any) -> list[checks.CheckMessage]:
    """Check what serves the project: `asgi.py`, and whose `runserver` runs."""
    return [*_plain_asgi(), *_other_runserver()]


def check_deployment(**kwargs: Any) -> list[checks.CheckMessage]:
    """Check what matters only where the site is deployed."""
    try:
        layers = {"default": {}, **conf.layers()}
        kinds = {alias: registry.backend_class(alias, layer) for alias, layer in layers.items()}
    except ConfigurationError:
        return []  # those are E001 and E003
    return [
        checks.Warning(
            f"The channel layer {alias!r} is a MemoryLayer: each process has its own, and a message "
            "from one does not reach another.",
            hint="Use achannels.layers.redis.RedisLayer, or run one process and silence this check.",
            id="achannels.W004",
        )
        for alias, kind in kinds.items()
        if issubclass(kind, MemoryLayer)
    ]


def check_layer_servers(**kwargs: Any) -> list[checks.CheckMessage]:
    """Connect to the servers of the layers and check that they are fit for it."""
    found: list[checks.CheckMessage] = []
    for alias in conf.layers() if _raised(conf.layers) is None else ():
        if _raised(registry.make_layer, alias) is None:  # else that is E003 or E004
            found += _server_problems(alias, registry.make_layer(alias))
    return found


def _server_problems(alias: str, layer: object) -> Messages:
    if not isinstance(layer, Inspected):
        return
    place = f"CHANNEL_LAYERS[{alias!r}]"
    if "hosts" not in conf.layers()[alias].get("CONFIG", {}):
        yield checks.Warning(
            f"{place}['CONFIG'] has no 'hosts': the layer uses a server on this machine.",
            hint="Write where it is: 'hosts': ['redis://localhost:6379/0'].",
            id="achannels.W005",
        )
    for problem in asyncio.run(layer.problems()):
        text, hint = _split(problem.text)
        kind = checks.Warning if problem.kind == "evicts" else checks.Error
        yield kind(f"{place}: {text}", hint=hint, id=f"achannels.{_NUMBERS[problem.kind]}")


def _no_default(layers: Mapping[str, Any]) -> Messages:
    if layers and "default" not in layers:
        yield checks.Warning(
            "CHANNEL_LAYERS has no 'default': what names no other layer uses a MemoryLayer.",
            hint=f"Call one of these 'default': {', '.join(map(repr, sorted(layers)))}.",
            id="achannels.W007",
        )


def _layer(alias: str, config: Mapping[str, Any]) -> Messages:
    place = f"CHANNEL_LAYERS[{alias!r}]"
    for key in config:
        if key not in registry.KEYS:
            yield _error("E002", conf.unknown_key(place, key, registry.KEYS))
    try:
        kind = registry.backend_class(alias, config)
    except ConfigurationError as error:
        yield _error("E003", error)
        return
    for key in ("CONFIG", "TEST_CONFIG"):
        if not isinstance(config.get(key, {}), Mapping):
            yield _error("E004", f"{place}[{key!r}] is {config[key]!r}. Write a dict.")
            return
    if (problem := _raised(registry.make_layer, alias)) is not None:
        yield _error("E004", problem)
    known = {*signature(kind).parameters, *signature(MemoryLayer).parameters}
    for key in config.get("TEST_CONFIG", {}):
        if key not in known:
            yield _error("E004", conf.unknown_key(f"{place}['TEST_CONFIG']", key, known))


def _no_routing() -> Messages:
    module = conf.default_module()
    if module is None:
        return
    yield checks.Warning(
        f"There is no routing: the module {module} does not exist, so no consumer is ever called.",
        hint=f"Write it with a list {conf.VARIABLE}, or set CHANNEL_LAYERS['default']['ROUTING'].",
        id="achannels.W002",
    )


def _broken(routing: object, error: Exception) -> checks.CheckMessage:
    text = str(error)
    if not isinstance(error, ConfigurationError):
        text = f"routing {routing!r}: {type(error).__name__}: {error}"
    message, hint = _split(text)
    lines = list(_lines(error))
    if lines:
        reload.watch(file for file, _ in lines)
        hint = " ".join(filter(None, [hint, "See {}, line {}.".format(*lines[-1])]))
    return checks.Error(message, hint=hint or _HINTS["E007"], id="achannels.E007")


def _lines(error: BaseException | None) -> Iterator[tuple[str, int | None]]:
    """Give the lines of the project where an import or a route failed, the deepest last."""
    while error is not None:
        for frame in traceback.extract_tb(error.__traceback__):
            if not frame.filename.startswith(_ELSEWHERE):
                yield frame.filename, frame.lineno
        if isinstance(error, SyntaxError) and error.filename:
            yield error.filename, error.lineno
        error = error.__cause__ or error.__context__


def _unloaded(consumer: Any, options: Options) -> Messages:
    name = f"{consumer.__module__}.{getattr(consumer, '__qualname__', type(consumer).__name__)}"
    if options.http_session and get_http_sessions() is None:
        yield checks.Error(
            f"{name} asks for http_session, and 'django.contrib.sessions' is not installed.",
            hint="Put it into INSTALLED_APPS, or leave the decorator out.",
            id="achannels.E008",
        )
    if options.http_user and get_user_loader() is None and conf.keywords().get("user") is None:
        yield checks.Error(
            f"{name} asks for http_user, and nothing says who the user is: "
            "'django.contrib.auth' and 'django.contrib.sessions' are not both installed.",
            hint="Put them into INSTALLED_APPS, or set ACHANNELS['USER'].",
            id="achannels.E009",
        )


def _plain_asgi() -> Messages:
    dotted = getattr(settings, "ASGI_APPLICATION", None)
    module = dotted.rpartition(".")[0] if isinstance(dotted, str) else _asgi_module()
    source = _source(module)
    if source is None:
        return
    names = set(_imported(source))
    if "django.core.asgi" in names and not any(f"{n}.".startswith("achannels.") for n in names):
        yield checks.Warning(
            f"{module} makes Django's plain application: other servers than runserver will answer "
            "no WebSocket.",
            hint="Change its import to: from achannels.asgi import get_asgi_application",
            id="achannels.W001",
        )


def _asgi_module() -> str | None:
    """Return where `startproject` puts the ASGI application: beside the WSGI one."""
    for name in (getattr(settings, "WSGI_APPLICATION", None), settings.SETTINGS_MODULE):
        if isinstance(name, str) and "." in name:
            return f"{name.split('.')[0]}.asgi"
    return None


def _source(module: str | None) -> ast.Module | None:
    """Return the parsed text of a module, which is not imported."""
    try:
        spec = find_spec(module) if module else None
        return ast.parse(Path(spec.origin).read_bytes()) if spec and spec.origin else None
    except (ImportError, OSError, SyntaxError, ValueError):
        return None


def _imported(source: ast.Module) -> Iterator[str]:
    for node in ast.walk(source):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module


def _other_runserver() -> Messages:
    other = commands.others_runserver()
    if other is not None:
        yield checks.Warning(
            f"manage.py runserver is the command of {other!r}, not the one of achannels: WebSockets "
            "are served only if that one serves asgi.py.",
            hint=f"Take {other!r} out of INSTALLED_APPS in development, or silence this check.",
            id="achannels.W003",
        )


def _raised(call: Callable[..., Any], *args: Any) -> Exception | None:
    try:
        call(*args)
    except Exception as error:  # noqa: BLE001 - a layer of someone else may raise anything
        return error
    return None


def _error(number: str, error: object) -> checks.Error:
    message, hint = _split(str(error))
    return checks.Error(message, hint=hint or _HINTS[number], id=f"achannels.{number}")


def _split(text: str) -> tuple[str, str | None]:
    """Split a text into what is wrong, its first sentence or clause, and what to do."""
    parts = re.split(r"\. (?=[A-Z])", text, maxsplit=1)
    message, *rest = parts if len(parts) == 2 else text.split("; ", 1)
    return (f"{message}.", rest[0][0].upper() + rest[0][1:]) if rest else (message, None)


__all__ = [
    "check_deployment",
    "check_layer_servers",
    "check_layers",
    "check_routing",
    "check_server",
    "check_settings",
    "register",
]
