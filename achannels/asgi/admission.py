"""Admission: which handshakes reach a consumer, and what the others are answered."""

from collections.abc import Mapping
from typing import Any

from achannels.asgi.node import Node
from achannels.routing import Router
from achannels.types import Scope


def refusal(
    node: Node, scope: Scope, content: Mapping[str, Any], *, routed: bool
) -> tuple[int, str] | None:
    """Return the status and reason that refuse a handshake, `None` when it may go on.

    Args:
        node: Of the socket.
        scope: Of the socket.
        content: Of its `websocket.connect`.
        routed: A route takes it already.
    """
    if not node.origin(scope):
        return 403, "this page may not open a socket here"
    if not routed and node.settings.unrouted == "reject" and not claims(node.router, content):
        return 404, "there is nothing at this path"
    if node.draining:
        return 503, "the server is stopping"
    return None


def claims(router: Router, content: Mapping[str, Any]) -> bool:
    """Return whether a route on connect or receive may take a socket with this handshake."""
    return router.claims("websocket.connect", content) or router.claims(
        "websocket.receive", content
    )


__all__ = ["claims", "refusal"]
