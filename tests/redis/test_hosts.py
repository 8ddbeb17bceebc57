"""The setting `hosts`: what is understood, and what is told about the rest."""

from typing import Any

import pytest
from redis.crc import key_slot

from achannels.exceptions import ConfigurationError
from achannels.layers.redis.cluster import SLOTS
from achannels.layers.redis.hosts import Access, Host, hide, read_hosts
from achannels.layers.redis.servers import places

LOCAL = Host("server", "redis://localhost:6379/0", (("localhost", 6379),), Access())


def _host(**changes: Any) -> Host:
    values = {name: getattr(LOCAL, name) for name in Host.__dataclass_fields__}
    return Host(**{**values, **changes})


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("redis://localhost:6379/0", LOCAL),
        ("redis://cache", _host(name="redis://cache", addresses=(("cache", 6379),))),
        (
            "redis://u:p%2Fw@[::1]:7000/3",
            _host(
                name="redis://[::1]:7000/3",
                addresses=(("::1", 7000),),
                access=Access("u", "p/w", 3),
            ),
        ),
        (
            "redis://:pw@cache?db=2",
            _host(name="redis://cache", addresses=(("cache", 6379),), access=Access(None, "pw", 2)),
        ),
        (
            "valkeys://cache:1?ssl_cert_reqs=none&ssl_check_hostname=false",
            _host(
                name="valkeys://cache:1",
                addresses=(("cache", 1),),
                access=Access(tls={"cert_reqs": "none", "check_hostname": False}),
            ),
        ),
        (
            "unix://u:pw@/run/redis.sock?db=1",
            _host(
                kind="unix",
                name="unix:///run/redis.sock",
                addresses=("/run/redis.sock",),
                access=Access("u", "pw", 1),
            ),
        ),
        (
            "unix:///run/redis.sock?password=pw",
            _host(
                kind="unix",
                name="unix:///run/redis.sock",
                addresses=("/run/redis.sock",),
                access=Access(None, "pw"),
            ),
        ),
        (
            "sentinel://u:pw@a,b:7,[::1]/main/4?sentinel_password=sp&sentinel_username=su",
            _host(
                kind="sentinel",
                name="sentinel://a,b:7,[::1]/main/4",
                addresses=(("a", 26379), ("b", 7), ("::1", 26379)),
                access=Access("u", "pw", 4),
                service="main",
                sentinel_access=Access("su", "sp"),
            ),
        ),
        (
            "cluster://a,b:7?shards=3&ssl=true",
            _host(
                kind="cluster",
                name="cluster://a,b:7",
                addresses=(("a", 6379), ("b", 7)),
                access=Access(tls={"check_hostname": True}),
                sentinel_access=Access(tls={"check_hostname": True}),
                shards=3,
            ),
        ),
    ],
)
def test_each_form_of_url_is_understood(entry: str, expected: Host) -> None:
    found = read_hosts([entry])[0]
    if "valkeys" in entry:
        expected = _host(
            name=expected.name,
            addresses=expected.addresses,
            access=expected.access,
            sentinel_access=Access(tls=expected.access.tls),
        )
    assert found == expected


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (("cache", 7), _host(name="redis://cache:7", addresses=(("cache", 7),))),
        (["::1", 7], _host(name="redis://[::1]:7", addresses=(("::1", 7),))),
        (
            {"address": "redis://cache/1", "password": "pw", "socket_timeout": 3, "retry": None},
            _host(
                name="redis://cache/1", addresses=(("cache", 6379),), access=Access(None, "pw", 1)
            ),
        ),
        ({"address": ("cache", 7)}, _host(name="redis://cache:7", addresses=(("cache", 7),))),
        (
            {"host": "cache", "port": 7, "db": 2},
            _host(name="redis://cache:7", addresses=(("cache", 7),), access=Access(db=2)),
        ),
        (
            {"path": "/run/redis.sock"},
            _host(kind="unix", name="unix:///run/redis.sock", addresses=("/run/redis.sock",)),
        ),
        (
            {
                "sentinels": [("a", 7), ("b", 8)],
                "master_name": "main",
                "password": "pw",
                "sentinel_kwargs": {"password": "sp", "socket_timeout": 1},
            },
            _host(
                kind="sentinel",
                name="sentinel://a:7,b:8/main",
                addresses=(("a", 7), ("b", 8)),
                access=Access(None, "pw"),
                service="main",
                sentinel_access=Access(None, "sp"),
            ),
        ),
    ],
)
def test_the_spellings_of_older_layers_are_understood(entry: Any, expected: Host) -> None:
    assert read_hosts([entry]) == [expected]


def test_without_hosts_it_is_the_server_on_this_machine() -> None:
    assert read_hosts(None) == [LOCAL]


def test_credentials_that_change_come_from_a_provider() -> None:
    provider = object()
    assert read_hosts([{"host": "cache", "credential_provider": provider}])[0].access == Access(
        provider=provider
    )


