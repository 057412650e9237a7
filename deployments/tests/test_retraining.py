"""Learning again, from a reason to a new version: the rules, then the whole way with real jobs."""

from __future__ import annotations

import json
import random
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from deployments.domain.retraining import merged, reason_to_retrain, words_of
from deployments.models import DriftCheck, Feedback, ModelVersion, Prediction, Retraining
from deployments.services import create_endpoint, register_version
from deployments.services.judged import judged_requests
from deployments.services.measuring import first_id_at
from deployments.services.retraining import (
    advance_retrainings,
    approve_retraining,
    carry_on,
    decline_retraining,
    propose_retraining,
    propose_where_needed,
)
from foundation.jobs.services import run_until_idle, start_job
from foundation.teams.errors import Conflict
from foundation.teams.testing import assert_route_guarded

NOW = datetime(2026, 3, 9, tzinfo=UTC)
SAYS = {
    "billing": "invoice charge refund card payment twice money".split(),
    "delivery": "parcel courier late address lost tracking box".split(),
}


@pytest.mark.parametrize(
    "drift, right, every, expected",
    [
        ("drifted", "degraded", None, "performance"),
        ("drifted", "unsure", None, "drift"),
        ("steady", "too few", None, None),
        ("", "no baseline", None, None),
        ("steady", "holding", 30, "period"),
        ("steady", "holding", 90, None),
    ],
)
def test_when_to_learn_again(drift, right, every, expected):
    """S75, S77."""
    reason = reason_to_retrain(
        drift_state=drift,
        drift_finding="d",
        performance_state=right,
        performance_finding="p",
        trained_at=NOW - timedelta(days=40),
        every=timedelta(days=every) if every else None,
        now=NOW,
    )
    assert (reason.trigger if reason else None) == expected


def test_partial_options_keep_the_others():
    """D29."""
    assert merged({"epochs": 5, "batch": 8, "rate": 0.1}, {"epochs": 9, "rate": None}) == {
        "epochs": 9, "batch": 8, "rate": 0.1
    }  # fmt: skip
    assert words_of({}) == "" and words_of(
        {"value": 0.03, "low": 0.01, "high": 0.05, "verdict": "better"}
    ) == ("+3.0 points (+1.0 to +5.0): better")


def judged(endpoint, n, *, seed=1, kept=True, words=SAYS, at=None):
    rng = random.Random(seed)
    at = at or timezone.now() - timedelta(minutes=5)
    for i in range(n):
        label = rng.choice(sorted(words))
        text = f"{' '.join(rng.choices(words[label], k=6))} case {seed}{i}"
        p = Prediction.objects.create(
            id=uuid.UUID(int=first_id_at(at).int | rng.getrandbits(62)), team_id=endpoint.team_id,
            endpoint=endpoint, version=endpoint.baseline, arm="baseline", at=at, status=200,
            prompt_text=text if kept else "", predicted="billing",
        )  # fmt: skip
        Feedback.objects.create(
            id=uuid.UUID(int=first_id_at(at).int | rng.getrandbits(62)), team_id=endpoint.team_id,
            endpoint=endpoint, prediction=p, at=at, label=label,
        )  # fmt: skip


@pytest.mark.django_db
def test_only_judged_requests_with_text_are_rows(endpoint):
    judged(endpoint, 4)
    judged(endpoint, 3, seed=2, kept=False)
    unsure = Prediction.objects.exclude(prompt_text="").first()
    Feedback.objects.filter(prediction=unsure).update(label="", is_correct=False)
    rows = list(judged_requests(endpoint, until=timezone.now()))
    assert len(rows) == 3 and {r.answer for r in rows} <= {"billing", "delivery"}
    assert not list(judged_requests(endpoint, until=timezone.now(), since=timezone.now()))


@pytest.mark.django_db
def test_drift_proposes_once_and_a_declined_one_rests(endpoint, editor):
    DriftCheck.objects.create(
        team=endpoint.team,
        endpoint=endpoint,
        version=endpoint.baseline,
        until=NOW,
        state="drifted",
        finding="F.",
    )
    assert propose_where_needed() == 1 and propose_where_needed() == 0
    made = Retraining.objects.get()
    assert (made.trigger, made.reason, made.state) == ("drift", "F.", "proposed")
    assert propose_retraining(actor=editor, endpoint=endpoint, reason="again") == made
    decline_retraining(actor=editor, retraining=made)
    DriftCheck.objects.create(
        team=endpoint.team,
        endpoint=endpoint,
        version=endpoint.baseline,
        until=NOW,
        state="drifted",
        finding="G.",
    )
    assert propose_where_needed() == 0


@pytest.mark.django_db
def test_a_schedule_proposes_when_a_version_is_old(endpoint, team):
    """S77: periodic retraining."""
    for days, expected in ((30, 0), (3, 1), (3, 1)):
        ModelVersion.objects.update(created_at=timezone.now() - timedelta(days=10))
        start_job(
            actor=None, team=team, kind="deployments.propose_retraining", title="x", recipe={"days": days},
            subject=None,
        )  # fmt: skip
        run_until_idle(max_seconds=30)
        assert Retraining.objects.count() == expected
    assert Retraining.objects.get().trigger == "period"


@pytest.mark.django_db
def test_approved_it_waits_a_day_unless_told_otherwise(endpoint, approver):
    """S76."""
    made = propose_retraining(actor=approver, endpoint=endpoint, reason="r", now=NOW)
    approved = approve_retraining(actor=approver, retraining=made, options={"epochs": 3}, now=NOW)
    assert approved.starts_at == NOW + timedelta(hours=24) and approved.options == {"epochs": 3}
    assert advance_retrainings(now=NOW + timedelta(hours=23)) == 0
    approve_retraining(actor=approver, retraining=made, now=NOW)  # a second press
    advance_retrainings(now=NOW + timedelta(hours=25))
    made.refresh_from_db()
    assert made.state in ("failed", "freezing")


