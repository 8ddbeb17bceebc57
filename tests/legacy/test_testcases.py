"""The test cases and the client of 1.x, used as its projects use them."""

import re
import unittest
from contextlib import suppress
from typing import Any

import pytest
from django.db import connection
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save
from django.test import override_settings
from websockets.sync.client import connect

from achannels import Message as AwaitedMessage
from achannels import registry
from achannels.asgi import Application
from achannels.consumers import AsyncWebsocketConsumer
from achannels.exceptions import ChannelFull, ConsumeLater, DenyConnection
from achannels.layers.memory import MemoryLayer
from achannels.legacy.asgi import channel_layers
from achannels.legacy.binding.websockets import WebsocketBinding
from achannels.legacy.channel import Channel, Group
from achannels.legacy.exceptions import ChannelSocketException
from achannels.legacy.generic.websockets import WebsocketConsumer
from achannels.legacy.message import Message
from achannels.legacy.routing import null_consumer, route, route_class
from achannels.legacy.signals import consumer_finished, consumer_started
from achannels.legacy.test import (
    ChannelLiveServerTestCase,
    ChannelTestCase,
    Client,
    HttpClient,
    TransactionChannelTestCase,
    WSClient,
    apply_routes,
)
from tests.legacy.shelf.models import Comic

TWO_LAYERS = {
    "default": {"BACKEND": "asgiref.inmemory.ChannelLayer", "ROUTING": []},
    "other": {"BACKEND": "asgiref.inmemory.ChannelLayer", "ROUTING": []},
}


def echo(message: Any) -> str:
    message.reply_channel.send({"text": message["text"]})
    return "returned"


class LayerTest(ChannelTestCase):
    def test_each_test_has_a_layer_of_its_own(self) -> None:
        assert isinstance(channel_layers["default"].channel_layer.layer, MemoryLayer)
        assert registry.get_channel_layer() is channel_layers["default"].channel_layer.layer
        assert self.get_next_message("a") is None
        Channel("a").send({"left": "behind"})

    def test_nothing_is_left_of_another_test(self) -> None:
        self.test_each_test_has_a_layer_of_its_own()

    def test_a_channel_has_room_for_ten(self) -> None:
        for number in range(10):
            Channel("a").send({"number": number})
        with pytest.raises(ChannelFull):
            Channel("a").send({"number": 10})

    def test_a_message_can_be_required(self) -> None:
        Channel("a").send({"text": "hi"})
        message = self.get_next_message("a", require=True)
        assert isinstance(message, Message)
        assert (message["text"], message.channel.name) == ("hi", "a")
        with pytest.raises(AssertionError, match="Expected a message on channel a, got none"):
            self.get_next_message("a", require=True)

    def test_a_binding_does_not_wait_for_a_commit_that_never_comes(self) -> None:
        signals = (pre_save, post_save, pre_delete, post_delete)
        before = [list(signal.receivers) for signal in signals]

        class ComicBinding(WebsocketBinding):
            model = Comic
            stream = "comics"
            fields = ("title",)

            @classmethod
            def group_names(cls, instance: Any) -> list[str]:
                return ["comics"]

        try:
            client = WSClient()
            client.join_group("comics")
            assert connection.in_atomic_block
            Comic.objects.create(title="t")
        finally:
            for signal, receivers in zip(signals, before, strict=True):
                signal.receivers = receivers
                signal.sender_receivers_cache.clear()
        frame = client.receive()
        assert frame["payload"]["data"] == {"title": "t"}


@override_settings(CHANNEL_LAYERS=TWO_LAYERS)
class AliasTest(TransactionChannelTestCase):
    test_channel_aliases = ("default", "other")

    def test_each_alias_has_a_layer_of_its_own(self) -> None:
        Channel("a", alias="other").send({"n": 1})
        assert self.get_next_message("a") is None
        message = self.get_next_message("a", alias="other")
        assert message is not None
        assert message.content == {"n": 1}
        client = Client(alias="other")
        assert client.channel_layer is channel_layers["other"]
        assert client.reply_channel.startswith("other")
        client.join_group("everyone")
        Group("everyone", alias="other").send({"text": "hi"})
        assert client.receive() == {"text": "hi"}

    def test_routes_apply_to_the_aliases_that_are_named(self) -> None:
        with apply_routes(route("a", echo), aliases=["other"]):
            assert Client(alias="other").send_and_consume("a", {"text": "hi"}) == "returned"
            with pytest.raises(AssertionError):
                Client().send_and_consume("a", {"text": "hi"})


@override_settings(
    CHANNEL_LAYERS={
        "default": {"BACKEND": "asgiref.inmemory.ChannelLayer", "ROUTING": {"a": echo}},
    }
)
class DictTest(ChannelTestCase):
    def test_a_routing_may_be_a_dict(self) -> None:
        assert Client().send_and_consume("a", {"text": "hi"}) == "returned"


