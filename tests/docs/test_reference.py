"""The reference says what the code says: settings, errors, texts of errors, public names."""

import asyncio
import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from achannels import Channel, Group, exceptions, registry, sync
from achannels.asgi import Application
from achannels.asgi.settings import Lifespan, SettingKeywords, Settings, UserFunction
from achannels.backends import BACKENDS
from achannels.exceptions import ChannelFull, MessageTooLarge
from achannels.message import Message
from tests.docs.snippets import TEXTS

SETTINGS = TEXTS["docs/reference/settings.md"]
ERRORS = TEXTS["docs/reference/errors.md"]
API = TEXTS["docs/reference/api.md"]


def tables(text: str, first: str) -> Iterator[dict[str, str]]:
    """Yield the rows of all tables of a page whose first column has this head."""
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, _, *rows = [
            [cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()
        ]
        if head[0] == first:
            yield from (dict(zip(head, row, strict=True)) for row in rows)


def code(cell: str) -> str:
    """Return what stands in backticks."""
    return cell.strip().strip("`")


# Settings.

ROWS = {code(row["key"]): row for row in tables(SETTINGS, "key") if "variable" in row}

TYPES: dict[Any, str] = {
    int: "`int`",
    float: "`float`",
    bool: "`bool`",
    Sequence[str]: "list of `str`",
    Iterable[str] | None: "list of `str` or `None`",
    str | None: "dotted name or `None`",
    str | UserFunction | None: "function, dotted name or `None`",
    str | Lifespan | None: "async context manager, dotted name or `None`",
}
"""Types as the table writes them."""


def type_in_words(hint: Any) -> str:
    """Return a type as the table writes it."""
    if hint in TYPES:
        return TYPES[hint]
    *most, last = [f'`"{word}"`' for word in get_args(hint)]
    return f"{', '.join(most)} or {last}" if most else last


def test_every_setting_is_there_once() -> None:
    rows = [code(row["key"]) for row in tables(SETTINGS, "key") if "variable" in row]
    assert sorted(rows) == sorted(field.name.upper() for field in fields(Settings))


@pytest.mark.parametrize("field", fields(Settings), ids=lambda field: field.name)
def test_a_setting_has_its_default_and_its_type(field: Any) -> None:
    row = ROWS[field.name.upper()]
    assert eval(code(row["default"])) == field.default
    assert row["type"] == type_in_words(get_type_hints(Settings)[field.name])


@pytest.mark.parametrize("field", fields(Settings), ids=lambda field: field.name)
def test_a_setting_is_a_keyword_and_a_variable_where_the_table_says_so(
    field: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, hint = field.name.upper(), get_type_hints(Settings)[field.name]
    assert field.name in SettingKeywords.__annotations__
    another = get_args(hint)[-1] if get_origin(hint) is Literal else hint is bool or 7
    monkeypatch.setenv(f"ACHANNELS_{key}", str(another))
    application = Application([], **{field.name: field.default})
    is_variable = ROWS[key]["variable"] == "yes"
    value = getattr(application.settings, field.name)
    assert value == (another if is_variable else field.default)


def test_the_keys_of_a_layer_and_the_old_backends_are_there() -> None:
    keys = {code(row["key"]) for row in tables(SETTINGS, "key") if "variable" not in row}
    assert keys == registry.KEYS
    old = dict(re.findall(r'^\| `BACKEND: "([\w.]+)"` \| `([\w.]+)` \|$', SETTINGS, re.MULTILINE))
    assert old == {path: ours for path, (ours, _) in BACKENDS.items()}


def raised(call: Callable[[], object]) -> str:
    with pytest.raises(exceptions.AChannelsError) as error:
        call()
    return str(error.value)


def test_the_texts_of_wrong_settings_are_what_is_raised() -> None:
    (block,) = re.findall(r"```text\n(.*?)```", SETTINGS, re.DOTALL)
    assert block.splitlines() == [
        raised(lambda: Application([], outbox_capcity=1)),  # type: ignore[call-arg]
        raised(lambda: Application([], threads=0)),
    ]


# Errors.


def test_every_error_is_there_with_its_base_and_its_attributes() -> None:
    rows = {code(row["error"]): row for row in tables(ERRORS, "error")}
    assert sorted(rows) == sorted(exceptions.__all__)
    for name, row in rows.items():
        error = getattr(exceptions, name)
        others = [base for base in error.__bases__ if base is not exceptions.AChannelsError]
        base = others[0] if others else error.__bases__[0]
        assert row["is also"] == f"`{base.__name__}`"
        attributes = re.findall(r"`(\w+)`", row["attributes"])
        assert attributes == re.findall(r"self\.(\w+) = ", inspect.getsource(error)), name


async def test_the_texts_of_errors_are_what_is_raised() -> None:
    message = Message({}, Channel("websocket.receive"))
    message.consumer = "chat.consumers.ws_receive"
    (block,) = re.findall(r"```text\n(.*?)```", ERRORS, re.DOTALL)
    *lines, outside, on_loop, not_loaded = block.splitlines()
    assert lines == [
        raised(lambda: Group("chat-Zürich")),
        await _raised_by_a_date(),
        str(MessageTooLarge("uploads", 2_097_152, 1_048_576)),
        str(ChannelFull("thumbnails", 100)),
    ]
    assert outside == await asyncio.to_thread(raised, lambda: Group("news").send({}))
    assert on_loop == raised(lambda: sync.Group("news").send({}))
    assert not_loaded == raised(lambda: message.user)


async def _raised_by_a_date() -> str:
    with pytest.raises(exceptions.InvalidContent) as error:
        await Channel("news").send({"when": datetime.now()})
    return str(error.value)


# Public names.

MODULES = (
    "achannels",
    "achannels.sync",
    "achannels.consumers",
    "achannels.asgi",
    "achannels.layers.memory",
    "achannels.testing",
    "achannels.exceptions",
)
"""Modules whose names are all public. Of other modules the page has those that projects use."""


def documented() -> list[str]:
    """Return the names of the page: what a heading says, else what is documented."""
    found = re.findall(
        r"^::: ([\w.]+)\n(?:    options:\n      heading: ([\w.]+))?", API, re.MULTILINE
    )
    names = [heading or name for name, heading in found]
    if "achannels.exceptions" in names:
        names.remove("achannels.exceptions")
        names += [f"achannels.exceptions.{name}" for name in exceptions.__all__]
    return names


def test_every_public_name_is_there() -> None:
    names = [
        f"{module}.{name}" for module in MODULES for name in importlib.import_module(module).__all__
    ]
    assert [name for name in names if name not in documented()] == []


def test_every_name_there_can_be_imported() -> None:
    for dotted in documented():
        module, _, name = dotted.rpartition(".")
        imported = importlib.import_module(module)
        assert hasattr(imported, name), dotted
        assert name in imported.__all__, dotted


def test_every_member_there_exists() -> None:
    listed = re.findall(
        r"^::: ([\w.]+)\n    options:\n(?:      .*\n)*?      members: \[(.+)\]$", API, re.MULTILINE
    )
    assert listed
    for dotted, members in listed:
        module, _, name = dotted.rpartition(".")
        described = getattr(importlib.import_module(module), name)
        known = {*dir(described), *get_type_hints(described)}
        assert [each for each in members.split(", ") if each not in known] == [], dotted
