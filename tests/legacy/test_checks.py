"""System checks of the shim: its settings, and 1.x's ways where a site is deployed."""

from typing import Any

import pytest
from django.core import checks
from django.test import override_settings

from achannels.legacy import conf
from achannels.legacy.checks import check_defaults, check_settings

MODERN: dict[str, Any] = {
    "ACHANNELS": {"UNROUTED": "reject", "ALLOWED_ORIGINS": None, "STATE": "connection"},
    "CHANNELS_ERRORS": "close",
    "CHANNELS_MAX_BODY": 1_000_000,
    "CHANNELS_PATHS": "django",
    "CHANNELS_REPLY_CHANNEL": "required",
    "CHANNELS_SESSIONS": "delete",
    "CHANNELS_VIEWS": "django",
}


def named() -> dict[str, checks.CheckMessage]:
    return {str(message.id).removeprefix("channels."): message for message in check_defaults()}


@pytest.mark.usefixtures("old_ways")
def test_a_deployed_site_hears_of_every_way_of_1_x() -> None:
    found = named()
    assert sorted(found, key=lambda number: number[1:]) == [
        *("W101", "W102", "I103", "I104", "I105", "I106", "I107", "I108", "W109")
    ]
    told = " ".join(str(message.hint) for message in found.values())
    settings = {*(f"ACHANNELS['{key.upper()}']" for key in conf.DEFAULTS), *conf.WORDS}
    assert [setting for setting in settings if setting not in told] == []
    assert "CHANNELS_MAX_BODY" in told


@pytest.mark.usefixtures("old_ways")
def test_each_setting_silences_its_own() -> None:
    with override_settings(**MODERN):
        assert named() == {}
    everything = set(named())
    for setting, value in MODERN.items():
        if setting == "ACHANNELS":
            continue
        with override_settings(**{setting: value}):
            assert len(everything - set(named())) == 1, setting


@pytest.mark.parametrize("setting", [*conf.WORDS, "CHANNELS_MAX_BODY"])
def test_a_wrong_value_is_found(setting: str) -> None:
    assert check_settings() == []
    with override_settings(**{setting: "nonsense"}):
        (message,) = check_settings()
    assert message.id == "channels.E101"
    assert message.msg.startswith(f"{setting} is 'nonsense'; it must be ")


@pytest.mark.usefixtures("old_ways")
def test_a_wrong_setting_of_ours_is_another_check() -> None:
    with override_settings(ACHANNELS={"NONSENSE": 1}):
        assert "W101" not in named()
