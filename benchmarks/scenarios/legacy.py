"""Plain consumers of Channels 1.x through the shim: alone, with a session, in order."""

from functools import partial

from benchmarks.measure import CLIENT
from benchmarks.model import Case, Peer
from benchmarks.scenarios import echo

APPLICATION = "benchmarks.apps.legacy:echo"

PEERS = (
    Peer("bare ASGI", "benchmarks.apps.bare:echo"),
    Peer("1.x def", APPLICATION, "/plain/"),
    Peer("1.x channel_session", APPLICATION, "/session/"),
    Peer("1.x enforce_ordering", APPLICATION, "/order/"),
)


def cases() -> list[Case]:
    """Return the one case."""
    return [
        Case(
            name="legacy echo",
            title=f"{echo.SOCKETS} sockets, {echo.SIZE} bytes, consumers of Channels 1.x",
            metric=echo.CPU,
            columns=(echo.RATE, CLIENT),
            peers=PEERS,
            session=partial(echo.session, deflate=False),
        )
    ]
