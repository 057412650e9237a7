"""Addresses and templates of the trials of this floor."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest


@pytest.fixture
def trial(settings):
    """The portal with further addresses that go wrong (see urls.py beside this)."""
    templates = deepcopy(settings.TEMPLATES)
    templates[0]["DIRS"] = [*templates[0]["DIRS"], Path(__file__).parent / "templates"]
    settings.TEMPLATES = templates
    settings.ROOT_URLCONF = "foundation.ui.tests.urls"
