"""Filters: which syntax a source has, what it matches, and what is wrong with it."""

import re
from typing import Any
from uuid import UUID

import pytest

from achannels import patterns
from achannels.exceptions import ConfigurationError
from achannels.patterns import (
    NOTHING_LEFT,
    Filter,
    FilterSource,
    Kind,
    Pattern,
    as_text,
    register_converter,
)


def compiled(source: FilterSource, *, key: str = "path", inside: Kind | None = None) -> Pattern:
    return Filter(key, source, named=True).compile(inside, prefix=False)


def prefix(source: FilterSource, *, key: str = "path", inside: Kind | None = None) -> Pattern:
    return Filter(key, source, named=False).compile(inside, prefix=True)


def refusal(source: Any, *, key: str = "path") -> str:
    with pytest.raises(ConfigurationError) as refused:
        Filter(key, source, named=True)
    return str(refused.value)


@pytest.fixture
def converters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "_converters", dict(patterns._converters))
    monkeypatch.setattr(patterns, "_registered", {})


# --- telling the two apart ----------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "",
        "chat/",
        "chat",
        "a.b/c-d/e_f/~g/100%/",
        "größe/",
        "chat/<slug:room>/",
        "<int:year>/<int:month>/",
        "chat/<room>/",
        b"chat/<slug:room>/",
    ],
)
def test_a_path_without_leading_slash_and_special_characters_is_a_django_path(
    source: FilterSource,
) -> None:
    assert compiled(source).kind == "path"


@pytest.mark.parametrize(
    "source",
    [
        "/",
        "/chat/",
        "^/chat/$",
        ".*",
        "(?:a|b)/",
        r"chat/\d+/",
        "chat/?",
        "chat/+",
        "chat room/",
        "(?P<room>x)/",
        "(?<=a)b",
        "a<b",
        r"/chat/\<slug:room>/",
        b"^/chat/$",
        re.compile("chat/"),
    ],
)
def test_any_other_path_is_a_regular_expression(source: FilterSource) -> None:
    assert compiled(source).kind == "regex"


@pytest.mark.parametrize("key", ["method", "text", "thing"])
def test_other_keys_know_regular_expressions_only(key: str) -> None:
    assert compiled("plain/", key=key).kind == "regex"
    assert compiled("plain/", key=key, inside="path").whole("plain/and/more") == {}


@pytest.mark.parametrize("kind", ["path", "regex"])
def test_a_plain_child_takes_the_kind_of_its_include(kind: Kind) -> None:
    assert compiled("room/", inside=kind).kind == kind
    assert prefix("room/", inside=kind).kind == kind


def test_a_path_with_converters_stays_one_in_a_regular_expression() -> None:
    assert compiled("<slug:room>/", inside="regex").kind == "path"


@pytest.mark.parametrize("source", ["^room/$", "/room/", re.compile("room/")])
def test_a_regular_expression_stays_one_in_a_django_path(source: FilterSource) -> None:
    assert compiled(source, inside="path").kind == "regex"


# --- Django paths -------------------------------------------------------------


def test_a_django_path_is_the_whole_path() -> None:
    path = compiled("chat/<slug:room>/")
    assert path.whole("/chat/lobby/") == {"room": "lobby"}
    assert path.whole("/chat/lobby/more") is None
    assert path.whole("/chat/lobby/\n") is None
    assert path.whole("/chat/lobby") is None
    assert path.whole("/my/chat/lobby/") is None


def test_a_django_path_without_converters_is_compared() -> None:
    path = compiled("a.b/100%/")
    assert path.whole("/a.b/100%/") == {}
    assert path.whole("a.b/100%/") == {}
    assert path.whole("/axb/100%/") is None
    assert path.whole("//a.b/100%/") is None
    assert path.read is None


def test_the_empty_path_is_the_root() -> None:
    assert compiled("").whole("/") == {}
    assert compiled("").whole("") == {}
    assert compiled("").whole("/x") is None


