"""Compiled routes: the property that they do what an uncompiled matcher does, and foreign nodes."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from achannels import routing
from achannels.matching import EVERY_KEY, Match, Matcher, Node
from achannels.patterns import Kind
from achannels.routing import BaseRoute, Router, include, route

# --- a plain matcher, written as the rules are told -----------------------------


@dataclass(frozen=True)
class Leaf:
    name: str
    channels: tuple[str, ...]
    filters: dict[str, str]


@dataclass(frozen=True)
class Branch:
    prefixes: dict[str, str]
    children: "tuple[Leaf | Branch, ...]"


CONVERTERS = {
    "int": (str.isdigit, int),
    "slug": (lambda character: character.isalnum() or character in "-_", str),
    "str": (lambda character: character != "/", str),
    "path": (lambda character: True, str),
}


def is_path(source: str) -> bool:
    literal = re.sub("<[^>]*>", "", source)
    return not source.startswith("/") and all(c.isalnum() or c in "/._~%-" for c in literal)


def walk(source: str, text: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Give all ways to match the start of `text` with a Django path, the greediest first."""
    if not source:
        yield {}, text
    elif source[0] == text[:1]:
        yield from walk(source[1:], text[1:])
    elif source[0] == "<":
        piece, _, behind = source[1:].partition(">")
        converter, name = piece.split(":")
        belongs, to_python = CONVERTERS[converter]
        length = 0
        while length < len(text) and belongs(text[length]):
            length += 1
        for end in range(length, 0, -1):
            for kwargs, rest in walk(behind, text[end:]):
                yield {name: to_python(text[:end]), **kwargs}, rest


def take(
    key: str, source: str, value: object, inside: Kind | None, *, prefix: bool
) -> tuple[dict[str, Any], str] | None:
    if isinstance(value, bytes):
        value = value.decode("ascii") if value.isascii() else None
    if not isinstance(value, str):
        return None
    if kind_of(key, source, inside) == "regex":
        found = re.match(source, value)
        return (found.groupdict(), value[found.end() :]) if found else None
    if inside != "path":
        value = value.removeprefix("/")
    for kwargs, rest in walk(source, value):
        if prefix or not rest:
            return kwargs, rest
    return None


def kind_of(key: str, source: str, inside: Kind | None) -> Kind:
    if key != "path" or not is_path(source):
        return "regex"
    return "path" if "<" in source else inside or "path"


def reference(
    spec: Leaf | Branch, channel: str, content: dict[str, Any], inside: Kind | None = None
) -> tuple[str, dict[str, Any]] | None:
    kwargs: dict[str, Any] = {}
    sources = spec.filters if isinstance(spec, Leaf) else spec.prefixes
    copy = dict(content)
    for key, source in sources.items():
        found = take(key, source, content.get(key), inside, prefix=isinstance(spec, Branch))
        if found is None:
            return None
        kwargs.update(found[0])
        copy[key] = found[1]
    if isinstance(spec, Leaf):
        if channel not in spec.channels:
            return None
        if inside == "path" and "path" not in sources and content["path"] != "":
            return None
        return spec.name, kwargs
    if "path" in sources:
        inside = kind_of("path", sources["path"], inside)
    for child in spec.children:
        inner = reference(child, channel, copy, inside)
        if inner is not None:
            return inner[0], {**kwargs, **inner[1]}
    return None


# --- the same, compiled ---------------------------------------------------------


class Consumer:
    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, message: object) -> None: ...


def built(spec: Leaf | Branch) -> BaseRoute:
    if isinstance(spec, Leaf):
        return route(spec.channels, Consumer(spec.name), **spec.filters)
    return include([built(child) for child in spec.children], **spec.prefixes)


PATHS = st.sampled_from(
    [
        *("", "a/", "a", "b/", "a.b/", "5/", "<slug:x>/", "<int:x>/", "<str:x>", "<path:x>"),
        *("a/<slug:x>/", "<slug:x>-<int:y>/", "<int:x>/<slug:y>/", "<path:x>/b/", "b/<int:n>"),
        *("^", "^/", "/", "^/a", "^/a/", "/a/", "^/a/$", "^b/$", "$", ".*", "^/?$"),
        *("^/(?P<x>[a-z]+)", "^/(?P<x>[a-z]+)/$", "(?P<y>[0-9]+)?", "^(?P<x>[ab])/(?P<n>5)?"),
    ]
)
METHODS = st.sampled_from(["GET", "^(?P<m>[A-Z])", "(?P<x>P)?", "^$", "ET", ""])
FILTERS = st.fixed_dictionaries({}, optional={"path": PATHS, "method": METHODS})
CHANNELS = st.sampled_from([("one",), ("two",), ("one", "two"), ("one", "other.two")])
LEAVES = st.builds(Leaf, st.uuids().map(str), CHANNELS, FILTERS)
SPECS = st.recursive(
    LEAVES,
    lambda inner: st.builds(Branch, FILTERS, st.lists(inner, max_size=4).map(tuple)),
    max_leaves=8,
)
TEXTS = st.lists(st.sampled_from(["/", "a", "a/", "b/", "5", "5/", "a.b/", "-"]), max_size=5).map(
    "".join
)
VALUES = st.one_of(
    TEXTS.map(lambda text: f"/{text}"),
    TEXTS,
    TEXTS.map(str.encode),
    st.sampled_from(["GET", "POST", "", b"GET", b"\xff", None, 5]),
)
CONTENTS = st.fixed_dictionaries(
    {}, optional={"path": VALUES, "method": VALUES, "text": st.just("hi")}
)


