"""Routes of the Django project with achannels: sockets only, so HTTP stays Django's."""

from achannels import Message, route


async def reply(message: Message) -> None:
    """Send a text back."""
    await message.reply_channel.send({"text": message["text"]})


channel_routing = [route("websocket.receive", reply, path="echo/")]
