"""Bindings: what is sent when a model changes, and what a client may change."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.apps import apps
from django.contrib.auth.models import AnonymousUser, User
from django.core import serializers
from django.core.exceptions import FieldDoesNotExist, ObjectDoesNotExist, ValidationError
from django.core.serializers.base import DeserializationError
from django.db import IntegrityError, transaction
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save

from achannels.exceptions import InvalidName
from achannels.legacy.asgi import channel_layers
from achannels.legacy.binding import Binding
from achannels.legacy.binding.base import BindingMetaclass
from achannels.legacy.binding.commit import at_once
from achannels.legacy.binding.websockets import WebsocketBinding, WebsocketBindingWithMembers
from achannels.legacy.channel import Channel, Group
from achannels.legacy.generic.websockets import WebsocketDemultiplexer
from achannels.legacy.routing import route, route_class
from achannels.legacy.test import Client, WSClient, apply_routes
from tests.legacy.shelf.models import Author, Book, Comic, Tag

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_receiver_stays() -> Iterator[None]:
    """Bindings listen for the life of the process; those of a test for the life of the test."""
    signals = (pre_save, post_save, pre_delete, post_delete)
    before = [list(signal.receivers) for signal in signals]
    yield
    for signal, receivers in zip(signals, before, strict=True):
        signal.receivers = receivers
        signal.sender_receivers_cache.clear()


def bind(
    groups: Callable[[Any], Iterable[str]] = lambda instance: ["shelf"],
    parent: type[Binding] = WebsocketBinding,
    **attributes: Any,
) -> Any:
    """Make a binding."""
    return BindingMetaclass(
        "Bound",
        (parent,),
        {
            "__module__": __name__,
            "model": Book,
            "stream": "books",
            "fields": ["__all__"],
            "group_names": classmethod(lambda cls, instance: groups(instance)),
            "has_permission": lambda self, user, action, pk: True,
            **attributes,
        },
    )


def join(*groups: str) -> None:
    """Have what is sent to these groups come on the channel `client`."""
    for group in groups:
        Group(group).add("client")


def told() -> list[Any]:
    """Return the payloads that were sent, with their stream taken off."""
    payloads = []
    while (content := channel_layers["default"].receive(["client"])[1]) is not None:
        frame = json.loads(content["text"])
        assert frame["stream"] == "books"
        payloads.append(frame["payload"])
    return payloads


def actions() -> list[tuple[str, str]]:
    """Return action and title of what was sent."""
    return [(each["action"], each["data"]["title"]) for each in told()]


# Outbound.


def test_what_is_told_of_a_change() -> None:
    bind()
    join("shelf")
    author, tag = Author.objects.create(name="Anna"), Tag.objects.create(name="new")
    book = Book.objects.create(title="Grüße", price=Decimal("9.50"), author=author)
    book.tags.add(tag)
    book.save()
    pk = str(book.pk)
    book.delete()
    data = {"title": "Grüße", "price": "9.50", "out": False, "author": author.pk}
    assert told() == [
        {
            "action": "create",
            "pk": pk,
            "data": {**data, "tags": [], "saved": 1},
            "model": "shelf.book",
        },
        {
            "action": "update",
            "pk": pk,
            "data": {**data, "tags": ["new"], "saved": 2},
            "model": "shelf.book",
        },
        {
            "action": "delete",
            "pk": pk,
            "data": {**data, "tags": [], "saved": 2},
            "model": "shelf.book",
        },
    ]


def test_a_group_that_loses_sight_is_told_of_a_delete() -> None:
    bind(lambda book: [book.title, "all"])
    join("a", "b", "all")
    book = Book.objects.create(title="a")
    told()
    book.title = "b"
    book.save()
    assert actions() == [("delete", "b"), ("update", "b"), ("create", "b")]


def test_relations_and_other_attributes_count_as_they_were() -> None:
    anna, bert = Author.objects.create(name="anna"), Author.objects.create(name="bert")

    def groups(book: Any) -> list[str]:
        return [f"{book.author.name}-{book.audience}"]

    bind(groups)
    join("anna-kids", "bert-kids")
    book = Book(title="t", author=anna)
    book.audience = "kids"  # type: ignore[attr-defined] # no field: the database does not know it
    book.save()
    told()
    book.author = bert
    book.save()
    assert actions() == [("delete", "t"), ("create", "t")]
    assert book.author is bert


def test_a_receiver_may_save_once_more() -> None:
    def save_again(instance: Book, **kwargs: Any) -> None:
        if instance.title == "b":
            instance.title = "c"
            instance.save()

    post_save.connect(save_again, sender=Book)
    bind(lambda book: [book.title])
    join("a", "b", "c")
    book = Book.objects.create(title="a")
    told()
    book.title = "b"
    book.save()
    assert actions() == [("delete", "c"), ("create", "c"), ("delete", "c"), ("create", "c")]


def test_a_save_that_failed_leaves_no_trace() -> None:
    bind(lambda book: [book.title])
    join("a", "b", "c")
    book = Book.objects.create(title="a")
    told()
    book.title = "b"
    book.price = "cheap"
    with pytest.raises(ValidationError):
        book.save()
    book.title, book.price = "c", Decimal(1)
    book.save()
    assert actions() == [("delete", "c"), ("create", "c")]


def test_the_comparison_can_be_left_out(django_assert_num_queries: Any) -> None:
    bind(lambda book: [book.title], compare_stored=False, fields=["title"])
    join("a", "b")
    book = Book.objects.create(title="a")
    told()
    book.title = "b"
    with django_assert_num_queries(1):
        book.save(update_fields=["title"])
    assert actions() == [("update", "b")]


def test_groups_may_come_from_elsewhere() -> None:
    seen_by = {"a"}
    bind(lambda book: set(seen_by))
    join("a", "b")
    book = Book.objects.create(title="t")
    book.save()
    book.delete()
    assert actions() == [("create", "t"), ("update", "t"), ("delete", "t")]


def test_a_row_that_is_gone_is_created_again() -> None:
    bind()
    join("shelf")
    book = Book.objects.create(title="t")
    Book.objects.all().delete()
    told()
    book.save()
    assert actions() == [("create", "t")]


def test_nothing_is_told_before_the_commit() -> None:
    bind()
    join("shelf")
    with transaction.atomic():
        book = Book.objects.create(title="before")
        with transaction.atomic():
            book.title = "after"
            book.save()
        assert told() == []
    assert actions() == [("create", "before"), ("update", "after")]


def test_what_was_rolled_back_is_not_told() -> None:
    bind()
    join("shelf")
    with transaction.atomic():
        Book.objects.create(title="kept")
        try:
            with transaction.atomic():
                Book.objects.create(title="undone")
                raise LookupError
        except LookupError:
            pass
    assert actions() == [("create", "kept")]


def test_in_a_test_that_never_commits_it_is_told_at_once() -> None:
    bind()
    join("shelf")
    with transaction.atomic(), at_once():
        Book.objects.create(title="t")
        assert actions() == [("create", "t")]


@pytest.mark.parametrize("in_transaction", [True, False])
def test_in_a_consumer_it_is_told_at_the_end(in_transaction: bool) -> None:
    bind()

    def consumer(message: Any) -> None:
        Channel("client").send({"text": json.dumps({"stream": "books", "payload": "first"})})
        if in_transaction:
            with transaction.atomic():
                Book.objects.create(title="t")
        else:
            Book.objects.create(title="t")
        before.extend(told())

    before: list[Any] = []
    join("shelf")
    with apply_routes([route("work", consumer)]):
        Client().send_and_consume("work")
    assert before == []
    first, second = told()
    assert (first, second["action"]) == ("first", "create")


def test_a_send_that_fails_after_the_commit_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    bind(lambda book: ["no group name"])
    with transaction.atomic():
        Book.objects.create(title="t")
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], InvalidName)
    with pytest.raises(InvalidName):
        Book.objects.create(title="u")


def test_an_empty_payload_is_not_sent() -> None:
    bind(serialize=lambda self, instance, action: {})
    join("shelf")
    Book.objects.create(title="t")
    assert told() == []


def test_serialize_sees_what_the_signal_said() -> None:
    def serialize(self: Any, instance: Any, action: str) -> Any:
        kwargs = self.signal_kwargs
        fields = list(kwargs["update_fields"] or ())
        return [action, kwargs["created"], kwargs["using"], fields, kwargs["raw"]]

    bind(serialize=serialize)
    join("shelf")
    book = Book.objects.create(title="t")
    book.save(update_fields=["title"])
    assert told() == [
        ["create", True, "default", [], False],
        ["update", False, "default", ["title"], False],
    ]


def test_a_binding_without_stream_cannot_send() -> None:
    bind(stream=None)
    with pytest.raises(AssertionError, match="Bound has no stream"):
        Book.objects.create(title="t")


@pytest.mark.parametrize(
    ("attributes", "names"),
    [
        ({"fields": ["title", "out"]}, {"title", "out"}),
        ({"fields": "title"}, {"title"}),
        ({"fields": "__all__"}, {"title", "price", "out", "author", "tags", "saved"}),
        ({"fields": None, "exclude": ["price", "tags"]}, {"title", "out", "author", "saved"}),
        ({"fields": ["author"]}, {"author"}),
    ],
)
def test_only_the_fields_that_are_named_are_sent(
    attributes: dict[str, Any], names: set[str]
) -> None:
    bind(**attributes)
    join("shelf")
    Book.objects.create(title="t")
    assert set(told()[0]["data"]) == names


def test_members_are_sent_beside_the_fields() -> None:
    bind(
        parent=WebsocketBindingWithMembers,
        fields=["title"],
        send_members=["shout", "author.name", "tags.count", "price", "id"],
    )
    join("shelf")
    book = Book.objects.create(title="t", author=Author.objects.create(name="Anna"), price=1)
    assert told()[0]["data"] == {
        "title": "t",
        "shout": "T",
        "author__name": "Anna",
        "tags__count": 0,
        "price": 1,
        "id": str(book.pk),
    }


def test_which_operations_tell() -> None:
    bind()
    join("shelf")
    Book.objects.bulk_create([Book(title="a"), Book(title="b")])
    Book.objects.update(title="c")
    assert told() == []
    Book.objects.all().delete()
    assert actions() == [("delete", "c"), ("delete", "c")]
    (fixture,) = serializers.deserialize("json", serializers.serialize("json", [Book(title="d")]))
    fixture.save()
    assert actions() == [("create", "d")]


def test_a_subclass_of_a_binding_tells_as_well() -> None:
    bind(parent=bind())
    join("shelf")
    Book.objects.create(title="t")
    assert actions() == [("create", "t"), ("create", "t")]


# Registration.


def test_a_model_may_be_named() -> None:
    bound = bind(model="shelf.Comic")
    assert bound.model is Comic
    assert bound.model_label == "shelf.comic"


def test_a_binding_has_a_model() -> None:
    with pytest.raises(ValueError, match="Bound has no model"):
        BindingMetaclass("Bound", (WebsocketBinding,), {"fields": ["title"]})


def test_a_binding_says_which_fields() -> None:
    with pytest.raises(ValueError, match="Bound has neither fields nor exclude"):
        bind(fields=None)


def test_a_binding_with_none_as_its_own_model_is_abstract() -> None:
    abstract = BindingMetaclass("Abstract", (WebsocketBinding,), {"model": None, "stream": "books"})
    bind(parent=abstract)
    join("shelf")
    Book.objects.create(title="t")
    assert len(told()) == 1


def test_bindings_defined_before_the_models_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as early:
        early.setattr(apps, "models_ready", False)
        bound = bind(model="shelf.Book")
    join("shelf")
    Book.objects.create(title="before")
    assert bound.model == "shelf.Book"
    BindingMetaclass.register_all()
    BindingMetaclass.register_all()
    Book.objects.create(title="after")
    assert actions() == [("create", "after")]


@pytest.mark.parametrize("method", ["group_names", "serialize", "encode"])
def test_a_binding_says_what_it_lacks(method: str) -> None:
    own: dict[str, Any] = {
        "group_names": classmethod(lambda cls, instance: ["shelf"]),
        "serialize": lambda self, instance, action: "payload",
        "encode": classmethod(lambda cls, stream, payload: {"text": payload}),
    }
    del own[method]
    BindingMetaclass(
        "Bound", (Binding,), {"model": Book, "stream": "books", "fields": ["title"], **own}
    )
    with pytest.raises(NotImplementedError, match=f"Bound has no {method}"):
        Book.objects.create(title="t")


# Inbound.


def connected(bound: Any, **attributes: Any) -> WSClient:
    """Return a client of a demultiplexer with the binding on its stream."""
    channel_layers["default"].router.add_route(
        route_class(
            type(
                "Demultiplexer",
                (WebsocketDemultiplexer,),
                {"consumers": {"books": bound.consumer}, **attributes},
            )
        )
    )
    client = WSClient(ordered=True)
    client.send_and_consume("websocket.connect", path="/")
    return client


def ask(client: WSClient, **payload: Any) -> None:
    client.send_and_consume("websocket.receive", text={"stream": "books", "payload": payload})


@pytest.fixture(autouse=True)
def _own_routes() -> Iterator[None]:
    with apply_routes([route("nothing", lambda message: None)]):
        yield


def test_create_takes_the_fields_that_are_named() -> None:
    client = connected(bind(fields=["title", "author"]))
    author = Author.objects.create(name="Anna")
    ask(
        client,
        action="create",
        data={"title": "t", "author": author.pk, "out": True, "id": str(UUID(int=1))},
    )
    book = Book.objects.get()
    assert (book.title, book.author, book.out) == ("t", author, False)
    assert book.pk != UUID(int=1)
    assert book.saved == 0, "it is saved as a fixture is"


def test_create_leaves_out_what_is_excluded() -> None:
    client = connected(bind(fields=None, exclude=["out"]))
    tag = Tag.objects.create(name="new")
    ask(client, action="create", data={"title": "t", "out": True, "tags": ["new"]})
    book = Book.objects.get()
    assert book.out is False
    assert list(book.tags.all()) == [tag]


def test_create_never_overwrites() -> None:
    client = connected(bind())
    book = Book.objects.create(title="mine")
    with pytest.raises(IntegrityError):
        ask(client, action="create", data={"title": "yours", "id": str(book.pk)})
    assert Book.objects.get().title == "mine"


@pytest.mark.parametrize("fields", [["title", "author", "tags"], "__all__", ["__all__"]])
def test_update_changes_the_fields_that_are_named(fields: Any) -> None:
    client = connected(bind(fields=fields))
    author, tag = Author.objects.create(name="Anna"), Tag.objects.create(name="new")
    book = Book.objects.create(title="before", price=5)
    data = {"title": "after", "author": author.pk, "tags": ["new"], "id": str(uuid4())}
    ask(client, action="update", pk=str(book.pk), data=data)
    changed = Book.objects.get()
    assert (changed.pk, changed.title, changed.author) == (book.pk, "after", author)
    assert list(changed.tags.all()) == [tag]
    assert changed.price == 5
    assert changed.saved == 2, "it is saved by its own method"


def test_update_leaves_alone_what_is_not_named() -> None:
    client = connected(bind(fields=["title"]))
    book = Book.objects.create(title="before", out=False)
    tag = Tag.objects.create(name="new")
    data = {"title": "after", "out": True, "tags": [tag.pk]}
    ask(client, action="update", pk=str(book.pk), data=data)
    changed = Book.objects.get()
    assert (changed.title, changed.out, changed.tags.count()) == ("after", False, 0)


def test_update_of_nothing_is_an_error() -> None:
    client = connected(bind())
    with pytest.raises(ObjectDoesNotExist):
        ask(client, action="update", pk=str(uuid4()), data={"title": "t"})


def test_delete() -> None:
    client = connected(bind())
    book, other = Book.objects.create(title="a"), Book.objects.create(title="b")
    ask(client, action="delete", pk=str(book.pk))
    ask(client, action="delete", pk=str(book.pk))
    assert list(Book.objects.all()) == [other]


@pytest.mark.parametrize("action", ["create", "update"])
@pytest.mark.parametrize("name", ["nothing", "book", "pk"])
def test_a_field_that_the_model_does_not_have(action: str, name: str) -> None:
    client = connected(bind(fields=["title"]))
    book = Book.objects.create(title="t")
    with pytest.raises(FieldDoesNotExist, match=f"Book has no field named '{name}'"):
        ask(client, action=action, pk=str(book.pk), data={"title": "u", name: 1})
    assert Book.objects.get().title == "t"


def test_a_value_that_is_none_of_its_field() -> None:
    client = connected(bind())
    with pytest.raises(DeserializationError):
        ask(client, action="create", data={"price": "cheap"})


def test_who_may_not_changes_nothing() -> None:
    asked = []

    def has_permission(self: Any, user: Any, action: str, pk: Any) -> bool:
        asked.append((user, action, pk))
        return False

    client = connected(bind(has_permission=has_permission))
    book = Book.objects.create(title="t")
    pk = str(book.pk)
    ask(client, action="create", data={"title": "u"})
    ask(client, action="update", pk=pk, data={"title": "u"})
    ask(client, action="delete", pk=pk)
    ask(client, action="dance")
    assert Book.objects.get().title == "t"
    anybody = AnonymousUser()
    assert asked == [
        (anybody, "create", None),
        (anybody, "update", pk),
        (anybody, "delete", pk),
        (anybody, "dance", None),
    ]
    assert client.receive() is None


def test_permission_knows_user_message_and_route() -> None:
    seen = []

    def has_permission(self: Any, user: Any, action: str, pk: Any) -> bool:
        seen.append((user, self.user, self.message["path"], set(self.kwargs), self.data))
        return False

    bound = bind(has_permission=has_permission)
    client = connected(bound, http_user=True)
    anna = User.objects.create(username="anna")
    client = WSClient(ordered=True)
    client.force_login(anna)
    client.send_and_consume("websocket.connect", path="/a/")
    ask(client, action="create", data={"title": "u"})
    assert seen == [(anna, anna, "/", {"multiplexer"}, {"title": "u"})]


def test_permission_has_to_be_said() -> None:
    client = connected(bind(has_permission=Binding.has_permission))
    with pytest.raises(NotImplementedError, match="Bound has no has_permission"):
        ask(client, action="create", data={"title": "u"})


def test_an_action_that_is_none() -> None:
    client = connected(bind())
    with pytest.raises(ValueError, match="'dance' is no action of a binding"):
        ask(client, action="dance")
    with pytest.raises(KeyError, match="action"):
        ask(client, pk=1)


def test_connect_and_disconnect_ask_for_nothing() -> None:
    client = connected(bind(has_permission=Binding.has_permission))
    client.send_and_consume("websocket.disconnect")


def test_the_decorators_that_attributes_ask_for() -> None:
    seen: list[Any] = []

    def has_permission(self: Any, user: Any, action: str, pk: Any) -> bool:
        session = getattr(self.message, "channel_session", None)
        seen.append((hasattr(self.message, "user"), session is not None))
        return False

    frame = {"reply_channel": "client", "text": '{"action": "create"}', "path": "/", "order": 0}
    asked: list[dict[str, Any]] = [
        {"channel_session_user": False},
        {"channel_session_user": False, "channel_session": True},
        {},
        {"strict_ordering": True},
    ]
    for attributes in asked:
        bound = bind(has_permission=has_permission, **attributes)
        with apply_routes([route("websocket.receive", bound.consumer)]):
            Client().send_and_consume("websocket.receive", frame)
    assert seen == [(False, False), (False, True), (True, True), (True, True)]


def test_strict_ordering_wants_an_order() -> None:
    bound = bind(strict_ordering=True)
    with (
        apply_routes([route("websocket.receive", bound.consumer)]),
        pytest.raises(ValueError, match="has no 'order'"),
    ):
        Client().send_and_consume("websocket.receive", {"text": '{"action": "create"}'})


def test_slight_ordering_is_gone() -> None:
    bound = bind(slight_ordering=True)
    with (
        apply_routes([route("websocket.receive", bound.consumer)]),
        pytest.raises(ValueError, match="slight_ordering"),
    ):
        Client().send_and_consume("websocket.receive", {"text": "{}"})


def test_what_one_changes_the_others_see() -> None:
    class Shared(WebsocketDemultiplexer):
        consumers = {"books": bind().consumer}  # noqa: RUF012

        def connection_groups(self, **kwargs: Any) -> list[str]:
            return ["shelf"]

    with apply_routes([route_class(Shared)]):
        anna, bert = WSClient(), WSClient()
        for client in (anna, bert):
            client.send_and_consume("websocket.connect", path="/")
        ask(anna, action="create", data={"title": "t"})
        for client in (anna, bert):
            frame = client.receive()
            assert (frame["stream"], frame["payload"]["action"]) == ("books", "create")
            assert frame["payload"]["data"]["title"] == "t"


def test_a_binding_of_ones_own_format() -> None:
    class Plain(Binding):
        model = Comic
        stream = "comics"
        fields = ("title",)

        @classmethod
        def group_names(cls, instance: Any) -> list[str]:
            return ["shelf"]

        @classmethod
        def encode(cls, stream: str, payload: Any) -> dict[str, Any]:
            return {"text": f"{stream}: {payload}"}

        def serialize(self, instance: Any, action: str) -> Any:
            return f"{action} {instance}"

        def has_permission(self, user: Any, action: str, pk: Any) -> bool:
            return True

    join("shelf")
    comic = Comic.objects.create(title="t")
    assert channel_layers["default"].receive(["client"])[1] == {"text": "comics: create t"}
    with apply_routes([route("websocket.receive", Plain.consumer)]):
        with pytest.raises(NotImplementedError, match="Plain has no deserialize"):
            Client().send_and_consume("websocket.receive", {"text": "{}"})
        Plain.deserialize = lambda self, message: ("delete", comic.pk, None)  # type: ignore[method-assign]
        Client().send_and_consume("websocket.receive", {"text": "{}"})
        assert not Comic.objects.exists()
        for action in ("create", "update"):
            Plain.deserialize = lambda self, message, action=action: (action, 1, {})  # type: ignore[method-assign, misc]
            with pytest.raises(NotImplementedError, match=f"Plain has no {action}"):
                Client().send_and_consume("websocket.receive", {"text": "{}"})
