"""The app that `INSTALLED_APPS += ["channels.delay"]` installs."""

from django.apps import AppConfig


class DelayConfig(AppConfig):
    """A table of delayed messages; its label was `channels.delay`, which Django takes no more."""

    name = "achannels.legacy.delay"
    label = "channels_delay"
    verbose_name = "Delayed messages"
    default_auto_field = "django.db.models.AutoField"


__all__ = ["DelayConfig"]
