from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse

from datasets.tests.folded import folded_version, judged
from datasets.training.crossvalidating import train_final
from deployments.jobs import CheckDrift, CheckPerformance
from deployments.models import DriftCheck, DriftReference, Feedback, PerformanceCheck, Prediction
from deployments.services import watching
from deployments.tests.test_services_rollouts import id_at
from foundation.jobs.kinds import register_kinds
from foundation.jobs.models import Job
from foundation.jobs.services import run_until_idle, start_job
from foundation.teams.errors import Conflict
from foundation.teams.models import Notice
from foundation.teams.testing import assert_route_guarded

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 9, 12, tzinfo=UTC)
WORDS = "my parcel never came please send the money back for order number".split()


@pytest.fixture
def reference(endpoint):
    """500 short English rows, mostly about billing."""
    from deployments.domain.drift import bins_of

    rng = random.Random(1)
    columns = {
        "characters": [rng.randint(20, 200) for _ in range(500)],
        "language": ["en"] * 500,
        "label": ["billing"] * 350 + ["delivery"] * 150,
    }
    features = {}
    for name, values in columns.items():
        bins = bins_of(values)
        features[name] = {
            "kind": bins.kind, "bins": list(bins.edges or bins.names), "counts": bins.count(values).tolist()
        }  # fmt: skip
    return DriftReference.objects.create(
        team=endpoint.team, version=endpoint.baseline, features=features, n=500, source="rows"
    )


def requests(endpoint, n, *, now=NOW, language="en", low=20, high=200, right=None, seed=2):
    rng = random.Random(seed)
    made, said = [], []
    for _ in range(n):
        at = now - timedelta(minutes=rng.random() * 600)
        label = "billing" if rng.random() < 0.7 else "delivery"
        features = {"characters": rng.randint(low, high), "language": language, "label": label}
        p = Prediction(
            id=id_at(at, rng), team_id=endpoint.team_id, endpoint=endpoint, version=endpoint.baseline,
            arm="baseline", at=at, status=200, latency_ms=100, features=features, predicted=label,
        )  # fmt: skip
        made.append(p)
        if right is not None:
            said.append(
                Feedback(
                    id=id_at(at, rng),
                    team_id=endpoint.team_id,
                    endpoint=endpoint,
                    prediction=p,
                    at=at,
                    is_correct=rng.random() < right,
                )
            )
    Prediction.objects.bulk_create(made)
    Feedback.objects.bulk_create(said)


def evaluated(endpoint, score, n):
    version = endpoint.baseline
    version.performance = {
        "evaluations": [
            {"id": 1, "split": "validation", "score": score, "n": n, "scorer": "label", "dataset_version": "d v1",
             "low": score - 0.02, "high": score + 0.02, "figures": {"latency_p50": 90.0}}
        ]
    }  # fmt: skip
    version.save()


def test_requests_like_the_rows_are_steady_and_a_shift_is_told_once(endpoint, reference, editor):
    """S72, S73."""
    requests(endpoint, 300)
    check = watching.keep_drift(watching.look_for_drift(endpoint, now=NOW))
    assert check.state == "steady" and check.n_current == 300 and not Notice.objects.exists()
    assert set(check.readings.values_list("advice", flat=True)) == {"monitor"}
    later = NOW + timedelta(days=2)
    requests(endpoint, 300, now=later, language="fr", low=150, high=900, seed=3)
    for hour in range(2):
        found = watching.look_for_drift(endpoint, now=later + timedelta(hours=hour))
        drifted = watching.keep_drift(found)
    assert drifted.state == "drifted" and "characters" in drifted.finding
    by_name = {r.feature: r for r in drifted.readings.all()}
    assert by_name["characters"].is_drifted and by_name["language"].is_drifted
    assert not by_name["label"].is_drifted and by_name["characters"].current_counts[-2] > 0
    assert Notice.objects.filter(title__contains="have changed").values("title").distinct().count() == 1
    assert Notice.objects.filter(user=editor).count() == 1


def test_old_requests_other_versions_and_shadows_are_left_out(endpoint, reference, make_version):
    requests(endpoint, 120)
    requests(endpoint, 50, now=NOW - timedelta(days=5), seed=9)
    Prediction.objects.filter(pk__in=list(Prediction.objects.values_list("pk", flat=True)[:10])).update(
        arm="shadow"
    )
    other = make_version("B")
    Prediction.objects.filter(
        pk__in=list(
            Prediction.objects.exclude(arm="shadow").order_by("-id").values_list("pk", flat=True)[:10]
        )
    ).update(version=other)
    found = watching.look_for_drift(endpoint, now=NOW)
    assert (
        found.n_current
        == Prediction.objects.filter(version=endpoint.baseline, at__gte=NOW - timedelta(days=1))
        .exclude(arm="shadow")
        .count()
    )


def test_too_little_traffic_says_so(endpoint, reference):
    requests(endpoint, 20)
    check = watching.keep_drift(watching.look_for_drift(endpoint, now=NOW))
    assert check.state == "too few" and check.readings.filter(divergence=None).count() == 3


