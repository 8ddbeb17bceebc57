"""Channel sessions that stay with the socket: its interface keeps them, whoever its home is."""

from achannels.codec import Encoded, encode
from achannels.home.tenant import Tenant
from achannels.types import Content


class SocketSessions:
    """Channel sessions without a database; an `achannels.sessions.ChannelSessions`.

    A home gets the session with the event that makes it the home, and sends it back whenever it was
    changed. So it outlives each home, and ends with its socket.
    """

    def __init__(self) -> None:
        self._tenants: dict[str, Tenant] = {}

    def add(self, tenant: Tenant) -> None:
        """A socket has its home here."""
        self._tenants[tenant.channel_name] = tenant

    def discard(self, tenant: Tenant) -> None:
        """A socket has another home, or is over."""
        if self._tenants.get(tenant.channel_name) is tenant:
            del self._tenants[tenant.channel_name]

    async def load(self, channel: str) -> Content:
        """Return the session of a socket, empty if there is none."""
        tenant = self._tenants.get(channel)
        return Encoded(tenant.session).decode() if tenant is not None and tenant.session else {}

    async def save(self, channel: str, session: Content) -> None:
        """Have the interface keep it."""
        tenant = self._tenants.get(channel)
        if tenant is not None:
            tenant.session = encode(session, "channel_session", 2**31).body
            await tenant.say("session", tenant.session)

    async def delete(self, channel: str) -> None:
        """Do nothing: it ends with its socket."""


__all__ = ["SocketSessions"]
