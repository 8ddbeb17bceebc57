"""Routes, includes and the router, as their users write them."""

import functools
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from achannels import patterns
from achannels.exceptions import ConfigurationError, NoRoute
from achannels.routing import (
    Include,
    Match,
    Route,
    RouteClass,
    Router,
    Routing,
    include,
    route,
    route_class,
)


def first(message: object) -> None: ...


def second(message: object) -> None: ...


def third(message: object) -> None: ...


class Ticker:
    @classmethod
    def channel_names(cls) -> set[str]:
        return {"websocket.connect", "websocket.receive", "websocket.disconnect"}


def taken(routing: Routing, content: dict[str, Any], channel: str = "news") -> tuple[Any, Any]:
    match = Router(routing).match(channel, content)
    return (None, None) if match is None else match


def refusal(make: Callable[[], object]) -> str:
    with pytest.raises(ConfigurationError) as refused:
        make()
    return str(refused.value)


@pytest.fixture
def chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package `chat` with `consumers` and `routing`."""
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if is_chat(name)}
    (tmp_path / "chat").mkdir()
    (tmp_path / "chat" / "__init__.py").write_text("")
    (tmp_path / "chat" / "consumers.py").write_text(
        "from tests.test_routing import Ticker\nNAME = 'chat'\ndef ws_connect(message): ...\n"
    )
    (tmp_path / "chat" / "routing.py").write_text(
        "from achannels.routing import route\n"
        "from chat.consumers import ws_connect\n"
        "channel_routing = [route('websocket.connect', ws_connect, path='<slug:room>/')]\n"
        "by_name = {'websocket.connect': 'chat.consumers.ws_connect'}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [name for name in sys.modules if is_chat(name)]:
        del sys.modules[name]
    sys.modules.update(before)


def is_chat(name: str) -> bool:
    return name.split(".")[0] == "chat"


# --- route ----------------------------------------------------------------------


def test_the_lower_case_names_are_the_classes() -> None:
    assert (route, route_class, include) == (Route, RouteClass, Include)


def test_a_route_takes_its_channel_only() -> None:
    assert taken([route("news", first)], {}) == (first, {})
    assert taken([route("news", first)], {}, "others") == (None, None)


@pytest.mark.parametrize(
    "channels",
    [
        ["news", "others"],
        ("news", "others"),
        {"news", "others"},
        (name for name in ("news", "others")),
        [b"news", b"others"],
    ],
)
def test_a_route_takes_several_channels(channels: Any) -> None:
    router = Router([route(channels, first)])
    assert router.channels == {"news", "others"}
    assert router.match("others", {}) == (first, {})


def test_a_single_name_in_bytes_is_one_name() -> None:
    assert route(b"news", first).channel_names() == {"news"}


def test_a_channel_named_twice_is_one() -> None:
    assert route(["news", "news"], first).channels == ("news",)


def test_all_filters_must_match() -> None:
    routing = [route("news", first, path="chat/", method="^POST$")]
    assert taken(routing, {"path": "/chat/", "method": "POST"}) == (first, {})
    assert taken(routing, {"path": "/chat/", "method": "GET"}) == (None, None)
    assert taken(routing, {"path": "/", "method": "POST"}) == (None, None)


@pytest.mark.parametrize("key", ["method", "order", "whatever"])
def test_a_key_that_is_not_there_does_not_match(key: str) -> None:
    assert taken([route("news", first, **{key: ""})], {"path": "/"}) == (None, None)
    assert taken([route("news", first, path="/", **{key: ""})], {"path": "/"}) == (None, None)


@pytest.mark.parametrize("value", [5, None, ["a"], True, b"\xff"])
def test_a_value_that_is_no_text_does_not_match(value: object) -> None:
    assert taken([route("news", first, order="")], {"order": value}) == (None, None)
    assert taken([include([route("news", first)], order="")], {"order": value}) == (None, None)


def test_bytes_and_subclasses_of_str_are_text() -> None:
    class Text(str):
        __slots__ = ()

    routing = [route("news", first, query_string="^a=(?P<a>.*)")]
    assert taken(routing, {"query_string": b"a=1"}) == (first, {"a": "1"})
    assert taken(routing, {"query_string": Text("a=1")}) == (first, {"a": "1"})


def test_arguments_of_all_filters_are_merged() -> None:
    routing = [route("news", first, path="chat/<int:room>/", text=r"^(?P<word>\w+)(?P<no>!)?")]
    assert taken(routing, {"path": "/chat/7/", "text": "hi"}) == (
        first,
        {"room": 7, "word": "hi", "no": None},
    )


def test_a_refusing_converter_does_not_match() -> None:
    routing = [route("news", first, path="<int:number>/"), route("news", second)]
    assert taken(routing, {"path": f"/{'9' * 5000}/"}) == (second, {})


def test_the_first_route_that_matches_wins() -> None:
    routing = [
        route("news", first, path="a/"),
        route("news", second, path="^/a"),
        route("news", third, path="^/a"),
    ]
    assert taken(routing, {"path": "/a/"}) == (first, {})
    assert taken(routing, {"path": "/ab"}) == (second, {})


@pytest.mark.parametrize("consumer", [first, Ticker, functools.partial(first), Ticker().__repr__])
def test_the_consumer_is_what_was_given(consumer: Any) -> None:
    assert taken([route("news", consumer)], {})[0] is consumer


@pytest.mark.usefixtures("chat")
def test_a_dotted_consumer_is_imported() -> None:
    made = route("news", "chat.consumers.ws_connect")
    assert made.consumer is sys.modules["chat.consumers"].ws_connect
    assert taken([made], {})[0] is made.consumer


def test_each_match_has_a_dict_of_its_own() -> None:
    for routing, content in (
        ([route("news", first)], {}),
        ([route("news", first, path="a/")], {"path": "/a/"}),
        ([route("news", first, path="<slug:x>/")], {"path": "/a/"}),
        ([include([route("news", first, path="<slug:x>/")], path="a/")], {"path": "/a/b/"}),
    ):
        router = Router(routing)
        one, two = router.find("news", content), router.find("news", content)
        assert one == two
        assert one.kwargs is not two.kwargs


# --- route_class ----------------------------------------------------------------


def test_a_class_names_its_channels() -> None:
    made = route_class(Ticker, path="prices/<slug:board>/")
    assert made.channel_names() == Ticker.channel_names()
    assert isinstance(made, Route)
    content = {"path": "/prices/main/"}
    assert taken([made], content, "websocket.receive") == (Ticker, {"board": "main"})


@pytest.mark.usefixtures("chat")
def test_a_dotted_class_is_imported() -> None:
    assert route_class("chat.consumers.Ticker").channel_names() == Ticker.channel_names()


# --- include --------------------------------------------------------------------


def test_an_include_strips_for_matching_only() -> None:
    content = {"path": "/chat/lobby/"}
    routing = [include([route("news", first, path=r"^/(?P<room>\w+)/$")], path="^/chat")]
    assert taken(routing, content) == (first, {"room": "lobby"})
    assert content == {"path": "/chat/lobby/"}


def test_includes_strip_one_after_the_other() -> None:
    inner = include([route("news", first, path="^/c$")], path=r"^/(?P<b>\w)")
    routing = [include([inner], path=r"^/(?P<a>\w)")]
    assert taken(routing, {"path": "/x/y/c"}) == (first, {"a": "x", "b": "y"})
    assert taken(routing, {"path": "/x/c"}) == (None, None)


def test_an_inner_argument_overrides_an_outer_one() -> None:
    routing = [include([route("news", first, path="<int:x>/")], path="<slug:x>/")]
    assert taken(routing, {"path": "/a/5/"}) == (first, {"x": 5})


def test_the_search_goes_on_behind_an_include_without_match() -> None:
    routing = [
        include([route("news", first, path="^/never$")], path=r"^/(?P<leak>\w+)"),
        include([route("others", first)], path="^/"),
        route("news", second, path="^/chat/$"),
    ]
    assert taken(routing, {"path": "/chat/"}) == (second, {})


def test_an_include_without_prefix_groups_only() -> None:
    routing = [include([route("news", first, path="a/")]), include({"news": second})]
    assert taken(routing, {"path": "/a/"}) == (first, {})
    assert taken(routing, {"path": "/b/"}) == (second, {})


def test_an_include_may_have_prefixes_on_several_keys() -> None:
    inner = [route("news", first, text=r"^ (?P<word>\w+)$")]
    routing = [include(inner, path="chat/", text=r"^/(?P<command>\w+)")]
    assert taken(routing, {"path": "/chat/", "text": "/say hi"}) == (
        first,
        {"command": "say", "word": "hi"},
    )
    assert taken(routing, {"path": "/chat/", "text": "say hi"}) == (None, None)
    assert taken(routing, {"path": "/chat/"}) == (None, None)


def test_an_include_passes_other_keys_on() -> None:
    routing = [include([route("news", first, method="^GET$")], path="chat/")]
    assert taken(routing, {"path": "/chat/", "method": "GET"}) == (first, {})
    assert taken(routing, {"path": "/chat/", "method": "PUT"}) == (None, None)


def test_a_prefix_may_have_groups_without_name() -> None:
    routing = [include([route("news", first)], path="^/(a|b)/")]
    assert taken(routing, {"path": "/a/x"}) == (first, {})


def test_a_child_without_path_takes_the_end_of_a_django_path() -> None:
    routing = [include({"news": first}, path="chat/<slug:room>/")]
    assert taken(routing, {"path": "/chat/lobby/"}) == (first, {"room": "lobby"})
    assert taken(routing, {"path": "/chat/lobby/log/"}) == (None, None)


def test_a_child_without_path_takes_all_behind_a_regular_expression() -> None:
    routing = [include({"news": first}, path=r"^/chat/(?P<room>\w+)/")]
    assert taken(routing, {"path": "/chat/lobby/log/"}) == (first, {"room": "lobby"})


def test_an_include_without_path_keeps_the_kind_around_it() -> None:
    inner = include([route("news", first), route("others", first, path="log/")], method="^GET$")
    router = Router([include([inner], path="chat/")])
    assert router.match("news", {"path": "/chat/", "method": "GET"})
    assert not router.match("news", {"path": "/chat/x", "method": "GET"})
    assert router.match("others", {"path": "/chat/log/", "method": "GET"})
    assert not router.match("others", {"path": "/chat/log/x", "method": "GET"})


def test_a_plain_child_takes_the_kind_of_its_include() -> None:
    child = route("news", first, path="room/")
    django, regex = [include([child], path="chat/")], [include([child], path="^/chat/")]
    for routing in (django, regex):
        assert taken(routing, {"path": "/chat/room/"}) == (first, {})
    assert taken(django, {"path": "/chat/room/more"}) == (None, None)
    assert taken(regex, {"path": "/chat/room/more"}) == (first, {})


def test_a_plain_include_takes_the_kind_of_its_include_too() -> None:
    inner = include([route("news", first, path="room")], path="ch.t/")
    assert taken([include([inner], path="^/")], {"path": "/chat/rooms"}) == (first, {})
    assert taken([inner], {"path": "/chat/room"}) == (None, None)
    assert taken([inner], {"path": "/ch.t/room"}) == (first, {})


def test_a_converter_works_behind_a_regular_expression_and_the_other_way_round() -> None:
    child = route("news", first, path="<int:room>/")
    for prefix in ("^/chat", "^/chat/"):
        assert taken([include([child], path=prefix)], {"path": "/chat/7/"}) == (first, {"room": 7})
    routing = [include([route("news", first, path=r"^(?P<x>\d+)")], path="chat/")]
    assert taken(routing, {"path": "/chat/7/more"}) == (first, {"x": "7"})


@pytest.mark.usefixtures("chat")
def test_an_include_takes_a_dotted_list_or_dict() -> None:
    content = {"path": "/chat/lobby/"}
    listed = Router(include("chat.routing.channel_routing", path="chat/"))
    assert listed.find("websocket.connect", content).kwargs == {"room": "lobby"}
    by_name = Router(include("chat.routing.by_name", path="chat/<slug:room>/"))
    assert by_name.find("websocket.connect", content).kwargs == {"room": "lobby"}


def test_an_include_names_the_channels_inside() -> None:
    inner = include({"a": first, "b": first})
    assert include([inner, route("c", first)], path="^/").channel_names() == {"a", "b", "c"}


def test_an_include_takes_a_single_route() -> None:
    assert taken(include(route("news", first), path="^/"), {"path": "/"}) == (first, {})


# --- router ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "routing",
    [
        [route("news", first)],
        (route("news", first),),
        {"news": first},
        route("news", first),
        include({"news": first}),
        "tests.test_routing.channel_routing",
    ],
)
def test_a_router_takes_a_list_a_tuple_a_dict_a_route_and_a_dotted_name(routing: Routing) -> None:
    assert taken(routing, {}) == (first, {})


channel_routing = [route("news", first)]


def test_an_empty_routing_routes_nothing() -> None:
    router = Router([])
    assert router.channels == set()
    assert router.match("news", {}) is None
    assert router.keys("news") == set()
    assert not router.claims("", {})
    assert router.routes == ()


def test_a_dict_keeps_its_order() -> None:
    assert list(Router({"b": first, "a": second}).consumers()) == [first, second]


def test_a_routing_is_compiled_once_and_left_alone() -> None:
    routing = [route("news", first)]
    router = Router(routing)
    routing.insert(0, route("news", second))
    assert router.match("news", {}) == (first, {})
    assert len(routing) == 2


def test_a_match_is_a_pair() -> None:
    match = Router([route("news", first)]).find("news", {})
    assert isinstance(match, Match)
    assert (match.consumer, match.kwargs) == match


def test_find_says_what_has_no_route() -> None:
    router = Router([route("thumbnails", first, kind="^small$"), route("news", first, path="a/")])
    assert router.find("news", {"path": "/a/"}) == (first, {})
    for channel, content, text in (
        ("news", {"path": "/b/"}, "no route takes this message of channel 'news' with path '/b/'."),
        ("thumbnails", {"kind": 1}, "no route takes this message of channel 'thumbnails'."),
        ("thumbnail", {}, "no route takes channel 'thumbnail'. Did you mean 'thumbnails'?"),
        ("zzz", {"path": "/"}, "no route takes channel 'zzz'."),
    ):
        with pytest.raises(NoRoute) as missing:
            router.find(channel, content)
        assert str(missing.value) == text


def test_keys_are_those_that_routes_of_the_channel_read() -> None:
    router = Router(
        [
            route("a", first),
            include([route("b", first, text="x"), route("c", first)], path="^/"),
            include({"d": first}, path="chat/"),
        ]
    )
    assert [router.keys(name) for name in "abcde"] == [
        set(),
        {"path", "text"},
        {"path"},
        {"path"},
        set(),
    ]


def test_claims_ignores_filters_on_keys_that_are_not_known() -> None:
    router = Router(
        [
            route("websocket.receive", first, path="chat/", text="^{"),
            include([route("websocket.connect", first, path="<int:n>/")], path="n/", text="^x"),
            route("http.request", first, path="^/"),
        ]
    )
    assert router.claims("websocket.", {"path": "/chat/"})
    assert router.claims("websocket.", {"path": "/chat/", "text": "{}"})
    assert not router.claims("websocket.", {"path": "/chat/", "text": "[]"})
    assert router.claims("websocket.", {"path": "/n/5/"})
    assert not router.claims("websocket.", {"path": "/n/x/"})
    assert not router.claims("websocket.", {"path": "/other/"})
    assert router.claims("http.", {"path": "/other/"})
    assert router.claims("websocket.", {})


def test_consumers_come_once_each_for_all_channels_or_one() -> None:
    router = Router(
        [route("a", first), include({"a": second, "b": first}, path="^/"), route("b", third)]
    )
    assert list(router.consumers()) == [first, second, third]
    assert list(router.consumers("b")) == [first, third]
    assert list(router.consumers("c")) == []


def test_routes_are_lines_for_printing() -> None:
    inner = [route(["a", "b"], first, path="log/", method="^GET$"), route_class(Ticker)]
    partial = functools.partial(second)
    router = Router(
        [
            include(inner, path="chat/<slug:room>/"),
            route("c", partial),
            route("d", Ticker().__repr__),
        ]
    )
    here = first.__module__
    assert router.routes == (
        f"a/b (path=chat/<slug:room>/ + log/, method=^GET$) -> {here}.first",
        f"{'/'.join(sorted(Ticker.channel_names()))} (path=chat/<slug:room>/) -> {here}.Ticker",
        "c -> functools.partial",
        "d -> object.__repr__",
    )
    assert str(route("a", first, path="log/")) == f"a (path=log/) -> {here}.first"


def test_a_router_serves_several_threads() -> None:
    router = Router([include([route("news", first, path="<int:n>/")], path="<slug:x>/")])
    wrong: list[object] = []

    def ask(number: int) -> None:
        expected = Match(first, {"x": "a", "n": number})
        answers = [router.match("news", {"path": f"/a/{number}/"}) for _ in range(300)]
        wrong.extend(answer for answer in answers if answer != expected)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- mistakes -------------------------------------------------------------------


def test_a_route_prints_as_it_was_written() -> None:
    assert [
        repr(made)
        for made in (
            route("news", first),
            route(["a", "b"], Ticker, path="chat/", method=r"^\w$"),
            route("news", first, path=re.compile(r"^/\d$"), text="it's \\d", kind=b"x"),
            route("news", first, text="a\\\\"),
            route_class(Ticker),
            include([], path="^/"),
            include({"a": first}),
            include(route("a", first)),
            include("tests.test_routing.channel_routing", path="chat/"),
        )
    ] == [
        "route('news', first)",
        r"route(['a', 'b'], Ticker, path='chat/', method=r'^\w$')",
        r"""route('news', first, path=re.compile(r'^/\d$'), text="it's \\d", kind=b'x')""",
        r"route('news', first, text='a\\\\')",
        "route_class(Ticker)",
        "include([...], path='^/')",
        "include({...})",
        "include(route('a', first))",
        "include('tests.test_routing.channel_routing', path='chat/')",
    ]


@pytest.mark.usefixtures("chat")
def test_a_wrong_dotted_name_is_told_with_the_route() -> None:
    assert refusal(lambda: route("websocket.connect", "chat.consumers.ws_conect")) == (
        "route('websocket.connect', 'chat.consumers.ws_conect'): "
        "module chat.consumers has no 'ws_conect'. Did you mean 'ws_connect'?"
    )
    assert refusal(lambda: route("websocket.connect", "ws_connect", path="^/")) == (
        "route('websocket.connect', 'ws_connect', path='^/'): "
        "'ws_connect' is no dotted name. Write 'package.module.name'."
    )
    assert refusal(lambda: route_class("chat.consumer.Ticker", path="a/")) == (
        "route_class('chat.consumer.Ticker', path='a/'): "
        "there is no module chat.consumer. Did you mean 'consumers'?"
    )
    assert refusal(lambda: include("chat.routing.chanel_routing", path="chat/")) == (
        "include('chat.routing.chanel_routing', path='chat/'): "
        "module chat.routing has no 'chanel_routing'. Did you mean 'channel_routing'?"
    )
    assert refusal(lambda: Router("chat.routing.chanel_routing")) == (
        "routing 'chat.routing.chanel_routing': "
        "module chat.routing has no 'chanel_routing'. Did you mean 'channel_routing'?"
    )
    assert refusal(lambda: Router({"a": "chat.consumers.ws"})) == (
        "route('a', 'chat.consumers.ws'): module chat.consumers has no 'ws'."
    )


def test_a_mixed_path_is_told_with_the_route() -> None:
    assert refusal(lambda: route_class(Ticker, path="/prices/<slug:board>/")) == (
        "route_class(Ticker, path='/prices/<slug:board>/'): with a leading '/' this is a regular "
        "expression, and '<slug:board>' is not one. Write 'prices/<slug:board>/'."
    )
    assert refusal(lambda: include([], path="/prices/<slug:board>/")) == (
        "include([...], path='/prices/<slug:board>/'): with a leading '/' this is a regular "
        "expression, and '<slug:board>' is not one. Write 'prices/<slug:board>/'."
    )


def test_a_bad_regular_expression_keeps_its_cause() -> None:
    with pytest.raises(ConfigurationError) as refused:
        route("news", first, method="(")
    assert str(refused.value).startswith(
        "route('news', first, method='('): filter 'method' is not a regular expression: missing )"
    )
    assert isinstance(refused.value.__cause__, re.error)


def test_a_group_without_name_is_told_with_key_and_route() -> None:
    assert refusal(lambda: route("news", first, path="^/", method="^(GET|POST)$")) == (
        "route('news', first, path='^/', method='^(GET|POST)$'): "
        "filter 'method' has a group without a name, and arguments are passed by name. "
        "Write '(?P<name>...)', or '(?:...)' for a group that is no argument."
    )
    assert route("news", first, method="^(?:GET|POST)$").channels == ("news",)


@pytest.mark.parametrize(
    ("channels", "text"),
    [
        ("", "route('', first): channel name '' is empty; it needs 1 to 199 characters."),
        ("a b", "route('a b', first): channel name 'a b' has ' ' at position 1; allowed are"),
        (["a", ""], "route(['a', ''], first): channel name '' is empty;"),
        (b"\xff", r"route(r'\xff', first): channel name '\\xff' has '\\' at position 0;"),
        ([], "route([], first): it names no channel, so nothing would reach it."),
        (None, "route(None, first): channel name None is of type NoneType; it must be a str."),
        ([5], "route([5], first): channel name 5 is of type int; it must be a str."),
    ],
)
def test_a_wrong_channel_name_is_told_with_the_route(channels: Any, text: str) -> None:
    assert refusal(lambda: route(channels, first)).startswith(text)


@pytest.mark.parametrize(
    ("consumer", "text"),
    [
        (None, "None"),
        (5, "5"),
        ([first], "[first]"),
        (route("a", first), "route('a', first)"),
        ("tests.test_routing.channel_routing", "[route('news', first)]"),
    ],
)
def test_a_consumer_that_cannot_be_called_is_refused(consumer: Any, text: str) -> None:
    written = repr(consumer) if isinstance(consumer, str) else text
    assert refusal(lambda: route("news", consumer)) == (
        f"route('news', {written}): {text} cannot be called. "
        "Give a function, a class or a dotted name of one."
    )


def test_a_class_route_needs_channel_names() -> None:
    class Plain: ...

    class NoClassMethod:
        def channel_names(self) -> None: ...

    class Empty:
        channel_names = staticmethod(frozenset[str])

    assert refusal(lambda: route_class(Plain, path="a/")) == (
        "route_class(Plain, path='a/'): Plain is no class with channel_names(). "
        "Give a class consumer, or name the channels with route()."
    )
    assert refusal(lambda: route_class(first)).startswith(
        "route_class(first): first is no class with channel_names()."
    )
    failed = refusal(lambda: route_class(NoClassMethod))
    assert failed.startswith("route_class(NoClassMethod): channel_names() failed: ")
    assert failed.endswith("Make it a class method.")
    assert refusal(lambda: route_class(Empty)) == (
        "route_class(Empty): it names no channel, so nothing would reach it."
    )


@pytest.mark.parametrize(
    ("routing", "text"),
    [
        (None, "routing None: None is no routing. Give a list of routes, a dict of channel names"),
        (first, "routing first: first is no routing. Give a list of routes, a dict of channel"),
        ({first}, "routing {<function fir"),
        ([route("a", first), first], "routing [...]: item 2 is first, which is no route. Write"),
        ([("a", first)], "routing [...]: item 1 is ('a', first), which is no route."),
        ([["a"]], "routing [...]: item 1 is ['a'], which is no route."),
        (["chat.routing"], "routing [...]: item 1 is 'chat.routing', which is no route."),
        ({"a b": first}, "route('a b', first): channel name 'a b' has ' ' at position 1;"),
        (
            "tests.test_routing.first",
            "routing 'tests.test_routing.first': first is no routing. Give a list of routes,",
        ),
    ],
)
def test_a_routing_that_is_none_is_refused(routing: Any, text: str) -> None:
    assert refusal(lambda: Router(routing)).startswith(text)
    if text.startswith("routing [...]"):
        told = text.replace("routing [...]", "include([...], path='^/')")
        assert refusal(lambda: include(routing, path="^/")).startswith(told)


# --- the guide ------------------------------------------------------------------

GUIDE = (Path(__file__).parent.parent / "docs" / "guide" / "routing.md").read_text()


@pytest.mark.usefixtures("chat")
def test_the_guide_runs_as_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(patterns, "_converters", dict(patterns._converters))
    monkeypatch.setattr(patterns, "_registered", {})
    names: dict[str, Any] = {"__name__": "chat.routing"}
    for block in re.findall(r"```python[^\n]*\n(.*?)```", GUIDE, re.DOTALL):
        exec(block, names)
    printed = capsys.readouterr().out
    assert printed.count("\n") == 3
    assert f"```text\n{printed}```" in GUIDE

    names["consumer"] = lambda message: None
    names["consumer"].__qualname__ = "consumer"
    errors = re.findall(r"^(route\w*\(.*?\)): (.*)", GUIDE, re.MULTILINE)
    assert len(errors) == 6
    for call, text in errors:
        with pytest.raises(ConfigurationError) as refused:
            eval(call, names)
        assert str(refused.value) == f"{call}: {text}"


def test_the_table_of_paths_in_the_guide_is_right() -> None:
    rows = re.findall(
        r"^\| `(r?\".*\")` \| \w+ .* \| (.*) \| (.*) \| (.*) \|$", GUIDE, re.MULTILINE
    )
    assert len(rows) == 7
    for source, *cells in rows:
        router = Router([route("news", first, path=eval(source))])
        for path, cell in zip(("/chat/", "/chat/lobby/", "/chat/lobby/log/"), cells, strict=True):
            match = router.match("news", {"path": path})
            told = cell.strip("`")
            assert (match is None) == (told == "no")
            if match and told != "yes":
                assert match.kwargs == eval(f"dict({told})")
