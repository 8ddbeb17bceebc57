"""A process that does what it is told and serves nobody: one end of a queue, a node with members.

An actor is a class whose public coroutine methods are the commands: they take numbers and return
the numbers that are the answer.
"""

import argparse
from importlib import import_module
from typing import Protocol

import uvloop

from benchmarks import system
from benchmarks.steering import answer, commands


class Actor(Protocol):
    """What a process does."""

    async def open(self) -> dict[str, float]:
        """Connect; called first."""

    async def close(self) -> dict[str, float]:
        """Disconnect; called last."""


async def play(actor: Actor) -> None:
    """Do what the input says until it ends."""
    answer(await actor.open())
    async for command in commands():
        name, *amounts = command.split()
        answer(await getattr(actor, name)(*map(float, amounts)))
    await actor.close()


def main() -> None:
    """Make the actor and let it play."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("actor")
    parser.add_argument("--core", type=int)
    options = parser.parse_args()
    system.pin(options.core)
    module, _, name = options.actor.partition(":")
    uvloop.run(play(getattr(import_module(module), name)()))


if __name__ == "__main__":
    main()
