"""Wrong labels looked for and corrected, labels renamed and merged, and the gate a team sets itself."""

from __future__ import annotations

import csv
import io
from types import SimpleNamespace

import pytest
from django.urls import reverse

from datasets import services
from datasets.domain.freezing_rules import GATE_RULES, Stance, stances
from datasets.errors import Blocked, NothingToDo
from datasets.models import Edit, Example, Finding, Fix, LabelChange
from datasets.services import gating, label_noise, labels
from datasets.tests.conftest import jsonl, tickets
from datasets.tests.test_label_noise import corpus
from datasets.tests.test_services_mending import state_of
from foundation.jobs.models import Job, Shard
from foundation.jobs.services import run_until_idle
from foundation.teams.errors import BadInput, Conflict
from foundation.teams.models import AuditEvent
from foundation.teams.testing import assert_route_guarded

pytestmark = pytest.mark.django_db


@pytest.fixture
def filled(dataset, bring_in):
    bring_in(dataset, jsonl(tickets(90)))
    return dataset


# --- wrong labels ------------------------------------------------------------------------------------------------


def test_wrong_labels_become_a_finding_that_is_decided_row_by_row(
    dataset, bring_in, editor, client_for, settings, tmp_path
):
    settings.VAR_DIR = tmp_path
    texts, given, flipped = corpus(200, 0.08, seed=6)
    bring_in(dataset, jsonl([{"text": t, "label": label} for t, label in zip(texts, given, strict=True)]))
    job = label_noise.start_label_noise(actor=editor, dataset=dataset)
    assert label_noise.start_label_noise(actor=editor, dataset=dataset) == job
    assert run_until_idle(60)
    job.refresh_from_db()
    assert job.status == "succeeded", job.error
    assert not label_noise.folder_of(job).exists()
    finding = Finding.objects.get(run=dataset.checks, rule="label_noise")
    rows = list(finding.rows.select_related("example").order_by("id"))
    lines = {row.example.line for row in rows}
    assert len(rows) >= 5
    assert len(lines & {i + 1 for i in flipped}) / len(rows) >= 0.8
    assert all(row.suggestion and row.suggestion != row.example.label for row in rows)
    plain = sum(row.note.split("” ")[1].split("%")[0] in ("0", "1", "2", "3") for row in rows)
    assert finding.facts["plain"] == plain > 0
    assert finding.headline == (
        f"{len(rows)} labels look wrong to a classifier, {plain} of them plainly, of 200 judged"
    )

    # the job once more, as a lost worker would have it: the same finding, no second one
    Shard.objects.filter(job=job).update(state="queued", attempts=0)
    Job.objects.filter(pk=job.pk).update(state="queued", settled_at=None, finished_at=None)
    assert run_until_idle(60)
    again = Finding.objects.get(run=dataset.checks, rule="label_noise")
    assert list(again.rows.values_list("example_id", "suggestion")) == [
        (r.example_id, r.suggestion) for r in rows
    ]

    client = client_for(editor)
    url = reverse("datasets:finding-fix", args=[again.pk])
    with pytest.raises(BadInput, match="Tick the rows"):
        services.apply_fix(actor=editor, finding=again)
    before = state_of(dataset)
    chosen = [row.example_id for row in rows[:3]]
    assert client.post(url, {"action": "relabel", "rows": chosen}).status_code == 302
    assert dict(Example.objects.filter(pk__in=chosen).values_list("id", "label")) == {
        row.example_id: row.suggestion for row in rows[:3]
    }
    assert set(Example.objects.filter(pk__in=chosen).values_list("content__completion", flat=True)) <= set(
        given
    )
    assert Edit.objects.count() == 3
    fix = Fix.objects.get(finding=again)
    assert client.post(reverse("datasets:fix-undo", args=[fix.pk])).status_code == 302
    assert state_of(dataset) == before


def test_labels_are_looked_at_only_where_there_are_some_and_the_checks_are_current(filled, editor, team):
    services.set_state(actor=editor, example=Example.objects.first(), active=False)
    with pytest.raises(NothingToDo, match="changed since"):
        label_noise.start_label_noise(actor=editor, dataset=filled)


