"""`channels.binding.base`: a model, the groups that see its instances, and who may change them."""

from collections.abc import Callable, Collection, Iterable, Mapping
from copy import copy
from typing import Any, ClassVar

from django.apps import apps
from django.db import models, router
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save

from achannels.legacy.auth import channel_session_user
from achannels.legacy.binding.commit import when_committed
from achannels.legacy.channel import Group
from achannels.legacy.sessions import channel_session, enforce_ordering

CREATE = "create"
UPDATE = "update"
DELETE = "delete"

Handler = Callable[..., Any]


class BindingMetaclass(type):
    """Registers bindings: those defined before the models are loaded when the app is ready."""

    waiting: ClassVar[list[type["Binding"]]] = []

    def __new__(
        mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any
    ) -> Any:
        """Make a binding; with `model = None` in its own body it is abstract, and not registered."""
        made: Any = super().__new__(mcs, name, bases, namespace, **kwargs)
        if "model" in namespace and namespace["model"] is None:
            return made
        if apps.models_ready:
            made.register()
        else:
            mcs.waiting.append(made)
        return made

    @classmethod
    def register_all(cls) -> None:
        """Register the bindings that waited for the models."""
        while cls.waiting:
            cls.waiting.pop(0).register()


class Binding(metaclass=BindingMetaclass):
    """A model bound to groups.

    Outbound, each change of an instance is sent to the groups that `group_names` gives: a group that
    saw the instance before and still does gets an `update`, one that sees it from now on a `create`,
    one that does no more a `delete`. Within a transaction the messages leave when it is committed;
    in a consumer they leave at its end.

    Inbound, `consumer` takes messages that ask for a change, of those who `has_permission`.

    Attributes:
        model: The model, or its `"app.Model"`; `None` in the body of a class makes it abstract.
        stream: Name of the stream of a demultiplexer.
        fields: Names of the fields that are sent and may be set; `["__all__"]` is all of them.
        exclude: The other way round: all fields but these.
        compare_stored: Take the groups that saw an instance before it is saved from its row in the
            database, with one query. `False`: from the instance as it is in memory, changed already.
        channel_session_user: Load `message.user` for inbound messages.
        channel_session: Load `message.channel_session`; the user's includes it.
        strict_ordering: Take the messages of a socket in their order.
        signal_kwargs: Of an instance: what Django's signal said besides.

    Raises:
        ValueError: When the class is registered: it has no model, or neither fields nor exclude.
    """

    model: Any = None
    model_label: str
    stream: str | None = None
    fields: Collection[str] | None = None
    exclude: Collection[str] | None = None
    compare_stored: bool = True
    channel_session_user: bool = True
    channel_session: bool = False
    strict_ordering: bool = False
    slight_ordering: bool = False

    message: Any
    kwargs: Mapping[str, Any]
    user: Any
    action: Any
    pk: Any
    data: Any
    signal_kwargs: Mapping[str, Any]

    @classmethod
    def register(cls) -> None:
        """Listen to the signals of the model; called once for each class.

        Raises:
            ValueError: It has no model, or neither fields nor exclude.
        """
        if cls.model is None:
            raise ValueError(f"{cls.__qualname__} has no model: write model = ... into it.")
        if cls.fields is None and cls.exclude is None:
            raise ValueError(
                f"{cls.__qualname__} has neither fields nor exclude. Write the names of the fields "
                'that clients may see and set, or fields = ["__all__"].'
            )
        if isinstance(cls.model, str):
            cls.model = apps.get_model(cls.model)
        cls.model_label = cls.model._meta.label_lower
        for signal, receiver in (
            (pre_save, cls.pre_save_receiver),
            (post_save, cls.post_save_receiver),
            (pre_delete, cls.pre_delete_receiver),
            (post_delete, cls.post_delete_receiver),
        ):
            signal.connect(receiver, sender=cls.model, weak=False)

    # Outbound.

    @classmethod
    def pre_save_receiver(cls, instance: models.Model, using: str, **kwargs: Any) -> None:
        """Note the groups that see an instance before it is saved."""
        if instance._state.adding:
            cls._note(instance, set())
        elif cls.compare_stored:
            stored = cls._stored(instance, using)
            cls._note(instance, set() if stored is None else set(cls.group_names(stored)))
        else:
            cls._note(instance, set(cls.group_names(instance)))

    @classmethod
    def post_save_receiver(cls, instance: models.Model, using: str, **kwargs: Any) -> None:
        """Tell the groups that saw an instance, or see it now, that it was saved."""
        cls._tell(instance, set(cls.group_names(instance)), using, kwargs)

    @classmethod
    def pre_delete_receiver(cls, instance: models.Model, **kwargs: Any) -> None:
        """Note the groups that see an instance before it is deleted."""
        cls._note(instance, set(cls.group_names(instance)))

    @classmethod
    def post_delete_receiver(cls, instance: models.Model, using: str, **kwargs: Any) -> None:
        """Tell the groups that saw an instance that it was deleted."""
        cls._tell(instance, set(), using, kwargs)

    @classmethod
    def group_names(cls, instance: Any) -> Iterable[str]:
        """Return the names of the groups that see an instance; to be overridden.

        Args:
            instance: One as it will be or is; before a save, as it is in the database.
        """
        raise NotImplementedError(f"{cls.__qualname__} has no group_names(instance).")

    def serialize(self, instance: Any, action: str) -> Any:
        """Return the payload that tells of a change; `{}` sends nothing. To be overridden.

        Args:
            instance: The instance that was created, updated or deleted.
            action: `"create"`, `"update"` or `"delete"`.
        """
        raise NotImplementedError(f"{type(self).__qualname__} has no serialize(instance, action).")

    @classmethod
    def encode(cls, stream: str, payload: Any) -> dict[str, Any]:
        """Return the message that carries a payload; to be overridden."""
        raise NotImplementedError(f"{cls.__qualname__} has no encode(stream, payload).")

    @classmethod
    def _stored(cls, instance: models.Model, using: str) -> models.Model | None:
        """Return an instance as it is in the database; what is no field of it stays."""
        rows = cls.model._base_manager.using(using).filter(pk=instance.pk)
        names = [field.attname for field in instance._meta.concrete_fields]
        row = rows.values(*names).first()
        if row is None:
            return None
        stored = copy(instance)
        for name, value in row.items():
            setattr(stored, name, value)
        return stored

    @classmethod
    def _note(cls, instance: Any, groups: set[str]) -> None:
        # A stack: a receiver of post_save may save the instance once more.
        noted = instance.__dict__.setdefault("_bound_groups", {})
        noted.setdefault(cls, []).append(groups)

    @classmethod
    def _tell(
        cls, instance: Any, after: set[str], using: str, signal_kwargs: dict[str, Any]
    ) -> None:
        before: set[str] = instance.__dict__["_bound_groups"][cls].pop()
        self = cls()
        self.signal_kwargs = {**signal_kwargs, "using": using}
        self._send(instance, before - after, DELETE, using)
        self._send(instance, before & after, UPDATE, using)
        self._send(instance, after - before, CREATE, using)

    def _send(self, instance: Any, groups: set[str], action: str, using: str) -> None:
        if not groups:
            return
        payload = self.serialize(instance, action)
        if payload == {}:
            return
        assert self.stream is not None, f"{type(self).__qualname__} has no stream"
        content = self.encode(self.stream, payload)

        def send() -> None:
            for name in sorted(groups):
                Group(name).send(content)

        when_committed(send, using)

    # Inbound.

    @classmethod
    def get_handler(cls) -> Handler:
        """Return `trigger_inbound` with the decorators that the attributes ask for.

        Raises:
            ValueError: `slight_ordering` is set, which is no more.
        """
        if cls.slight_ordering:
            raise ValueError(
                f"{cls.__qualname__}: slight_ordering is gone. Use strict_ordering = True."
            )
        handler: Handler = cls.trigger_inbound
        if cls.channel_session_user:
            handler = channel_session_user(handler)
        elif cls.channel_session:
            handler = channel_session(handler)
        return enforce_ordering(handler) if cls.strict_ordering else handler

    @classmethod
    def consumer(cls, message: Any, **kwargs: Any) -> Any:
        """Take a message that asks for a change: `consumers = {"stream": MyBinding.consumer}`."""
        return cls.get_handler()(message, **kwargs)

    @classmethod
    def trigger_inbound(cls, message: Any, **kwargs: Any) -> None:
        """Carry out what a message asks for, if its user may; if not, nothing happens."""
        from django.contrib.auth.models import AnonymousUser  # noqa: PLC0415 - the apps are loaded

        self = cls()
        self.message = message
        self.kwargs = kwargs
        self.action, self.pk, self.data = self.deserialize(message)
        self.user = getattr(message, "user", None) or AnonymousUser()
        if self.has_permission(self.user, self.action, self.pk):
            self.run_action(self.action, self.pk, self.data)

    def deserialize(self, message: Any) -> tuple[str, Any, Any]:
        """Return action, primary key and data of a message; to be overridden."""
        raise NotImplementedError(f"{type(self).__qualname__} has no deserialize(message).")

    def has_permission(self, user: Any, action: str, pk: Any) -> bool:
        """Return whether a user may do this; to be overridden.

        Args:
            user: The user of the socket, an `AnonymousUser` without log-in.
            action: `"create"`, `"update"`, `"delete"`, or anything that a client made up.
            pk: Of the instance; `None` for one to be created.
        """
        raise NotImplementedError(
            f"{type(self).__qualname__} has no has_permission(user, action, pk): who may do what "
            "has to be said."
        )

    def run_action(self, action: str, pk: Any, data: Any) -> None:
        """Create, update or delete.

        Raises:
            ValueError: The action is none of these.
        """
        if action == CREATE:
            self.create(data)
        elif action == UPDATE:
            self.update(pk, data)
        elif action == DELETE:
            self.delete(pk)
        else:
            raise ValueError(f"{action!r} is no action of a binding: create, update or delete")

    def create(self, data: Mapping[str, Any]) -> None:
        """Create an instance; to be overridden."""
        raise NotImplementedError(f"{type(self).__qualname__} has no create(data).")

    def update(self, pk: Any, data: Mapping[str, Any]) -> None:
        """Update an instance; to be overridden."""
        raise NotImplementedError(f"{type(self).__qualname__} has no update(pk, data).")

    def delete(self, pk: Any) -> None:
        """Delete an instance; nothing happens if there is none."""
        self.model._default_manager.using(router.db_for_write(self.model)).filter(pk=pk).delete()


__all__ = ["CREATE", "DELETE", "UPDATE", "Binding", "BindingMetaclass"]
