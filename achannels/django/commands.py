"""Whose `runserver` runs: ours before Django's two, and another package's before ours.

Django takes the command of the app that stands first in `INSTALLED_APPS`, and its own `runserver`
and that of `django.contrib.staticfiles` would win over an app that is added at the end. So when the
apps are ready, the one entry `runserver` of Django's table of commands is set to ours, unless an
app that is neither ours nor Django's has a `runserver`: that one is what the project asked for.
"""

import os

from django.apps import apps
from django.core.management import find_commands, get_commands

OURS = "achannels.django"
LEGACY = "achannels.legacy"
DJANGO = ("django.core", "django.contrib.staticfiles")


def prefer_runserver() -> None:
    """Set the entry `runserver`; called when all apps are ready."""
    ours = LEGACY if apps.is_installed(LEGACY) else OURS
    get_commands()["runserver"] = others_runserver() or ours


def offer_all() -> None:
    """Have all our commands found where only the app of 1.x is in `INSTALLED_APPS`, and its first."""
    commands = get_commands()
    for name in find_commands(os.path.join(os.path.dirname(__file__), "management")):
        commands.setdefault(name, OURS)
    if commands["runworker"] == OURS:
        commands["runworker"] = LEGACY


def others_runserver() -> str | None:
    """Return the first app with a `runserver` that is neither ours nor Django's."""
    for config in apps.get_app_configs():
        if config.name in (OURS, LEGACY, *DJANGO):
            continue
        if "runserver" in find_commands(os.path.join(config.path, "management")):
            return config.name
    return None


__all__ = ["LEGACY", "OURS", "offer_all", "others_runserver", "prefer_runserver"]
