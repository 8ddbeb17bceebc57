"""The page on coming from Channels 4: its consumer with the import changed, and its table."""

import importlib
import re
import sys
from types import ModuleType
from typing import Any

import pytest

from achannels import get_channel_layer, route_class
from achannels.asgi import Application
from achannels.testing import WebsocketClient
from tests.docs.snippets import PAGES, TEXTS

PAGE = "docs/migrating/from-channels-4.md"
IMPORTS = dict(re.findall(r"^\| `([\w.]+)` \| `([\w.]+)` \|$", TEXTS[PAGE], re.MULTILINE))

BEFORE = PAGES[PAGE][0].text
AFTER = PAGES[PAGE][1].text


def test_one_import_changes_and_nothing_else() -> None:
    (line,) = (line for line in BEFORE.splitlines() if "channels" in line)
    assert line == "from channels.generic.websocket import AsyncWebsocketConsumer"
    assert IMPORTS["channels.generic.websocket.AsyncWebsocketConsumer"] == (
        "achannels.consumers.AsyncWebsocketConsumer"
    )
    assert AFTER.strip() == "from achannels.consumers import AsyncWebsocketConsumer"


async def test_a_consumer_of_channels_4_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    source = re.sub(r"^from channels.*$", AFTER.strip(), BEFORE, flags=re.MULTILINE)
    module: Any = ModuleType("chat.consumers")
    monkeypatch.setitem(sys.modules, "chat.consumers", module)
    exec(compile(source, PAGE, "exec"), vars(module))
    application = Application([route_class(module.ChatConsumer, path="ws/chat/<slug:room_name>/")])
    anna = WebsocketClient(application, "/ws/chat/lobby/")
    bert = WebsocketClient(application, "/ws/chat/lobby/")
    async with anna, bert:
        await anna.send_json({"message": "hi"})
        assert await anna.receive_json() == await bert.receive_json() == {"message": "hi"}
    assert await get_channel_layer().group_channels("chat_lobby") == set()


def test_the_table_has_what_projects_import() -> None:
    assert len(IMPORTS) >= 15


@pytest.mark.parametrize("ours", IMPORTS.values())
def test_a_name_of_the_table_is_there(ours: str) -> None:
    module, _, name = ours.rpartition(".")
    assert hasattr(importlib.import_module(module), name)
