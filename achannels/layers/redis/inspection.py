"""What is wrong with the servers of a layer, and how to mend it; for checks before a deployment."""

import asyncio
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from achannels.layers.redis.connector import Greeting, ask, greet
from achannels.layers.redis.servers import Place

LEAST = {"redis": (7, 0), "valkey": (7, 2)}
"""The oldest servers that the scripts run on."""

_PATIENCE = 5.0


class Problem(NamedTuple):
    """Something to mend.

    Attributes:
        kind: `unusable`: the layer cannot work there. `old`: the server is too old. `evicts`: it
            may throw away what the layer keeps.
        text: What is wrong, then what to do, in sentences.
    """

    kind: Literal["unusable", "old", "evicts"]
    text: str


async def inspect(places: Iterable[tuple[str, Place]]) -> list[Problem]:
    """Connect to each server and return what is wrong; nothing is written there.

    Args:
        places: Hash tags and places of the shards.
    """
    found = await asyncio.gather(*(_inspect(tag, place) for tag, place in places))
    return list(dict.fromkeys(problem for problems in found for problem in problems))


async def _inspect(tag: str, place: Place) -> list[Problem]:
    try:
        async with asyncio.timeout(_PATIENCE):
            connection = await place.connect()
            try:
                return [
                    *_judge_version(place.name, await greet(connection)),
                    *await _judge_scripts(place.name, tag, connection),
                    *_judge_memory(place.name, await _memory(connection)),
                ]
            finally:
                await connection.disconnect()
    except (exceptions.RedisError, OSError, TimeoutError) as error:
        return [Problem("unusable", _unusable(place.name, error))]


def _unusable(name: str, error: Exception) -> str:
    problem = str(error).rstrip(".").replace(". ", ": ") or f"no answer within {_PATIENCE} s"
    return f"{name} cannot be used: {problem}. Start it, or correct CONFIG 'hosts'."


def _judge_version(name: str, greeting: Greeting) -> Iterator[Problem]:
    least = LEAST.get(greeting.server)
    numbers = tuple(int(each) for each in re.findall(r"\d+", greeting.version)[:2])
    if least is not None and numbers and numbers < least:
        wanted = ".".join(map(str, least))
        yield Problem(
            "old",
            f"{name} is {greeting.server.capitalize()} {greeting.version}; the layer needs "
            f"{wanted} or later. Upgrade the server.",
        )


async def _judge_scripts(name: str, tag: str, connection: AbstractConnection) -> list[Problem]:
    """Run a script as the layer's are: on one key, others in its slot undeclared."""
    script = "return redis.call('EXISTS', string.sub(KEYS[1], 1, -5) .. 'probe')"
    try:
        await ask(connection, "EVAL", script, "1", f"{{{tag}}}:meta")
    except exceptions.ResponseError as error:
        return [
            Problem(
                "unusable",
                f"{name} runs no scripts for this user: {str(error).rstrip('.')}. Allow the user "
                f"~{{{tag.rpartition(':')[0]}:* +@read +@write +@scripting +@connection +time +info.",
            )
        ]
    return []


async def _memory(connection: AbstractConnection) -> dict[str, str]:
    try:
        answer: Any = await ask(connection, "INFO", "memory")
    except exceptions.ResponseError:  # a user who may not ask
        return {}
    lines = answer.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _judge_memory(name: str, memory: dict[str, str]) -> Iterator[Problem]:
    policy = memory.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and memory.get("maxmemory", "0") != "0":
        yield Problem(
            "evicts",
            f"{name} has maxmemory-policy {policy}: when its memory is used up it throws away "
            "messages and memberships without telling anyone. "
            "Run: CONFIG SET maxmemory-policy noeviction, and put it into its configuration.",
        )


__all__ = ["LEAST", "Problem", "inspect"]
