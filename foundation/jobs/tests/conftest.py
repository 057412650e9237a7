"""What every test of long work needs: the test kinds, and a job started in one line."""

from __future__ import annotations

import pytest

from foundation.jobs import presence, services
from foundation.jobs.models import Job
from foundation.jobs.tests import kinds

kinds.register()


@pytest.fixture(autouse=True)
def fresh_presence():
    presence.forget_cached()


@pytest.fixture
def log(tmp_path):
    """A file where test kinds note what they really do."""
    return str(tmp_path / "log")


@pytest.fixture
def start(team, editor):
    """Start a job of a test kind: start(n=25), start(kind="test.calls", n=5)."""

    def start(kind: str = "test.squares", title: str = "Some work", dedupe_key: str = "", **recipe) -> Job:
        return services.start_job(
            actor=editor, team=team, kind=kind, title=title, recipe=recipe, dedupe_key=dedupe_key
        )

    return start


@pytest.fixture
def finish():
    """Run everything in process and answer the job as it then stands."""

    def finish(job: Job, max_seconds: float = 20) -> Job:
        assert services.run_until_idle(max_seconds)
        job.refresh_from_db()
        return job

    return finish