def test_a_version_without_rows_is_not_compared(endpoint):
    with pytest.raises(Conflict):
        watching.look_for_drift(endpoint, now=NOW)


def test_performance_is_held_against_the_evaluation(endpoint, editor):
    """S74, S75."""
    assert watching.look_at_performance(endpoint, now=NOW).verdict.state == "too few"
    evaluated(endpoint, 0.9, 1000)
    requests(endpoint, 200, right=0.7)
    check = watching.keep_performance(watching.look_at_performance(endpoint, now=NOW))
    assert check.state == "degraded" and check.n_judged == 200 and check.low < check.accuracy < check.high
    assert check.baseline["n"] == 1000 and check.relative_drop > 0.05 and check.change_high < 0
    watching.keep_performance(watching.look_at_performance(endpoint, now=NOW + timedelta(hours=1)))
    assert Notice.objects.filter(user=editor, title__contains="Fewer answers").count() == 1


def test_a_reference_is_made_of_frozen_rows_once(endpoint, use_case, team, editor):
    from datasets.models import Content, Dataset, DatasetVersion, VersionRow

    dataset = Dataset.objects.create(team=team, use_case=use_case, name="Tickets")
    version = DatasetVersion.objects.create(
        team=team, dataset=dataset, number=1, n_validation=40, n_train=0, labels=["billing", "delivery"]
    )
    rng = random.Random(3)
    for i in range(40):
        prompt = " ".join(rng.choices(WORDS, k=8)) + f" {i}"
        content = Content.objects.create(
            team=team, digest=i.to_bytes(32, "big"), prompt=prompt, completion="billing"
        )
        VersionRow.objects.create(
            version=version, content=content, label="billing", split="validation", position=i
        )
    candidate = endpoint.baseline.candidate
    candidate.version = version
    candidate.save()
    made = watching.reference_of(endpoint.baseline)
    assert made.n == 40 and "validation" in made.source and "characters" in made.features
    assert watching.reference_of(endpoint.baseline) == made and DriftReference.objects.count() == 1


def test_what_a_final_model_answers_is_compared_with_what_the_folds_answered(endpoint, editor, use_case):
    found = judged(editor, folded_version(use_case), wrong=lambda i: i < 20)
    run = train_final(actor=editor, cross_validation=found)
    candidate = endpoint.baseline.candidate
    candidate.version, candidate.training_run = found.version, run
    candidate.save()
    made = watching.reference_of(endpoint.baseline)
    assert f"answers of cross-validation {found.number}" in made.source
    # 60 rows outside the test, as many of each label; of the first 20 ten of each are turned into the other
    assert sum(made.features["label"]["counts"]) == 60
    assert set(made.features["label"]["bins"]) >= {"billing", "login"}


def test_both_checks_run_as_jobs_on_every_endpoint(endpoint, reference, team, editor):
    register_kinds([CheckDrift, CheckPerformance])
    for kind in ("deployments.check_drift", "deployments.check_performance"):
        start_job(actor=editor, team=team, kind=kind, title="x", recipe={"hours": 24}, subject=None)
    run_until_idle(max_seconds=30)
    assert set(Job.objects.values_list("state", flat=True)) == {"succeeded"}
    assert DriftCheck.objects.get().endpoint == endpoint and PerformanceCheck.objects.get().state == "too few"
    job = start_job(
        actor=editor,
        team=team,
        kind="deployments.check_drift",
        title="x",
        recipe={"hours": "soon"},
        subject=None,
    )
    run_until_idle(max_seconds=30)
    job.refresh_from_db()
    assert job.skipped == 1


def test_the_pages_of_watching(
    client, client_for, endpoint, reference, team, outsider, viewer, editor, approver, admin_user,
    django_assert_max_num_queries,
):  # fmt: skip
    evaluated(endpoint, 0.9, 1000)
    requests(endpoint, 200, right=0.7, language="fr", high=900)
    for hour in range(3):
        now = NOW + timedelta(hours=hour)
        check = watching.keep_drift(watching.look_for_drift(endpoint, now=now))
        watching.keep_performance(watching.look_at_performance(endpoint, now=now))
    for name, args in (("watch-home", [team.slug]), ("watch", [endpoint.pk]), ("drift-detail", [check.pk])):
        url = reverse(f"deployments:{name}", args=args)
        assert_route_guarded(
            client, url, outsider=outsider, viewer=viewer, editor=editor, approver=approver, admin=admin_user
        )
        reader = client_for(viewer)
        reader.get(url)
        with django_assert_max_num_queries(15):
            text = reader.get(url).content.decode()
        assert "fr" in text and "<svg" in text
    assert_route_guarded(
        client, reverse("deployments:watch-check", args=[endpoint.pk]), outsider=outsider, viewer=viewer,
        methods=("POST",),
    )  # fmt: skip
    for _ in range(2):
        client_for(editor).post(reverse("deployments:watch-check", args=[endpoint.pk]))
    assert Job.objects.count() in (2, 4)  # 4 only when the minute turned between the presses
    page = client_for(viewer).get(reverse("deployments:watch", args=[endpoint.pk])).content.decode()
    assert "Requests have changed." in page and "Fewer answers are right." in page