@pytest.mark.django_db
def test_without_rows_or_a_dataset_it_says_so(endpoint, approver):
    made = propose_retraining(actor=approver, endpoint=endpoint, reason="r", now=NOW)
    approve_retraining(actor=approver, retraining=made, at_once=True, now=NOW)
    advance_retrainings(now=NOW)
    made.refresh_from_db()
    assert made.state == "failed" and "frozen dataset version" in made.error
    with pytest.raises(Conflict):
        approve_retraining(actor=approver, retraining=made)


@pytest.mark.django_db
def test_the_pages(client, client_for, endpoint, team, outsider, viewer, editor, approver, admin_user):
    judged(endpoint, 2)
    client_for(editor).post(reverse("deployments:retraining-create", args=[endpoint.pk]))
    made = Retraining.objects.get()
    for name, args in (("retraining-list", [team.slug]), ("retraining-detail", [made.pk])):
        assert_route_guarded(
            client, reverse(f"deployments:{name}", args=args), outsider=outsider, viewer=viewer, editor=editor,
            approver=approver, admin=admin_user, methods=("GET",),
        )  # fmt: skip
    for name, pk in (("retraining-create", endpoint.pk), ("retraining-decline", made.pk)):
        url = reverse(f"deployments:{name}", args=[pk])
        assert_route_guarded(client, url, outsider=outsider, viewer=viewer, methods=("POST",))
    approve = reverse("deployments:retraining-approve", args=[made.pk])
    assert_route_guarded(client, approve, outsider=outsider, viewer=viewer, editor=editor, methods=("POST",))
    page = client_for(approver).get(reverse("deployments:retraining-detail", args=[made.pk])).content.decode()
    assert "Approve, begin now" in page and "not known yet" in page
    assert client_for(approver).post(approve, {"options": "[1]"}).status_code >= 400
    client_for(approver).post(approve, {"when": "later", "options": '{"epochs": 2}'})
    made.refresh_from_db()
    assert made.approved_by == approver and made.options == {"epochs": 2}


@pytest.mark.django_db(transaction=True)
def test_the_whole_way_from_judged_requests_to_a_new_version(
    use_case, team, editor, approver, settings, tmp_path
):
    """S76, S77: rows, version by the same recipe, run with merged settings, evaluation, new version."""
    from datasets import services as datasets
    from datasets.models import DatasetVersion, TrainingRun, VersionRow
    from datasets.training.services import start_training
    from evaluations.models import Comparison
    from evaluations.services.candidates import candidate_for_run
    from foundation.files import store

    settings.FILES_DIR = tmp_path / "files"
    rng = random.Random(7)
    lines = []
    for i in range(560):
        label = "billing" if i % 2 else "delivery"
        text = f"{' '.join(rng.choices(SAYS[label], k=5))} number {i}"
        lines.append(json.dumps({"prompt": text, "label": label}))
    blob = store.put(team=team, stream="\n".join(lines).encode(), name="a.jsonl", kind="import", actor=editor)
    dataset = datasets.create_dataset(actor=editor, team=team, use_case=use_case, name="Tickets")
    import_ = datasets.stage_upload(actor=editor, dataset=dataset, blob=blob)
    datasets.start_import(actor=editor, import_=import_)
    run_until_idle(max_seconds=120)
    first = datasets.start_freeze(
        actor=editor, dataset=dataset, seed="tickets", override_reason="a test of retraining"
    )
    run_until_idle(max_seconds=120)
    first.refresh_from_db()
    run = start_training(actor=editor, version=first)
    run_until_idle(max_seconds=240)
    run.refresh_from_db()
    candidate = candidate_for_run(actor=editor, run=run)
    version = register_version(actor=editor, use_case=use_case, candidate=candidate)
    endpoint = create_endpoint(actor=editor, use_case=use_case, slug="triage", version=version)
    judged(endpoint, 40, seed=3)

    made = propose_retraining(actor=None, endpoint=endpoint, reason="Requests have changed.", trigger="drift")
    approve_retraining(actor=approver, retraining=made, at_once=True)
    for _ in range(14):
        slower = Retraining.objects.get(pk=made.pk)
        advance_retrainings()
        run_until_idle(max_seconds=240)
        # Another clock that read the row before the first one acted: it starts nothing twice and fails nothing.
        carry_on(slower, now=timezone.now())
        made.refresh_from_db()
        if made.phase.is_final:
            break
    assert made.state == "done", made.error
    assert (dataset.imports.count(), dataset.versions.count()) == (2, 2)
    assert (TrainingRun.objects.count(), Comparison.objects.count()) == (2, 1)
    again = DatasetVersion.objects.get(pk=made.dataset_version_id)
    assert again.number == 2 and again.n_rows > first.n_rows
    kept = ("seed", "ratios", "strategy")
    assert {k: again.recipe[k] for k in kept} == {k: first.recipe[k] for k in kept}
    # What production learnt from is not what it is judged on.
    train, rest = (
        set(VersionRow.objects.filter(version=v, split__in=splits).values_list("content_id", flat=True))
        for v, splits in ((first, ["train"]), (again, ["validation", "test"]))
    )
    assert train and rest and not train & rest
    assert TrainingRun.objects.get(pk=made.training_run_id).settings == run.settings
    assert made.version.number == 2 and made.version.previous == version
    assert made.improvement["verdict"] and made.improvement["value"] is not None
    assert endpoint.baseline == version, "nothing is served before a rollout"
