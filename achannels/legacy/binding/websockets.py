"""`channels.binding.websockets`: bindings that speak JSON with a WebSocket's demultiplexer."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from django.core import serializers
from django.core.exceptions import FieldDoesNotExist
from django.core.serializers.base import DeserializedObject
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models, router

from achannels.legacy.binding.base import Binding
from achannels.legacy.generic.websockets import WebsocketMultiplexer

ALL = "__all__"


class WebsocketBinding(Binding):
    """A binding for a stream of a `WebsocketDemultiplexer`.

    Out goes `{"action": ..., "pk": ..., "data": {...}, "model": "app.model"}`, in comes the same
    without `model`. The data are those of Django's JSON serializer.
    """

    model: Any = None

    # Outbound.

    @classmethod
    def encode(cls, stream: str, payload: Any) -> dict[str, Any]:
        """Return the frame that carries a payload on a stream."""
        frame: dict[str, Any] = WebsocketMultiplexer.encode(stream, payload)
        return frame

    def serialize(self, instance: Any, action: str) -> dict[str, Any]:
        """Return what is told of a change; the data are all that `fields` allows, also for delete."""
        return {
            "action": action,
            "pk": instance.pk,
            "data": self.serialize_data(instance),
            "model": self.model_label,
        }

    def serialize_data(self, instance: Any) -> dict[str, Any]:
        """Return the fields of an instance as JSON has them; the place to add more."""
        document = serializers.serialize("json", [instance], fields=sorted(self._names()))
        data: dict[str, Any] = json.loads(document)[0]["fields"]
        return data

    # Inbound.

    @classmethod
    def trigger_inbound(cls, message: Any, **kwargs: Any) -> None:
        """Carry out what a frame asks for; of connect and disconnect nothing is asked."""
        if message.channel.name == "websocket.receive":
            super().trigger_inbound(message, **kwargs)

    def deserialize(self, message: Any) -> tuple[str, Any, Any]:
        """Return action, primary key and data of a frame.

        Raises:
            KeyError: It has no action.
            ValueError: It is no JSON.
        """
        body = json.loads(message["text"])
        return body["action"], body.get("pk"), body.get("data")

    def create(self, data: Mapping[str, Any]) -> None:
        """Create an instance of the data that `fields` allows; others are left out.

        It is saved as a fixture is: `Model.save()` is not called, signals have `raw=True`.

        Raises:
            FieldDoesNotExist: The model has no such field.
            DeserializationError: A value is none of its field.
            IntegrityError: There is an instance with this primary key.
        """
        self._hydrate(None, data).save(using=router.db_for_write(self.model), force_insert=True)

    def update(self, pk: Any, data: Mapping[str, Any]) -> None:
        """Change the fields of an instance that `fields` allows, but its primary key, and save it.

        Raises:
            DoesNotExist: There is no instance with this primary key.
            FieldDoesNotExist: The model has no such field.
            DeserializationError: A value is none of its field.
        """
        using = router.db_for_write(self.model)
        instance = self.model._default_manager.using(using).get(pk=pk)
        hydrated = self._hydrate(pk, data)
        allowed = self._names()
        for field in instance._meta.concrete_fields:
            if field.name in data and field.name in allowed and not field.primary_key:
                setattr(instance, field.attname, getattr(hydrated.object, field.attname))
        instance.save()
        for name, values in (hydrated.m2m_data or {}).items():
            getattr(instance, name).set(values)

    def _hydrate(self, pk: Any, data: Mapping[str, Any]) -> DeserializedObject:
        fields = self._fields()
        for name in data:
            if name not in fields:
                raise FieldDoesNotExist(f"{self.model.__name__} has no field named {name!r}")
        allowed = self._names()
        document = {
            "model": self.model_label,
            "pk": pk,
            "fields": {name: value for name, value in data.items() if name in allowed},
        }
        return next(iter(serializers.deserialize("python", [document])))

    def _names(self) -> Collection[str]:
        """Return the names of the fields that are sent and may be set."""
        if self.fields is None:
            return self._fields() - set(self.exclude or ())
        names = {self.fields} if isinstance(self.fields, str) else set(self.fields)
        return self._fields() if names == {ALL} else names

    def _fields(self) -> set[str]:
        options: Any = self.model._meta
        found: list[models.Field[Any, Any]] = [*options.concrete_fields, *options.many_to_many]
        return {field.name for field in found}


class WebsocketBindingWithMembers(WebsocketBinding):
    """A binding that also sends what methods and attributes of an instance give.

    Attributes:
        send_members: Dotted paths of attributes; one that can be called is. `"author.name"` is sent
            as `author__name`.
        encoder: Encodes what they give.
    """

    model: Any = None
    send_members: Collection[str] = ()
    encoder: json.JSONEncoder = DjangoJSONEncoder()

    def serialize_data(self, instance: Any) -> dict[str, Any]:
        """Return the fields of an instance and its members."""
        members = {path.replace(".", "__"): _member(instance, path) for path in self.send_members}
        return {**super().serialize_data(instance), **json.loads(self.encoder.encode(members))}


def _member(instance: Any, path: str) -> Any:
    for name in path.split("."):
        instance = getattr(instance, name)
    return instance() if callable(instance) else instance


__all__ = ["WebsocketBinding", "WebsocketBindingWithMembers"]
