"""What a test leaves behind: tasks, sockets, memberships, and nodes that nobody stops."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakSet

from achannels.asgi import node as core
from achannels.layers.membership import Membership
from achannels.testing.connection import MARK, active, where

PATIENCE = 1.0
"""Seconds that something may take to end by itself before it counts as a leak."""

_lent: WeakSet[core.Node] = WeakSet()
"""Nodes that a client's connection started; the last client stops them."""


def nodes() -> set[core.Node]:
    """Return the nodes that run on this event loop."""
    loop = asyncio.get_running_loop()
    return {node for node in core.nodes if node.loop is loop and not node.stopped}


def lend(before: Collection[core.Node]) -> None:
    """Note which nodes were started since `before`, so that the last client stops them."""
    _lent.update(node for node in nodes() if node not in before)


def keep(before: Collection[core.Node]) -> set[core.Node]:
    """Return the nodes started since `before`; no client stops them."""
    started = {node for node in nodes() if node not in before}
    _lent.difference_update(started)
    return started


def socket_of(mark: object) -> tuple[core.Node, Any] | None:
    """Return the socket or request whose scope carries a client's mark, and its node."""
    for node in nodes():
        for socket in node.sockets:
            scope = getattr(socket, "scope", {})
            if (scope.get("extensions") or {}).get(MARK) is mark:
                return node, socket
    return None


def check_socket(node: core.Node, socket: Any, channel: str) -> AssertionError | None:
    """Return what is left of a socket whose application has ended."""
    left = []
    if socket in node.sockets:
        left.append("the node still has it")
    if socket.pending:
        left.append(f"{socket.pending} messages are pending")
    if groups := memberships(node.layer, channel):
        left.append(f"it is a member of {', '.join(sorted(groups))}")
    if not left:
        return None
    return AssertionError(f"of the socket {channel} something is left: {'; '.join(left)}.")


def memberships(layer: object, channel: str) -> set[str]:
    """Return the groups of a channel, where the layer keeps its members in this process."""
    membership = getattr(layer, "_membership", None)
    return membership.groups_of(channel) if isinstance(membership, Membership) else set()


async def return_nodes() -> AssertionError | None:
    """Stop the nodes that clients started and nobody uses any more; return what they left."""
    error = None
    for node in nodes() if not active() else ():
        if node in _lent and not node.sockets:
            error = error or await check_tasks(node)
            await node.stop()
    return error


async def check_tasks(node: core.Node) -> AssertionError | None:
    """Return which tasks a node without sockets still has."""
    if node._tasks:
        await asyncio.wait(node._tasks, timeout=PATIENCE)
    if not node._tasks:
        return None
    return AssertionError(f"no socket is left, and the node has tasks:\n{_listed(node._tasks)}")


@asynccontextmanager
async def no_leaks() -> AsyncIterator[None]:
    """Check that the block leaves no task and no socket behind on this event loop.

    Raises:
        AssertionError: It names what is left, and where in the code it waits.
    """
    tasks, before = asyncio.all_tasks(), nodes()
    yield
    started = {node for node in nodes() if node not in before}
    sockets = sum(len(node.sockets) for node in started)
    assert not sockets, f"{sockets} sockets or requests are still open."
    for node in started:
        await node.stop()
    left = await _unfinished(tasks)
    assert not left, f"{len(left)} tasks are left:\n{_listed(left)}"


async def _unfinished(before: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while True:
        left = {task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()}
        patience = deadline - loop.time()
        if not left or patience <= 0:
            return left
        await asyncio.wait(left, timeout=patience)


def _listed(tasks: Collection[asyncio.Task[Any]]) -> str:
    return "\n".join(f"{task.get_name()}:\n{where(task)}" for task in tasks)


__all__ = [
    "check_socket",
    "check_tasks",
    "keep",
    "lend",
    "memberships",
    "no_leaks",
    "nodes",
    "return_nodes",
    "socket_of",
]
