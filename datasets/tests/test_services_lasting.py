"""What a judge and a classifier said of rows stays said when the rows are checked again, as long as they say the same."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from datasets import services
from datasets.looking import Row
from datasets.models import Example, Finding, Judgement, QualityRun
from datasets.services import gating, label_noise, labels, lasting, reports
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.models import Job
from foundation.jobs.services import run_until_idle

pytestmark = pytest.mark.django_db


@pytest.fixture
def filled(dataset, bring_in, editor):
    bring_in(dataset, jsonl(tickets(30)))
    stances = {"judged_weak": "blocks", "label_noise": "blocks"}
    services.set_gate(actor=editor, team=dataset.team, chosen=stances)
    return dataset


def check_again(dataset, editor):
    """A report on the rows as they are now."""
    dataset.refresh_from_db()
    if dataset.checks_are_current:
        row = Example.objects.filter(dataset=dataset, state="active").last()
        services.edit_example(
            actor=editor, example=row, edition=row.edition, system="", prompt=f"{row.content.prompt} too", completion=row.content.completion, label=row.label,
        )  # fmt: skip
    services.start_checks(actor=editor, dataset=dataset)
    assert run_until_idle(60)
    dataset.refresh_from_db()
    assert dataset.checks_are_current


def edit(row, editor, prompt):
    row.refresh_from_db()
    return services.edit_example(
        actor=editor, example=row, edition=row.edition, system="", prompt=prompt, completion=row.content.completion, label=row.label,
    )  # fmt: skip


def judged(dataset, scores, how="sample"):
    """A finished judging: {line: score}."""
    run = QualityRun.objects.create(
        team=dataset.team, dataset=dataset, model="m", prompt_version="1", seed="s", how=how, n_sample=len(scores), finished_at=timezone.now()
    )  # fmt: skip
    job = Job.objects.create(team=dataset.team, kind="datasets.quality", title="Judge", state="succeeded")
    for position, (line, score) in enumerate(scores.items()):
        row = Example.objects.get(dataset=dataset, line=line)
        Judgement.objects.create(
            job=job, run=run, position=position, state="done", example=row, content=row.content, overall=score
        )  # fmt: skip
    reports.put_in_shown(dataset.pk, lambda _: lasting.weak_rows(dataset))
    return run


def suspected(dataset, editor, suggestions, n_plain=1, job=None):
    """A finished look for wrong labels: {line: the label it would give}."""
    job = job or label_noise.start_label_noise(actor=editor, dataset=dataset)
    rows = [
        Row(row.pk, note="“a” 10%, “b” 80%", suggestion=suggestions[row.line], content_id=row.content_id)
        for row in Example.objects.filter(dataset=dataset, line__in=suggestions).order_by("line")
    ]
    plain = frozenset(row.example_id for row in rows[:n_plain])
    facts = {"n_judged": 30, "n_rows": 30, "accuracy": 0.9, "estimated": 2.0}
    label_noise.keep_suspects(job=job, rows=rows, plain=plain, facts=facts)
    Job.objects.filter(pk=job.pk).update(state="succeeded")
    dataset.refresh_from_db()


def named(dataset, rule):
    """The lines a rule names in the report that is shown, in its order; None where it has no finding."""
    finding = Finding.objects.filter(run=dataset.checks, rule=rule).first()
    return (
        None if finding is None else list(finding.rows.order_by("id").values_list("example__line", flat=True))
    )


def blocks(dataset, rule):
    return rule in {one["rule"] for one in services.blockers(dataset)}


def test_a_new_check_takes_over_what_a_judge_said_of_rows_that_are_as_they_were(filled, editor):
    judged(filled, {1: 0.2, 2: 0.3, 3: 0.9})
    assert named(filled, "judged_weak") == [1, 2] and blocks(filled, "judged_weak")
    check_again(filled, editor)
    assert named(filled, "judged_weak") == [1, 2] and blocks(filled, "judged_weak")
    finding = Finding.objects.get(run=filled.checks, rule="judged_weak")
    assert finding.headline == "2 of 3 judged rows are below 0.7"
    assert finding.rows.order_by("id").first().note == "0.20: no issue named"

    row = Example.objects.get(dataset=filled, line=1)
    change = edit(row, editor, "A ticket that says what it wants")
    check_again(filled, editor)
    assert named(filled, "judged_weak") == [2]
    # taken back, its text is the judged one again
    services.undo_example_edit(actor=editor, edit=change)
    services.set_state(actor=editor, example=Example.objects.get(dataset=filled, line=2), active=False)
    check_again(filled, editor)
    assert named(filled, "judged_weak") == [1]
    services.set_state(actor=editor, example=Example.objects.get(dataset=filled, line=2), active=True)
    check_again(filled, editor)
    assert named(filled, "judged_weak") == [1, 2]


def test_asking_again_about_mended_rows_leaves_the_others_named(filled, editor):
    judged(filled, {1: 0.2, 2: 0.3, 3: 0.9})
    row = Example.objects.get(dataset=filled, line=1)
    change = edit(row, editor, "A ticket that says what it wants")
    judged(filled, {1: 0.9}, how="again")
    assert named(filled, "judged_weak") == [2]
    # the text from before has its verdict from before
    services.undo_example_edit(actor=editor, edit=change)
    check_again(filled, editor)
    assert named(filled, "judged_weak") == [1, 2]


def test_a_new_check_takes_over_the_labels_that_look_wrong(filled, editor, client_for):
    suspected(filled, editor, {1: "login", 2: "card", 4: "card"}, n_plain=2)
    assert named(filled, "label_noise") == [1, 2, 4] and blocks(filled, "label_noise")
    check_again(filled, editor)
    assert named(filled, "label_noise") == [1, 2, 4] and blocks(filled, "label_noise")
    finding = Finding.objects.get(run=filled.checks, rule="label_noise")
    assert finding.headline == "3 labels look wrong to a classifier, 2 of them plainly, of 30 judged"
    assert list(finding.rows.order_by("id").values_list("suggestion", flat=True)) == ["login", "card", "card"]

    # one is relabelled, one is out for now
    services.apply_fix(
        actor=editor, finding=finding, action="relabel", only=[Example.objects.get(dataset=filled, line=1).pk]
    )
    services.set_state(actor=editor, example=Example.objects.get(dataset=filled, line=2), active=False)
    check_again(filled, editor)
    assert named(filled, "label_noise") == [4]
    headline = Finding.objects.get(run=filled.checks, rule="label_noise").headline
    assert headline == "1 label looks wrong to a classifier, of 30 judged"
    services.set_state(actor=editor, example=Example.objects.get(dataset=filled, line=2), active=True)
    check_again(filled, editor)
    assert named(filled, "label_noise") == [2, 4]

    page = client_for(editor).get(reverse("datasets:report", args=[filled.pk])).content.decode()
    assert "before the rows changed" in page and "Look again" in page
    suspected(filled, editor, {})
    assert named(filled, "label_noise") is None and not blocks(filled, "label_noise")
    check_again(filled, editor)
    assert named(filled, "label_noise") is None


def rename(editor, dataset, a, b):
    change = labels.start_rename(actor=editor, dataset=dataset, from_label=a, to_label=b)
    assert run_until_idle(30)
    dataset.refresh_from_db()
    change.refresh_from_db()
    return change


def test_a_renamed_label_lifts_nothing_and_a_merged_one_settles_what_it_meant(filled, editor):
    # lines 1, 4 are billing, 2 is login
    suspected(filled, editor, {1: "login", 2: "card", 4: "card"})
    judged(filled, {1: 0.2, 3: 0.9})
    change = rename(editor, filled, "billing", "invoices")
    rename(editor, filled, "card", "cards")
    check_again(filled, editor)
    assert named(filled, "label_noise") == [1, 2, 4] and named(filled, "judged_weak") == [1]
    finding = Finding.objects.get(run=filled.checks, rule="label_noise")
    assert list(finding.rows.order_by("id").values_list("suggestion", flat=True)) == [
        "login",
        "cards",
        "cards",
    ]
    labels.undo_rename(actor=editor, change=change)
    assert run_until_idle(30)
    check_again(filled, editor)
    assert named(filled, "label_noise") == [1, 2, 4] and named(filled, "judged_weak") == [1]
    # login and billing are one label now: row 1 was not wrong
    rename(editor, filled, "billing", "login")
    check_again(filled, editor)
    assert named(filled, "label_noise") == [2, 4]


def test_what_is_judged_while_a_report_is_written_stands_in_the_new_one(filled, editor, monkeypatch):
    judged(filled, {1: 0.2})
    real, n = lasting.findings, []
    job = label_noise.start_label_noise(actor=editor, dataset=filled)
    Job.objects.filter(pk=job.pk).update(state="running")

    def findings(dataset, shown):
        found = real(dataset, shown)
        n.append(1)
        if len(n) == 1:
            judged(filled, {2: 0.3})
            suspected(filled, editor, {4: "card"}, job=job)
        return found

    monkeypatch.setattr(lasting, "findings", findings)
    check_again(filled, editor)
    assert len(n) == 2
    assert named(filled, "judged_weak") == [1, 2] and named(filled, "label_noise") == [4]


def test_a_row_that_changed_while_its_label_was_judged_is_not_named(filled, editor):
    row = Example.objects.get(dataset=filled, line=1)
    job = label_noise.start_label_noise(actor=editor, dataset=filled)
    before = row.content_id
    edit(row, editor, "Something else altogether")
    rows = [Row(row.pk, suggestion="card", content_id=before)]
    assert label_noise.keep_suspects(job=job, rows=rows, plain=frozenset(), facts={"n_judged": 30}) == 0
    assert not Finding.objects.filter(rule="label_noise").exists()
    assert gating.standing(filled)
