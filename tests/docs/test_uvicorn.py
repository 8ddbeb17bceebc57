"""What the page on deployment with uvicorn says: options, the unit, the compose file, the settings."""

import configparser
import re
import shlex
from typing import Any

import click
import pytest
from uvicorn.main import main

from achannels import registry
from achannels.layers.redis import RedisLayer
from tests.docs.snippets import TEXTS

PAGE = "docs/deployment/uvicorn.md"
TEXT = TEXTS[PAGE]


def block(language: str, title: str) -> str:
    (found,) = re.findall(
        rf'^```{language} title="{re.escape(title)}"\n(.*?)^```$', TEXT, re.DOTALL | re.MULTILINE
    )
    return str(found)


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(block("ini", "/etc/systemd/system/mysite.service"))
    return parser


def compose() -> Any:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(block("yaml", "compose.yaml"))


def commands() -> list[list[str]]:
    """Return the arguments of each uvicorn command on the page."""
    shell = "".join(re.findall(r"^```bash\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE))
    lines = re.findall(r"^uvicorn (.*)$", shell.replace("\\\n", " "), re.MULTILINE)
    texts = [*lines, unit()["Service"]["ExecStart"].partition("uvicorn ")[2]]
    return [shlex.split(text) for text in texts]


def parsed(arguments: list[str]) -> dict[str, Any]:
    context = click.Context(main, resilient_parsing=False)
    main.parse_args(context, list(arguments))
    return context.params


def test_every_command_is_one() -> None:
    assert len(commands()) >= 3
    for arguments in commands():
        given = parsed(arguments)
        assert given["app"] == "mysite.asgi:application"
        assert given["timeout_graceful_shutdown"] == 15
        assert given["ws_per_message_deflate"] is False


def test_every_option_of_the_table_exists() -> None:
    known = {name for option in main.params for name in option.opts}
    rows = re.findall(r"^\| `(--[^|]*)\|", TEXT, re.MULTILINE)
    named = set(re.findall(r"--[\w-]+", " ".join(rows)))
    assert len(named) > 5
    assert named <= known


def test_the_unit_leaves_time_for_both_limits() -> None:
    service = unit()["Service"]
    assert set(unit().sections()) == {"Unit", "Service", "Install"}
    graceful = parsed(commands()[-1])["timeout_graceful_shutdown"]
    drain = 10  # DRAIN_TIMEOUT
    assert int(service["TimeoutStopSec"]) > graceful + drain
    assert int(service["LimitNOFILE"]) > 1024


def test_the_compose_file_says_the_same_as_the_unit() -> None:
    services = compose()["services"]
    web, valkey = services["web"], services["valkey"]
    command = shlex.split(web["command"])
    assert command[0] == "uvicorn"
    given = parsed(command[1:])
    assert (given["workers"], given["host"], given["forwarded_allow_ips"]) == (4, "0.0.0.0", "*")
    assert int(web["stop_grace_period"].removesuffix("s")) > given["timeout_graceful_shutdown"] + 10
    assert web["environment"]["REDIS_URL"] == "redis://valkey:6379/0"
    assert set(web["depends_on"]) == {"valkey"}
    assert "--maxmemory-policy noeviction" in valkey["command"]
    assert [each.partition(":")[0] for each in valkey["volumes"]] == list(compose()["volumes"])


def test_the_settings_make_a_layer(page: Any) -> None:
    layer = registry.make_layer(config=page.CHANNEL_LAYERS["default"])
    assert isinstance(layer, RedisLayer)
    assert layer.hosts == ["redis://localhost:6379/0"]
