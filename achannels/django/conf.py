"""Django's settings as ours: `CHANNEL_LAYERS`, `ACHANNELS`, and the routing found by its name."""

import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, cast

from django.apps import apps
from django.conf import settings
from django.core.signals import setting_changed

from achannels import auth, registry, sessions, sync
from achannels.asgi.settings import SettingKeywords, Settings
from achannels.consumers import threads
from achannels.django import db
from achannels.django.auth import user_of
from achannels.django.sessions import BrowserSessions, is_available, sessions_in
from achannels.dotted import near
from achannels.exceptions import ConfigurationError
from achannels.routing import Routing
from achannels.sessions import ChannelSessions

KEYWORDS = frozenset(SettingKeywords.__annotations__)
"""Keywords of `Application`; in upper case the keys of `ACHANNELS`."""

OLD = {"CHANNEL_SESSION_ENGINE": "channel_session_engine", "CHANNELS_WS_PROTOCOLS": "subprotocols"}
"""Settings of Channels 1.x at the top level, and the keywords that they stand for."""

APPS = frozenset({"achannels.apps", "achannels.legacy.apps"})
"""Modules of the app configurations that take over the settings."""


class Project:
    """What the application of a project is made of; an app on top of this one may have another."""

    def routing(self, alias: str = "default") -> Routing:
        """Return the routing that is served over a layer."""
        return routing(alias)

    def channel_sessions(self, engine: str | None) -> ChannelSessions | None:
        """Return where channel sessions are kept, `None`: with the socket.

        Args:
            engine: The setting `CHANNEL_SESSION_ENGINE`.
        """
        return sessions_in(engine)


class _Project:
    current = Project()


def set_project(project: Project) -> Project:
    """Say what the application of a project is made of, and return what was said before."""
    before = _Project.current
    _Project.current = project
    return before


def get_project() -> Project:
    """Return what the application of a project is made of."""
    return _Project.current


def is_installed() -> bool:
    """Return whether an app of the project has taken over the settings."""
    return any(type(config).__module__ in APPS for config in apps.get_app_configs())


VARIABLE = "channel_routing"
"""What a routing module calls its routing."""


def install() -> None:
    """Hand Django's settings and services to the rooms below; called when the apps are ready.

    A wrong setting raises nothing here, so that the checks can tell all of them: a layer raises
    when it is used, and an application when it is made.
    """
    _take_layers()
    threads.set_hygiene(db.close_old_connections)
    sync.on_commit_hook(db.on_commit, by_default=_sends_on_commit())
    sessions.set_http_sessions(BrowserSessions() if is_available() else None)
    has_users = is_available() and apps.is_installed("django.contrib.auth")
    auth.set_user_loader(user_of if has_users else None)
    db.heal_shared_connections()
    setting_changed.connect(_changed, dispatch_uid="achannels")


def layers() -> dict[str, Mapping[str, Any]]:
    """Return `CHANNEL_LAYERS`, or an empty dict if it is not set.

    Raises:
        ConfigurationError: It is no dict of dicts.
    """
    given = getattr(settings, "CHANNEL_LAYERS", {})
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"CHANNEL_LAYERS is {given!r}. Write a dict: "
            f"{{'default': {{'BACKEND': {registry.MEMORY!r}}}}}."
        )
    for alias, config in given.items():
        if not isinstance(alias, str) or not isinstance(config, Mapping):
            raise ConfigurationError(
                f"CHANNEL_LAYERS[{alias!r}] is {config!r}. Write a dict with the keys "
                f"{', '.join(sorted(registry.KEYS))}."
            )
    return dict(given)


def keywords() -> SettingKeywords:
    """Return `ACHANNELS` as keywords of `Application`, with the old settings that it lacks.

    Raises:
        ConfigurationError: It is no dict, or has an unknown key; the text has the nearest one.
    """
    given = getattr(settings, "ACHANNELS", {})
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"ACHANNELS is {given!r}. Write a dict.")
    found: dict[str, Any] = {}
    for key, value in given.items():
        if not isinstance(key, str) or key.lower() not in KEYWORDS:
            raise ConfigurationError(unknown_key("ACHANNELS", key, map(str.upper, KEYWORDS)))
        if not key.isupper():
            raise ConfigurationError(f"ACHANNELS has the key {key!r}. Write {key.upper()!r}.")
        found[key.lower()] = value
    for old, keyword in OLD.items():
        if getattr(settings, old, None) is not None:
            found.setdefault(keyword, getattr(settings, old))
    return cast("SettingKeywords", found)


def application_settings(overrides: SettingKeywords | None = None) -> Settings:
    """Return the settings that an application of this project has.

    Args:
        overrides: They win over `ACHANNELS`.

    Raises:
        ConfigurationError: A key or a value is wrong; the text has it as a project writes it.
    """
    try:
        return Settings.make({**keywords(), **(overrides or {})})
    except ConfigurationError as error:
        text = re.sub(
            r"the setting '(\w+)'", lambda found: f"ACHANNELS[{found[1].upper()!r}]", str(error)
        )
        raise ConfigurationError(text) from error.__cause__


def routing(alias: str = "default") -> Routing:
    """Return the routing of a layer, or its dotted name; `[]` if there is none.

    It is `CHANNEL_LAYERS[alias]["ROUTING"]`, and for the default layer else `channel_routing` in the
    module `routing` beside the module that `ROOT_URLCONF` names.

    Raises:
        ConfigurationError: `CHANNEL_LAYERS` is no dict of dicts.
    """
    given = layers().get(alias, {}).get("ROUTING")
    if given is not None:
        return cast("Routing", given)
    module = default_module() if alias == "default" else None
    return f"{module}.{VARIABLE}" if module is not None and _exists(module) else []


def default_module() -> str | None:
    """Return the module where a routing is looked for, `None` without `ROOT_URLCONF`."""
    urls = getattr(settings, "ROOT_URLCONF", None)
    if not isinstance(urls, str) or not urls:
        return None
    package = urls.rpartition(".")[0]
    return f"{package}.routing" if package else "routing"


def unknown_key(place: str, key: object, known: Any) -> str:
    """Return the text for a key that a setting does not have, with the nearest that it has."""
    names = sorted(known)
    hint = near(str(key), names) or near(str(key).upper(), names)
    hint = hint or f" Known: {', '.join(names)}."
    return f"{place} has the unknown key {key!r}.{hint}"


def _take_layers() -> None:
    try:
        registry.configure(layers())
    except ConfigurationError as error:
        registry.configure({"default": {"BACKEND": _refusing(error)}})


def _refusing(error: ConfigurationError) -> type:
    """Return a class in place of a layer: what is wrong is said when it is used."""

    class Refusing:
        def __init__(self) -> None:
            raise ConfigurationError(str(error))

    return Refusing


def _sends_on_commit() -> bool:
    try:
        return application_settings().send_on_commit
    except ConfigurationError:
        return False


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError as error:
        if f"{module}.".startswith(f"{error.name}."):
            return False
        raise


def _changed(*, setting: str, **kwargs: Any) -> None:
    """Follow `override_settings` in tests."""
    if setting in {"CHANNEL_LAYERS", "ACHANNELS", "SESSION_ENGINE", "INSTALLED_APPS", *OLD}:
        install()


__all__ = [
    "KEYWORDS",
    "Project",
    "application_settings",
    "default_module",
    "get_project",
    "install",
    "is_installed",
    "keywords",
    "layers",
    "routing",
    "set_project",
    "unknown_key",
]
