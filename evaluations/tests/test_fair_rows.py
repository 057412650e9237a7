"""Nobody is judged on rows it learnt from: not in another version of the dataset, nor in another dataset's copies."""

from __future__ import annotations

import pytest

from datasets.models import Content, Dataset, VersionRow
from datasets.services import create_dataset, stage_upload, start_freeze, start_import
from datasets.training.services import start_training
from evaluations import policies, services
from evaluations.models import Candidate
from foundation.files import store
from foundation.jobs.services import run_until_idle
from foundation.llm.testing.stub_upstream import StubUpstream
from foundation.llm.tests.conftest import make_connection
from foundation.teams.errors import Conflict

REASON = "the final claim of the quarter"


def teach_and_test(learnt, asked, n, *, copies=False):
    """Make the first `n` test rows of `asked` rows that `learnt` trains on, or copies of their texts."""
    trained = list(VersionRow.objects.filter(version=learnt, split="train")[:n])
    for row, known in zip(VersionRow.objects.filter(version=asked, split="test")[:n], trained, strict=True):
        row.content = known.content
        if copies:
            was = known.content
            row.content = Content.objects.create(
                team=was.team, digest=was.digest, prompt=was.prompt, completion=was.completion
            )
        row.save()


@pytest.fixture
def versions(make_version):
    """Two versions of a dataset; five rows the first trains on are tested in the second."""
    first, second = make_version(), make_version()
    teach_and_test(first, second, 5)
    return first, second


def test_a_claim_on_rows_of_another_version_that_taught_is_refused_with_their_number(
    editor, use_case, versions
):
    first, second = versions
    majority, nearest = services.ensure_baselines(actor=editor, use_case=use_case, version=first)
    with pytest.raises(
        Conflict, match=r"learnt from 5 test rows of version 2, so .* Evaluate it on version 1"
    ):
        services.start_claim(actor=editor, version=second, candidates=[majority, nearest], reason=REASON)
    # A majority knows no row; rows it never saw are fair for the other one too.
    assert policies.n_learnt_rows(majority, second, "test") == 0
    floors = services.ensure_baselines(actor=editor, use_case=use_case, version=second)
    assert services.start_claim(actor=editor, version=second, candidates=[majority, *floors], reason=REASON)
    assert services.start_evaluations(actor=editor, version=second, candidates=[nearest])
    assert services.start_claim(actor=editor, version=first, candidates=[majority, nearest], reason=REASON)


def test_a_trained_model_is_held_to_the_same(editor, use_case, versions, idle):
    first, second = versions
    run = start_training(actor=editor, version=first)
    idle()
    run.refresh_from_db()
    trained = services.candidate_for_run(actor=editor, run=run)
    assert [policies.n_learnt_rows(trained, version, "test") for version in versions] == [0, 5]
    with pytest.raises(Conflict, match="learnt from 5 test rows"):
        services.start_claim(
            actor=editor,
            version=second,
            candidates=[trained, *services.ensure_baselines(actor=editor, use_case=use_case, version=second)],
            reason=REASON,
        )


def test_examples_in_a_prompt_count_and_the_rows_beside_them_do_not(editor, team, use_case, versions):
    first, second = versions
    tested = VersionRow.objects.filter(version=second, split="test").first()
    beside = VersionRow.objects.filter(version=first, split="train").last()
    with StubUpstream() as stub:
        prompt = Candidate.objects.create(
            team=team,
            use_case=use_case,
            name="Two examples",
            kind="prompt",
            connection=make_connection(team, stub.url),
            version=first,
            few_shot=[
                {"content_id": row.content_id, "prompt": "p", "completion": "c"} for row in (tested, beside)
            ],
        )
    assert policies.n_learnt_rows(prompt, second, "test") == 1
    assert policies.n_learnt_rows(prompt, first, "test") == 0


@pytest.mark.parametrize(("bound", "n"), [(1000, 5), (100, 0)])
def test_copies_in_another_dataset_count_as_far_as_texts_are_compared(
    editor, team, use_case, make_version, monkeypatch, bound, n
):
    first, second = make_version(), make_version()
    second.dataset = Dataset.objects.create(team=team, use_case=use_case, name="Imported again")
    second.save()
    teach_and_test(first, second, 5, copies=True)
    _, nearest = services.ensure_baselines(actor=editor, use_case=use_case, version=first)
    monkeypatch.setattr(policies, "COMPARED_BY_TEXT", bound)
    # 240 rows each: within a bound of 1,000 and beyond one of 100
    assert policies.n_learnt_rows(nearest, second, "test") == n


def test_a_freeze_counts_the_rows_that_claims_are_refused_for(editor, team, use_case, settings, tmp_path):
    settings.FILES_DIR = tmp_path / "files"
    dataset = create_dataset(actor=editor, team=team, use_case=use_case, name="Tickets")
    rows = "".join(
        f'{{"text": "Ticket {i} says {i * 7919 % 1009}", "label": "{"ab"[i % 2]}"}}\n' for i in range(90)
    )
    blob = store.put(team=team, stream=rows.encode(), name="rows.jsonl", kind="import", actor=editor)
    start_import(actor=editor, import_=stage_upload(actor=editor, dataset=dataset, blob=blob))
    assert run_until_idle(60)
    versions = []
    for seed in ("one", "two"):
        versions.append(
            start_freeze(actor=editor, dataset=dataset, seed=seed, override_reason="few rows will do here")
        )
        assert run_until_idle(60)
        versions[-1].refresh_from_db()
    first, second = versions
    learnt = Candidate(use_case=use_case, team=team, version=second, kind="nearest", name="n", few_shot=[])
    n = second.report["teaches_tested"]["n"]
    assert policies.n_learnt_rows(learnt, first, "test") == n > 0
    earlier = Candidate(use_case=use_case, team=team, version=first, kind="nearest", name="n", few_shot=[])
    counted = second.report["tests_rows_of"][str(first.pk)]["train"]
    assert policies.n_learnt_rows(earlier, second, "test") == counted > 0
