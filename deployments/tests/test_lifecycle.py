"""Ship and Watch on the rail: not yet, with what they will need; nothing pretends."""

from __future__ import annotations

from decisions.models import UseCase
from deployments.lifecycle import STAGES


def test_ship_and_watch_say_not_yet_and_what_they_will_need():
    use_case = UseCase(pk=7)
    for stage in STAGES:
        state = stage.states([use_case])[7]
        assert state.state == "later"
        assert "will need" in state.headline.lower()
        assert (state.url, state.action) == ("", "")