@pytest.mark.parametrize(
    ("hosts", "text"),
    [
        ("redis://u:s3cret@cache", "'redis://cache'. Write a list: \\['redis://localhost"),
        ({"address": "redis://cache"}, "'dict'. Write a list"),
        (7, "'int'. Write a list"),
        ([], "is empty"),
        ([7], "an entry that is a int. Write redis://host:6379/0, rediss://"),
        ([("cache",)], "a tuple that is no pair. Write \\(host, port\\)"),
        ([{"master_name": "main", "sentinels": ["a:7"]}], "a str that is no pair"),
        (["cache:6379"], "'cache:6379' has no scheme. Write redis://host:6379/0"),
        (["http://u:s3cret@cache"], "'http://cache' has the scheme 'http'. Write"),
        (["redis://u:s3cret@cache:99999"], "'redis://cache:99999' has no host, or no port from 1"),
        (["redis://u:s3cret@cache:port"], "'redis://\\*\\*\\*' has no host, or no port"),
        (["redis://u:s3cret"], "'redis://\\*\\*\\*' has no host, or no port"),
        (["redis://:s3/cret@cache"], "is cut in two; .* write '/' as %2F"),
        (["redis://:s3#cret@cache"], "is cut in two; .* '#' as %23"),
        (["redis://:s3?cret@cache"], "is cut in two; .* '\\?' as %3F"),
        (["redis://cache?password=s3cret@"], "is cut in two; .* '@' as %40"),
        (["redis://[::1"], "is no URL"),
        (["redis://cache/x"], "has db 'x', which must be a number from 0 up"),
        (["redis://u:s3cret@a,b"], "names several hosts; give each its own entry"),
        (["redis://cache?pasword=s3cret"], "unknown option 'pasword'. Did you mean 'password'?"),
        (["redis://cache?socket_timeout=5"], "'socket_timeout', which the layer sets itself"),
        (["redis://cache?ssl_ca_certs=/x"], "has options of TLS and does not use it"),
        (["unix://run/redis.sock"], "has the host 'run' where the path begins with a third '/'"),
        (["unix://"], "where the path begins with a third '/'"),
        (["sentinel://u:s3cret@a,b"], "lacks the name of the master"),
        (["sentinel:///main"], "names no host"),
        (["cluster://a/3"], "names a database; a cluster has number 0 only"),
        (["cluster://a?shards=0"], "has shards '0', which must be a number from 1 up"),
        ([{"host": "a", "connection_class": int}], "unknown option 'connection_class'"),
        (["rediss://u:s3cret@cache?ssl_ca_certs=/none"], "TLS .* '/none'.*No such file"),
        (["rediss://u:s3cret@cache?ssl_cert_reqs=maybe"], "TLS .* 'maybe'"),
    ],
)
def test_what_is_wrong_is_told_without_the_password(hosts: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text) as caught:
        places(hosts, "achannels")
    told, error = "", caught.value.__cause__ or caught.value
    for each in (caught.value, error):
        told += f"{each} {each!r}"
    assert "s3" not in told
    assert "cret" not in told


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://u:s3cret@cache:1/0?x=s3cret", "redis://cache:1/0"),
        ("redis:u:s3cret@cache:1", "cache:1"),
        ("u:s3cret@cache", "cache"),
        ("redis://:s3cret", "redis://***"),
        ("redis://:s3/cret@cache", "redis://***"),
        ("redis://u:s3#cret@cache", "redis://***"),
        ("unix:///run/redis.sock?password=s3cret", "unix:///run/redis.sock"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert hide(url) == shown


def test_nothing_shows_a_password_by_itself() -> None:
    host = read_hosts(["sentinel://u:s3cret@a/main?sentinel_password=s3cret"])[0]
    assert "s3cret" not in repr(host)


def test_each_host_is_a_shard_with_a_tag_of_its_own() -> None:
    hosts = ["redis://a", "redis://b/1", "sentinel://c/main"]
    found = [(tag, place.name) for tag, place in places(hosts, "site")]
    assert found == [("site:0", "redis://a"), ("site:1", "redis://b/1"), ("site:2", hosts[2])]


def test_a_cluster_has_one_shard_unless_more_are_asked_for() -> None:
    assert [tag for tag, _ in places(["cluster://a"], "site")] == ["site:0"]


@pytest.mark.parametrize("shards", [2, 3, 7])
def test_the_tags_of_a_cluster_spread_over_its_slots(shards: int) -> None:
    found = places([f"cluster://a?shards={shards}"], "site")
    parts = [key_slot(tag.encode()) * shards // SLOTS for tag, _ in found]
    assert parts == list(range(shards))
    assert found[0][1].name == "cluster://a"


def test_a_prefix_cannot_hold_braces() -> None:
    with pytest.raises(ConfigurationError, match=r"'a{b'; braces mark a hash tag"):
        places(None, "a{b")
