"""What `manage.py check --deploy` finds out about the servers of a layer, and what it never asks."""

import subprocess
import sys
from typing import Any

import pytest
from django.core import checks
from django.test import override_settings

from achannels.layers.redis.connector import Greeting
from achannels.layers.redis.inspection import Problem, _judge_version
from tests.redis.deployments import Cluster, Sentinels
from tests.redis.servers import Server, UserServer, free_port

BACKEND = "achannels.layers.redis.RedisLayer"


def found(*, deploy: bool = True, **config: Any) -> dict[str, checks.CheckMessage]:
    """Return the messages about a Redis layer by number."""
    layers = {"default": {"BACKEND": BACKEND, "CONFIG": config}}
    with override_settings(CHANNEL_LAYERS=layers):
        messages = checks.run_checks(tags=["achannels"], include_deployment_checks=deploy)
    return {str(message.id).removeprefix("achannels."): message for message in messages}


def test_a_server_that_is_fit_brings_nothing(server: Server) -> None:
    assert found(hosts=[server.url]) == {}


def test_each_deployment_can_be_checked(
    cluster: Cluster, sentinels: Sentinels, user_server: UserServer
) -> None:
    user = f"redis://{user_server.access}@127.0.0.1:{user_server.port}"
    assert found(hosts=[f"{cluster.url}?shards=3", sentinels.url, user]) == {}


def test_without_deploy_nothing_is_connected() -> None:
    assert found(deploy=False, hosts=[f"redis://127.0.0.1:{free_port()}"]) == {}


def test_a_server_that_is_not_there() -> None:
    port = free_port()
    message = found(hosts=[f"redis://u:s3cret@127.0.0.1:{port}/0"])["E010"]
    place = f"CHANNEL_LAYERS['default']: redis://127.0.0.1:{port}/0"
    assert message.msg.startswith(f"{place} cannot be used: Error 111 connecting to")
    assert message.hint == "Start it, or correct CONFIG 'hosts'."
    assert "s3cret" not in str(message)


def test_a_server_that_hangs(own_server: Server) -> None:
    own_server.pause()
    try:
        message = found(hosts=[own_server.url], send_timeout=0.3)["E010"]
    finally:
        own_server.resume()
    assert f"no connection to {own_server.url} within 0.3 s" in message.msg


def test_a_wrong_password_is_told_and_not_shown(user_server: UserServer) -> None:
    message = found(hosts=[f"redis://chat:wr0ng@127.0.0.1:{user_server.port}"])["E010"]
    assert "invalid username-password pair" in message.msg
    assert "wr0ng" not in str(message)


def test_a_replica(server: Server) -> None:
    with Server(server.kind, [f"replicaof 127.0.0.1 {server.port}"]) as replica:
        message = found(hosts=[replica.url])["E010"]
    assert "is a replica, which takes no writes" in message.msg
    assert "Give its master, or Sentinels" in f"{message.msg}{message.hint}"


def test_a_user_who_may_run_no_scripts(own_server: Server) -> None:
    rules = ("on", ">pw", "~*", "+@all", "-@scripting")
    own_server.call("ACL", "SETUSER", "shy", *rules)
    message = found(hosts=[f"redis://shy:pw@127.0.0.1:{own_server.port}"], prefix="site")["E010"]
    assert "runs no scripts for this user" in message.msg
    assert "Allow the user ~{site:* +@read +@write" in str(message.hint)


def test_a_user_who_may_not_ask_for_the_memory(own_server: Server) -> None:
    own_server.call("ACL", "SETUSER", "shy", "on", ">pw", "~*", "+@all", "-info")
    assert found(hosts=[f"redis://shy:pw@127.0.0.1:{own_server.port}"]) == {}


@pytest.fixture
def evicting(own_server: Server) -> Server:
    """A server that throws away keys when its memory is used up."""
    own_server.call("CONFIG", "SET", "maxmemory", "100mb")
    own_server.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    return own_server


def test_a_server_that_throws_away_keys(evicting: Server) -> None:
    message = found(hosts=[evicting.url])["W006"]
    assert message.level == checks.WARNING
    assert message.msg.startswith(
        f"CHANNEL_LAYERS['default']: {evicting.url} has maxmemory-policy allkeys-lru: when its "
        "memory is used up it throws away messages"
    )
    assert str(message.hint).startswith("Run: CONFIG SET maxmemory-policy noeviction")
    evicting.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert found(hosts=[evicting.url]) == {}


def test_a_problem_of_a_server_with_two_shards_is_told_once(evicting: Server) -> None:
    messages = found(hosts=[evicting.url, evicting.url])
    assert list(messages) == ["W006"]


@pytest.mark.parametrize(
    ("server", "version", "old"),
    [
        ("redis", "6.2.14", True),
        ("redis", "7.0.0", False),
        ("redis", "8.2.1", False),
        ("valkey", "7.2.5", False),
        ("valkey", "9.1.2", False),
        ("other", "1.0", False),
        ("", "", False),
    ],
)
def test_the_version_of_a_server(server: str, version: str, old: bool) -> None:
    """There is no old server here to ask: what it would say is judged."""
    problems = list(_judge_version("redis://cache", Greeting(server, version)))
    told = "redis://cache is Redis 6.2.14; the layer needs 7.0 or later. Upgrade the server."
    assert problems == ([Problem("old", told)] if old else [])


def test_a_layer_without_hosts_is_told_which_it_takes() -> None:
    layers = {"default": {"BACKEND": BACKEND}}
    with override_settings(CHANNEL_LAYERS=layers):
        messages = checks.run_checks(tags=["achannels"], include_deployment_checks=True)
    assert "achannels.W005" in [message.id for message in messages]


@pytest.mark.parametrize(
    ("config", "text", "hint"),
    [
        ({"hosts": []}, "CONFIG 'hosts' is empty.", "Write for example ['redis://"),
        ({"hosts": "redis://cache"}, "CONFIG 'hosts' is 'redis://cache'.", "Write a list"),
        (
            {"hosts": ["http://u:s3cret@cache"]},
            "CONFIG 'hosts': 'http://cache' has the scheme 'http'.",
            "Write redis://host:6379/0, rediss://",
        ),
        (
            {"symmetric_encryption_keys": ["short"]},
            "CONFIG 'symmetric_encryption_keys'[0] has 5 bytes, it must have 16 or more.",
            "Make one: python -c",
        ),
        (
            {"host": ["redis://cache"]},
            "CHANNEL_LAYERS['default']['CONFIG'] has the unknown key 'host'.",
            "Did you mean 'hosts'?",
        ),
    ],
)
@pytest.mark.parametrize("deploy", [False, True])
def test_a_wrong_config(config: Any, text: str, hint: str, *, deploy: bool) -> None:
    messages = found(deploy=deploy, **config)
    assert list(messages) == ["E004"]
    assert messages["E004"].msg == text
    assert str(messages["E004"].hint).startswith(hint)


def test_a_missing_package_is_named_with_its_extra() -> None:
    code = (
        "import sys; sys.modules['redis'] = None\n"
        "from achannels import registry\n"
        f"registry.backend_class('default', {{'BACKEND': {BACKEND!r}}})"
    )
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"CHANNEL_LAYERS['default']['BACKEND'] is {BACKEND!r}, which cannot be" in ended.stderr
    assert ". Run: pip install 'achannels[redis]'" in ended.stderr