def test_text_around_converters_is_literal() -> None:
    path = compiled("v1.0/<int:number>.json")
    assert path.whole("/v1.0/7.json") == {"number": 7}
    assert path.whole("/v1x0/7.json") is None
    assert path.whole("/v1.0/7xjson") is None


@pytest.mark.parametrize(
    ("converter", "text", "value"),
    [
        ("str", "a b.c", "a b.c"),
        ("slug", "a-b_C9", "a-b_C9"),
        ("int", "007", 7),
        ("path", "a/b/c", "a/b/c"),
        (
            "uuid",
            "075194d3-6885-417e-a8a8-6c931e272f00",
            UUID("075194d3-6885-417e-a8a8-6c931e272f00"),
        ),
    ],
)
def test_a_converter_gives_a_value(converter: str, text: str, value: object) -> None:
    found = compiled(f"x/<{converter}:it>/").whole(f"/x/{text}/")
    assert found == {"it": value}
    assert type(found["it"]) is type(value)


@pytest.mark.parametrize(
    ("converter", "text"),
    [
        ("str", "a/b"),
        ("str", ""),
        ("slug", "a.b"),
        ("slug", "é"),
        ("int", "-1"),
        ("int", "1.5"),
        ("int", "٣"),
        ("int", "9" * 5000),
        ("path", ""),
        ("uuid", "075194D3-6885-417E-A8A8-6C931E272F00"),
    ],
)
def test_a_converter_refuses_other_text(converter: str, text: str) -> None:
    assert compiled(f"x/<{converter}:it>/").whole(f"/x/{text}/") is None


def test_a_name_without_converter_is_a_str() -> None:
    assert compiled("chat/<room>/").whole("/chat/a b/") == {"room": "a b"}


def test_the_leading_slash_is_no_part_of_a_converter() -> None:
    assert compiled("<path:rest>").whole("/a/b") == {"rest": "a/b"}
    assert compiled("<path:rest>").whole("/") is None


def test_behind_a_django_prefix_the_slash_is_gone_already() -> None:
    assert compiled("<slug:room>/", inside="path").whole("lobby/") == {"room": "lobby"}
    assert compiled("<slug:room>/", inside="path").whole("/lobby/") is None
    assert compiled("room/", inside="path").whole("room/") == {}
    assert compiled("room/", inside="path").whole("/room/") is None


def test_behind_a_regular_expression_the_slash_may_be_left() -> None:
    assert compiled("<slug:room>/", inside="regex").whole("lobby/") == {"room": "lobby"}
    assert compiled("<slug:room>/", inside="regex").whole("/lobby/") == {"room": "lobby"}


def test_a_django_prefix_leaves_the_rest() -> None:
    assert prefix("chat/<int:room>/").prefix("/chat/7/log/") == ({"room": 7}, "log/")
    assert prefix("chat/").prefix("/chat/7/") == ({}, "7/")
    assert prefix("").prefix("/chat/") == ({}, "chat/")
    assert prefix("chat/").prefix("/chats/") is None
    assert prefix("b/", inside="path").prefix("b/c") == ({}, "c")


def test_nothing_left_takes_the_end_only() -> None:
    assert NOTHING_LEFT.whole("") == {}
    assert NOTHING_LEFT.whole("/") is None


# --- regular expressions ------------------------------------------------------


def test_a_regular_expression_matches_from_the_start_and_is_open_at_the_end() -> None:
    assert compiled("/chat").whole("/chatter") == {}
    assert compiled("/chat").whole("/my/chat") is None
    assert compiled("/chat$").whole("/chatter") is None


def test_named_groups_are_arguments_and_those_without_part_are_none() -> None:
    regex = compiled(r"^/(?P<a>\w+)(?:/(?P<b>\d+))?/$")
    assert regex.whole("/x/5/") == {"a": "x", "b": "5"}
    assert regex.whole("/x/") == {"a": "x", "b": None}


def test_a_pattern_that_matches_no_character_matches() -> None:
    assert compiled("", key="text").whole("anything") == {}
    assert compiled("x?", key="text").whole("") == {}


