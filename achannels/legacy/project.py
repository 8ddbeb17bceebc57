"""What the application of a 1.x project is made of: its routes, the defaults, its sessions."""

from django.apps import apps
from django.conf import settings

from achannels.django import conf
from achannels.django.db import database_sync_to_async
from achannels.django.sessions import is_available
from achannels.legacy.asgi import DEFAULT_CHANNEL_LAYER, channel_layers
from achannels.legacy.conf import is_old_way
from achannels.legacy.delay import delayed
from achannels.legacy.handler import ViewConsumer
from achannels.legacy.sessions import session_for_reply_channel
from achannels.legacy.staticfiles import StaticFilesConsumer
from achannels.routing import Routing, include, route
from achannels.sessions import ChannelSessions
from achannels.types import Content


class LegacyProject(conf.Project):
    """A project of Channels 1.x.

    Attributes:
        serves_static: With `DEBUG`, answer requests for static files, as the workers of 1.x did.
    """

    serves_static = True

    def routing(self, alias: str = DEFAULT_CHANNEL_LAYER) -> Routing:
        """Return its routing with what was added to it, and behind it views and delays."""
        routing = super().routing(alias)
        added = channel_layers.added(alias, routing)
        defaults = delayed.default_routes(alias)
        if is_old_way("CHANNELS_VIEWS"):
            defaults.append(route("http.request", self._view_consumer()))
        return [include(routing), *added, *defaults]

    def _view_consumer(self) -> ViewConsumer:
        installed = apps.is_installed("django.contrib.staticfiles")
        static = self.serves_static and settings.DEBUG and installed
        return StaticFilesConsumer() if static else ViewConsumer()

    def channel_sessions(self, engine: str | None) -> ChannelSessions | None:
        """Return the sessions of 1.x, in `CHANNEL_SESSION_ENGINE` or `SESSION_ENGINE`."""
        return StoredSessions() if is_available() else None


class StoredSessions:
    """Channel sessions as 1.x keeps them, for consumers with the decorators of `achannels`.

    A socket may have consumers of both kinds: they share its session.
    """

    async def load(self, channel: str) -> Content:
        """Return the session of a reply channel, empty if there is none."""

        def load() -> Content:
            return dict(session_for_reply_channel(channel).items())

        return await database_sync_to_async(load)()

    async def save(self, channel: str, session: Content) -> None:
        """Keep it."""

        def save() -> None:
            store = session_for_reply_channel(channel)
            for key in store.keys() - session.keys():
                del store[key]
            store.update(session)
            store.save(must_create=not store.exists(str(store.session_key)))

        await database_sync_to_async(save)()

    async def delete(self, channel: str) -> None:
        """Forget it where `CHANNELS_SESSIONS` says so; in 1.x it stays until it expires."""
        if is_old_way("CHANNELS_SESSIONS"):
            return
        await database_sync_to_async(lambda: session_for_reply_channel(channel).delete())()


__all__ = ["LegacyProject", "StoredSessions"]
