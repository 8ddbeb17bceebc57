"""Channels 1.x's ways in the process of a test, for the test alone."""

import importlib.util
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from achannels import dispatch, routing
from achannels.asgi import Application, node
from achannels.asgi.settings import defaults
from achannels.django import conf as django_conf
from achannels.legacy import alias, conf, custom, log, ready
from achannels.legacy import dispatch as legacy_dispatch
from achannels.legacy.project import LegacyProject


def forget_old_names() -> None:
    """Take the old names away, and what was imported by them."""
    sys.meta_path[:] = [each for each in sys.meta_path if not isinstance(each, alias.AliasFinder)]
    for name in list(sys.modules):
        if alias.real_name(name) is not None:
            del sys.modules[name]
    if hasattr(sys.modules.get("asgiref"), "inmemory"):
        del sys.modules["asgiref"].inmemory


@pytest.fixture
def old_names() -> Iterator[None]:
    """`channels` is the shim, also where a real package of that name is installed."""
    alias.put_in_place()
    yield
    forget_old_names()


@pytest.fixture
def old_ways(old_names: None) -> Iterator[None]:
    """What `install()` does, and the app `channels`."""
    defaults.update(conf.DEFAULTS)
    custom.install()
    legacy_dispatch.install()
    ready.install()
    before = django_conf.set_project(LegacyProject())
    yield
    django_conf.set_project(before)
    dispatch.compilers.remove(legacy_dispatch.compile_plain)
    routing.adapters.remove(custom.adapt)
    node.starting.clear()
    defaults.clear()


@pytest.fixture
def serve(old_ways: None) -> Callable[..., Application]:
    """Make an application of routes, with the ways of 1.x."""

    def make(*routes: Any, **settings: Any) -> Application:
        return Application(list(routes), **settings)

    return make


@pytest.fixture
def loggers() -> Iterator[None]:
    """The loggers of `setup_logger` are afterwards as they were."""
    loggers = [
        logging.getLogger(name) for name in ("test.channels", "django.channels", *log.SERVERS)
    ]
    before = [(each.level, each.propagate, list(each.handlers)) for each in loggers]
    yield
    for each, (level, propagate, handlers) in zip(loggers, before, strict=True):
        each.setLevel(level)
        each.propagate, each.handlers = propagate, handlers


IS_TAKEN = importlib.util.find_spec("channels") is not None
"""A real package `channels` is installed here."""