# --- renaming and merging ----------------------------------------------------------------------------------------


def rename(editor, dataset, a, b):
    change = labels.start_rename(actor=editor, dataset=dataset, from_label=a, to_label=b)
    assert run_until_idle(30)
    change.refresh_from_db()
    return change


def test_a_label_is_renamed_and_comes_back_bit_for_bit(filled, editor):
    before = state_of(filled)
    change = rename(editor, filled, "login", "sign in")
    assert (change.n_rows, change.is_merge, change.by) == (30, False, editor)
    after = state_of(filled)
    assert after[3] == {"billing": 30, "card": 30, "sign in": 30}
    assert {row[3] for row in after[4] if row[1] == "sign in"} == {"sign in"}
    labels.undo_rename(actor=editor, change=change)
    assert run_until_idle(30)
    assert state_of(filled) == before
    change.refresh_from_db()
    assert change.undone_at
    with pytest.raises(Conflict, match="undone already"):
        labels.undo_rename(actor=editor, change=change)
    verbs = set(AuditEvent.objects.filter(team=filled.team).values_list("verb", flat=True))
    assert {"label.renamed", "label.change-undone"} <= verbs


def test_a_merge_remembers_which_rows_came_from_where(filled, editor):
    before = state_of(filled)
    change = rename(editor, filled, "login", "card")
    assert change.is_merge
    assert state_of(filled)[3] == {"card": 60, "billing": 30}
    labels.undo_rename(actor=editor, change=change)
    assert run_until_idle(30)
    assert state_of(filled) == before


def test_an_undo_of_a_renaming_says_how_many_rows_it_left(filled, editor, client_for):
    change = rename(editor, filled, "login", "sign in")
    row = Example.objects.filter(dataset=filled, label="sign in").first()
    services.edit_example(
        actor=editor, example=row, edition=row.edition, prompt="I forgot my word", completion="sign in", label="sign in"
    )  # fmt: skip
    labels.undo_rename(actor=editor, change=change)
    assert run_until_idle(30)
    assert state_of(filled)[3] == {"billing": 30, "card": 30, "login": 29, "sign in": 1}
    change.refresh_from_db()
    assert change.job.result == {"rows": 29, "kept": 1}
    page = client_for(editor).get(reverse("datasets:labels", args=[filled.pk])).content.decode()
    assert "1 row was changed since and stays as it is." in page


def test_renaming_twice_after_a_crash_changes_nothing_more(filled, editor):
    change = rename(editor, filled, "login", "sign in")
    after, edits = state_of(filled), Edit.objects.count()
    # The worker died after the last row and before it could say so.
    LabelChange.objects.filter(pk=change.pk).update(finished_at=None, n_rows=0)
    assert labels.rename_rows(change=change, beat=lambda *_: None) == 30
    assert (state_of(filled), Edit.objects.count()) == (after, edits)
    change.refresh_from_db()
    assert change.n_rows == 30
    with pytest.raises(Conflict, match="page of the dataset's labels"):
        services.undo_fix(actor=editor, fix=change.fix)


def test_once_frozen_a_renaming_stands(filled, editor):
    change = rename(editor, filled, "login", "sign in")
    services.start_freeze(actor=editor, dataset=filled, override_reason="a test of labels")
    assert run_until_idle(30)
    with pytest.raises(Conflict, match="Version 1 was frozen with these labels"):
        labels.undo_rename(actor=editor, change=change)


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [("nothing", "x", "No active row"), ("login", " ", "1 to 200"), ("login", "login", "already"), ("login", "x" * 201, "1 to 200")],
)  # fmt: skip
def test_a_renaming_that_makes_no_sense_is_refused(filled, editor, a, b, words):
    with pytest.raises(BadInput, match=words):
        labels.start_rename(actor=editor, dataset=filled, from_label=a, to_label=b)


# --- the gate ----------------------------------------------------------------------------------------------------


