"""All that happens on the socket of a room."""

import json
from collections.abc import Sequence
from typing import Any

from django.http import QueryDict

from achannels import Group, Message, sync
from achannels.auth import http_user
from achannels.sessions import channel_session
from chat.models import Line, Room

HISTORY = 50
"""Lines that a page gets when it joins."""

LONGEST = 1000
"""Characters of a line."""


@http_user
@channel_session
async def connect(message: Message, room: str) -> None:
    # A browser learns nothing about a socket that was refused. So these are accepted, and closed
    # with a code that the page understands.
    if not message.user.is_authenticated:
        await message.reply_channel.send({"accept": True, "close": 4401})
        return
    if not await Room.objects.filter(slug=room).aexists():
        await message.reply_channel.send({"accept": True, "close": 4404})
        return
    name = message.channel_session["name"] = message.user.get_username()
    await message.reply_channel.send({"accept": True})
    # First the group, then the history: a line that is said in between comes twice, which the page
    # sees by its number. The other way round it would be lost.
    await Group(f"chat-{room}").add(message.reply_channel)
    lines = await missed(room, after=last_seen(message))
    await message.reply_channel.send(frame(lines, afresh=len(lines) == HISTORY))
    await tell(room, Line.Kind.JOINED, name)


@channel_session
async def receive(message: Message, room: str) -> None:
    text = message.get("text", "").strip()[:LONGEST]
    name = message.channel_session.get("name")
    if text and name:
        await tell(room, Line.Kind.SAID, name, text)


# A plain function runs in a thread, where the ORM blocks nobody. What it sends leaves when it returns.
@channel_session
def disconnect(message: sync.Message, room: str) -> None:
    name = message.channel_session.get("name")
    if name:  # it runs for those who were turned away, too
        line = Line.objects.create(room_id=room, kind=Line.Kind.LEFT, name=name)
        sync.Group(f"chat-{room}").send(frame([line]))


async def tell(room: str, kind: Line.Kind, name: str, text: str = "") -> None:
    """Write a line down and show it to everybody in the room."""
    line = await Line.objects.acreate(room_id=room, kind=kind, name=name, text=text)
    await Group(f"chat-{room}").send(frame([line]))


async def missed(room: str, after: int) -> list[Line]:
    """Return the last lines of a room behind the one with this number, oldest first."""
    lines = Line.objects.filter(room=room, pk__gt=after).order_by("-pk")[:HISTORY]
    return [line async for line in lines][::-1]


def last_seen(message: Message) -> int:
    """Return the number of the last line that the page shows: a socket at `…?after=17` has 17."""
    number = QueryDict(message["query_string"]).get("after", "")
    return int(number) if number.isdecimal() and len(number) < 19 else 0


def frame(lines: Sequence[Line], *, afresh: bool = False) -> dict[str, Any]:
    """Return what a page gets.

    Args:
        lines: In any order; the page puts them where they belong.
        afresh: There may be more between what the page shows and these: it starts anew.
    """
    content = {"lines": [line.as_json() for line in lines], "afresh": afresh}
    return {"text": json.dumps(content)}
