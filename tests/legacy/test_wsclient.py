"""WSClient: cookies, headers, session, user, order, and what of it a consumer sees."""

import json
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.test import override_settings

from achannels.legacy.auth import channel_session_user, channel_session_user_from_http
from achannels.legacy.routing import route
from achannels.legacy.sessions import (
    channel_and_http_session,
    channel_session,
    http_session,
    session_for_reply_channel,
)
from achannels.legacy.test import ChannelTestCase, WSClient, apply_routes


def accept(message: Any) -> None:
    message.reply_channel.send({"accept": True})


class MessageTest(ChannelTestCase):
    def sent(self, to: str, **kwargs: Any) -> dict[str, Any]:
        """Return what a client sends."""
        client = WSClient()
        client.send(to, **kwargs)
        message = client.get_next_message(to)
        assert message is not None
        assert message["reply_channel"] == client.reply_channel
        return {
            key: value for key, value in message.items() if key not in {"reply_channel", "headers"}
        }

    def test_only_connect_has_a_query(self) -> None:
        assert self.sent("websocket.connect", path="/a/?b=1&c=ü") == {
            "path": "/a/",
            "query_string": "b=1&c=ü",
        }
        assert self.sent("websocket.connect") == {"path": "/", "query_string": ""}
        assert self.sent("websocket.receive", path="/a/?b=1") == {"path": "/a/"}
        with pytest.raises(ValueError, match=r"more than one '[?]'"):
            WSClient().send("websocket.connect", path="/a/?b=1?c=2")

    def test_what_is_given_stays(self) -> None:
        given = {"path": "/own/", "query_string": b"d=1", "text": "t"}
        assert self.sent("websocket.connect", content=given) == given

    def test_text_that_is_no_str_is_json(self) -> None:
        for text in ({"say": "ü"}, [1], 0, False):
            assert json.loads(self.sent("websocket.receive", text=text)["text"]) == text
        assert self.sent("websocket.receive", text="plain")["text"] == "plain"
        assert self.sent("websocket.receive", text="")["text"] == ""

    def test_order(self) -> None:
        client = WSClient(ordered=True)
        for _ in range(3):
            client.send("websocket.receive")
        orders = [client.get_next_message("websocket.receive") for _ in range(3)]
        assert [message and message["order"] for message in orders] == [0, 1, 2]
        with pytest.raises(ValueError, match="'order' manually"):
            client.send("websocket.receive", {"order": 7})
        assert self.sent("websocket.receive", content={"order": 7})["order"] == 7

    def test_headers_and_cookies(self) -> None:
        client = WSClient()
        client.set_header("x-one", "ü")
        client.set_header("x-two", b"2")
        client.set_cookie("a", "1")
        client.set_cookie("b", "2")
        key = client.session.session_key
        name = settings.SESSION_COOKIE_NAME
        assert client.get_cookies() == {"a": "1", "b": "2", name: key}
        assert client.headers == {
            "x-one": "ü".encode("latin-1"),
            "x-two": b"2",
            "cookie": f"a=1; b=2; {name}={key}".encode(),
        }
        client.send("websocket.connect")
        message = client.get_next_message("websocket.connect")
        assert message is not None
        assert name.encode() in message["headers"]["cookie"]
        assert client.headers["cookie"] == b"a=1; b=2"
        with pytest.raises(ValueError, match="set_cookie"):
            client.set_header("Cookie", "a=1")

    def test_without_cookies_there_is_no_header(self) -> None:
        client = WSClient()
        client.send("websocket.connect")
        assert client.headers == {}


class AnswerTest(ChannelTestCase):
    def answered(self, *contents: dict[str, Any]) -> WSClient:
        client = WSClient()
        for content in contents:
            client.channel_layer.send(client.reply_channel, content)
        return client

    def test_receive(self) -> None:
        client = self.answered(
            {"text": '{"a": 1}'}, {"text": '{"a": 1}'}, {"bytes": b"1"}, {"close": True}
        )
        assert client.receive() == {"a": 1}
        assert client.receive(json=False) == '{"a": 1}'
        assert client.receive() == {"bytes": b"1"}
        assert client.receive() == {"close": True}
        assert client.receive() is None

    def test_connect_has_to_be_accepted_first(self) -> None:
        def refuse(message: Any) -> None:
            message.reply_channel.send({"close": True})

        def greet(message: Any) -> None:
            message.reply_channel.send({"text": "hi"})

        with apply_routes([route("websocket.connect", accept)]):
            client = WSClient()
            client.send_and_consume("websocket.connect")
            assert client.receive() is None
        for consumer in (refuse, greet, lambda message: None):
            with apply_routes([route("websocket.connect", consumer)]):
                with pytest.raises(AssertionError, match="Connection rejected"):
                    WSClient().send_and_consume("websocket.connect")
                WSClient().send_and_consume("websocket.connect", check_accept=False)

    def test_what_a_consumer_returns(self) -> None:
        with apply_routes([route("websocket.receive", lambda message: message["text"])]):
            assert WSClient().send_and_consume("websocket.receive", text="t") == "t"

    def test_fail_on_none(self) -> None:
        client = WSClient()
        with pytest.raises(AssertionError):
            client.send_and_consume("websocket.receive")
        assert client.send_and_consume("websocket.receive", fail_on_none=False) is None


