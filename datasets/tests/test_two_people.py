"""Two people and one row (U31, T55): a visible conflict, and nobody's words are lost, whatever the other one did meanwhile."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from datasets import services
from datasets.models import Edit, Example, Finding, VersionRow
from datasets.services import labels
from datasets.tests.conftest import jsonl, tickets
from decisions.services import create_use_case
from foundation.jobs.services import run_until_idle
from foundation.teams.models import AuditEvent

pytestmark = pytest.mark.django_db

MINE = "Written by the one who was slower"


@pytest.fixture
def sessions(editor, approver):
    """Two people in two browsers."""
    found = []
    for user in (editor, approver):
        client = Client()
        client.force_login(user)
        found.append(client)
    return found


@pytest.fixture
def filled(dataset, bring_in):
    rows = tickets(40)
    rows += [rows[0], {"text": "write to me at ada@example.org about the invoice", "label": "billing"}]
    bring_in(dataset, jsonl(rows))
    return dataset


@pytest.fixture
def answered(team, editor, bring_in):
    """A dataset of answers whose label stands beside them."""
    use_case = create_use_case(actor=editor, team=team, name="Answers", task_kind="answer")
    dataset = services.create_dataset(actor=editor, team=team, use_case=use_case, name="Answered tickets")
    rows = [
        {"prompt": row["text"], "completion": f"We look into it: {i}.", "label": row["label"]}
        for i, row in enumerate(tickets(30))
    ]
    bring_in(dataset, jsonl(rows))
    return dataset


def opened(client, example):
    """The form as a person has it before them."""
    page = client.get(reverse("datasets:example-detail", args=[example.pk]))
    assert page.status_code == 200
    return {name: str(value or "") for name, value in page.context["form"].initial.items()}


def save(client, example, form, **changes):
    return client.post(reverse("datasets:example-edit", args=[example.pk]), {**form, **changes})


def test_a_label_renamed_meanwhile_is_seen_and_not_taken_back_in_silence(answered, editor, sessions):
    example = Example.objects.filter(dataset=answered, label="login").first()
    form = opened(sessions[0], example)
    labels.start_rename(actor=editor, dataset=answered, from_label="login", to_label="sign in")
    assert run_until_idle(30)
    met = save(sessions[0], example, form, prompt=MINE)
    body = met.content.decode()
    assert met.status_code == 409
    assert "Their text against yours" in body and MINE in body
    assert (
        "Label: sign in" in met.context["conflict"]["theirs"]
        and "Label: login" in met.context["conflict"]["mine"]
    )
    example.refresh_from_db()
    assert (example.label, example.content.prompt) == ("sign in", form["prompt"])
    # On purpose, and with the new name of the label.
    again = {**form, "edition": str(example.edition), "label": "sign in"}
    assert save(sessions[0], example, again, prompt=MINE).status_code == 302
    example.refresh_from_db()
    assert (example.label, example.content.prompt) == ("sign in", MINE)
    answered.refresh_from_db()
    assert answered.label_counts == {"billing": 10, "card": 10, "sign in": 10}


def test_a_rename_that_meets_an_edit_renames_the_row_all_the_same(filled, editor, sessions):
    example = Example.objects.filter(dataset=filled, label="login").first()
    form = opened(sessions[0], example)
    change = labels.start_rename(actor=editor, dataset=filled, from_label="login", to_label="sign in")
    # The edit comes first, the job after it.
    assert save(sessions[0], example, form, prompt=MINE).status_code == 302
    assert run_until_idle(30)
    example.refresh_from_db()
    change.refresh_from_db()
    assert (example.label, example.content.completion, example.content.prompt) == ("sign in", "sign in", MINE)
    filled.refresh_from_db()
    assert "login" not in filled.label_counts
    # Undoing the rename takes back the name alone.
    labels.undo_rename(actor=editor, change=change)
    assert run_until_idle(30)
    example.refresh_from_db()
    assert (example.label, example.content.prompt) == ("login", MINE)


def test_a_fix_that_rewrites_meanwhile_is_shown_beside_what_was_written(filled, editor, sessions):
    finding = Finding.objects.get(run=filled.checks, rule="pii")
    example = finding.rows.get().example
    form = opened(sessions[0], example)
    services.apply_fix(actor=editor, finding=finding, action="mask")
    met = save(sessions[0], example, form, prompt=f"{MINE} ada@example.org")
    assert met.status_code == 409
    assert "[EMAIL]" in met.context["conflict"]["theirs"] and MINE in met.content.decode()
    example.refresh_from_db()
    assert "[EMAIL]" in example.content.prompt


def test_a_fix_that_drops_the_row_meanwhile_loses_no_words(filled, editor, sessions):
    finding = Finding.objects.get(run=filled.checks, rule="exact_duplicate")
    example = finding.rows.filter(keep=False).first().example
    form = opened(sessions[0], example)
    fix = services.apply_fix(actor=editor, finding=finding)
    met = save(sessions[0], example, form, prompt=MINE)
    assert met.status_code == 409
    body = met.content.decode()
    assert "taken out" in body and "What you wrote" in body and MINE in body
    assert not Edit.objects.filter(example=example).exists()
    services.undo_fix(actor=editor, fix=fix)
    assert save(sessions[0], example, form, prompt=MINE).status_code == 302


def test_a_dataset_archived_meanwhile_loses_no_words(filled, editor, sessions):
    example = Example.objects.filter(dataset=filled).first()
    form = opened(sessions[0], example)
    services.archive_dataset(actor=editor, dataset=filled)
    met = save(sessions[0], example, form, prompt=MINE)
    assert met.status_code == 409
    assert "archived" in met.content.decode() and MINE in met.content.decode()


def test_a_freeze_meanwhile_keeps_its_text_and_seals_its_test(filled, editor, sessions):
    forms = {e.pk: (e, opened(sessions[0], e)) for e in Example.objects.filter(dataset=filled)}
    version = services.start_freeze(actor=editor, dataset=filled, override_reason="while somebody edits")
    assert run_until_idle(60)
    version.refresh_from_db()
    held = dict(VersionRow.objects.filter(version=version).values_list("example_id", "split"))
    trained = next(pk for pk, split in held.items() if split == "train")
    tested = next(pk for pk, split in held.items() if split == "test")
    example, form = forms[trained]
    assert save(sessions[0], example, form, prompt=MINE).status_code == 302
    row = VersionRow.objects.select_related("content").get(version=version, example_id=example.pk)
    assert row.content.prompt == form["prompt"]
    # The row was drawn for the test while the form stood open: nothing is saved, what was written is shown again.
    example, form = forms[tested]
    met = save(sessions[0], example, form, prompt=MINE)
    assert met.status_code == 403
    body = met.content.decode()
    assert "sealed" in body and MINE in body and form["prompt"] not in body
    assert not Edit.objects.filter(example=example).exists()


def test_an_edit_during_a_review_and_a_review_during_an_edit(filled, editor, approver, sessions):
    review = services.plan_review(actor=editor, dataset=filled)
    first, second = review.items.select_related("example").order_by("position")[:2]
    judge = reverse("datasets:review-judge", args=[review.pk, first.pk])
    form = opened(sessions[1], first.example)
    assert save(sessions[1], first.example, form, prompt="The other one was quicker").status_code == 302
    met = sessions[0].post(judge, {"verdict": "accepted", "edition": "1"})
    assert met.status_code == 409
    first.refresh_from_db()
    assert (first.verdict, "The other one was quicker" in met.content.decode()) == ("", True)
    # Accepted while the other one's form stood open: the edit is saved, the verdict stays on record with its text.
    form = opened(sessions[1], second.example)
    judge = reverse("datasets:review-judge", args=[review.pk, second.pk])
    assert sessions[0].post(judge, {"verdict": "accepted", "edition": "1"}).status_code == 302
    assert save(sessions[1], second.example, form, prompt=MINE).status_code == 302
    # Rejected while it stood open: nothing is lost.
    third = review.items.select_related("example").get(position=3)
    form = opened(sessions[1], third.example)
    judge = reverse("datasets:review-judge", args=[review.pk, third.pk])
    assert sessions[0].post(judge, {"verdict": "rejected", "edition": "1"}).status_code == 302
    met = save(sessions[1], third.example, form, prompt=MINE)
    assert met.status_code == 409
    assert MINE in met.content.decode()


def test_the_record_of_an_edit_names_the_text_that_stands(answered, editor):
    """With tools beside the text the digest of the text alone is nobody's."""
    example = Example.objects.filter(dataset=answered).first()
    example.content.extra = '{"tools":[{"name":"t"}]}'
    example.content.save(update_fields=["extra"])
    services.edit_example(actor=editor, example=example, edition=1, prompt=MINE, completion="Something else.")
    event = AuditEvent.objects.filter(verb="example.edited").latest("id")
    example.refresh_from_db()
    assert event.digests["after"] == example.content.digest_hex


