"""The gate asks that a tenth of the rows there are now was looked at (S34), not that some review was finished."""

from __future__ import annotations

import pytest

from datasets import services
from datasets.domain.review import covers
from datasets.lifecycle import states
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.services import run_until_idle

pytestmark = pytest.mark.django_db


def reviewed(editor, dataset, **given):
    review = services.plan_review(actor=editor, dataset=dataset, **given)
    services.accept_all(actor=editor, review=review, reviewer="demo")
    return review


def in_the_way(dataset) -> list[str]:
    dataset.refresh_from_db()
    return [b["sentence"] for b in services.blockers(dataset) if b["rule"] == "review"]


def test_a_tenth_to_the_nearest_percent_covers_the_rows():
    # 9.5 % of 1,000 rows are 95; the one row of a tiny dataset is a tenth of up to ten.
    assert covers(100, 1000) and covers(95, 1000) and not covers(94, 1000)
    assert covers(1, 10) and not covers(1, 11)
    assert covers(0, 0) and not covers(0, 1)


def test_a_review_of_one_row_opens_no_gate(dataset, bring_in, editor):
    bring_in(dataset, jsonl(tickets(300)))
    review = reviewed(editor, dataset, share=0.001)
    assert review.n_total == 1
    assert in_the_way(dataset) == [
        "The last review took 1 at random of the 300 rows there are now. 10% are asked for: review a new sample."
    ]
    stage = states([dataset.use_case])[dataset.use_case_id]
    assert (stage.headline, stage.action) == (
        "300 rows checked; the review took 1, too few for them",
        "Review a new sample",
    )
    assert reviewed(editor, dataset).n_sample == 30
    assert in_the_way(dataset) == []
    assert states([dataset.use_case])[dataset.use_case_id].action == "Freeze a version"


def test_rows_chosen_by_need_are_no_random_share(dataset, bring_in, editor):
    mails = [{"text": f"Write to user{i}@example.com about card {i}", "label": "card"} for i in range(40)]
    bring_in(dataset, jsonl([*tickets(60), *mails]))
    review = reviewed(editor, dataset, share=0.01, most_needed=50)
    assert review.n_total > 10 > review.n_sample == 1
    assert in_the_way(dataset)


def test_many_rows_that_come_in_after_a_review_ask_for_another(dataset, bring_in, editor):
    bring_in(dataset, jsonl(tickets(100)))
    reviewed(editor, dataset)
    assert in_the_way(dataset) == []
    bring_in(dataset, jsonl([{"text": f"A word about {i} and {i * i}", "label": "card"} for i in range(100)]))
    assert in_the_way(dataset)
    reviewed(editor, dataset)
    assert in_the_way(dataset) == []


def test_rows_of_a_sealed_test_are_not_asked_for(dataset, bring_in, editor):
    bring_in(dataset, jsonl(tickets(200)))
    version = services.start_freeze(
        actor=editor, dataset=dataset, ratios=("0.5", "0.1", "0.4"), override_reason="small on purpose"
    )
    assert run_until_idle(60)
    version.refresh_from_db()
    assert version.state == "frozen" and version.n_test >= 60
    # A tenth of those that may be looked at, which is less than 9.5 % of all.
    review = reviewed(editor, dataset)
    assert review.n_sample < 19
    assert in_the_way(dataset) == []
