"""A frozen version with folds, made at once, and a cross-validation run in this process."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from django.utils import timezone

from datasets.domain.recipe import Recipe
from datasets.domain.splitting import folds_of
from datasets.domain.statuses import Split
from datasets.models import Content, Dataset, DatasetVersion, FoldRun, VersionRow
from datasets.training import child
from datasets.training.crossvalidating import keep_answers, plan_of, start_cross_validation
from datasets.training.jobs import CrossValidate
from foundation.jobs.kinds import Outcome

WORDS = {
    "billing": "invoice charged twice payment refund card statement fee amount".split(),
    "login": "password reset locked account sign code email verify browser".split(),
}


def text_of(label: str, i: int) -> str:
    """A ticket whose words mostly belong to its label; every seventh speaks like the other one."""
    own = WORDS[label if i % 7 else "login" if label == "billing" else "billing"]
    return f"Ticket {i}: " + " ".join(own[(i * step + step) % len(own)] for step in (1, 3, 5))


def folded_version(
    use_case, *, train=48, validation=12, test=10, n_folds=2, per_unit=1, written=None, task_kind="classify"
) -> DatasetVersion:
    """A frozen version whose rows outside the test stand in folds, `per_unit` rows a customer.

    `written` maps places outside the test to the places they were written from. Example ids are 1000 + place.
    """
    dataset, _ = Dataset.objects.get_or_create(team=use_case.team, use_case=use_case, name="Support tickets")
    labels = sorted(WORDS)
    number = dataset.versions.count() + 1
    contents, rows = [], []
    order = [
        (s, p) for s, n in (("train", train), ("validation", validation), ("test", test)) for p in range(n)
    ]
    for i, (split, position) in enumerate(order):
        label = labels[i % 2]
        digest = hashlib.sha256(f"{number}/{i}".encode()).digest()
        answer = label if task_kind == "classify" else f"See {label}."
        contents.append(
            Content(team=use_case.team, digest=digest, prompt=text_of(label, i), completion=answer)
        )
        rows.append((split, position, label if task_kind == "classify" else "", i))
    contents = Content.objects.bulk_create(contents)
    outside = train + validation
    units = [i // per_unit for i in range(outside)]
    places = folds_of(
        [c.digest for c in contents[:outside]], [Split.TRAIN] * outside, seed="s", n_folds=n_folds,
        labels=[row[2] for row in rows[:outside]], units=units,
    ) if n_folds else []  # fmt: skip
    told = {
        "n": n_folds,
        "train": places[:train],
        "validation": places[train:],
        "units": {"train": units[:train], "validation": units[train:]},
        "written": {str(1000 + i): [1000 + g for g in given] for i, given in (written or {}).items()},
    }
    version = DatasetVersion.objects.create(
        team=use_case.team,
        dataset=dataset,
        number=number,
        state="frozen",
        checksum=hashlib.sha256(f"{number}".encode()).hexdigest(),
        recipe=Recipe(seed="s", n_folds=n_folds).as_json(),
        report={"folds": told} if n_folds else {},
        task_kind=task_kind,
        labels=labels if task_kind == "classify" else [],
        n_rows=outside + test,
        n_train=train,
        n_validation=validation,
        n_test=test,
        frozen_at=timezone.now(),
    )
    VersionRow.objects.bulk_create(
        [
            VersionRow(
                version=version, content=c, label=label, split=split, position=position, example_id=1000 + i,
                group=f"C{i // per_unit}" if per_unit > 1 else "",
            )
            for c, (split, position, label, i) in zip(contents, rows, strict=True)
        ]
    )  # fmt: skip
    return version


def run_here(cross_validation, capsys) -> list[Outcome]:
    """Every fold learnt and answered by the child's own code, in this process; the job's items settled and finished."""
    kind, job = CrossValidate(), cross_validation.job
    items = FoldRun.objects.bulk_create(kind.plan(job, 0).items)
    outcomes = []
    for item in items:
        _, folder = kind.command(job, item)
        capsys.readouterr()
        child.main(Path(folder))
        data: dict = {}
        for line in capsys.readouterr().out.splitlines():
            data |= json.loads(line)["data"]
        outcome = kind.collect(job, item, data, 0, "")
        FoldRun.objects.filter(pk=item.pk).update(result=dict(outcome.result), state="done")
        outcomes.append(outcome)
    kind.finish(job)
    cross_validation.refresh_from_db()
    return outcomes


def judged(editor, version, *, wrong=lambda i: i % 5 == 0, **more):
    """A finished cross-validation without any fitting: the answers are right but where `wrong(place)` says so."""
    found = start_cross_validation(actor=editor, version=version, **more)
    kind = CrossValidate()
    items = FoldRun.objects.bulk_create(kind.plan(found.job, 0).items)
    FoldRun.objects.filter(job=found.job).update(
        state="done", result={"train": {"accuracy": 1.0, "n": 30}, "chosen": {"c": 2.0}, "seconds": 0.5}
    )
    ids, rows, folds = plan_of(found)
    texts = dict(version.rows.values_list("pk", "content__completion"))
    other = {"billing": "login", "login": "billing"}
    for item, fold in zip(items, folds, strict=True):
        answers = []
        for i in fold.held:
            right = texts[ids[i]]
            said = other.get(right, "=HYPERLINK(1)") if wrong(i) else right
            answers.append((ids[i], rows[i].unit, said, 0.75, not wrong(i)))
        keep_answers(cross_validation=found, fold=item.fold, answers=answers)
    kind.finish(found.job)
    found.refresh_from_db()
    return found