@pytest.mark.parametrize("press", ["save", "take out", "fix", "rename", "freeze", "review"])
def test_a_second_press_of_the_same_button_changes_nothing_more(filled, editor, sessions, press):
    """T55: double click and back-resubmit."""
    client, example = sessions[0], Example.objects.filter(dataset=filled).first()
    form = opened(client, example)
    finding = Finding.objects.get(run=filled.checks, rule="exact_duplicate")
    address, data = {
        "save": (reverse("datasets:example-edit", args=[example.pk]), {**form, "prompt": MINE}),
        "take out": (reverse("datasets:example-state", args=[example.pk]), {"active": "no"}),
        "fix": (reverse("datasets:finding-fix", args=[finding.pk]), {"action": "drop_extra"}),
        "rename": (reverse("datasets:labels", args=[filled.pk]), {"from_label": "login", "to_label": "sign in"}),
        "freeze": (
            reverse("datasets:version-create", args=[filled.pk]),
            {"train": "80", "validation": "10", "test": "10", "strategy": "stratified", "n_folds": "0", "seed": "s",
             "override_reason": "pressed twice on purpose", "press": "p" * 20},
        ),
        "review": (reverse("datasets:review-create", args=[filled.pk]), {}),
    }[press]  # fmt: skip

    def everything():
        filled.refresh_from_db()
        return (
            filled.n_active, filled.n_dropped, filled.n_rejected, filled.label_counts, filled.versions.count(), filled.reviews.count(),
            Edit.objects.count(), filled.fixes.count(), filled.label_changes.count(),
        )  # fmt: skip

    assert client.post(address, data).status_code in (200, 302)
    if press in ("rename", "freeze"):  # the second press finds the first under way
        client.post(address, data)
    assert run_until_idle(60)
    once = everything()
    client.post(address, data)
    assert run_until_idle(60)
    if press == "freeze":
        assert everything()[4] == once[4] == 1
    else:
        assert everything() == once
