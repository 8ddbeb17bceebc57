"""`manage.py deadletters`: the durable messages that were given up, to look at, send again or forget."""

import json
from typing import Any

from asgiref.sync import async_to_sync
from django.core.management.base import BaseCommand, CommandError, CommandParser

from achannels.contracts import DeadLetter, WorkLayer
from achannels.exceptions import AChannelsError, ChannelFull
from achannels.names import check_channel
from achannels.registry import get_channel_layer

_SHOWN = 200


class Command(BaseCommand):
    """Lists, requeues or drops the dead letters of a channel."""

    help = "Lists the dead letters of a channel, oldest first; sends them again, or drops them."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options."""
        parser.add_argument("channel", help="The named channel, for example 'thumbnails'.")
        parser.add_argument("--layer", default="default", help="Which of CHANNEL_LAYERS.")
        parser.add_argument(
            "--limit", type=int, default=100, help="How many are listed, at most (100)."
        )
        action = parser.add_mutually_exclusive_group()
        action.add_argument("--requeue", metavar="ID", help="Send this one again.")
        action.add_argument("--drop", metavar="ID", help="Forget this one.")
        action.add_argument("--all", action="store_true", help="Send all of them again.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what was asked.

        Raises:
            CommandError: The layer keeps no dead letters, has none of that id, or cannot be used.
        """
        try:
            layer = get_channel_layer(options["layer"])
            if not isinstance(layer, WorkLayer):
                raise CommandError(f"{type(layer).__name__} keeps no dead letters.")
            channel = check_channel(options["channel"])
            async_to_sync(self._run)(layer, channel, options)
        except AChannelsError as error:
            raise CommandError(str(error)) from error

    async def _run(self, layer: WorkLayer, channel: str, options: dict[str, Any]) -> None:
        if options["requeue"]:
            await self._requeue(layer, channel, options["requeue"])
        elif options["drop"]:
            if not await layer.drop_letter(channel, options["drop"]):
                raise CommandError(_none_of(channel, options["drop"]))
            self.stdout.write(f"{options['drop']} was dropped.")
        elif options["all"]:
            for letter in await layer.dead_letters(channel, limit=10**6):
                await self._requeue(layer, channel, letter.id)
        else:
            letters = await layer.dead_letters(channel, limit=options["limit"])
            for letter in letters:
                self.stdout.write(_line(letter))
            if not letters:
                self.stdout.write(f"{channel} has no dead letters.")

    async def _requeue(self, layer: WorkLayer, channel: str, id: str) -> None:
        try:
            done = await layer.requeue(channel, id)
        except ChannelFull as error:
            raise CommandError(f"{id} stays: {error}") from error
        if not done:
            raise CommandError(_none_of(channel, id))
        self.stdout.write(f"{id} was sent again.")


def _none_of(channel: str, id: str) -> str:
    return f"{channel} has no dead letter {id!r}. List them: manage.py deadletters {channel}"


def _line(letter: DeadLetter) -> str:
    content = json.dumps(letter.content, default=repr, ensure_ascii=False)
    if len(content) > _SHOWN:
        content = f"{content[:_SHOWN]}..."
    failed_at = letter.failed_at.isoformat(sep=" ", timespec="seconds")
    return f"{letter.id}  {failed_at}  {letter.attempts} attempts  {letter.reason}  {content}"


__all__ = ["Command"]