@pytest.mark.parametrize("source", [b"^GET$", re.compile("^get$", re.IGNORECASE)])
def test_bytes_and_compiled_patterns_are_taken(source: FilterSource) -> None:
    assert compiled(source, key="method").whole("GET") == {}
    assert compiled(source, key="method").whole("POST") is None


def test_a_prefix_leaves_the_rest_and_may_have_groups_without_name() -> None:
    found = prefix(r"^/(a|b)/(?P<room>\w+)").prefix("/a/lobby/log/")
    assert found == ({"room": "lobby"}, "/log/")


# --- values -------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, 0, 1, 1.5, True, [], ["GET"], {}, b"\xff", b"GET\xc3\xa9"])
def test_a_value_that_is_no_text_does_not_match(value: object) -> None:
    assert as_text(value) is None
    assert compiled("", key="method").whole(value) is None
    assert prefix("", key="method").prefix(value) is None


def test_ascii_bytes_are_text() -> None:
    assert compiled("(?P<all>.*)", key="query_string").whole(b"a=1") == {"all": "a=1"}
    assert prefix("a", key="query_string").prefix(b"a=1") == ({}, "=1")


def test_a_subclass_of_str_is_text() -> None:
    class Method(str):
        __slots__ = ()

    assert compiled("G", key="method").whole(Method("GET")) == {}


# --- mistakes -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (
            "/prices/<slug:board>/",
            (
                "with a leading '/' this is a regular expression, and '<slug:board>' is not one. "
                "Write 'prices/<slug:board>/'."
            ),
        ),
        (
            "^/prices/<slug:board>/$",
            (
                "with '^' this is a regular expression, and '<slug:board>' is not one. "
                "Write 'prices/<slug:board>/'."
            ),
        ),
        (
            "prices/<board>/?",
            (
                "with '?' this is a regular expression, and '<board>' is not one. "
                "Write '(?P<board>[^/]+)' in its place."
            ),
        ),
        (
            r"prices/(?P<day>\d+)/<int:board>/",
            (
                "with '(' this is a regular expression, and '<int:board>' is not one. "
                "Write '(?P<board>[0-9]+)' in its place."
            ),
        ),
        (
            "/a b/<unknown:board>/",
            (
                "with a leading '/' this is a regular expression, and '<unknown:board>' is not one. "
                "Write '(?P<board>[^/]+)' in its place."
            ),
        ),
        (
            "prices/<slug:board/",
            "'<slug:' begins a converter and does not end it. Write '<slug:name>'.",
        ),
        (
            "prices/<slugg:board>/",
            "there is no converter 'slugg'. Did you mean 'slug'?",
        ),
        (
            "prices/<decimal128:board>/",
            "there is no converter 'decimal128'. Known: int, path, slug, str, uuid.",
        ),
        (
            "prices/<slug:>/",
            "'<slug:>' has no name that an argument can have. Write '<converter:name>'.",
        ),
        (
            "prices/<slug:my-board>/",
            "'<slug:my-board>' has no name that an argument can have. Write '<converter:name>'.",
        ),
        ("prices/<>/", "'<>' has no name that an argument can have. Write '<converter:name>'."),
        (
            "<int:a>/<int:a>/",
            "the name 'a' is used twice. Give each its own name.",
        ),
        (
            r"^/(\w+)/$",
            (
                "filter 'path' has a group without a name, and arguments are passed by name. "
                "Write '(?P<name>...)', or '(?:...)' for a group that is no argument."
            ),
        ),
        (
            re.compile(r"(a)(?P<b>b)"),
            (
                "filter 'path' has a group without a name, and arguments are passed by name. "
                "Write '(?P<name>...)', or '(?:...)' for a group that is no argument."
            ),
        ),
        (
            re.compile(b"^/"),
            "filter 'path' is a pattern of bytes, and filters see text. Compile a str.",
        ),
        ("größe".encode(), "filter 'path' is bytes that are not ASCII. Write a str."),
        (
            ["^/"],
            "filter 'path' is of type list; it must be a str or a compiled regular expression.",
        ),
        (
            None,
            "filter 'path' is of type NoneType; it must be a str or a compiled regular expression.",
        ),
    ],
)
def test_a_mistake_is_told_at_once(source: object, text: str) -> None:
    assert refusal(source) == text


