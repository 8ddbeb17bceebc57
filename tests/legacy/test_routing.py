"""`channels.routing`: routes, includes and routers of 1.x, and how they stand beside ours."""

import re
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from achannels import routing as ours
from achannels.exceptions import ConfigurationError
from achannels.legacy.handler import ViewConsumer
from achannels.legacy.message import Message
from achannels.legacy.routing import (
    Include,
    Route,
    RouteClass,
    Router,
    connect_consumer,
    include,
    null_consumer,
    route,
    route_class,
)

HERE = "tests.legacy.test_routing"


def one(message: Any, **kwargs: Any) -> None:
    pass


def two(message: Any, **kwargs: Any) -> None:
    pass


class Classy:
    @classmethod
    def channel_names(cls) -> set[str]:
        return {"a", "b"}


some_routes = [route("named", one)]


def message(channel: str = "chan", **content: Any) -> Message:
    return Message(content, channel, None)


def matched(routing: Any, sent: Message) -> Any:
    found = routing.match(sent)
    return None if found is None else tuple(found)


# Route.


def test_a_route_takes_one_name_or_several() -> None:
    assert Route("chan", one).channel_names() == {"chan"}
    several: list[Any] = [["chan", b"other"], ("chan", "other"), iter(["chan", "other"])]
    for names in several:
        assert Route(names, one).channel_names() == {"chan", "other"}


def test_a_consumer_may_be_a_dotted_name() -> None:
    assert matched(Route("chan", f"{HERE}.one"), message()) == (one, {})


@pytest.mark.parametrize("name", ["tests.nowhere.one", f"{HERE}.three"])
def test_a_consumer_that_cannot_be_imported_is_improperly_configured(name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"Cannot import consumer '{re.escape(name)}'"):
        Route("chan", name)


def test_a_name_without_a_dot_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="'one' is no dotted name"):
        Route("chan", "one")


def test_a_group_without_a_name_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"route\('chan', one, .*filter 'path' has a group without"
    ):
        Route("chan", one, path=r"^/(\d+)/$")
    assert matched(Route("chan", one, path=r"^/(?:x|y)/$"), message(path="/x/")) == (one, {})


def test_only_its_channels_match() -> None:
    assert Route("chan", one).match(message("other")) is None


def test_all_filters_have_to_match_and_a_missing_key_matches_none() -> None:
    both = Route("chan", one, path="^/a", method="GET")
    assert matched(both, message(path="/a/", method="GET")) == (one, {})
    assert both.match(message(path="/a/", method="POST")) is None
    assert both.match(message(path="/a/")) is None


def test_a_filter_is_anchored_at_the_start_alone() -> None:
    assert matched(Route("chan", one, path="/chat"), message(path="/chatter")) == (one, {})
    assert Route("chan", one, path="/chat").match(message(path="/the/chat")) is None


def test_a_filter_may_be_bytes_or_compiled() -> None:
    for pattern in (b"^/a", re.compile("^/A", re.IGNORECASE)):
        assert matched(Route("chan", one, path=pattern), message(path="/a/")) == (one, {})


def test_bytes_are_matched_as_text_and_other_values_match_nothing() -> None:
    query = Route("chan", one, query_string="a=(?P<a>.)")
    assert matched(query, message(query_string=b"a=1")) == (one, {"a": "1"})
    for value in (b"a=\xff", 5, None, ["a=1"]):
        assert query.match(message(query_string=value)) is None


def test_named_groups_are_arguments_and_all_are_text() -> None:
    found = Route("chan", one, path=r"^/(?P<year>\d+)/(?P<page>p)?", method="(?P<how>.+)")
    sent = message(path="/2017/", method="GET")
    assert matched(found, sent) == (one, {"year": "2017", "page": None, "how": "GET"})


def test_a_route_as_text() -> None:
    assert str(Route(["a", "b"], one, path="^/x")) == f"a/b (path=^/x) -> {HERE}.one"
    assert str(Route("a", one)) == f"a  -> {HERE}.one"


# RouteClass.


def test_a_class_says_its_channels() -> None:
    for consumer in (Classy, f"{HERE}.Classy"):
        found = RouteClass(consumer, path="^/x")
        assert found.channel_names() == {"a", "b"}
        assert matched(found, message("b", path="/x/")) == (Classy, {})


def test_a_class_without_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one is no class with channel_names"):
        route_class(one)


# Include.


def test_an_include_strips_its_prefix_for_what_is_inside_alone() -> None:
    inner = Route("chan", one, path="^/room/(?P<room>.)$")
    sent = message(path="/chat/room/7")
    assert matched(Include([inner], path="^/chat"), sent) == (one, {"room": "7"})
    assert sent["path"] == "/chat/room/7"
    assert Include([inner], path="^/chat").match(message(path="/room/7")) is None
    assert Include([inner], path="^/chat").match(message()) is None