class UserTest(ChannelTestCase):
    def setUp(self) -> None:
        self.anna = User.objects.create_user("anna", password="secret")

    def user_of(self, client: WSClient) -> list[Any]:
        """Return who the consumers of a socket take its client for."""
        seen: list[Any] = []

        @channel_session_user_from_http
        def connect(message: Any) -> None:
            accept(message)
            seen.append(message.user)

        @channel_session_user
        def receive(message: Any) -> None:
            seen.append(message.user)

        with apply_routes(
            [route("websocket.connect", connect), route("websocket.receive", receive)]
        ):
            client.send_and_consume("websocket.connect")
            client.send_and_consume("websocket.receive", text="t")
        return seen

    def test_log_in(self) -> None:
        client = WSClient()
        assert client.login(username="anna", password="wrong") is False
        assert client.login(username="anna", password="secret") is True
        assert self.user_of(client) == [self.anna, self.anna]

    def test_who_is_not_active_cannot_log_in(self) -> None:
        User.objects.update(is_active=False)
        assert WSClient().login(username="anna", password="secret") is False

    def test_log_in_without_password(self) -> None:
        client = WSClient()
        client.force_login(self.anna)
        assert self.user_of(client) == [self.anna, self.anna]
        client.force_login(
            User.objects.create(username="bert"), "django.contrib.auth.backends.ModelBackend"
        )
        assert [user.username for user in self.user_of(client)] == ["bert", "bert"]

    def test_who_logged_in_is_known_to_the_browser_alone(self) -> None:
        seen: list[Any] = []

        @channel_session_user
        def connect(message: Any) -> None:
            seen.append(message.user.is_anonymous)
            accept(message)

        client = WSClient()
        client.session["place"] = "here"
        client.force_login(self.anna)
        with apply_routes([route("websocket.connect", connect)]):
            client.send_and_consume("websocket.connect")
        assert seen == [True]
        assert client.session["place"] == "here"
        of_socket = session_for_reply_channel(client.reply_channel)
        assert client.session.session_key != of_socket.session_key

    def test_a_socket_keeps_both_sessions(self) -> None:
        @channel_and_http_session
        def connect(message: Any) -> None:
            message.channel_session["room"] = "lobby"
            message.http_session["seen"] = True
            accept(message)

        @channel_session
        def receive(message: Any) -> str:
            room: str = message.channel_session["room"]
            return room

        client = WSClient()
        client.force_login(self.anna)
        with apply_routes(
            [route("websocket.connect", connect), route("websocket.receive", receive)]
        ):
            client.send_and_consume("websocket.connect")
            assert client.send_and_consume("websocket.receive", text="t") == "lobby"
        assert type(client.session)(client.session.session_key)["seen"] is True

    @override_settings(CHANNEL_SESSION_ENGINE="django.contrib.sessions.backends.cache")
    def test_log_in_where_sockets_have_another_engine(self) -> None:
        client = WSClient()
        client.force_login(self.anna)
        assert self.user_of(client) == [self.anna, self.anna]

    def test_without_log_in(self) -> None:
        assert all(user.is_anonymous for user in self.user_of(WSClient()))

    def test_the_session_is_that_of_the_socket(self) -> None:
        @channel_session
        def count(message: Any) -> None:
            message.channel_session["count"] = message.channel_session.get("count", 0) + 1

        client = WSClient()
        with apply_routes([route("websocket.receive", count)]):
            for _ in range(2):
                client.send_and_consume("websocket.receive")
        assert session_for_reply_channel(client.reply_channel)["count"] == 2

    def test_what_is_in_the_session_a_consumer_sees(self) -> None:
        seen = []

        @http_session
        def connect(message: Any) -> None:
            seen.append(message.http_session["place"])
            accept(message)

        client = WSClient()
        client.force_login(self.anna)
        client.session["place"] = "here"
        client.session.save()
        with apply_routes([route("websocket.connect", connect)]):
            client.send_and_consume("websocket.connect")
        assert seen == ["here"]

    def test_sessions_need_their_app(self) -> None:
        names = [name for name in settings.INSTALLED_APPS if name != "django.contrib.sessions"]
        with self.settings(INSTALLED_APPS=names):
            assert not apps.is_installed("django.contrib.sessions")
            client = WSClient()
            client.set_cookie("a", "1")
            assert client.get_cookies() == {"a": "1"}
            with pytest.raises(EnvironmentError, match="sessions"):
                client.session  # noqa: B018
