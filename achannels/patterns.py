"""What a filter may say: a Django path with converters, or a regular expression of Channels 1.x."""

import difflib
import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol
from uuid import UUID

from achannels.exceptions import ConfigurationError

Kind = Literal["path", "regex"]
"""The syntax of a filter: `"path"` is a Django path, `"regex"` a regular expression."""

FilterSource = str | bytes | re.Pattern[str]
"""A filter as the user writes it. `bytes` are ASCII."""

ToPython = Callable[[str], Any]


class Converter(Protocol):
    """What turns a piece of a Django path into a value: Django's own converter protocol.

    `to_python` raises `ValueError` for a text that matches `regex` but is not a value; the path then
    does not match.
    """

    regex: str

    def to_python(self, value: str, /) -> Any:
        """Return the value that `value` stands for."""


class Pattern(NamedTuple):
    """One compiled filter.

    Attributes:
        kind: Its syntax, which plain children of an include take over.
        match: Gives something true if a text matches; a `re.Match` when `read` is set, and always
            for the prefix of an include.
        read: Gives the keyword arguments of that `re.Match`, a fresh dict, or `None` when a
            converter refuses. `None` when the pattern has no keyword arguments.
    """

    kind: Kind
    match: Callable[[str], Any]
    read: Callable[[re.Match[str]], dict[str, Any] | None] | None

    def whole(self, value: object) -> dict[str, Any] | None:
        """Return the keyword arguments if `value` matches as a route's filter, else `None`."""
        text = value if type(value) is str else as_text(value)
        found = None if text is None else self.match(text)
        if not found:
            return None
        return {} if self.read is None else self.read(found)

    def prefix(self, value: object) -> tuple[dict[str, Any], str] | None:
        """Return the keyword arguments and the text that is left behind the match, or `None`."""
        text = value if type(value) is str else as_text(value)
        if text is None or not (found := self.match(text)):
            return None
        kwargs = {} if self.read is None else self.read(found)
        return None if kwargs is None else (kwargs, text[found.end() :])


NOTHING_LEFT = Pattern("path", {""}.__contains__, None)
"""What a route without a path takes inside a Django path: the end of it."""

# (regex, to_python); None keeps the text, so that the values can be read in one C call.
_converters: dict[str, tuple[str, ToPython | None]] = {
    "int": ("[0-9]+", int),
    "path": (".+", None),
    "slug": ("[-a-zA-Z0-9_]+", None),
    "str": ("[^/]+", None),
    "uuid": ("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", UUID),
}
_registered: dict[str, object] = {}

_PLAIN = re.compile(r"[\w/.~%-]*")
_PIECE = re.compile(r"<([^<>]*)>")
# A piece that is neither `(?P<name>`, nor a look-behind, nor escaped.
_STRAY = re.compile(r"(?<!\?P)(?<!\(\?)(?<!\\)<(?:([\w-]+):)?(?:(\w+)>|(?<=:))")


def register_converter(name: str, converter: Converter | type[Converter]) -> None:
    """Make `<name:…>` usable in the paths of routes that are made from now on.

    Args:
        name: The word before the colon: letters, digits, `_` and `-`.
        converter: A class (it is called without arguments) or an object with `regex` and
            `to_python`, as `django.urls.register_converter` takes it.

    Raises:
        ConfigurationError: The name is taken by another converter, or the converter is none.
    """
    text = f"register_converter({name!r}, {getattr(converter, '__name__', converter)})"
    if not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name):
        raise ConfigurationError(f"{text}: the name must be made of letters, digits, '_' and '-'.")
    if _registered.get(name) is converter:
        return
    if name in _converters:
        raise ConfigurationError(f"{text}: {name!r} is already a converter. Choose another name.")
    instance = converter() if isinstance(converter, type) else converter
    regex = getattr(instance, "regex", None)
    to_python = getattr(instance, "to_python", None)
    if not isinstance(regex, str) or not callable(to_python):
        raise ConfigurationError(
            f"{text}: a converter has a `regex` (str) and a `to_python` method."
        )
    try:
        re.compile(regex)
    except re.error as error:
        raise ConfigurationError(
            f"{text}: its regex {regex!r} is not a regular expression: {error}."
        ) from error
    _converters[name] = (regex, to_python)
    _registered[name] = converter


