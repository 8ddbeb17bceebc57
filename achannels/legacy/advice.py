"""What the source of a 1.x project tells about its move: what differs, and what has to change."""

import ast
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from achannels.dotted import near
from achannels.exceptions import InvalidName
from achannels.legacy.alias import MODULES, real_name
from achannels.names import check_channel, check_group

Kind = Literal["change", "differs"]

FOREIGN = {
    "daphne": "Serve the project with uvicorn, or with manage.py runserver.",
    "asgi_rabbitmq": "There is no layer over RabbitMQ here: use one over Redis or Valkey.",
    "asgiref.base_layer": "A layer of your own implements achannels.contracts.ChannelLayer.",
    "asgiref.conformance": "Use achannels.testing.layer_suite.",
}
"""Packages of the time that have no stand-in, and what to do."""

DJANGO = {
    "django.core.urlresolvers": "import from django.urls",
    "django.conf.urls.url": "use django.urls.re_path",
    "django.conf.urls.patterns": "use a list",
    "django.utils.six": "Python 2 is gone: use the name of Python 3",
    "django.utils.encoding.force_text": "use force_str",
    "django.utils.encoding.smart_text": "use smart_str",
    "django.utils.encoding.python_2_unicode_compatible": "leave it out",
    "django.utils.translation.ugettext": "use gettext",
    "django.utils.translation.ugettext_lazy": "use gettext_lazy",
    "django.utils.http.urlquote": "use urllib.parse.quote",
    "django.contrib.staticfiles.templatetags.staticfiles": "use django.templatetags.static",
}
"""What Django has dropped since 1.11 that such projects use most, and what is there instead."""

REPLY_PREFIXES = ("daphne.response", "http.response", "websocket.send")


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """One remark.

    Attributes:
        line: Of the file.
        kind: `"change"`: it does not run as it is. `"differs"`: it runs, and does not do quite the
            same.
        text: What, and what to do.
    """

    line: int
    kind: Kind
    text: str


def uses_channels(source: str) -> bool:
    """Return whether a file has anything to do with Channels or its layers."""
    return any(word in source for word in ("channels", "asgi", "daphne"))


def look(source: str) -> list[Note]:
    """Return the remarks on the source of a module, in the order of its lines."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        text = f"this is no Python 3: {error.msg}. Run 2to3 or pyupgrade over the project."
        return [Note(error.lineno or 1, "change", text)]
    return sorted({note for node in ast.walk(tree) for rule in _RULES for note in rule(node)})


def _imports(node: ast.AST) -> Iterator[Note]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield from _module(node.lineno, alias.name)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        notes = list(_module(node.lineno, node.module))
        yield from notes
        for alias in () if notes else node.names:
            yield from _name(node.lineno, node.module, alias.name)


def _module(line: int, module: str) -> Iterator[Note]:
    for name, advice in FOREIGN.items():
        if f"{module}.".startswith(f"{name}."):
            yield Note(line, "change", f"{module} is not there. {advice}")
            return
    for name, advice in DJANGO.items():
        if f"{module}.".startswith(f"{name}."):
            yield Note(line, "change", f"Django has no {name} any more: {advice}.")
            return
    real = real_name(module)
    if real is not None and not _exists(real):
        yield Note(line, "change", f"{module} was no module of Channels 1.1, and is none here.")


def _name(line: int, module: str, name: str) -> Iterator[Note]:
    if advice := DJANGO.get(f"{module}.{name}"):
        yield Note(line, "change", f"Django has no {module}.{name} any more: {advice}.")
    real = real_name(module)
    if real is None or name == "*":
        return
    found = importlib.import_module(real)
    if not hasattr(found, name) and not _exists(f"{real}.{name}"):
        text = f"{module} has no {name!r}.{near(name, getattr(found, '__all__', ()))}"
        yield Note(line, "change", text)
    elif module in MODULES and "ipc" in module:
        yield Note(
            line, "differs", "the layer of asgi_ipc reaches one process; several need Redis."
        )


def _calls(node: ast.AST) -> Iterator[Note]:
    if not isinstance(node, ast.Call):
        return
    name = node.func.id if isinstance(node.func, ast.Name) else None
    if name in ("Group", "Channel") and node.args and isinstance(node.args[0], ast.Constant):
        yield from _checked(node, check_group if name == "Group" else check_channel)
    for keyword in node.keywords:
        if keyword.arg == "slight" and _is_true(keyword.value):
            yield Note(node.lineno, "change", "slight ordering is gone: leave slight=True out.")
    is_send = isinstance(node.func, ast.Attribute) and node.func.attr == "send"
    if is_send and node.args and isinstance(node.args[0], ast.Dict):
        yield from _sent(node.args[0])
    called = ast.unparse(node.func)
    if node.args and called == "self.close":
        yield from _code(node.args[0])
    elif node.args and called.endswith("WebsocketCloseException"):
        yield from _code(node.args[0], always=True)


def _checked(node: ast.Call, check: Callable[[str], str]) -> Iterator[Note]:
    value = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
    if isinstance(value, str):
        try:
            check(value)
        except InvalidName as error:
            yield Note(node.lineno, "change", str(error))


def _sent(content: ast.Dict) -> Iterator[Note]:
    for key, value in zip(content.keys, content.values, strict=True):
        if isinstance(key, ast.Constant) and key.value == "close":
            yield from _code(value)


def _code(value: ast.expr, *, always: bool = False) -> Iterator[Note]:
    code = value.value if isinstance(value, ast.Constant) else None
    if type(code) is int and code != 1000 and not 3000 <= code <= 4999:
        unless = "" if always else ", except where it refuses a socket in connect"
        text = f"a close code is 1000 or 3000 to 4999; {code} raises{unless}."
        yield Note(value.lineno, "change", text)


def _attributes(node: ast.AST) -> Iterator[Note]:
    if isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "slight_ordering" for target in node.targets
    ):
        yield Note(node.lineno, "change", "slight ordering is gone: use strict_ordering.")


def _texts(node: ast.AST) -> Iterator[Note]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        if node.value.startswith(REPLY_PREFIXES):
            text = (
                f"names of reply channels do not begin with {node.value!r} any more: they are made "
                "of the server's process and a number that nobody can guess."
            )
            yield Note(node.lineno, "differs", text)
        elif node.value == "asgi_ipc.IPCChannelLayer":
            yield Note(node.lineno, "differs", "asgi_ipc reaches one process; several need Redis.")
        elif node.value.startswith("asgi_rabbitmq."):
            yield Note(node.lineno, "change", FOREIGN["asgi_rabbitmq"])


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # what stands before the last dot is no package
        return False


def _is_true(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and bool(node.value)


_RULES: tuple[Callable[[ast.AST], Iterator[Note]], ...] = (_imports, _calls, _attributes, _texts)


def starts_before_settings(path: Path, source: str) -> Note | None:
    """Return a remark on an `asgi.py` that imports `channels` before the settings do."""
    if path.name != "asgi.py" or "achannels" in source or "channels" not in source:
        return None
    text = (
        "the server imports this before the settings. Begin it with `import achannels.legacy` and "
        "`achannels.legacy.install()`, or use `from achannels.asgi import get_asgi_application`."
    )
    return Note(1, "change", text)


__all__ = ["Note", "look", "starts_before_settings", "uses_channels"]