def test_the_gate_starts_sane_and_keeps_only_what_it_knows():
    start = stances({})
    assert {key for key, stance in start.items() if stance is Stance.BLOCKS} == {
        "size", "review", "quality", "pii", "conflict", "empty_answer",
    }  # fmt: skip
    assert stances({"pii": "nonsense", "no-rule": "blocks", "size": "warns"}) == {
        **start,
        "size": Stance.WARNS,
    }


def test_a_finding_blocks_until_it_is_mended_overridden_or_the_team_thinks_otherwise(
    dataset, bring_in, editor, approver, team
):
    rows = [*tickets(60), {"text": "write to me at ada@example.org about the invoice", "label": "billing"}]
    bring_in(dataset, jsonl(rows))
    review = services.plan_review(actor=editor, dataset=dataset)
    services.accept_all(actor=editor, review=review, reviewer="demo")
    services.set_gate(actor=approver, team=team, chosen={"size": "warns"})
    dataset.refresh_from_db()
    assert [b["rule"] for b in services.blockers(dataset)] == ["pii"]
    with pytest.raises(Blocked, match="1 row holds personal data"):
        services.start_freeze(actor=editor, dataset=dataset)
    services.set_gate(actor=approver, team=team, chosen={"pii": "ignored"})
    assert services.blockers(dataset) == []
    assert {s.rule for s in services.standing(dataset)} == {"size"}
    services.set_gate(actor=approver, team=team, chosen={"pii": "blocks"})
    fix = services.apply_fix(actor=editor, finding=Finding.objects.get(run=dataset.checks, rule="pii"))
    dataset.refresh_from_db()
    assert services.blockers(dataset) == []
    # frozen below 500 without a reason, because this team says so
    version = services.start_freeze(actor=editor, dataset=dataset)
    assert run_until_idle(30)
    version.refresh_from_db()
    assert version.is_frozen, version.error
    assert fix.n_rows == 1
    event = AuditEvent.objects.filter(team=team, verb="gate.changed").order_by("id").first()
    assert (event.actor, event.note) == (approver, "size warns")


def test_a_fix_of_some_rows_opens_no_gate_for_the_others(
    dataset, bring_in, editor, approver, team, client_for
):
    """Without this one ticked row let the personal data of all others into a version."""
    rows = [
        {"text": f"write to me at ada{i}@example.org about invoice {i}", "label": "billing"} for i in range(3)
    ]
    bring_in(dataset, jsonl([*tickets(30), *rows]))
    services.set_gate(actor=approver, team=team, chosen={"size": "warns", "review": "warns"})
    finding = Finding.objects.get(run=dataset.checks, rule="pii")
    first, *others = finding.rows.order_by("id").values_list("example_id", flat=True)
    services.apply_fix(actor=editor, finding=finding, action="drop", only=[first])
    assert [b["rule"] for b in services.blockers(dataset)] == ["pii"]
    assert [f.is_mended for f in services.open_findings(dataset) if f.rule == "pii"] == [False]
    page = client_for(editor).get(reverse("datasets:report", args=[dataset.pk])).content.decode()
    assert "some are left" in page
    # The others one by one: one redacted, one taken out by hand.
    services.apply_fix(actor=editor, finding=finding, action="mask", only=[others[0]])
    assert [b["rule"] for b in services.blockers(dataset)] == ["pii"]
    services.set_state(actor=editor, example=Example.objects.get(pk=others[1]), active=False)
    assert services.blockers(dataset) == []


def test_keeping_the_majority_leaves_ties_in_the_way(dataset, bring_in, editor, approver, team):
    def asked(text, *labels):
        return [{"text": text, "label": label} for label in labels]

    odd = [
        *asked("Two against one here", "card", "card", "login"),
        *asked("One against one", "card", "login"),
    ]
    bring_in(dataset, jsonl([*tickets(30), *odd]))
    services.set_gate(actor=approver, team=team, chosen={"size": "warns", "review": "warns"})
    finding = Finding.objects.get(run=dataset.checks, rule="conflict")
    assert services.apply_fix(actor=editor, finding=finding, action="keep_majority").n_rows == 1
    assert [b["rule"] for b in services.blockers(dataset)] == ["conflict"]
    assert services.apply_fix(actor=editor, finding=finding, action="drop").n_rows == 4
    assert services.blockers(dataset) == []


