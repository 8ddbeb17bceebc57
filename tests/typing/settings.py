"""The settings that the type checker reads: those of the tests, and the apps of the examples."""

from tests.django.settings import *  # noqa: F403
from tests.django.settings import INSTALLED_APPS as APPS

INSTALLED_APPS = [*APPS, "chat"]
