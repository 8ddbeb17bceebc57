from typing import Any

from achannels import Group, Message, sync
from achannels.consumers import AsyncJsonWebsocketConsumer
from tests.django.board.models import Note


async def connect(message: Message) -> None:
    await Group("board").add(message.reply_channel)
    await message.reply_channel.send({"accept": True})


def receive(message: sync.Message) -> None:
    Note.objects.create(text=message["text"])


def keep(message: sync.Message) -> None:
    Note.objects.create(text=message["text"])


class Watcher(AsyncJsonWebsocketConsumer):
    groups = ("watchers",)

    async def note_saved(self, event: dict[str, Any]) -> None:
        note = await Note.objects.aget(pk=event["pk"])
        await self.send_json({"text": note.text, "count": await Note.objects.acount()})
