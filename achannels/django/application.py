"""The application of a Django project: its routing, its layers, its settings, its pages."""

from typing import TYPE_CHECKING, Unpack, cast

import django
from django.apps import apps
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http.request import validate_host

from achannels.asgi.application import Application
from achannels.asgi.settings import SettingKeywords
from achannels.django import conf
from achannels.exceptions import ConfigurationError
from achannels.registry import get_channel_layer

if TYPE_CHECKING:
    from achannels.types import ASGIApplication

LOCAL = [".localhost", "127.0.0.1", "[::1]"]
"""Hosts that are allowed with `DEBUG` and no `ALLOWED_HOSTS`, as Django has them."""


def application(alias: str = "default", **overrides: Unpack[SettingKeywords]) -> Application:
    """Return an application made of Django's settings.

    Requests that no `http.request` route takes go to Django's own handler.

    Args:
        alias: The layer of `CHANNEL_LAYERS` that it serves, with its routing.
        **overrides: They win over the setting `ACHANNELS`.

    Raises:
        ConfigurationError: A setting, a route or a consumer is wrong.
    """
    if not apps.ready:
        django.setup(set_prefix=False)
    if not conf.is_installed():
        raise ConfigurationError(
            "achannels is not installed in this project. Put 'achannels' into INSTALLED_APPS."
        )
    values = conf.application_settings(overrides)
    keywords: SettingKeywords = {**conf.keywords(), **overrides}
    pages = cast("ASGIApplication", ASGIHandler())
    project = conf.get_project()
    layer = None if alias == "default" else get_channel_layer(alias)
    made = Application(project.routing(alias), layer=layer, http=pages, **keywords)
    made.hosts = is_own_host
    made.channel_sessions = project.channel_sessions(values.channel_session_engine)
    made.dispatcher  # noqa: B018 - a consumer that is wrong stops the start
    return made


def is_own_host(host: str) -> bool:
    """Return whether a host, without a port, is one of `ALLOWED_HOSTS`."""
    allowed = settings.ALLOWED_HOSTS or (LOCAL if settings.DEBUG else [])
    return validate_host(f"[{host}]" if ":" in host else host, allowed)


__all__ = ["application", "is_own_host"]
