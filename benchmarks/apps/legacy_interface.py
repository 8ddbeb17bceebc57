"""The interface of `legacy_split`."""

from benchmarks.apps.legacy_split import application

echo = application("interface")