def test_includes_nest_and_inner_arguments_win() -> None:
    inner = Include([Route("chan", one, path="^/(?P<a>.)(?P<c>.)")], path="^/(?P<a>.)(?P<b>.)")
    outer = Include([inner], path="^/(?P<a>.)")
    assert matched(outer, message(path="/1/23/45")) == (one, {"a": "4", "b": "3", "c": "5"})


def test_a_failed_include_falls_through_and_leaves_nothing() -> None:
    routes = [
        Include([Route("chan", one, path="^never")], path="^/(?P<left>.)"),
        Route("chan", two, path="^/(?P<x>.)/"),
    ]
    assert matched(Router(routes), message(path="/a/")) == (two, {"x": "a"})


def test_the_first_route_that_matches_wins() -> None:
    assert matched(Router([Route("chan", one), Route("chan", two)]), message()) == (one, {})


def test_an_include_takes_positional_groups_and_passes_none() -> None:
    found = Include([Route("chan", one)], path=r"^/(\d+)/(?P<name>.)")
    assert matched(found, message(path="/12/x")) == (one, {"name": "x"})


@pytest.mark.parametrize(
    "inside",
    [[Route("chan", one)], {"chan": one}, f"{HERE}.some_routes"],
    ids=["list", "dict", "str"],
)
def test_an_include_takes_lists_dicts_and_names(inside: Any) -> None:
    (name,) = include(inside).channel_names()
    assert matched(include(inside), message(name)) == (one, {})


# Router.


def test_a_router_has_the_channels_of_all_routes() -> None:
    router = Router([Route("a", one), Include([Route(["b", "c"], two)], path="^/")])
    assert router.channels == {"a", "b", "c"} == router.root.channel_names()
    assert router.match(message("d")) is None


def test_a_route_can_be_added() -> None:
    for routing in ([Route("a", one)], (Route("a", one),)):
        router = Router(routing)
        router.add_route(Route("b", two))
        assert router.channels == {"a", "b"}
        assert matched(router, message("b")) == (two, {})
        assert len(routing) == 1


def test_the_defaults_come_last_and_once() -> None:
    def own(message: Any) -> None:
        pass

    router = Router([Route("websocket.connect", one, path="^/mine")])
    for _ in range(2):
        router.check_default(http_consumer=own)
    assert matched(router, message("http.request")) == (own, {})
    assert matched(router, message("websocket.connect", path="/mine")) == (one, {})
    assert matched(router, message("websocket.connect", path="/")) == (connect_consumer, {})
    for channel in ("websocket.receive", "websocket.disconnect"):
        assert matched(router, message(channel)) == (null_consumer, {})
    assert len(router.root.children) == 5


def test_views_answer_requests_by_default() -> None:
    router = Router([])
    router.check_default()
    consumer, _ = matched(router, message("http.request"))
    assert isinstance(consumer, ViewConsumer)


def test_the_default_consumers() -> None:
    sent: list[Any] = []

    class Connecting:
        class reply_channel:  # noqa: N801 - stands for one
            send = sent.append

    connect_consumer(Connecting, 1, a=2)
    null_consumer(Connecting, 1, a=2)
    assert sent == [{"accept": True}]


def test_a_routing_is_resolved() -> None:
    assert Router.resolve_routing(f"{HERE}.some_routes") is some_routes
    (from_dict,) = Router.resolve_routing({"chan": one})
    assert from_dict.channel_names() == {"chan"}
    routing: list[Any] = []
    assert Router.resolve_routing(routing) is routing
    with pytest.raises(
        ImproperlyConfigured, match=r"Cannot import channel routing 'tests\.no\.where'"
    ):
        Router("tests.no.where")
    with pytest.raises(ValueError, match="no dotted name"):
        Router("nodot")
    assert Router.normalise_re_arg(b"^/") == "^/" == Router.normalise_re_arg("^/")


# Beside ours.


def test_a_path_of_the_shim_is_a_regular_expression() -> None:
    assert matched(route("chan", one, path="chat/"), message(path="chat/more")) == (one, {})
    assert matched(route("chan", one, path="."), message(path="/")) == (one, {})
    assert ours.Router([route("chan", one, path="chat/")]).match("chan", {"path": "/chat/"}) is None


def test_a_path_with_a_converter_is_one_of_ours() -> None:
    router = ours.Router([route("chan", one, path="room/<int:room>/")])
    assert router.match("chan", {"path": "/room/7/"}) == (one, {"room": 7})


