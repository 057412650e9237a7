"""What the gateway, training runs and the ledger counted reaches the use case by the month, once and the same again."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta

import pytest

from datasets.models import Dataset, DatasetVersion, TrainingRun
from decisions.domain.actuals import MonthFigures
from decisions.models import ActualMonth
from deployments.chores import CHORES
from deployments.models import Feedback, ModelVersion, Prediction
from deployments.services.actuals import months_between, tell_actuals, tell_actuals_of

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def tuned(make_candidate, make_version):
    version = make_version("Tuned")
    type(version.candidate).objects.filter(pk=version.candidate_id).update(kind="trained")
    return ModelVersion.objects.get(pk=version.pk)


def ask(endpoint, version, at, *, right=None, arm="baseline", error="", cost=1_000, n=1):
    """Predictions at a moment, judged when `right` says so."""
    for _ in range(n):
        key = uuid.UUID(
            int=int(at.timestamp() * 1000) << 80 | 7 << 76 | 2 << 62 | uuid.uuid4().int & (2**62 - 1)
        )
        prediction = Prediction.objects.create(
            id=key, team_id=endpoint.team_id, endpoint=endpoint, version=version, arm=arm, at=at, status=200,
            error=error, cost_microusd=cost, predicted="billing",
        )  # fmt: skip
        if right is not None:
            judge(endpoint, prediction, at, right=right)
    return prediction


def judge(endpoint, prediction, at, *, right):
    key = uuid.UUID(int=int(at.timestamp() * 1000) << 80 | 7 << 76 | 2 << 62 | uuid.uuid4().int & (2**62 - 1))
    Feedback.objects.create(
        id=key, team_id=endpoint.team_id, endpoint=endpoint, prediction=prediction, at=at, is_correct=right
    )


def months():
    return {row.month: row for row in ActualMonth.objects.all()}


def test_each_side_is_counted_by_itself(endpoint, use_case, tuned):
    prompt = endpoint.baseline
    ask(endpoint, prompt, datetime(2026, 11, 3, tzinfo=UTC), n=4, cost=5_000, right=False)
    ask(endpoint, tuned, datetime(2026, 11, 5, 23, tzinfo=UTC), n=3, cost=2_000, right=True, arm="candidate")
    ask(endpoint, tuned, datetime(2026, 11, 6, tzinfo=UTC), cost=None)
    ask(endpoint, tuned, datetime(2026, 11, 6, tzinfo=UTC), error="timeout", cost=700)
    ask(endpoint, tuned, datetime(2026, 11, 7, tzinfo=UTC), arm="shadow", right=False)
    assert tell_actuals(now=NOW) == 1
    row = months()[date(2026, 11, 1)]
    # 3 answered and one without a price; the failed one is paid for and no answer; the shadow copy is nobody's answer
    assert (row.n_requests, row.n_unpriced, row.serving_microusd) == (4, 1, 6_700)
    assert (row.n_requests_prompt, row.n_unpriced_prompt, row.serving_prompt_microusd) == (4, 0, 20_000)
    assert (row.n_judged, row.n_right, row.n_judged_prompt, row.n_right_prompt) == (3, 3, 4, 0)
    # from the 5th to the 20th
    assert row.n_days == 16


def test_telling_again_changes_nothing_and_a_later_request_changes_its_month(endpoint, use_case, tuned):
    ask(endpoint, tuned, NOW - timedelta(hours=1))
    assert tell_actuals(now=NOW) == 1
    told = months()[date(2026, 11, 1)].told_at
    assert tell_actuals(now=NOW) == 0
    assert months()[date(2026, 11, 1)].told_at == told
    ask(endpoint, tuned, NOW - timedelta(minutes=1))
    assert tell_actuals(now=NOW) == 1
    assert months()[date(2026, 11, 1)].n_requests == 2


def test_months_before_the_first_telling_are_told_and_old_ones_rest(endpoint, use_case, tuned):
    ask(endpoint, tuned, datetime(2026, 9, 29, 12, tzinfo=UTC))
    ask(endpoint, tuned, datetime(2026, 11, 2, tzinfo=UTC))
    tell_actuals(now=NOW)
    found = months()
    assert [(m.month, row.n_requests, row.n_days) for m, row in sorted(found.items())] == [
        (9, 1, 2), (10, 0, 0), (11, 1, 20),
    ]  # fmt: skip
    # Late rows of a month over for more than three days are not looked for; of the month just over they are.
    ask(endpoint, tuned, datetime(2026, 9, 30, tzinfo=UTC))
    ask(endpoint, tuned, datetime(2026, 11, 3, tzinfo=UTC))
    tell_actuals(now=datetime(2026, 12, 2, tzinfo=UTC))
    found = months()
    assert found[date(2026, 9, 1)].n_requests == 1
    assert (found[date(2026, 11, 1)].n_requests, found[date(2026, 11, 1)].n_days) == (2, 30)


def test_of_several_words_on_one_answer_the_newest_counts(endpoint, use_case, tuned):
    prediction = ask(endpoint, tuned, NOW - timedelta(days=2), right=True)
    judge(endpoint, prediction, NOW - timedelta(days=1), right=False)
    tell_actuals(now=NOW)
    row = months()[date(2026, 11, 1)]
    assert (row.n_judged, row.n_right) == (1, 0)


def test_a_month_that_was_told_while_it_ran_is_told_once_more_when_it_is_over(endpoint, use_case, tuned):
    """The worker told on the 20th and was off until the 10th: what came in between counts all the same."""
    october = date(2026, 10, 1)
    ask(endpoint, tuned, datetime(2026, 10, 5, tzinfo=UTC))
    tell_actuals(now=datetime(2026, 10, 20, tzinfo=UTC))
    ask(endpoint, tuned, datetime(2026, 10, 28, tzinfo=UTC), n=2)
    late = datetime(2026, 11, 10, tzinfo=UTC)
    tell_actuals(now=late)
    assert (months()[october].n_requests, months()[october].told_at) == (3, late)
    # From then on it rests, also when the last telling found nothing new.
    ask(endpoint, tuned, datetime(2026, 10, 29, tzinfo=UTC))
    tell_actuals(now=late + timedelta(days=1))
    assert months()[october].n_requests == 3
    november = date(2026, 11, 1)
    tell_actuals(now=datetime(2026, 12, 1, tzinfo=UTC))
    settled = datetime(2026, 12, 4, tzinfo=UTC)
    assert tell_actuals_of(use_case, now=settled) == 0
    assert months()[november].told_at == settled


def test_s49_training_and_the_ledger_are_told_in_the_month_they_were_paid(team, endpoint, use_case):
    from evaluations.models import Evaluation
    from foundation.jobs.models import Job
    from foundation.llm.models import Budget

    dataset = Dataset.objects.create(team=team, use_case=use_case, name="d")
    dataset_version = DatasetVersion.objects.create(team=team, dataset=dataset, number=1)
    TrainingRun.objects.create(
        team=team, use_case=use_case, version=dataset_version, number=1, backend="local", state="cancelled",
        cost_microusd=123_000, finished_at=datetime(2026, 10, 5, tzinfo=UTC),
    )  # fmt: skip
    job = Job.objects.create(team=team, kind="evaluations.evaluation", title="x")
    Evaluation.objects.create(
        team=team, use_case=use_case, candidate=endpoint.baseline.candidate, version=dataset_version,
        split="validation", seed="s", job=job,
    )  # fmt: skip
    Budget.objects.create(team=team, scope=f"job:{job.pk}", cap_microusd=10, spent_microusd=9)
    Budget.objects.create(team=team, scope="job:999999", cap_microusd=10, spent_microusd=5)
    Budget.objects.update(created_at=datetime(2026, 11, 1, tzinfo=UTC))
    tell_actuals_of(use_case, now=NOW)
    found = months()
    assert found[date(2026, 10, 1)].training_microusd == 123_000
    assert found[date(2026, 11, 1)].ledger_microusd == 9


def test_a_use_case_that_never_served_is_told_nothing(endpoint, use_case):
    assert tell_actuals(now=NOW) == 0
    assert not ActualMonth.objects.exists()


def test_another_use_case_keeps_to_itself(team, editor, endpoint, use_case, tuned):
    from decisions.services import create_use_case

    create_use_case(actor=editor, team=team, name="Other")
    ask(endpoint, tuned, NOW)
    tell_actuals(now=NOW)
    assert {row.use_case_id for row in ActualMonth.objects.all()} == {use_case.pk}


def test_months_run_over_the_year_and_only_so_many_are_looked_at():
    assert [m.month for m in months_between(date(2026, 11, 30), date(2027, 1, 1))] == [11, 12, 1]
    assert len(list(months_between(date(1990, 1, 1), date(2026, 1, 1)))) == 120


def test_the_clock_tells_by_itself():
    assert "deployments.tell_actuals" in {chore.name for chore in CHORES}


def test_a_month_is_named_by_its_first_day(use_case):
    from decisions.services_returns import record_actual_months

    with pytest.raises(ValueError, match="first day"):
        record_actual_months(use_case=use_case, months={date(2026, 11, 2): MonthFigures()})
