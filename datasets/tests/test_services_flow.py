"""From a file to a frozen version, through services and jobs only."""

from __future__ import annotations

import io

import pytest

from datasets import services
from datasets.reading import version_rows
from datasets.tests.conftest import SHARED, jsonl, tickets
from foundation.jobs.services import run_until_idle

pytestmark = pytest.mark.django_db


def freeze(editor, dataset, **more):
    version = services.start_freeze(
        actor=editor, dataset=dataset, seed="s1", override_reason="a small test of the flow", **more
    )
    assert run_until_idle(60)
    version.refresh_from_db()
    return version


def test_a_file_becomes_a_frozen_version(dataset, bring_in, editor):
    done = bring_in(dataset, jsonl(tickets(600)))
    assert (done.state, done.n_good, done.n_bad) == ("done", 600, 0)
    assert dataset.n_active == 600
    assert dataset.label_counts == {"billing": 200, "card": 200, "login": 200}
    assert dataset.checks_are_current
    version = freeze(editor, dataset)
    assert version.state == "frozen", version.error
    assert version.n_rows == version.n_train + version.n_validation + version.n_test == 600
    assert version.n_test == 168  # raised from 60 by power
    assert version.report["leakage"]["is_clean"]
    rows = list(version_rows(version, "test"))
    assert [row.position for row in rows] == list(range(168))
    assert rows[0].messages[-1] == {"role": "assistant", "content": rows[0].completion}


@pytest.mark.skipif(not SHARED.exists(), reason="the public files are not here")
def test_banking77_goes_all_the_way(dataset, bring_in, editor):
    done = bring_in(dataset, (SHARED / "banking77-train.csv").read_bytes(), "banking77-train.csv")
    assert (done.state, done.n_good) == ("done", 10003), done.error
    found = {f.rule: (f.n_rows, f.n_fixable, f.headline) for f in services.open_findings(dataset)}
    print(found)
    version = freeze(editor, dataset)
    assert version.state == "frozen", version.error
    print(
        version.report["leakage"],
        version.report["units"],
        version.n_train,
        version.n_validation,
        version.n_test,
    )
    out = io.BytesIO()
    assert services.export(actor=editor, version=version, split="train", stream=out) == version.n_train
