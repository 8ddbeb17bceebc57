"""What the page on split mode says: options, units, the compose file."""

import configparser
import io
import re
import shlex
from typing import Any

import click
import pytest
from django.core.management import load_command_class
from uvicorn.main import main

from achannels.asgi.settings import Settings
from achannels.cli import main as achannels
from tests.docs.snippets import TEXTS

TEXT = TEXTS["docs/deployment/split.md"]


def block(language: str, title: str) -> str:
    (found,) = re.findall(
        rf'^```{language} title="{re.escape(title)}"\n(.*?)^```$', TEXT, re.DOTALL | re.MULTILINE
    )
    return str(found)


def unit(name: str) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(block("ini", f"/etc/systemd/system/{name}.service"))
    assert parser.sections() == ["Unit", "Service", "Install"]
    return parser["Service"]


def uvicorn_takes(command: str) -> None:
    arguments = shlex.split(command.partition("uvicorn ")[2])
    context = click.Context(main)
    main.parse_args(context, arguments)
    assert context.params["app"] == "mysite.asgi:application"
    assert context.params["workers"] == 2


def test_the_units_run_what_there_is() -> None:
    interface, worker = unit("mysite-interface"), unit("mysite-worker@")
    uvicorn_takes(interface["ExecStart"])
    assert worker["ExecStart"].endswith("/python manage.py runworker")
    drain = Settings().drain_timeout
    assert int(worker["TimeoutStopSec"]) > drain + 5
    assert int(interface["TimeoutStopSec"]) > drain + 15


def test_the_compose_file_runs_what_there_is() -> None:
    yaml: Any = pytest.importorskip("yaml")
    services = yaml.safe_load(block("yaml", "compose.yaml"))["services"]
    uvicorn_takes(services["interface"]["command"])
    assert services["interface"]["environment"]["ACHANNELS_MODE"] == "interface"
    assert services["worker"]["environment"]["ACHANNELS_MODE"] == "embedded"
    assert services["worker"]["command"] == "python manage.py runworker"
    for service in services.values():
        for needed in service.get("depends_on", []):
            assert needed in services


def test_the_commands_have_the_options_of_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    documented = set(re.findall(r"^\| `(--[a-z-]+)", TEXT, re.MULTILINE))
    with pytest.raises(SystemExit):
        achannels(["worker", "--help"])
    of_program = capsys.readouterr().out
    help_text = io.StringIO()
    command = load_command_class("achannels.django", "runworker")
    command.create_parser("manage.py", "runworker").print_help(help_text)
    for text in (of_program, help_text.getvalue()):
        assert documented <= set(re.findall(r"--[a-z-]+", text))
