"""The app that `INSTALLED_APPS += ["achannels"]` installs."""

from django.apps import AppConfig

from achannels.django import checks, commands, conf, logs


class AchannelsConfig(AppConfig):
    """Settings, checks and commands; its place in `INSTALLED_APPS` does not matter."""

    name = "achannels.django"
    label = "achannels"
    verbose_name = "achannels"

    def ready(self) -> None:
        """Take over the settings; nothing connects and nothing starts here."""
        logs.enable()
        conf.install()
        checks.register()
        commands.prefer_runserver()


__all__ = ["AchannelsConfig"]