class RunsTest(ChannelTestCase):
    """Only run by the test below."""

    __test__ = False

    def test_sees_its_own_layer(self) -> None:
        assert registry.get_channel_layer() is not self.outer

    outer: object = None


@pytest.mark.django_db
@pytest.mark.parametrize("debug", [True, False])
def test_the_layers_of_before_come_back(debug: bool) -> None:
    before = RunsTest.outer = registry.get_channel_layer()
    wrapper = channel_layers["default"]
    suite = unittest.TestSuite([RunsTest("test_sees_its_own_layer")])
    if debug:
        suite.debug()
    else:
        result = unittest.TestResult()
        suite.run(result)
        assert (result.testsRun, result.errors, result.failures) == (1, [], [])
    assert registry.get_channel_layer() is before
    assert channel_layers["default"] is wrapper


class ClientTest(ChannelTestCase):
    def test_a_consumer_runs_when_told_to(self) -> None:
        client = Client()
        with apply_routes([route("a", echo)]):
            client.send("a", {"text": "hi"})
            assert client.receive() is None
            assert client.consume("a") == "returned"
        assert client.receive() == {"text": "hi"}
        assert client.receive() is None

    def test_the_reply_channel_is_alias_and_five_letters(self) -> None:
        names = {Client().reply_channel for _ in range(20)}
        assert len(names) > 1
        for name in names:
            assert re.fullmatch("default[a-zA-Z]{5}", name)

    def test_a_message_is_copied(self) -> None:
        content: dict[str, Any] = {"list": [1], "reply_channel": "mine"}
        client = Client()
        client.send("a", content)
        content["list"].append(2)
        message = client.get_next_message("a")
        assert message is not None
        assert message.content == {"list": [1], "reply_channel": "mine"}

    def test_kwargs_come_from_the_route_and_a_class_gives_its_instance(self) -> None:
        class Room(WebsocketConsumer):
            def connect(self, message: Any, **kwargs: Any) -> None:
                self.joined = kwargs["room"]

        with apply_routes([route_class(Room, path=r"^/(?P<room>\w+)/$")]):
            room = Client().send_and_consume("websocket.connect", {"path": "/lobby/"})
        assert isinstance(room, Room)
        assert room.joined == "lobby"

    def test_sends_of_a_consumer_wait_for_its_end(self) -> None:
        seen = []

        def consumer(message: Any) -> None:
            Channel("out").send({"n": 1})
            Channel("out").send({"n": 2}, immediately=True)
            seen.append(channel_layers["default"].receive(["out"])[1])

        with apply_routes([route("a", consumer)]):
            Client().send_and_consume("a")
        assert seen == [{"n": 2}]
        message = self.get_next_message("out", require=True)
        assert message is not None
        assert message.content == {"n": 1}

    def test_what_a_consumer_raises_is_raised_and_its_sends_leave(self) -> None:
        for error in (DenyConnection(), ConsumeLater(), LookupError("mine")):

            def consumer(message: Any, error: Exception = error) -> None:
                Channel("out").send({})
                raise error

            with apply_routes([route("a", consumer)]), pytest.raises(type(error)) as raised:
                Client().send_and_consume("a")
            assert raised.value is error
            self.get_next_message("out", require=True)
            Channel("out").send({"not": "kept back"})
            self.get_next_message("out", require=True)

    def test_an_exception_that_answers_does(self) -> None:
        class Answer(ChannelSocketException):
            def run(self, message: Any) -> None:
                message.reply_channel.send({"text": "answered"})

        def consumer(message: Any) -> None:
            raise Answer

        client = Client()
        with apply_routes([route("a", consumer)]):
            assert client.send_and_consume("a") is None
        assert client.receive() == {"text": "answered"}

    def test_no_message_and_no_consumer(self) -> None:
        client = Client()
        with pytest.raises(AssertionError, match="No message for channel a"):
            client.consume("a")
        assert client.consume("a", fail_on_none=False) is None
        with pytest.raises(AssertionError, match="Can't find consumer for message"):
            client.send_and_consume("a")
        assert client.send_and_consume("a", fail_on_none=False) is None

    def test_the_consumer_of_a_channel(self) -> None:
        client = Client()
        with apply_routes([route("a", echo), route("b", echo, path="^/x")]):
            assert client.get_consumer_by_channel("a") is echo
            assert client.get_consumer_by_channel("b") is None

    def test_async_consumers_are_not_its_own(self) -> None:
        async def consumer(message: AwaitedMessage) -> None:
            raise AssertionError("it ran")

        class Socket(AsyncWebsocketConsumer):
            pass

        with apply_routes([route("a", consumer), route_class(Socket)]):
            for channel in ("a", "websocket.connect"):
                with pytest.raises(AssertionError, match="WebsocketClient"):
                    Client().send_and_consume(channel)

    def test_the_signals_name_the_client(self) -> None:
        class OwnClient(Client):
            pass

        seen: list[Any] = []

        def started(sender: Any, **kwargs: Any) -> None:
            seen.append(("started", sender))

        def finished(sender: Any, **kwargs: Any) -> None:
            seen.append(("finished", sender))

        consumer_started.connect(started)
        consumer_finished.connect(finished)
        try:
            with apply_routes([route("a", lambda message: seen.append("consumer"))]):
                OwnClient().send_and_consume("a")
        finally:
            consumer_started.disconnect(started)
            consumer_finished.disconnect(finished)
        assert seen == [("started", OwnClient), "consumer", ("finished", OwnClient)]

    def test_a_consumer_works_in_the_transaction_of_the_test(self) -> None:
        comic = Comic.objects.create(title="mine")

        def consumer(message: Any) -> None:
            Comic.objects.filter(pk=comic.pk).update(title="yours")

        with apply_routes([route("a", consumer)]):
            Client().send_and_consume("a")
        comic.refresh_from_db()
        assert comic.title == "yours"


