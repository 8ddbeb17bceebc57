"""The setting `LOGGING` and our loggers."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SETTINGS = """
SECRET_KEY = "only for tests"
INSTALLED_APPS = [{app!r}]
LOGGING = {{
    "version": 1,
    "handlers": {{"console": {{"class": "logging.StreamHandler"}}}},
    "root": {{"handlers": ["console"], "level": "INFO"}},
}}
"""

PROGRAM = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "logging_site"
import achannels.asgi
import achannels.legacy
import django, logging
django.setup()
assert logging.getLogger("django.request").disabled
for name in ("achannels.consumer", "achannels.layer", "achannels.server", "django.channels"):
    logging.getLogger(name).error("heard of %s", name)
"""


is_taken = pytest.mark.skipif(
    importlib.util.find_spec("channels") is not None, reason="a real package channels is installed"
)


@pytest.mark.parametrize("app", ["achannels", pytest.param("achannels.legacy", marks=is_taken)])
def test_loggers_that_were_there_before_the_setting_stay_enabled(app: str, tmp_path: Path) -> None:
    (tmp_path / "logging_site.py").write_text(SETTINGS.format(app=app))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={"PYTHONPATH": ":".join([str(Path(__file__).parents[2]), str(tmp_path)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        "heard of achannels.consumer",
        "heard of achannels.layer",
        "heard of achannels.server",
        "heard of django.channels",
    ]
