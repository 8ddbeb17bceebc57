"""State: what a connection keeps between its messages, and what is loaded and saved around a call."""

from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from achannels.auth import UserLoader
from achannels.channel import Channel, ReplyChannel
from achannels.codec import encode
from achannels.contracts import ChannelLayer, Socket
from achannels.exceptions import ConfigurationError, NoReplyChannel
from achannels.message import BaseMessage
from achannels.options import Options
from achannels.sessions import ChannelSessions, HttpSessions
from achannels.types import Content, Scope

if TYPE_CHECKING:
    from achannels.consumers.base import BaseConsumer


class Loaders:
    """Where the state that consumers ask for comes from.

    Attributes:
        user: Finds the user of a connection.
        http_sessions: Sessions of browsers.
        channel_sessions: Where channel sessions outlive their socket's process; `None` keeps them
            with the socket.
        anew: Users, and channel sessions that are kept outside, are read before each call.
    """

    def __init__(
        self,
        user: UserLoader | None = None,
        http_sessions: HttpSessions | None = None,
        channel_sessions: ChannelSessions | None = None,
        *,
        anew: bool = False,
    ) -> None:
        self.user = user
        self.http_sessions = http_sessions
        self.channel_sessions = channel_sessions
        self.anew = anew


class Connection:
    """What is kept of one socket or request between its messages; of a background message, nothing.

    Attributes:
        scope: The ASGI scope.
        layer: The layer of the application.
        reply_channel: The channel back; `None` for a background message without one.
        instances: The class consumers of this socket, by class.
        session: The channel session, once it was asked for.
        user: The user, once it was asked for.
        context: The context variables of its task: what others start for it runs in a copy.
    """

    __slots__ = ("context", "instances", "layer", "reply_channel", "scope", "session", "user")

    def __init__(self, scope: Scope, layer: ChannelLayer, socket: Socket | None = None) -> None:
        self.scope = scope
        self.layer = layer
        self.reply_channel: Channel | None = ReplyChannel(socket, layer) if socket else None
        self.instances: dict[type[BaseConsumer], BaseConsumer] | None = None
        self.session: Content | None = None
        self.user: Any = None
        self.context = copy_context()


class State:
    """Loads what a consumer asks for before its call, and saves it afterwards."""

    def __init__(self, options: Options, name: str, loaders: Loaders) -> None:
        self.options = options
        self.name = name
        self.loaders = loaders
        for flag, there, setting in (
            ("http_user", loaders.user, "ACHANNELS['USER'] (an async function from scope to user)"),
            ("http_session", loaders.http_sessions, "'django.contrib.sessions'"),
        ):
            if getattr(options, flag) and there is None:
                raise ConfigurationError(
                    f"{name} asks for {flag}, and nothing loads it. Put 'achannels' and "
                    f"{setting} into the settings, or leave the decorator out."
                )

    async def user(self, connection: Connection) -> Any:
        """Return the user of a connection, loaded once or `anew`."""
        if connection.user is None or self.loaders.anew:
            user = connection.scope.get("user")
            loader = self.loaders.user
            if user is None and loader is not None:
                user = await loader(connection.scope)
            connection.user = user
        return connection.user

    async def http_session(self, connection: Connection) -> Any:
        """Return the session of the browser, loaded afresh."""
        sessions = self.loaders.http_sessions
        return await sessions.load(connection.scope) if sessions is not None else None

    async def save_http_session(self, session: Any) -> None:
        """Save a session of a browser if it was changed."""
        sessions = self.loaders.http_sessions
        if sessions is not None and session is not None:
            await sessions.save(session)

    async def channel_session(self, connection: Connection) -> Content:
        """Return the session of a socket, loaded once or `anew`."""
        reply = connection.reply_channel
        if reply is None:
            raise NoReplyChannel(
                f"{self.name} asks for channel_session, and its message has no reply channel: "
                "a channel session belongs to a socket."
            )
        sessions = self.loaders.channel_sessions
        if connection.session is None or (self.loaders.anew and sessions is not None):
            connection.session = await sessions.load(reply.name) if sessions is not None else {}
        return connection.session

    async def save_channel_session(self, connection: Connection, before: bytes) -> None:
        """Keep the session of a socket if it differs from its bytes before the call."""
        sessions = self.loaders.channel_sessions
        session, reply = connection.session, connection.reply_channel
        if sessions is None or session is None or reply is None:
            return
        if self.dump(connection) != before:
            await sessions.save(reply.name, session)

    def dump(self, connection: Connection) -> bytes:
        """Return the bytes of a channel session that is kept outside, else nothing."""
        if self.loaders.channel_sessions is None or connection.session is None:
            return b""
        return encode(connection.session, "channel_session", 2**31).body

    async def load(self, connection: Connection, message: BaseMessage) -> bytes:
        """Put the state that was asked for onto a message."""
        if self.options.http_user:
            message.user = await self.user(connection)
        if self.options.http_session:
            message.http_session = await self.http_session(connection)
        if self.options.channel_session:
            message.channel_session = await self.channel_session(connection)
            return self.dump(connection)
        return b""


__all__ = ["Connection", "Loaders", "State"]