def test_both_kinds_stand_in_one_list_and_in_each_others_includes() -> None:
    router = ours.Router(
        [
            ours.include(
                [route("chan", one, path="x+$"), ours.route("chan", two, path="y/")], path="a/"
            ),
            include([ours.route("chan", two, path="y"), ours.route("other", two)], path="^/b/"),
            ours.route("chan", two, path="c/"),
        ]
    )
    assert router.match("chan", {"path": "/a/xxx"}) == (one, {})
    assert router.match("chan", {"path": "/a/y/"}) == (two, {})
    assert router.match("chan", {"path": "/b/yes"}) == (two, {})
    assert router.match("other", {"path": "/b/anything"}) == (two, {})
    assert router.match("chan", {"path": "/c/"}) == (two, {})
    assert router.match("chan", {"path": "/c/d"}) is None


def test_our_includes_around_everything_change_nothing_of_ours() -> None:
    router = ours.Router(include([ours.route("chan", one, path="plain/")]))
    assert router.match("chan", {"path": "/plain/"}) == (one, {})
    assert router.match("chan", {"path": "/plain/more"}) is None


def test_paths_can_be_those_of_ours(settings: Any) -> None:
    settings.CHANNELS_PATHS = "django"
    router = ours.Router(
        [route("chan", one, path="chat/"), include([route("chan", two)], path="b/")]
    )
    assert router.match("chan", {"path": "/chat/"}) == (one, {})
    assert router.match("chan", {"path": "/chat/more"}) is None
    assert router.match("chan", {"path": "/b/"}) == (two, {})


# Routing objects of one's own.


class Odd:
    """Takes messages whose number is odd."""

    def match(self, message: Any) -> tuple[Any, dict[str, Any]] | None:
        assert message.channel.name in self.channel_names()
        return (one, {"path": message["path"]}) if message.get("number", 0) % 2 else None

    def channel_names(self) -> set[str]:
        return {"chan", "other"}


@pytest.mark.usefixtures("old_ways")
def test_anything_that_matches_is_a_route() -> None:
    odd: Any = Odd()
    router = Router([Include([odd], path="^/a"), Route("chan", two)])
    assert router.channels == {"chan", "other"}
    assert matched(router, message("chan", path="/a/b", number=3)) == (one, {"path": "/b"})
    assert matched(router, message("other", path="/a/b", number=1)) == (one, {"path": "/b"})
    assert matched(router, message("chan", path="/a/b", number=4)) == (two, {})
    core = ours.Router([odd])
    assert core.match("chan", {"path": "/", "number": 5}) == (one, {"path": "/"})
    assert core.routes[0].startswith("chan/other -> <")
    assert core.claims("chan", {"path": "/"})


class Numbered(Route):
    """Takes what a route takes, if its number is odd, and adds the number."""

    def match(self, message: Any) -> Any:
        found = super().match(message)
        number = message.content.get("number", 0)
        return (found[0], {**found[1], "number": number}) if found and number % 2 else None


class NumberedClass(RouteClass):
    def match(self, message: Any) -> Any:
        return super().match(message) if message.content.get("number", 0) % 2 else None


class NumberedInclude(Include):
    def match(self, message: Any) -> Any:
        return super().match(message) if message.content.get("number", 0) % 2 else None


@pytest.mark.usefixtures("old_ways")
@pytest.mark.parametrize("around", [list, lambda routes: [Include(routes, path="^/a")]])
def test_a_route_may_have_a_match_of_its_own(around: Any) -> None:
    routes = around(
        [
            Numbered("chan", one, path=r"(?:/a)?/(?P<x>\d)"),
            NumberedClass(Classy),
            NumberedInclude([Numbered("c", one), Route(["c", "d"], two)], path="(/a)?/1"),
        ]
    )
    router, core = Router(routes), ours.Router(routes)
    for channel, number, found in (
        ("chan", 3, (one, {"x": "1", "number": 3})),
        ("chan", 2, None),
        ("a", 1, (Classy, {})),
        ("b", 2, None),
        ("c", 5, (one, {"number": 5})),
        ("d", 5, (two, {})),
        ("c", 4, None),
        ("d", 4, None),
    ):
        content = {"path": "/a/1", "number": number}
        assert matched(router, message(channel, **content)) == found
        assert core.match(channel, content) == found
    assert list(core.consumers()) == [one, Classy, two]
    assert list(core.consumers("d")) == [two]
    assert [line.rpartition(".")[2] for line in core.routes] == ["one", "Classy", "one", "two"]


@pytest.mark.usefixtures("old_ways")
def test_what_does_not_match_is_no_route() -> None:
    for wrong in (Odd, object(), "chan"):
        with pytest.raises(ConfigurationError, match="which is no route"):
            ours.Router([wrong])  # type: ignore[list-item]
