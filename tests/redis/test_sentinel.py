"""The master behind Sentinels, found and found again."""

import asyncio

import pytest
from redis import exceptions

from achannels.layers.redis.servers import Place
from tests.redis.conftest import Start
from tests.redis.deployments import Sentinels
from tests.redis.servers import Server, UserServer, free_port
from tests.redis.test_servers import answer, place_of

pytestmark = pytest.mark.timeout(90)


async def port_of(place: Place) -> int:
    """Return which server a place leads to now."""
    flat = await answer(place, "CONFIG", "GET", "port")
    return int(flat[1])


async def port_in_time(place: Place, patience: float = 10.0) -> int:
    """Return the same; the way may first lead nowhere."""
    async with asyncio.timeout(patience):
        while True:
            try:
                return await port_of(place)
            except (exceptions.ConnectionError, exceptions.TimeoutError):
                place.forget()
                await asyncio.sleep(0.05)


async def test_the_master_is_found_and_after_a_failover_the_new_one(sentinels: Sentinels) -> None:
    place = place_of(sentinels.url)
    old = sentinels.data[0]
    assert await port_of(place) == old.port
    found = place.generation
    assert await port_of(place) == old.port
    assert place.generation == found
    new = await asyncio.to_thread(sentinels.fail_over)
    assert new is not old
    with pytest.raises(exceptions.ConnectionError):
        await place.connect()
    assert await port_of(place) == new.port
    assert place.generation == found + 1


async def test_a_connection_that_hung_at_the_old_master_does_not_lead_back(
    sentinels: Sentinels,
) -> None:
    """It answers again, as a master, before it hears of its successor."""
    place = place_of(sentinels.url, timeout=20.0)
    old, new = sentinels.data
    assert await port_of(place) == old.port
    old.pause()
    late = asyncio.create_task(place.connect())
    await asyncio.to_thread(sentinels.wait_for, new)
    place.forget()
    assert await port_in_time(place) == new.port
    found = place.generation
    old.resume()
    with pytest.raises(exceptions.ConnectionError, match="replaced meanwhile"):
        await late
    assert place.generation == found
    assert await port_in_time(place) == new.port


async def test_the_new_master_is_found_while_the_old_one_hangs(sentinels: Sentinels) -> None:
    place = place_of(sentinels.url, timeout=0.5)
    old, new = sentinels.data
    assert await port_of(place) == old.port
    old.pause()
    try:
        await asyncio.to_thread(sentinels.wait_for, new)
        with pytest.raises(exceptions.TimeoutError, match="no connection to sentinel://"):
            await place.connect()
        assert await port_in_time(place) == new.port
    finally:
        old.resume()


async def test_an_old_master_that_is_a_replica_now_is_not_taken(sentinels: Sentinels) -> None:
    place = place_of(sentinels.url)
    old, new = sentinels.data
    assert await port_of(place) == old.port

    await asyncio.to_thread(sentinels.fail_over)
    await asyncio.to_thread(old.start, f"replicaof 127.0.0.1 {new.port}")
    with pytest.raises(exceptions.ConnectionError, match="is a replica now"):
        await place.connect()
    assert await port_of(place) == new.port


async def test_sentinels_that_are_down_or_hang_do_not_matter(sentinels: Sentinels) -> None:
    hanging = sentinels.sentinels[0]
    places = [f"127.0.0.1:{server.port}" for server in sentinels.sentinels]
    place = place_of(f"sentinel://{places[0]},127.0.0.1:{free_port()},{','.join(places[1:])}/main")
    hanging.pause()
    try:
        assert await port_of(place) == sentinels.data[0].port
    finally:
        hanging.resume()


async def test_of_two_opinions_the_one_after_the_last_failover_counts(
    sentinels: Sentinels, server: Server, start: Start
) -> None:
    """A Sentinel that was cut off still tells what it knew, and what it names may still live."""
    new = await asyncio.to_thread(sentinels.fail_over)
    config = f"sentinel monitor main 127.0.0.1 {server.port} 1\n"
    stale = await start(lambda: Server(server.kind, (), {"sentinel.conf": config}, sentinel=True))
    alone = place_of(f"sentinel://127.0.0.1:{stale.port}/main")
    assert await port_of(alone) == server.port
    place = place_of(sentinels.url.replace("//", f"//127.0.0.1:{stale.port},"))
    for _ in range(5):
        place.forget()
        assert await port_of(place) == new.port


async def test_a_name_that_no_sentinel_knows_is_told(sentinels: Sentinels) -> None:
    place = place_of(sentinels.url.replace("/main", "/mian"))
    with pytest.raises(exceptions.ConnectionError, match=r"knows its master: .*No such master"):
        await place.connect()


async def test_no_sentinel_answers() -> None:
    place = place_of(f"sentinel://127.0.0.1:{free_port()},127.0.0.1:{free_port()}/main")
    with pytest.raises(exceptions.ConnectionError, match=r"no Sentinel of sentinel://127.0.0.1"):
        await place.connect()


async def test_sentinels_with_a_password_of_their_own(
    user_server: UserServer, start: Start
) -> None:
    config = f"sentinel monitor main 127.0.0.1 {user_server.port} 1\nrequirepass s3cret\n"

    def make() -> Server:
        files = {"sentinel.conf": config}
        return Server(user_server.kind, (), files, sentinel=True, password="s3cret")

    sentinel = await start(make)
    url = f"sentinel://{user_server.access}@127.0.0.1:{sentinel.port}/main"
    place = place_of(f"{url}?sentinel_password=s3cret")
    assert await answer(place, "PING") == b"PONG"
    with pytest.raises(exceptions.ConnectionError, match="Authentication required"):
        await place_of(url).connect()
