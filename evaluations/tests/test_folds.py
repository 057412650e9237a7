"""Comparing cross-validations, and final models kept away from the validation rows they learnt from."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets.models import CrossValidation, TrainingRun, VersionRow
from datasets.tests.folded import folded_version, judged
from datasets.training.crossvalidating import start_cross_validation, train_final
from datasets.training.services import keep_result
from evaluations import services
from evaluations.errors import NotComparable
from evaluations.services.folds import compare_folds
from foundation.files import store
from foundation.teams.errors import Conflict


def test_two_configurations_are_compared_row_by_row(editor, viewer, outsider, use_case, client_for):
    version = folded_version(use_case, train=188)
    weak = judged(editor, version, wrong=lambda i: i % 4 == 0)
    strong = judged(editor, version, wrong=lambda i: i % 20 == 0, backend="local-nearest")
    # of 200 rows 50 are wrong in one and 10 of these in the other: 40 better, none worse
    found = compare_folds(baseline=weak, candidate=strong)
    assert (found.better, found.worse, found.verdict.value) == (40, 0, "better")
    path = reverse("evaluations:fold-comparison", args=[strong.pk])
    client = client_for(viewer)
    client.get(path)
    with CaptureQueriesContext(connection) as queries:
        page = client.get(path)
    assert len(queries) <= 15
    text = " ".join(page.content.decode().split())
    assert (
        "Nearest example, cross-validation 2 is better than Local classifier, cross-validation 1: +20.0"
        in text
    )
    assert "40 rows got better, 0 got worse" in text
    assert "No row got worse." in text
    assert ">Regularisation candidates (C)</th><td>2, 20</td><td>not used</td>" in text
    assert (
        " ".join(client.get(f"{path}?with={weak.pk}&show=better").content.decode().split()).count("<article")
        == 20
    )
    turned = reverse("evaluations:fold-comparison", args=[weak.pk]) + f"?with={strong.pk}"
    assert "is worse than" in client.get(turned).content.decode()
    assert path in client.get(reverse("training:cross-validation-detail", args=[strong.pk])).content.decode()
    assert client_for(outsider).get(path).status_code == 404


def test_more_rows_come_without_reading_every_answer_again(editor, use_case, client_for):
    version = folded_version(use_case, train=188)
    weak = judged(editor, version, wrong=lambda i: i % 4 == 0)
    strong = judged(editor, version, wrong=lambda i: i % 6 == 0, backend="local-nearest")
    path = reverse("evaluations:fold-comparison", args=[strong.pk])
    client = client_for(editor)
    whole = client.get(path, {"with": weak.pk, "show": "better"})
    with CaptureQueriesContext(connection) as queries:
        more = client.get(
            path,
            {"with": weak.pk, "show": "better", "part": "rows", "after": whole.context["next"]},
            headers={"HX-Request": "true"},
        )
    # of places 0 to 199, 50 are multiples of 4, 34 of 6 and 17 of 12: 33 better, 17 worse
    assert (whole.context["n_better"], whole.context["n_worse"]) == (33, 17)
    assert (more.context["n_better"], more.context["n_worse"]) == (33, 17)
    assert more.content.decode().count("<article") == 13
    asked = [q["sql"] for q in queries if 'FROM "datasets_foldanswer"' in q["sql"]]
    assert asked
    assert not [sql for sql in asked if not any(x in sql for x in ("LIMIT", "COUNT(", " IN ("))]


def test_a_comparison_of_what_is_not_finished_shows_how_far_it_is(editor, use_case, client_for):
    """Without a baseline in the address the newest other one was taken, and the answer was 400."""
    version = folded_version(use_case)
    judged(editor, version)
    waiting = start_cross_validation(actor=editor, version=version, seed=3)
    path = reverse("evaluations:fold-comparison", args=[waiting.pk])
    client = client_for(editor)
    page = client.get(path)
    assert page.status_code == 200
    assert f'id="job-{waiting.job_id}"' in page.content.decode()
    CrossValidation.objects.filter(pk=waiting.pk).update(state="cancelled")
    assert "Nothing to compare" in client.get(path).content.decode()


def test_other_rows_and_unfinished_ones_are_not_compared(editor, use_case, client_for):
    one, other = (judged(editor, folded_version(use_case)) for _ in range(2))
    with pytest.raises(NotComparable, match="different versions"):
        compare_folds(baseline=one, candidate=other)
    with pytest.raises(NotComparable, match="two cross-validations"):
        compare_folds(baseline=one, candidate=one)
    path = reverse("evaluations:fold-comparison", args=[one.pk])
    client = client_for(editor)
    assert client.get(f"{path}?with={other.pk}").status_code == 400
    assert client.get(f"{path}?with=999999").status_code == 404
    assert "Nothing to compare with yet" in client.get(path).content.decode()


def test_a_final_model_is_never_judged_on_validation_rows_it_learnt_from(editor, use_case):
    found = judged(editor, folded_version(use_case))
    run = train_final(actor=editor, cross_validation=found)
    blob = store.put(team=run.team, stream=b"x", name="m", kind="model")
    keep_result(run_id=run.pk, artefact=blob, metrics={"train": {"accuracy": 1.0, "n": 60}}, seconds=1.0)
    run = TrainingRun.objects.get(pk=run.pk)
    version = found.version
    assert all(
        c.training_run_id is None
        for c in services.ensure_baselines(actor=editor, use_case=use_case, version=version)
    )
    candidate = services.candidate_for_run(actor=editor, run=run)
    with pytest.raises(Conflict, match="learnt from validation rows"):
        services.start_evaluations(actor=editor, version=version, candidates=[candidate])
    # rows of another version that it never saw are fair
    services.start_evaluations(actor=editor, version=folded_version(use_case), candidates=[candidate])
    claim = services.start_evaluations(
        actor=editor,
        version=version,
        candidates=[candidate],
        split="test",
        reason="The only fair rows for it.",
    )
    assert claim.split == "test"


def test_a_final_model_is_never_judged_on_test_rows_it_learnt_from(editor, use_case):
    found = judged(editor, folded_version(use_case))
    run = train_final(actor=editor, cross_validation=found)
    blob = store.put(team=run.team, stream=b"x", name="m", kind="model")
    keep_result(run_id=run.pk, artefact=blob, metrics={"train": {"accuracy": 1.0, "n": 60}}, seconds=1.0)
    candidate = services.candidate_for_run(actor=editor, run=TrainingRun.objects.get(pk=run.pk))
    # a later version whose test is wider: one row that validated before is tested now
    wider = folded_version(use_case)
    moved = VersionRow.objects.filter(version=wider, split="test").first()
    moved.content = VersionRow.objects.filter(version=found.version, split="validation").first().content
    moved.save()
    with pytest.raises(Conflict, match="learnt from 1 test row of version 2"):
        services.start_evaluations(
            actor=editor, version=wider, candidates=[candidate], split="test", reason="The only fair rows."
        )