class ApplyRoutesTest(ChannelTestCase):
    def test_one_route_lists_and_lists_of_lists(self) -> None:
        first, second = route("a", echo), route("b", echo)
        for routes in (first, [first], (first, second), [[first], [second]], ([first], (second,))):
            with apply_routes(routes):
                assert Client().send_and_consume("a", {"text": "hi"}) == "returned"
        with apply_routes([[first], [second]]):
            assert Client().send_and_consume("b", {"text": "hi"}) == "returned"

    def test_no_routes_are_an_error(self) -> None:
        with pytest.raises(IndexError):
            apply_routes([])

    def test_the_routes_of_before_come_back(self) -> None:
        wrapper = channel_layers["default"]
        before = wrapper.routing, wrapper.router
        with suppress(LookupError), apply_routes([route("a", echo)]):
            assert wrapper.router.channels == {"a"}
            with apply_routes(route("b", echo)):
                assert wrapper.router.channels == {"b"}
            assert wrapper.router.channels == {"a"}
            raise LookupError
        assert (wrapper.routing, wrapper.router) == before

    def test_a_decorated_function_may_call_itself(self) -> None:
        before = channel_layers["default"].routing

        @apply_routes([route("a", echo)])
        def nest(depth: int) -> None:
            if depth:
                nest(depth - 1)
            assert Client().send_and_consume("a", {"text": "hi"}) == "returned"

        nest(2)
        assert channel_layers["default"].routing == before

    @apply_routes([route("a", echo)])
    def test_as_a_decorator_of_a_test(self) -> None:
        assert Client().send_and_consume("a", {"text": "hi"}) == "returned"

    @apply_routes([route("a", echo)])
    def test_as_a_decorator_of_a_test_again(self) -> None:
        self.test_as_a_decorator_of_a_test()


@apply_routes([route("a", echo)])
class ApplyRoutesToAllTest(ChannelTestCase):
    def setUp(self) -> None:
        self.in_set_up = Client().send_and_consume("a", {"text": "hi"})

    def tearDown(self) -> None:
        assert Client().send_and_consume("a", {"text": "hi"}) == "returned"

    def test_as_a_decorator_of_a_test_case(self) -> None:
        assert self.in_set_up == "returned"


class ApplyRoutesToAllTwiceTest(ApplyRoutesToAllTest):
    def test_a_subclass_has_them_too(self) -> None:
        assert Client().send_and_consume("a", {"text": "hi"}) == "returned"


def test_the_old_name_of_the_client_warns() -> None:
    with pytest.warns(DeprecationWarning, match="HttpClient is called WSClient"):
        client = HttpClient(ordered=True)
    assert isinstance(client, WSClient)


def test_the_old_name_of_the_module_warns() -> None:
    with pytest.warns(DeprecationWarning, match="channels.tests is called channels.test"):
        from achannels.legacy.tests import WSClient as Found
    assert Found is WSClient
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        from achannels.legacy.tests import Nothing  # noqa: F401


class LiveServerTest(ChannelLiveServerTestCase):
    application = Application(
        [
            route(
                "websocket.connect", lambda message: message.reply_channel.send({"accept": True})
            ),
            route("websocket.receive", echo),
            route("websocket.disconnect", null_consumer),
        ],
        unrouted="accept",
    )

    def test_a_socket_of_the_server(self) -> None:
        assert self.live_server_url.startswith("http://localhost:")
        assert self.live_server_ws_url == self.live_server_url.replace("http", "ws")
        with connect(self.live_server_ws_url, proxy=None) as socket:
            socket.send("Grüße")
            assert socket.recv(timeout=5) == "Grüße"