def whole(specs: list[Leaf | Branch]) -> Branch:
    return Branch({}, tuple(specs))


@settings(max_examples=400, deadline=None)
@given(st.lists(SPECS, max_size=4), CONTENTS)
@example([Branch({"path": "a/"}, (Leaf("x", ("one",), {}),))], {"path": "/a/"})
@example([Branch({"path": "a/"}, (Leaf("x", ("one",), {}),))], {"path": "/a/b/"})
@example([Branch({"path": "a/"}, (Leaf("x", ("one",), {"path": "b/"}),))], {"path": "/a/b/"})
@example(
    [Branch({"path": "^/a"}, (Leaf("x", ("one",), {"path": "<slug:x>/"}),))], {"path": "/a/b/"}
)
def test_the_compiled_router_does_what_the_rules_say(
    specs: list[Leaf | Branch], content: dict[str, Any]
) -> None:
    before = dict(content)
    router = Router([built(spec) for spec in specs])
    for channel in ("one", "two", "other.two", "unknown"):
        match = router.match(channel, content)
        told = None if match is None else (match.consumer.name, match.kwargs)
        assert told == reference(whole(specs), channel, content)
    assert content == before


@settings(max_examples=200, deadline=None)
@given(st.lists(SPECS, max_size=4), CONTENTS, st.sets(st.sampled_from(["path", "method", "text"])))
def test_claims_ignores_what_is_not_known_yet(
    specs: list[Leaf | Branch], content: dict[str, Any], unknown: set[str]
) -> None:
    router = Router([built(spec) for spec in specs])
    matched = any(router.match(channel, content) for channel in ("one", "two", "other.two"))
    known = {key: value for key, value in content.items() if key not in unknown}
    if matched:
        assert router.claims("", known)
    everything = {"path": None, "method": None, **content}
    assert router.claims("", everything) == matched
    assert router.claims("other.", everything) == bool(router.match("other.two", content))
    assert not router.claims("unknown.", known)


@settings(max_examples=200, deadline=None)
@given(st.lists(SPECS, max_size=4), CONTENTS, CONTENTS)
def test_a_match_depends_on_the_keys_alone(
    specs: list[Leaf | Branch], content: dict[str, Any], other: dict[str, Any]
) -> None:
    router = Router([built(spec) for spec in specs])
    keys = router.keys("one")
    changed = {key: value for key, value in content.items() if key in keys}
    changed |= {key: value for key, value in other.items() if key not in keys}
    assert router.match("one", content) == router.match("one", changed)


# --- nodes of others ------------------------------------------------------------


def consumer(message: object) -> None: ...


class Even:
    """A foreign routing object: it decides by any key, in Python."""

    def match(self, content: Mapping[str, Any]) -> bool:
        return bool(content["number"] % 2 == 0 and content["path"] == "rest")


class Adapted(BaseRoute):
    """What makes a route and its own node of `Even`."""

    channels = frozenset({"numbers"})
    keys = frozenset({EVERY_KEY})

    def __init__(self, even: Even) -> None:
        self.even = even

    def channel_names(self) -> set[str]:
        return set(self.channels)

    def compile(self, inside: Kind | None) -> Node:
        return self

    def lines(self, prefixes: Mapping[str, str]) -> Iterator[str]:
        yield "numbers -> even"

    @property
    def match(self) -> Matcher:
        return lambda content: Match(consumer, {}) if self.even.match(content) else None

    def on(self, channel: str) -> Node | None:
        return self if channel in self.channels else None

    def consumers(self) -> Iterator[Any]:
        yield consumer

    def claims(self, content: Mapping[str, Any]) -> bool:
        return True


def test_an_adapter_lets_other_objects_stand_in_a_routing(monkeypatch: pytest.MonkeyPatch) -> None:
    def adapt(item: object) -> BaseRoute | None:
        return Adapted(item) if isinstance(item, Even) else None

    monkeypatch.setattr(routing, "adapters", [lambda item: None, adapt])
    inner: list[Any] = [Even(), route("other", consumer)]
    router = Router(outer := include(inner, path="^/"))

    assert router.match("numbers", {"path": "/rest", "number": 4}) == (consumer, {})
    assert router.match("numbers", {"path": "/rest", "number": 5}) is None
    assert router.claims("numbers", {"path": "/rest", "number": 4})
    assert router.keys("numbers") == {EVERY_KEY, "path"}
    assert router.channels == outer.channel_names() == {"numbers", "other"}
    assert router.routes[0] == "numbers -> even"
    assert list(router.consumers()) == [consumer]
