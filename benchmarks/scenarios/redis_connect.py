"""A crowd that connects at once, each socket joining a group over Redis."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.model import Peer, Turn
from benchmarks.redis_case import RedisCase, Site
from benchmarks.scenarios import connect, fanout, redis_fanout

MEMORY = Peer("achannels in memory", fanout.OURS.app)


@asynccontextmanager
async def session(site: Site, peer: Peer) -> AsyncIterator[Turn]:
    """Let many connect in the same moment, each trying once."""
    server = await site.server(peer.app)
    async with connect.crowd_session(server, peer) as turn:
        yield turn


def cases() -> list[RedisCase]:
    """Return the one case."""
    return [
        RedisCase(
            name="redis crowd",
            title=f"{connect.CROWD} connects at once, each joins the group",
            metric=connect.ACCEPTED,
            columns=(connect.ELAPSED,),
            peers=(MEMORY, redis_fanout.OURS, redis_fanout.CORE, redis_fanout.PUBSUB),
            session=session,
            once=True,
        )
    ]