@pytest.mark.parametrize("source", ["^/(?P<a>.)/(?P<a>.)", "^/(?P<a>.", "^/(?<a>.)", "^/)"])
def test_a_bad_regular_expression_is_told_with_what_re_says(source: str) -> None:
    with pytest.raises(re.error) as wrong:
        re.compile(source)
    assert refusal(source) == f"filter 'path' is not a regular expression: {wrong.value}."


def test_a_piece_in_angle_brackets_is_a_mistake_in_a_path_only() -> None:
    assert compiled("/<slug:x>", key="text").whole("/<slug:x>") == {}


# --- converters of one's own --------------------------------------------------


class Year:
    regex = "[0-9]{4}"

    def to_python(self, value: str) -> int:
        if value == "0000":
            raise ValueError(value)
        return int(value)


@pytest.mark.usefixtures("converters")
def test_a_registered_converter_is_used() -> None:
    register_converter("year", Year)
    path = compiled("log/<year:year>/")
    assert path.whole("/log/2026/") == {"year": 2026}
    assert path.whole("/log/26/") is None


@pytest.mark.usefixtures("converters")
def test_a_value_error_of_a_converter_is_no_match() -> None:
    register_converter("year", Year())
    assert compiled("log/<year:year>/").whole("/log/0000/") is None
    assert prefix("log/<year:year>/").prefix("/log/0000/x") is None


@pytest.mark.usefixtures("converters")
def test_other_errors_of_a_converter_pass() -> None:
    class Broken(Year):
        def to_python(self, value: str) -> int:
            raise ZeroDivisionError(value)

    register_converter("broken", Broken)
    with pytest.raises(ZeroDivisionError):
        compiled("log/<broken:year>/").whole("/log/2026/")


@pytest.mark.usefixtures("converters")
def test_groups_in_the_regex_of_a_converter_are_no_arguments() -> None:
    class Word:
        regex = "(a|b)(?P<inner>c)?"

        def to_python(self, value: str) -> str:
            return value.upper()

    register_converter("word", Word)
    assert compiled("<word:it>/<slug:other>/").whole("/ac/x/") == {"it": "AC", "other": "x"}


@pytest.mark.usefixtures("converters")
def test_registering_the_same_converter_again_changes_nothing() -> None:
    register_converter("year", Year)
    register_converter("year", Year)
    assert compiled("<year:year>/").whole("/2026/") == {"year": 2026}


class NoRegex:
    to_python = str


class NoMethod:
    regex = "x"


class BadRegex(NoRegex):
    regex = "("


@pytest.mark.usefixtures("converters")
@pytest.mark.parametrize(
    ("name", "converter", "text"),
    [
        ("int", Year, "register_converter('int', Year): 'int' is already a converter."),
        ("", Year, "register_converter('', Year): the name must be made of letters, digits,"),
        ("a:b", Year, "register_converter('a:b', Year): the name must be made of letters, digits,"),
        (None, Year, "register_converter(None, Year): the name must be made of letters, digits,"),
        ("x", NoRegex, "register_converter('x', NoRegex): a converter has a `regex` (str) and"),
        ("x", NoMethod, "register_converter('x', NoMethod): a converter has a `regex` (str) and"),
        (
            "x",
            BadRegex,
            "register_converter('x', BadRegex): its regex '(' is not a regular expression: ",
        ),
    ],
)
def test_a_converter_that_is_none_is_refused(name: Any, converter: Any, text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        register_converter(name, converter)
    assert str(refused.value).startswith(text)


@pytest.mark.usefixtures("converters")
def test_a_converter_whose_groups_clash_is_told_with_the_path() -> None:
    class Clash(NoRegex):
        regex = "(?P<inner>c)"

    register_converter("clash", Clash)
    assert refusal("<clash:inner>/").startswith("filter 'path' is not a regular expression: redef")
