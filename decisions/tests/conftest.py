"""Use cases of the test team."""

from __future__ import annotations

import pytest


@pytest.fixture
def use_case(team, editor):
    from decisions import services
    from decisions.domain.examples import example

    return services.create_use_case(actor=editor, team=team, name="Support", **example("support").values)
