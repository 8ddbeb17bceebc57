"""`channels.apps`: the app that `"channels"` or `"achannels.legacy"` in `INSTALLED_APPS` installs."""

from types import ModuleType

from django.apps import AppConfig

from achannels import legacy
from achannels.django import checks, commands, conf, logs
from achannels.legacy import alias
from achannels.legacy import checks as legacy_checks
from achannels.legacy.binding.base import BindingMetaclass
from achannels.legacy.project import LegacyProject


class ChannelsConfig(AppConfig):
    """Channels 1.x, and all that the app `achannels` brings; its place in the list is free.

    Beside another package `channels` it leaves that its name, and its label.
    """

    name = "achannels.legacy"
    label = "channels"
    verbose_name = "Channels"

    def __init__(self, app_name: str, app_module: ModuleType | None) -> None:
        is_taken = alias.another() is not None
        if is_taken:
            self.label = "achannels_legacy"
        super().__init__(app_name, app_module)
        legacy.install(names=not is_taken)

    def ready(self) -> None:
        """Take over the settings and register bindings; nothing connects and nothing starts here."""
        logs.enable()
        conf.set_project(LegacyProject())
        conf.install()
        checks.register()
        legacy_checks.register()
        commands.offer_all()
        commands.prefer_runserver()
        BindingMetaclass.register_all()


__all__ = ["ChannelsConfig"]
