"""A crowd that connects at once, each socket joining a group over Redis."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.model import Peer, Turn
from benchmarks.redis_case import RedisCase, Site
from benchmarks.scenarios import connect, fanout, redis_fanout

MEMORY = Peer("achannels in memory", fanout.OURS.app)
OWN_GROUPS_IN_MEMORY = Peer("achannels in memory", "benchmarks.apps.ours:own_groups")
OWN_GROUPS = Peer("achannels", "benchmarks.apps.ours_redis:own_groups")


@asynccontextmanager
async def session(site: Site, peer: Peer) -> AsyncIterator[Turn]:
    """Let many connect in the same moment, each trying once."""
    server = await site.server(peer.app)
    async with connect.crowd_session(server, peer) as turn:
        yield turn


def cases() -> list[RedisCase]:
    """Return the case with one group for all, and the one with a group for each."""
    everybody = (MEMORY, redis_fanout.OURS, redis_fanout.CORE, redis_fanout.PUBSUB)
    return [
        RedisCase(
            name=name,
            title=f"{connect.CROWD} connects at once, each joins {which}",
            metric=connect.ACCEPTED,
            columns=(connect.ELAPSED,),
            peers=peers,
            session=session,
            once=True,
        )
        for name, which, peers in (
            ("redis crowd", "the same group", everybody),
            ("redis crowd own", "a group of its own", (OWN_GROUPS_IN_MEMORY, OWN_GROUPS)),
        )
    ]
