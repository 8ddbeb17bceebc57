"""Bare ASGI: the least an application on the same server can do."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

members: set[Send] = set()


async def echo(scope: Event, receive: Receive, send: Send) -> None:
    """Send each text back."""
    if scope["type"] != "websocket":
        raise NotImplementedError(scope["type"])
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})


async def group(scope: Event, receive: Receive, send: Send) -> None:
    """Keep members at one path, and send them what comes in at any other."""
    if scope["type"] != "websocket":
        raise NotImplementedError(scope["type"])
    await receive()
    if scope["path"] != "/member/":
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            text = event["text"]
            for _ in range(int(text[:4])):
                for member in list(members):
                    await member({"type": "websocket.send", "text": text})
        return
    members.add(send)
    try:
        await send({"type": "websocket.accept"})
        while (await receive())["type"] == "websocket.receive":
            pass
    finally:
        members.discard(send)