def test_an_overridden_rule_stays_on_the_version(dataset, bring_in, editor):
    rows = [*tickets(60), {"text": "write to me at ada@example.org about the invoice", "label": "billing"}]
    bring_in(dataset, jsonl(rows))
    version = services.start_freeze(actor=editor, dataset=dataset, override_reason="the address is our own")
    assert {b["rule"] for b in version.report["blockers"]} == {"size", "review", "pii"}
    assert version.override_reason == "the address is our own"


def test_rows_taken_out_by_hand_no_longer_block(dataset, bring_in, editor):
    rows = [*tickets(60), {"text": "write to me at ada@example.org about the invoice", "label": "billing"}]
    bring_in(dataset, jsonl(rows))
    services.set_state(actor=editor, example=Example.objects.last(), active=False)
    dataset.refresh_from_db()
    assert "pii" not in {b["rule"] for b in services.blockers(dataset)}


def test_only_rules_and_stances_are_taken(team, approver):
    with pytest.raises(BadInput, match="no such rule"):
        services.set_gate(actor=approver, team=team, chosen={"nothing": "blocks"})
    with pytest.raises(BadInput, match="Choose one"):
        services.set_gate(actor=approver, team=team, chosen={"pii": "maybe"})


# --- pages -------------------------------------------------------------------------------------------------------


def test_pages_answer_each_person_as_the_table_says(
    filled, client, viewer, editor, approver, admin_user, outsider
):
    change = rename(editor, filled, "login", "sign in")
    urls = [
        reverse("datasets:report", args=[filled.pk]),
        reverse("datasets:report-csv", args=[filled.pk]),
        reverse("datasets:labels", args=[filled.pk]),
        reverse("datasets:gate", args=["support"]),
        reverse("datasets:pii", args=["support"]),
    ]
    people = {
        "outsider": outsider,
        "viewer": viewer,
        "editor": editor,
        "approver": approver,
        "admin": admin_user,
    }
    for url in urls:
        assert_route_guarded(client, url, methods=("GET",), **people)
    for name, args in (("noise-start", [filled.pk]), ("label-undo", [change.pk]), ("labels", [filled.pk])):
        assert_route_guarded(client, reverse(f"datasets:{name}", args=args), methods=("POST",), **people)
    assert_route_guarded(client, urls[3], methods=("POST",), **people)


def test_the_report_says_what_was_found_first_and_asks_little(
    dataset, bring_in, editor, client_for, django_assert_max_num_queries
):
    rows = [
        *tickets(60),
        {"text": "write to ada@example.org", "label": "billing"},
        {"text": "=cmd|' /C calc'!A0 hi", "label": "login"},
    ]
    bring_in(dataset, jsonl([*rows, rows[0]]))
    client = client_for(editor)
    client.get(reverse("datasets:report", args=[dataset.pk]))
    with django_assert_max_num_queries(15):
        body = client.get(reverse("datasets:report", args=[dataset.pk])).content.decode()
    assert body.index("Exact duplicates") < body.index("Checks that found nothing")
    assert "Look for wrong labels" in body
    lines = b"".join(client.get(reverse("datasets:report-csv", args=[dataset.pk])).streaming_content).decode()
    table = list(csv.DictReader(io.StringIO(lines)))
    assert {row["rule"] for row in table} >= {"Exact duplicates", "Personal data"}
    assert all(not row["prompt"].startswith(("=", "+", "-", "@")) for row in table)
    with django_assert_max_num_queries(15):
        gate = client.get(reverse("datasets:gate", args=["support"])).content.decode()
    assert "Approvers and admins can change it" in gate
    assert all(rule.title in gate for rule in GATE_RULES.values())
    pii = client.get(reverse("datasets:pii", args=["support"])).content.decode()
    assert "measured on" in pii


