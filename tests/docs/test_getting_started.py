"""The tutorial, followed by a reader: a new project with the files of the page, and people in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.snippets import PAGES, ROOT

PAGE = "docs/getting-started.md"

PEOPLE = """
import json

from achannels.asgi import get_asgi_application
from achannels.django.testing import ChannelTestCase
from achannels.testing import ConnectionDenied, WebsocketClient
from chat.models import Line
from django.contrib.auth.models import User
from django.test import AsyncClient


class Tutorial(ChannelTestCase):
    async def person(self, name):
        browser = AsyncClient()
        await browser.aforce_login(await User.objects.acreate(username=name))
        cookie = browser.cookies["sessionid"].value
        headers = {"Cookie": f"sessionid={cookie}"}
        return WebsocketClient(get_asgi_application(), "/chat/lobby/", headers=headers)

    async def test_echo(self):
        async with WebsocketClient(get_asgi_application(), "/echo/") as socket:
            await socket.send("hi")
            self.assertEqual(await socket.receive(), "hi")

    async def test_chat(self):
        anna, bert = await self.person("anna"), await self.person("bert")
        async with anna:
            async with bert:
                await bert.send_json({"text": "hi"})
                said = {"name": "bert", "text": "hi"}
                self.assertEqual(await anna.receive_json(), said)
                self.assertEqual(await bert.receive_json(), said)
                await bert.send_json({"text": "/quit"})
                self.assertEqual(await bert.receive_json(), {"text": "bye"})
                self.assertEqual(await bert.wait_closed(), 4000)
            self.assertEqual(await anna.receive_json(), {"text": "bert left"})
        lines = [line.text async for line in Line.objects.all()]
        self.assertEqual(lines[0].split(" (")[0], "bert left")

    async def test_a_stranger(self):
        with self.assertRaises(ConnectionDenied) as denied:
            async with WebsocketClient(get_asgi_application(), "/chat/lobby/"):
                pass
        self.assertEqual(denied.exception.status, 401)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A new project, with the files of the page."""
    manage(tmp_path, "-m", "django", "startproject", "mysite", ".")
    (tmp_path / "chat").mkdir()
    (tmp_path / "chat" / "__init__.py").touch()
    for block in PAGES[PAGE]:
        path = tmp_path / f"{block.module.replace('.', '/')}.py"
        if block.module.startswith(("mysite.", "chat.")):
            if block.module == "mysite.asgi":
                path.write_text("")
            with path.open("a") as file:
                file.write(f"\n{block.text}")
    return tmp_path


def manage(folder: Path, *command: str) -> str:
    ran = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_people_talk_in_the_project(project: Path) -> None:
    manage(project, "manage.py", "makemigrations", "chat")
    (project / "chat" / "tests.py").write_text(PEOPLE)
    said = manage(project, "manage.py", "test")
    assert "System check identified no issues" in said
    assert "Ran 3 tests" in said
