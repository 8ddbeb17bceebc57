"""What runs a page: the apps of its reader around it, and nothing of it afterwards."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.signals import user_logged_out
from django.db import connection
from django.db.models.signals import post_save

from achannels import patterns
from tests.docs.models import MODELS
from tests.docs.snippets import file, forget_files, run
from tests.layers.thirdparty.layer import HubLayer

SIGNALS = (post_save, user_logged_out)


@pytest.fixture(autouse=True)
def _readers_apps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    receivers = [list(signal.receivers) for signal in SIGNALS]
    monkeypatch.setattr(patterns, "_converters", dict(patterns._converters))
    monkeypatch.setattr(patterns, "_registered", dict(patterns._registered))
    for model in MODELS:
        setattr(file(f"{model._meta.app_label}.models"), model.__name__, model)
    vars(file("hublayer"))["HubLayer"] = HubLayer
    yield
    forget_files()
    for signal, before in zip(SIGNALS, receivers, strict=True):
        signal.receivers = before
        signal.sender_receivers_cache.clear()


@pytest.fixture
def page(request: pytest.FixtureRequest) -> Any:
    """The names of the page that the variable `PAGE` of the test's module names."""
    return run(request.module.PAGE)


@pytest.fixture
def tables(transactional_db: None) -> Iterator[None]:
    """The tables of the reader's models."""
    with connection.schema_editor() as editor:
        for model in MODELS:
            editor.create_model(model)
    yield
    with connection.schema_editor() as editor:
        for model in MODELS:
            editor.delete_model(model)
