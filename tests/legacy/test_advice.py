"""`manage.py channels1_check`: what the source of a project tells about its move."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from achannels.legacy.advice import look
from achannels.legacy.generic.websockets import WebsocketConsumer
from achannels.legacy.management.commands.channels1_check import Command
from achannels.legacy.routing import route, route_class


@pytest.mark.parametrize(
    "source",
    [
        "from channels import Group, Channel, route",
        "from channels.generic.websockets import WebsocketDemultiplexer",
        "from channels.security import websockets",
        "from channels import routing, sessions",
        "from channels.routing import *",
        "import channels.auth",
        "from asgi_redis import RedisChannelLayer",
        "from . import channels",
        "Group('chat-%s' % room).send({'text': text})",
        "Group('news').add(message.reply_channel)",
        "message.reply_channel.send({'close': True})",
        "message.reply_channel.send({'close': 4001, **more})",
        "self.close(4001)",
        "os.close(3)",
        "slight_ordering_of_mine = True",
        "enforce_ordering(slight=False)",
    ],
)
def test_nothing_is_said_of_what_runs_as_it_is(source: str) -> None:
    assert look(source) == []


@pytest.mark.parametrize(
    ("source", "kind", "text"),
    [
        ("from channels.routing import rout", "change", "no 'rout'. Did you mean 'route'?"),
        ("from channels.routing.deep import x", "change", "was no module of Channels 1.1"),
        ("import channels.nonsense", "change", "channels.nonsense was no module"),
        ("from daphne.server import Server", "change", "daphne.server is not there. Serve"),
        ("import asgi_rabbitmq", "change", "no layer over RabbitMQ"),
        ("from asgiref.base_layer import BaseChannelLayer", "change", "achannels.contracts"),
        ("from django.core.urlresolvers import reverse", "change", "import from django.urls"),
        ("from django.conf.urls import include, url", "change", "use django.urls.re_path"),
        ("from django.utils import six", "change", "Python 2 is gone"),
        ("Group('chat room')", "change", "group name 'chat room' has ' ' at position 4"),
        ("Channel('ü').send({})", "change", "channel name 'ü' has 'ü' at position 0"),
        ("enforce_ordering(slight=True)", "change", "leave slight=True out"),
        ("class A:\n    slight_ordering = True", "change", "use strict_ordering"),
        ("reply.send({'close': 1001})", "change", "1001 raises, except where it refuses"),
        ("self.close(1008)", "change", "1008 raises"),
        ("raise WebsocketCloseException(1008)", "change", "1008 raises."),
        ("print 'hello'", "change", "this is no Python 3"),
        ("name.startswith('daphne.response.')", "differs", "names of reply channels do not begin"),
        ("B = 'asgi_ipc.IPCChannelLayer'", "differs", "asgi_ipc reaches one process"),
        ("from asgi_ipc import IPCChannelLayer", "differs", "reaches one process"),
        ("B = 'asgi_rabbitmq.RabbitmqChannelLayer'", "change", "no layer over RabbitMQ"),
    ],
)
def test_what_differs_or_has_to_change_is_said(source: str, kind: str, text: str) -> None:
    (note,) = look(source)
    assert note.kind == kind
    assert text in note.text


def test_remarks_come_in_the_order_of_the_lines() -> None:
    notes = look("import daphne\n\nGroup('a b')\nChannel('c d')\n")
    assert [note.line for note in notes] == [1, 3, 4]


class Room(WebsocketConsumer):
    pass


def consumer(message: Any) -> None:
    pass


@pytest.fixture
def site(tmp_path: Path, settings: Any) -> Path:
    """The folder of a project."""
    routes = [route("websocket.receive", consumer), route_class(Room, path="^/room")]
    settings.CHANNEL_LAYERS = {"default": {"ROUTING": routes}}
    settings.BASE_DIR = tmp_path
    files = {
        "asgi.py": "from channels.asgi import get_channel_layer\n",
        "fine.py": "from channels import Group\n",
        "other.py": "import json\n",
        "venv/lib.py": "import daphne\n",
        ".hidden/more.py": "import daphne\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def check(*paths: Path) -> tuple[str, int]:
    out = StringIO()
    code = 0
    try:
        call_command(Command(stdout=out, no_color=True), *map(str, paths))
    except SystemExit as error:
        code = int(str(error.code))
    return out.getvalue(), code


@pytest.mark.usefixtures("old_ways")
def test_the_command_reads_the_project(site: Path) -> None:
    text, code = check()
    first, *_ = text.splitlines()
    assert "asgi.py:1: change: the server imports this before the settings." in first
    assert "daphne" not in text
    assert "2 files have to do with Channels: 1 places to change, 0 that differ." in text
    assert "  websocket.receive -> tests.legacy.test_advice.consumer\n" in text
    assert "an instance for each message: tests.legacy.test_advice.Room\n" in text
    assert code == 1


@pytest.mark.usefixtures("old_ways")
def test_without_anything_to_change_it_ends_well(site: Path) -> None:
    text, code = check(site / "fine.py")
    assert "1 files have to do with Channels: 0 places to change" in text
    assert code == 0
