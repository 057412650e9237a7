"""Cross-validation over real folds: honest answers, run twice, killed, cancelled, and the final model after it."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import orjson
import pytest

from datasets.domain.statuses import SYNTHETIC
from datasets.models import CrossValidation, Example, FoldAnswer, FoldRun, Import, TrainingRun
from datasets.tests.folded import folded_version, run_here
from datasets.training import crossvalidating as folding
from datasets.training import services as training
from datasets.training.jobs import KINDS, ChildDied, CrossValidate, Train, fold_folder, folder_of
from foundation.files import store
from foundation.jobs import services as jobs
from foundation.jobs.kinds import register_kinds
from foundation.jobs.services import run_until_idle
from foundation.teams.errors import BadInput, Conflict
from foundation.teams.models import AuditEvent

FEW = {"c_values": [2.0], "class_weighting": "none", "learning_curve": False}


@pytest.fixture(autouse=True)
def _training(settings, tmp_path):
    settings.VAR_DIR = tmp_path / "var"
    register_kinds(KINDS)


def start(editor, version, **more):
    return folding.start_cross_validation(actor=editor, version=version, **{"settings": FEW, **more})


def kill_the_first_child(folder: Path, killed: list[int]) -> None:
    """End the first process that works in `folder`, as the system would."""
    until = time.monotonic() + 60
    while not killed and time.monotonic() < until:
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"datasets.training.child" in words and str(folder).encode() in b" ".join(words):
                os.kill(int(entry.name), signal.SIGKILL)
                killed.append(int(entry.name))
                return
        time.sleep(0.02)


@pytest.mark.django_db(transaction=True)
def test_a_killed_child_costs_an_attempt_and_nothing_else(editor, use_case, capsys):
    """Real children: the first is killed with SIGKILL, the job ends as one that ran undisturbed in this process."""
    version = folded_version(use_case)
    found = start(editor, version, trains_final=True)
    killed: list[int] = []
    killer = threading.Thread(target=kill_the_first_child, args=(fold_folder(found.pk), killed))
    killer.start()
    assert run_until_idle(120)
    killer.join()
    found.refresh_from_db()
    assert killed
    assert found.state == "succeeded", found.error
    assert sorted(FoldRun.objects.filter(job=found.job).values_list("attempts", flat=True)) == [1, 2]
    assert not fold_folder(found.pk).exists()
    again = start(editor, version)
    run_here(again, capsys)
    same = ("accuracy", "low", "high", "labels", "confusion", "train")
    assert {k: found.metrics[k] for k in same} == {k: again.metrics[k] for k in same}
    # the final model learnt from all rows and expects what the folds scored
    final = TrainingRun.objects.get(cross_validation=found)
    assert final.state == "succeeded", final.error
    assert final.metrics["train"]["n"] == 60
    assert final.metrics["validation"]["n"] == 60
    assert final.metrics["validation"]["accuracy"] == found.metrics["accuracy"]
    assert "sealed test rows" in final.metrics["sentence"]
    assert final.artefact is not None


def test_every_row_outside_the_test_has_one_answer_by_a_model_that_never_saw_it(editor, use_case, capsys):
    version = folded_version(use_case, n_folds=3, per_unit=2)
    found = start(editor, version, settings={**FEW, "c_values": "1, 10", "class_weighting": "both"})
    run_here(found, capsys)
    assert found.state == "succeeded"
    assert (found.n_folds, found.n_rows) == (3, 60)
    answers = FoldAnswer.objects.filter(cross_validation=found).select_related("row")
    assert sorted(a.row_id for a in answers) == sorted(
        version.rows.exclude(split="test").values_list("pk", flat=True)
    )
    folds = {s: version.report["folds"][s] for s in ("train", "validation")}
    assert all(folds[a.row.split][a.row.position] == a.fold for a in answers)
    assert all(a.is_right == (a.predicted == a.row.label) for a in answers)
    assert found.metrics["n"] == 60
    assert found.metrics["n_units"] == 30
    assert found.metrics["right"] == sum(a.is_right for a in answers)
    # every seventh row speaks like the other label, so nobody honest is right on all
    assert 0.6 < found.metrics["accuracy"] < 1
    assert [line["n"] for line in found.metrics["folds"]] == [20, 20, 20]
    assert found.metrics["train"] >= found.metrics["accuracy"]
    assert all(line["chosen"]["c"] in (1.0, 10.0) for line in found.metrics["folds"])
    assert AuditEvent.objects.filter(verb="crossvalidation.succeeded").count() == 1


def test_what_a_child_may_read_holds_no_test_row_and_no_answer_of_a_held_row(editor, use_case):
    version = folded_version(use_case, written={0: [1], 2: []})
    found = start(editor, version)
    kind = CrossValidate()
    ids, _, folds = folding.plan_of(found)
    tested = set(version.rows.filter(split="test").values_list("content__prompt", flat=True))
    assert found.n_written == 2
    assert sum(len(fold.held) for fold in folds) == 58
    for item, fold in zip(kind.plan(found.job, 0).items, folds, strict=True):
        folder = Path(kind.command(found.job, item)[1])
        seen = "".join(path.read_text() for path in folder.iterdir())
        assert not any(text in seen for text in tested)
        held = [line for line in (folder / "held.jsonl").read_text().splitlines() if line]
        texts = [version.rows.get(pk=ids[i]).content.prompt for i in fold.held]
        assert len(held) == len(texts)
        assert not any(label in (folder / "held.jsonl").read_text() for label in ("billing", "login"))
        learnt = (folder / "train.jsonl").read_text()
        assert not any(f'"{text}"' in learnt for text in texts)


def test_a_fold_collected_twice_and_a_job_finished_twice_change_nothing(editor, use_case, capsys):
    version = folded_version(use_case)
    found = start(editor, version)
    assert start(editor, version).pk == found.pk
    run_here(found, capsys)
    before = found.metrics
    first = sorted(FoldAnswer.objects.values_list("row_id", "predicted", "is_right"))
    item = FoldRun.objects.filter(job=found.job).first()
    kind = CrossValidate()
    kind.command(found.job, item)
    (fold_folder(found.pk, item.fold) / "answers.jsonl").write_text("")
    with pytest.raises(KeyError):  # a half-written file is no answer
        kind.collect(found.job, item, {}, 0, "")
    kind.finish(found.job)
    found.refresh_from_db()
    assert found.metrics == before
    assert sorted(FoldAnswer.objects.values_list("row_id", "predicted", "is_right")) == first
    assert AuditEvent.objects.filter(verb="crossvalidation.succeeded").count() == 1
    assert start(editor, version).pk != found.pk


def test_a_failed_fold_is_a_sentence_and_is_tried_again(editor, use_case):
    found = start(editor, folded_version(use_case))
    kind = CrossValidate()
    item = kind.plan(found.job, 0).items[0]
    with pytest.raises(ChildDied):
        kind.collect(found.job, item, {}, -9, "")
    assert kind.collect(found.job, item, {}, 1, "Traceback\nThe file is gone.").error == "The file is gone."
    folding.end_without_result(cross_validation_id=found.pk, cancelled=False, error="The file is gone.")
    found.refresh_from_db()
    assert (found.state, found.error) == ("failed", "The file is gone.")
    with pytest.raises(Conflict):
        folding.train_final(actor=editor, cross_validation=found)


def test_a_cancelled_one_leaves_no_answer_behind(editor, use_case):
    version = folded_version(use_case)
    found = start(editor, version)
    ids, _, folds = folding.plan_of(found)
    answers = [(ids[i], 0, "billing", 0.5, True) for i in folds[0].held]
    folding.keep_answers(cross_validation=found, fold=1, answers=answers)
    folding.keep_answers(cross_validation=found, fold=1, answers=answers)
    assert FoldAnswer.objects.count() == len(answers)
    jobs.cancel_job(actor=editor, job=found.job)
    assert run_until_idle(20)
    found.refresh_from_db()
    assert found.state == "cancelled"
    assert not FoldAnswer.objects.exists()


def test_the_nearest_example_is_judged_over_folds_too(editor, use_case, capsys):
    version = folded_version(use_case, task_kind="answer")
    found = folding.start_cross_validation(actor=editor, version=version)
    run_here(found, capsys)
    assert found.backend == "local-nearest"
    assert found.metrics["measure"] == "exact answers"
    assert found.metrics["labels"] == []
    assert found.metrics["train"] is None
    assert found.metrics["level"] == ""
    assert found.metrics["accuracy"] > 0.5


def test_the_final_model_is_one_and_keeps_its_word(editor, use_case, capsys):
    found = start(editor, folded_version(use_case))
    with pytest.raises(Conflict, match="every fold is judged"):
        folding.train_final(actor=editor, cross_validation=found)
    run_here(found, capsys)
    run = folding.train_final(actor=editor, cross_validation=found)
    assert folding.train_final(actor=editor, cross_validation=found).pk == run.pk
    Train().command(run.job, object())
    lines = (folder_of(run.pk) / "train.jsonl").read_text().splitlines()
    assert len(lines) == 60
    # about a fifth choose the settings, and all teach in the end
    assert 8 <= sum(line.endswith("1]") for line in lines) <= 16
    blob = store.put(team=run.team, stream=b"x", name="m", kind="model")
    training.keep_result(
        run_id=run.pk,
        artefact=blob,
        metrics={"train": {"accuracy": 1.0, "n": 60}, "validation": {}},
        seconds=1.0,
    )
    run.refresh_from_db()
    assert run.metrics["validation"]["accuracy"] == found.metrics["accuracy"]
    assert run.metrics["is_cross_validated"]
    # an ordinary run on the same version with the same settings is another one
    other = training.start_training(actor=editor, version=run.version, settings=FEW)
    assert other.pk != run.pk


def test_what_cannot_be_cross_validated_is_said(editor, use_case):
    with pytest.raises(Conflict, match="carries no folds"):
        start(editor, folded_version(use_case, n_folds=0))
    version = folded_version(use_case)
    with pytest.raises(Conflict, match="No hosted provider"):
        start(editor, version, backend="hosted", settings={})
    with pytest.raises(BadInput, match="no setting called"):
        start(editor, version, settings={"epochs": 3})
    with pytest.raises(BadInput, match="seed"):
        start(editor, version, seed=-1)
    version.report["folds"]["units"]["train"] = [0] * version.n_train
    version.save()
    with pytest.raises(Conflict, match="belong together"):
        start(editor, version)
    assert not CrossValidation.objects.exists()


def test_a_version_frozen_before_units_were_kept_goes_by_its_groups(editor, use_case):
    version = folded_version(use_case, per_unit=3)
    units = version.report["folds"].pop("units")
    del version.report["folds"]["written"]
    version.save()
    _, rows = folding.fold_rows(version)
    assert [row.unit for row in rows] == units["train"] + units["validation"]
    assert all(row.is_judged for row in rows)


@pytest.mark.django_db
def test_a_written_row_that_is_dropped_later_is_still_never_judged(editor, use_case):
    """Of a version that does not tell which rows a model wrote: known when it began, whatever becomes of the rows."""
    version = folded_version(use_case)
    told = version.report["folds"]
    del told["written"]
    version.save()
    blob = store.put(team=version.team, stream=b"x", name="written.jsonl", kind="import")
    source = Import.objects.create(
        team=version.team, dataset=version.dataset, blob=blob, name="Written", source=SYNTHETIC, state="done"
    )
    row = version.rows.get(example_id=1000)
    Example.objects.create(
        pk=1000, team=version.team, dataset=version.dataset, source=source, line=1, content=row.content, label="billing",
        state="dropped", meta=orjson.dumps({"given_rows": [1002]}).decode(),
    )  # fmt: skip
    found = start(editor, version)
    assert (found.n_rows, found.n_written) == (60, 1)
    Example.objects.filter(pk=1000).delete()
    _, rows, folds = folding.plan_of(CrossValidation.objects.get(pk=found.pk))
    assert sum(not row.is_judged for row in rows) == 1
    assert sum(len(fold.held) for fold in folds) == 59
