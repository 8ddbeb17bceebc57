import json

from channels import Group
from channels.auth import channel_session_user, channel_session_user_from_http
from channels.exceptions import DenyConnection
from channels.security.websockets import allowed_hosts_only
from channels.sessions import enforce_ordering

from rooms.models import Line, Room

HISTORY = 5


@allowed_hosts_only
@enforce_ordering
@channel_session_user_from_http
def ws_connect(message, slug):
    room = Room.objects.filter(slug=slug).first()
    if room is None or not message.user.is_authenticated:
        raise DenyConnection
    message.channel_session["room"] = slug
    message.reply_channel.send({"accept": True})
    for line in reversed(room.lines.order_by("-pk")[:HISTORY]):
        message.reply_channel.send(line.as_message())
    tell(room, message.user, "came")
    Group(room.group_name).add(message.reply_channel)


@enforce_ordering
@channel_session_user
def ws_receive(message, slug):
    room = Room.objects.get(slug=message.channel_session["room"])
    text = json.loads(message["text"])["say"]
    line = Line.objects.create(room=room, name=message.user.username, text=text)
    Group(room.group_name).send(line.as_message())


@enforce_ordering
@channel_session_user
def ws_disconnect(message, slug):
    if "room" not in message.channel_session:
        return
    room = Room.objects.get(slug=message.channel_session["room"])
    Group(room.group_name).discard(message.reply_channel)
    tell(room, message.user, "left")


def tell(room, user, what):
    note = {"name": user.username, "note": what}
    Group(room.group_name).send({"text": json.dumps(note)})
