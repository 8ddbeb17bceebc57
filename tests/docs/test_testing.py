"""The page on testing: its files are a project, and its tests pass there."""

import os
import subprocess
import sys
from pathlib import Path

from tests.docs.snippets import PAGES, ROOT

PAGE = "docs/guide/testing.md"

SETTINGS = """
SECRET_KEY = "only for tests"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = ["achannels"]
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "news.urls"
"""

URLS = """
from achannels import Group
from django.http import HttpRequest, HttpResponse
from django.urls import path

async def publish(request: HttpRequest) -> HttpResponse:
    await Group("news").send({"text": request.POST["text"]})
    return HttpResponse(status=204)

urlpatterns = [path("publish/", publish)]
"""

ROUTING = """
from achannels import Group, Message, route

async def connect(message: Message) -> None:
    await Group("news").add(message.reply_channel)
    await message.reply_channel.send({"accept": True})

channel_routing = [route("websocket.connect", connect, path="news/")]
"""

PYTEST = """
[pytest]
filterwarnings = error
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
channel_application = live:application
"""


def write_page(folder: Path) -> None:
    texts: dict[str, str] = {}
    for block in PAGES[PAGE]:
        path = f"{block.module.replace('.', '/')}.py"
        texts[path] = texts.get(path, "") + block.text + "\n"
    for path, text in texts.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)


def run(folder: Path, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**environment, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_its_tests_pass_under_pytest(tmp_path: Path) -> None:
    write_page(tmp_path)
    (tmp_path / "pytest.ini").write_text(PYTEST)
    files = [path.name for path in sorted(tmp_path.glob("test_*.py"))]
    plugins = ["-p", "pytest_asyncio.plugin", "-p", "achannels.testing.plugin"]
    ran = run(tmp_path, "pytest", "-q", *plugins, *files, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert {"test_live.py", "test_my_layer.py", "test_reminders.py", "test_uploads.py"} <= {*files}


def test_its_test_case_passes_under_django(tmp_path: Path) -> None:
    write_page(tmp_path)
    (tmp_path / "mysettings.py").write_text(SETTINGS)
    (tmp_path / "news" / "urls.py").write_text(URLS)
    (tmp_path / "news" / "routing.py").write_text(ROUTING)
    ran = run(tmp_path, "django", "test", "news.test_live", DJANGO_SETTINGS_MODULE="mysettings")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Ran 1 test" in ran.stderr
