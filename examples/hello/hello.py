# hello.py
from achannels import Group, Message, route
from achannels.asgi import Application


async def connect(message: Message) -> None:
    await message.reply_channel.send({"accept": True})
    await Group("everyone").add(message.reply_channel)


async def receive(message: Message) -> None:
    await message.reply_channel.send({"text": f"echo: {message['text']}"})
    await Group("everyone").send({"text": f"someone said {message['text']}"})


application = Application(
    [route("websocket.connect", connect), route("websocket.receive", receive)]
)
