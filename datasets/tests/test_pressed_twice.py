"""T55: a double click and a form sent again from the history make nothing twice, form by form."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.urls import reverse

from datasets import services
from datasets.models import Finding
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.services import run_until_idle

pytestmark = pytest.mark.django_db

# What a press may add beside what it makes: notes on what happened, and the presses themselves.
NOT_COUNTED = {
    "teams.auditevent",
    "teams.press",
    "jobs.notice",
    "sessions.session",
    "usersessions.usersession",
}


def counts() -> dict[str, int]:
    return {
        model._meta.label_lower: model._base_manager.count()
        for model in apps.get_models()
        if model._meta.app_label in ("datasets", "files", "jobs")
        and model._meta.label_lower not in NOT_COUNTED
    }


@pytest.fixture
def frozen(dataset, bring_in, editor):
    rows = [{**row, "customer": f"c{i % 5}"} for i, row in enumerate(tickets(60))]
    bring_in(dataset, jsonl([*rows, rows[0]]))
    version = services.start_freeze(
        actor=editor, dataset=dataset, override_reason="pressed twice on purpose", keep_groups=False
    )
    assert run_until_idle(60)
    version.refresh_from_db()
    return version


@pytest.mark.parametrize(
    "form",
    [
        "dataset", "start import", "check", "undo fix", "open test", "notes", "repair", "check exports", "mix",
        "archive", "undo labels",
    ],
)  # fmt: skip
@pytest.mark.parametrize("when", ["double click", "sent again"])
def test_a_form_sent_twice_makes_one_thing(
    frozen, editor, client_for, use_case, stage, team, bring_in, form, when
):
    dataset, client = frozen.dataset, client_for(editor)
    press = {"press": "p" * 20}
    if form == "dataset":
        given = {"use_case": use_case.pk, "name": "Another", **press}
        address, data = reverse("datasets:dataset-create", args=[team.slug]), given
    elif form == "start import":
        staged = stage(dataset, jsonl(tickets(90)[70:]), "more.jsonl")
        page = client.get(reverse("datasets:import-detail", args=[staged.pk]))
        initial = page.context["form"].initial
        address = reverse("datasets:import-start", args=[staged.pk])
        data = {name: value for name, value in initial.items() if value not in (None, False)}
    elif form == "check":
        services.edit_example(
            actor=None, example=dataset.examples.first(), edition=1, prompt="changed", completion="card"
        )
        address, data = reverse("datasets:dataset-check", args=[dataset.pk]), {}
    elif form == "undo fix":
        finding = Finding.objects.get(run=dataset.checks, rule="exact_duplicate")
        fix = services.apply_fix(actor=None, finding=finding, action="drop_extra")
        address, data = reverse("datasets:fix-undo", args=[fix.pk]), {}
    elif form == "undo labels":
        client.post(
            reverse("datasets:labels", args=[dataset.pk]), {"from_label": "login", "to_label": "sign in"}
        )
        assert run_until_idle(60)
        change = dataset.label_changes.get()
        address, data = reverse("datasets:label-undo", args=[change.pk]), {}
    elif form == "mix":
        other = services.create_dataset(actor=editor, team=team, use_case=use_case, name="Other")
        bring_in(other, jsonl(tickets(160)[120:]))
        second = services.start_freeze(
            actor=editor, dataset=other, override_reason="pressed twice on purpose"
        )
        assert run_until_idle(60)
        address = reverse("datasets:version-mix", args=[use_case.pk])
        data = {"name": "Both", "versions": [frozen.pk, second.pk], "temperature": "1", "seed": "m", **press}
    else:
        name, data = {
            "open test": ("version-open-test", {"reason": "a complaint about one row"}),
            "notes": ("version-notes", {"notes": "mine", "tags": "a, b"}),
            "repair": ("version-repair", {"repair": "group"}),
            "check exports": ("version-exports-check", {}),
            "archive": ("dataset-archive", {"archived": "yes"}),
        }[form]
        address = reverse(f"datasets:{name}", args=[dataset.pk if form == "archive" else frozen.pk])
    before = counts()
    first = client.post(address, data)
    assert first.status_code == 302, first.content.decode()[:500]
    if when == "sent again":
        assert run_until_idle(60)
    once = counts()
    again = client.post(address, data)
    assert again.status_code in (302, 409, 422)
    if when == "double click":
        assert counts() == once
        assert run_until_idle(60)
    else:
        assert run_until_idle(60)
        assert counts() == once
    if again.status_code == 302:
        assert again["Location"] == first["Location"]
    assert form in ("notes", "archive", "check exports", "undo fix", "undo labels") or counts() != before