def test_formulas_in_rows_are_harmless_in_the_file(dataset, bring_in, editor, client_for):
    rows = [*tickets(12), {"text": "=HYPERLINK(1)", "label": "login"}, {"text": "@SUM(1)", "label": "login"}]
    bring_in(dataset, jsonl([*rows, rows[-1], rows[-2]]))
    lines = b"".join(
        client_for(editor).get(reverse("datasets:report-csv", args=[dataset.pk])).streaming_content
    )
    prompts = [row["prompt"] for row in csv.DictReader(io.StringIO(lines.decode()))]
    assert "'=HYPERLINK(1)" in prompts
    assert "'@SUM(1)" in prompts


def test_an_approver_saves_the_gate_on_its_page(team, approver, client_for):
    client = client_for(approver)
    answer = client.post(reverse("datasets:gate", args=["support"]), {"pii": "warns", "team": "x"})
    assert answer.status_code == 302
    assert gating.gate_of(team)["pii"] is Stance.WARNS
    assert client.post(reverse("datasets:gate", args=["support"]), {"pii": "perhaps"}).status_code == 400


# --- one after the other -----------------------------------------------------------------------------------------


def test_nothing_freezes_or_renames_in_the_middle_of_a_change_of_labels(filled, editor):
    change = labels.start_rename(actor=editor, dataset=filled, from_label="login", to_label="sign in")
    with pytest.raises(Blocked, match="Labels are being changed"):
        services.start_freeze(actor=editor, dataset=filled, override_reason="a test of labels")
    assert run_until_idle(30)
    change.refresh_from_db()
    job = labels.undo_rename(actor=editor, change=change)
    assert labels.undo_rename(actor=editor, change=change) == job  # pressed twice
    with pytest.raises(Conflict, match="under way"):
        labels.start_rename(actor=editor, dataset=filled, from_label="card", to_label="plastic")
    with pytest.raises(Blocked, match="Labels are being changed"):
        services.start_freeze(actor=editor, dataset=filled, override_reason="a test of labels")
    assert run_until_idle(30)
    services.start_freeze(actor=editor, dataset=filled, override_reason="a test of labels")
    with pytest.raises(Conflict, match="being frozen"):
        labels.start_rename(actor=editor, dataset=filled, from_label="card", to_label="plastic")
    assert run_until_idle(30)


def test_labels_that_only_copies_carry_end_in_a_sentence(dataset, bring_in, editor, settings, tmp_path):
    settings.VAR_DIR = tmp_path
    bring_in(dataset, jsonl([{"text": f"again {i % 2}", "label": f"l{i % 2}"} for i in range(20)]))
    job = label_noise.start_label_noise(actor=editor, dataset=dataset)
    assert run_until_idle(60)
    job.refresh_from_db()
    shard = Shard.objects.get(job=job)
    assert "Fewer than two labels have 5 different texts" in shard.error
    assert not Finding.objects.filter(run=dataset.checks, rule="label_noise").exists()


def test_changes_of_labels_hold_the_lock_for_few_rows_at_a_time(dataset, bring_in, editor, monkeypatch):
    bring_in(dataset, jsonl(tickets(200, labels=("login", "card"))))
    renamed, given_back = [], []
    replace, undo, atomic = labels.replace_contents, labels.undo_edit, labels.transaction.atomic

    def counting(*args, **more):
        given_back.append(0)
        return atomic(*args, **more)

    def replacing(at, changed, **more):
        renamed.append(len(changed))
        return replace(at, changed, **more)

    def undoing(*args):
        given_back[-1] += 1
        return undo(*args)

    monkeypatch.setattr(labels, "replace_contents", replacing)
    monkeypatch.setattr(labels, "undo_edit", undoing)
    monkeypatch.setattr(labels, "transaction", SimpleNamespace(atomic=counting))
    change = rename(editor, dataset, "login", "sign in")
    labels.undo_rename(actor=editor, change=change)
    assert run_until_idle(30)
    assert (sum(renamed), sum(given_back)) == (100, 100)
    assert max(renamed) <= 60
    assert max(given_back) <= 15