def as_text(value: object) -> str | None:
    """Return what filters see of a content's value: text, ASCII bytes as text, else `None`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes) and value.isascii():
        return value.decode("ascii")
    return None


class Filter:
    """One filter as it was written, checked when it is made, compiled where it stands.

    Args:
        key: The content key it reads. Only `path` knows Django paths.
        source: What was written.
        named: Refuse groups without a name, as a route does and an include does not.

    Raises:
        ConfigurationError: The source is neither a path nor a regular expression. The text says
            why, without the route.
    """

    __slots__ = ("_kwargs", "_regex", "key", "kind", "plain", "text")

    def __init__(self, key: str, source: FilterSource, *, named: bool) -> None:
        self.key = key
        self.kind: Kind = "regex"
        self.plain = False
        self._kwargs: dict[str, ToPython | None] = {}
        if isinstance(source, re.Pattern):
            pattern: object = source.pattern
            if isinstance(pattern, bytes):
                raise ConfigurationError(
                    f"filter {key!r} is a pattern of bytes, and filters see text. Compile a str."
                )
            self.text = source.pattern
            self._regex = source
        else:
            self.text = _decoded(key, source)
            if key == "path" and _is_path(self.text):
                self.kind = "path"
                self.plain = "<" not in self.text
                body, self._kwargs = _translate(self.text)
                self._regex = _compiled(key, body)
                return
            if key == "path":
                _refuse_mixture(self.text)
            self._regex = _compiled(key, self.text)
        if named and self._regex.groups != len(self._regex.groupindex):
            raise ConfigurationError(
                f"filter {key!r} has a group without a name, and arguments are passed by name. "
                "Write '(?P<name>...)', or '(?:...)' for a group that is no argument."
            )

    def compile(self, inside: Kind | None, *, prefix: bool) -> Pattern:
        """Return the filter as it works in its place.

        Args:
            inside: The syntax of the nearest include with a prefix for this key, `None` without.
            prefix: It is the prefix of an include, so something may follow.
        """
        kind = inside if self.plain and inside else self.kind
        if kind == "regex":
            regex = re.compile(self.text) if self.plain else self._regex
            return Pattern("regex", regex.match, re.Match.groupdict if regex.groupindex else None)
        # A message's path begins with the slash that a Django path leaves out. Behind a Django
        # prefix that slash is gone; a regular expression may have left it.
        if self.plain and not prefix:
            texts = {self.text} if inside == "path" else {self.text, "/" + self.text}
            return Pattern("path", texts.__contains__, None)
        slash = "" if inside == "path" else "/?+"
        regex = re.compile(slash + self._regex.pattern + ("" if prefix else r"\Z"))
        return Pattern("path", regex.match, _reader(self._kwargs))


def _decoded(key: str, source: object) -> str:
    if isinstance(source, str):
        return source
    if isinstance(source, bytes):
        if not source.isascii():
            raise ConfigurationError(f"filter {key!r} is bytes that are not ASCII. Write a str.")
        return source.decode("ascii")
    raise ConfigurationError(
        f"filter {key!r} is of type {type(source).__name__}; "
        "it must be a str or a compiled regular expression."
    )


def _compiled(key: str, regex: str) -> re.Pattern[str]:
    try:
        return re.compile(regex)
    except re.error as error:
        raise ConfigurationError(f"filter {key!r} is not a regular expression: {error}.") from error


def _is_path(source: str) -> bool:
    return not source.startswith("/") and bool(_PLAIN.fullmatch(_PIECE.sub("", source)))


def _refuse_mixture(source: str) -> None:
    """Refuse a regular expression with a piece of a Django path in it: it would never match."""
    stray = _STRAY.search(source)
    if stray is None:
        return
    converter, name = stray[1] or "str", stray[2]
    if name is None:
        raise ConfigurationError(
            f"{stray[0]!r} begins a converter and does not end it. Write '{stray[0]}name>'."
        )
    if source.startswith("/"):
        reason = "a leading '/'"
    else:
        plain = _PIECE.sub("", source)
        reason = repr(plain[_PLAIN.match(plain).end()])  # type: ignore[union-attr]
    path = source.removeprefix("^").removeprefix("/").removesuffix("$")
    if _is_path(path):
        advice = f"Write {path!r}."
    else:
        regex, _ = _converters.get(converter, _converters["str"])
        advice = f"Write '(?P<{name}>{regex})' in its place."
    raise ConfigurationError(
        f"with {reason} this is a regular expression, and {stray[0]!r} is not one. {advice}"
    )


def _translate(source: str) -> tuple[str, dict[str, ToPython | None]]:
    """Turn a Django path into a regular expression and the converters of its groups."""
    parts = []
    kwargs: dict[str, ToPython | None] = {}
    position = 0
    for piece in _PIECE.finditer(source):
        converter, colon, name = piece[1].rpartition(":")
        regex, to_python = _converter(converter if colon else "str")
        if not name.isidentifier():
            raise ConfigurationError(
                f"{piece[0]!r} has no name that an argument can have. Write '<converter:name>'."
            )
        if name in kwargs:
            raise ConfigurationError(f"the name {name!r} is used twice. Give each its own name.")
        parts += [re.escape(source[position : piece.start()]), f"(?P<{name}>{regex})"]
        kwargs[name] = to_python
        position = piece.end()
    return "".join([*parts, re.escape(source[position:])]), kwargs


def _converter(name: str) -> tuple[str, ToPython | None]:
    try:
        return _converters[name]
    except KeyError:
        near = difflib.get_close_matches(name, _converters, 1)
        advice = (
            f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(sorted(_converters))}."
        )
        raise ConfigurationError(f"there is no converter {name!r}. {advice}") from None


def _reader(
    kwargs: dict[str, ToPython | None],
) -> Callable[[re.Match[str]], dict[str, Any] | None] | None:
    if not kwargs:
        return None
    if not any(kwargs.values()):
        return re.Match.groupdict
    items = tuple(kwargs.items())

    def read(found: re.Match[str]) -> dict[str, Any] | None:
        try:
            return {
                name: found[name] if to_python is None else to_python(found[name])
                for name, to_python in items
            }
        except ValueError:
            return None

    return read


__all__ = [
    "NOTHING_LEFT",
    "Converter",
    "Filter",
    "FilterSource",
    "Kind",
    "Pattern",
    "as_text",
    "register_converter",
]
