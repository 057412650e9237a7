"""Comparing cross-validations, and final models kept away from the validation rows they learnt from."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets.models import TrainingRun
from datasets.tests.folded import folded_version, judged
from datasets.training.crossvalidating import train_final
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
