"""Keys, numbers and fields nobody offered: other teams' numbers (T32), fields of tables (T33), keys of queries (T40)."""

from __future__ import annotations

import re
from urllib.parse import quote_plus

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets import services
from datasets.models import (
    Dataset,
    DatasetGate,
    DatasetVersion,
    Edit,
    Example,
    Finding,
    FindingRow,
    Fix,
    Import,
    Review,
)
from datasets.services import labels
from datasets.tests.conftest import jsonl, tickets
from datasets.tests.hostile import QUERY_KEYS
from decisions.services import create_use_case
from foundation.files import store
from foundation.jobs.services import run_until_idle
from foundation.teams.models import Membership

pytestmark = pytest.mark.django_db

CANARY = "CANARY"


def _whole(team, actor, word):
    """A dataset on which everything was done once, `word` in everything that is text."""
    use_case = create_use_case(
        actor=actor, team=team, name=f"Use {word}", task_kind="classify", description=word
    )
    dataset = services.create_dataset(
        actor=actor, team=team, use_case=use_case, name=f"Data {word}", description=word
    )
    rows = [
        {**row, "text": f"{word} {row['text']}", "label": f"{word} {row['label']}"} for row in tickets(40)
    ]
    rows += [rows[0], {"text": f"{word} write to ada@example.org", "label": f"{word} card"}]
    blob = store.put(team=team, stream=jsonl(rows).encode(), name=f"{word}.jsonl", kind="import", actor=actor)
    staged = services.stage_upload(actor=actor, dataset=dataset, blob=blob)
    services.start_import(actor=actor, import_=staged)
    assert run_until_idle(60)
    dataset.refresh_from_db()
    pii = Finding.objects.get(run=dataset.checks, rule="pii")
    services.apply_fix(actor=actor, finding=pii)
    labels.start_rename(actor=actor, dataset=dataset, from_label=f"{word} login", to_label=f"{word} sign in")
    assert run_until_idle(60)
    review = services.plan_review(actor=actor, dataset=dataset)
    item = review.items.order_by("position").first()
    services.review_example(actor=actor, item=item, verdict="rejected", reason=word)
    version = services.start_freeze(
        actor=actor, dataset=dataset, override_reason=f"a reason {word}", notes=word, seed="s"
    )
    assert run_until_idle(60)
    version.refresh_from_db()
    assert version.is_frozen, version.error
    return {
        "use_case": use_case, "dataset": dataset, "import": staged, "finding": pii, "fix": pii.fixes.get(), "review": review, "item": item,
        "version": version, "example": Example.objects.filter(dataset=dataset).first(), "row": FindingRow.objects.filter(finding=pii).first(),
        "copies": Finding.objects.get(run=dataset.checks, rule="exact_duplicate"), "user": actor,
    }  # fmt: skip


def _state(whole):
    dataset = Dataset.objects.get(pk=whole["dataset"].pk)
    return (
        dataset.n_active, dataset.revision, dataset.label_counts, dataset.name, Edit.objects.filter(team=dataset.team).count(),
        Fix.objects.filter(team=dataset.team).count(), Review.objects.filter(team=dataset.team).count(), dataset.versions.count(),
        list(Example.objects.filter(dataset=dataset).order_by("pk").values_list("state", "label", "content_id", "edition")),
    )  # fmt: skip


def _without(body, data):
    """The page without the words that were sent, as they stand in fields and addresses."""
    for value in data.values():
        for word in value if isinstance(value, list) else [value]:
            if CANARY in str(word):
                body = body.replace(str(word), "").replace(quote_plus(str(word)), "")
    return body


def test_numbers_of_another_team_show_and_change_nothing(team, editor, outsider, settings, tmp_path):
    """T32: every number a form or an address takes, in it the number of another team's row."""
    other_team = Membership.objects.get(user=outsider).team
    theirs, mine = _whole(team, editor, CANARY), _whole(other_team, outsider, "plain")
    before = _state(theirs)
    client = Client()
    client.force_login(outsider)
    at = {name: getattr(row, "pk", 0) for name, row in theirs.items()}

    def url(name, *args):
        return reverse(f"datasets:{name}", args=[getattr(a, "pk", a) for a in args])

    rows = url("example-list", mine["dataset"])
    asked = [
        *((rows, {key: at[of]}) for key, of in (("finding", "finding"), ("source", "import"), ("after", "example"), ("before", "example"))),
        (rows, {"q": CANARY}), (rows, {"label": f"{CANARY} card"}), (url("finding-detail", mine["copies"]), {"after": at["row"]}),
        (url("version-diff", mine["version"], theirs["version"].number + 7), {}), (url("version-rows", mine["version"]), {"after": at["example"]}),
        (url("version-create", mine["dataset"]), {"version": at["version"]}), (url("dataset-create", other_team.slug), {"use_case": at["use_case"]}),
        (url("dataset-list", other_team.slug), {"use_case": at["use_case"]}), (url("review-detail", mine["review"]), {"at": at["item"]}),
        (url("write", mine["dataset"]), {"labels": f"{CANARY} card"}), (url("version-mix", mine["use_case"]), {"versions": at["version"]}),
    ]  # fmt: skip
    sent = [
        (url("dataset-create", other_team.slug), {"name": "x", "use_case": at["use_case"]}),
        (url("finding-fix", mine["copies"]), {"action": "drop_extra", "rows": [at["example"]]}),
        (url("review-create", mine["dataset"]), {"share": "0.1", "most_needed": "10", "double_share": "0", "readers": [at["user"]]}),
        (url("review-judge", mine["review"], theirs["item"]), {"verdict": "accepted", "edition": "1"}),
        (url("review-undo", mine["review"], theirs["item"]), {}),
        (url("review-judge", mine["review"], mine["item"]), {"take": at["item"]}),
        (url("version-mix", mine["use_case"]), {"name": "x", "versions": [at["version"], mine["version"].pk], "temperature": "2", "seed": "s"}),
        (url("labels", mine["dataset"]), {"from_label": f"{CANARY} card", "to_label": "x"}),
        (url("quality-create", mine["dataset"]), {"model": at["version"], "how": "sample", "size": "5", "cap": "1"}),
        (url("write", mine["dataset"]), {"labels": [f"{CANARY} card"], "rows_a_label": "3", "cap": "1"}),
        (url("import-start", mine["import"]), {"blob": at["import"], "prompt": CANARY}),
        # The other team's own addresses.
        *((url(name, theirs[of]), {}) for name, of in (
            ("example-edit", "example"), ("example-state", "example"), ("finding-fix", "finding"), ("fix-undo", "fix"), ("dataset-archive", "dataset"),
            ("dataset-check", "dataset"), ("version-open-test", "version"), ("version-notes", "version"), ("version-repair", "version"),
            ("import-start", "import"), ("import-discard", "import"), ("labels", "dataset"), ("version-create", "dataset"), ("noise-start", "dataset"),
        )),
    ]  # fmt: skip
    for path, data in asked:
        answer = client.get(path, data)
        assert answer.status_code in (200, 302, 404), (path, data, answer.status_code)
        body = b"".join(answer.streaming_content) if getattr(answer, "streaming", False) else answer.content
        # What was asked for may stand in the field it was written in; nothing more.
        assert CANARY not in _without(body.decode(), data), (path, data)
    for path, data in sent:
        answer = client.post(path, data)
        assert answer.status_code in (302, 400, 403, 404, 409, 422), (path, data, answer.status_code)
        assert CANARY not in _without(answer.content.decode(), data), (path, data)
    assert _state(theirs) == before
    for name in ("example-edit", "fix-undo", "version-notes", "labels"):
        of = {"example-edit": "example", "fix-undo": "fix", "version-notes": "version", "labels": "dataset"}[
            name
        ]
        assert client.post(url(name, theirs[of])).status_code == 404


def _posted(model, **valid):
    """A value for every field of a table, under both of its names; `valid` is what the form asks for."""
    data = {}
    for field in model._meta.concrete_fields:
        for name in {field.name, field.attname}:
            data[name] = "2030-01-01" if "date" in field.get_internal_type().lower() else "999"
    return {**data, **valid}


def test_fields_that_no_form_shows_are_not_set_by_sending_them(team, editor, approver, settings, tmp_path):
    """T33."""
    mine = _whole(team, editor, "plain")
    client = Client()
    client.force_login(editor)

    def held(row, *changing):
        fresh = type(row).objects.get(pk=row.pk)
        return {
            f.attname: getattr(fresh, f.attname)
            for f in fresh._meta.concrete_fields
            if f.attname not in changing
        }

    example = Example.objects.filter(dataset=mine["dataset"]).active().select_related("content").last()
    services.open_test_rows(actor=editor, version=mine["version"], reason="to edit any of them")
    cases = [
        ("dataset-edit", mine["dataset"], {"name": "Renamed", "description": "d", "licence": "l"}, ("name", "description", "licence")),
        ("example-edit", example, {"edition": str(example.edition), "prompt": "Another question", "completion": example.content.completion},
         ("content_id", "edition")),
        ("example-state", example, {"active": "no"}, ("state", "edition", "content_id")),
        ("version-notes", mine["version"], {"notes": "n", "tags": "a, b"}, ("notes", "tags")),
        ("version-open-test", mine["version"], {"reason": "a reason long enough"}, ()),
        ("review-judge", mine["review"], {"verdict": "accepted", "edition": "1"}, ("n_accepted",)),
        ("finding-fix", mine["copies"], {"action": "drop_extra"}, ()),
        ("fix-undo", mine["fix"], {}, ("undone_at",)),
        ("import-start", mine["import"], {}, ()),
        ("import-discard", mine["import"], {}, ()),
    ]  # fmt: skip
    for name, row, valid, changing in cases:
        args = [row.pk]
        if name == "review-judge":
            args.append(mine["review"].items.filter(verdict="").order_by("-position").first().pk)
        before = held(row, *changing)
        content = Example.objects.get(pk=example.pk).content
        answer = client.post(reverse(f"datasets:{name}", args=args), _posted(type(row), **valid))
        assert answer.status_code in (200, 302, 409), (name, answer.status_code)
        assert held(row, *changing) == before, name
        content.refresh_from_db()
        assert content.prompt != "999"
    # What a create form makes belongs to whom the address says, whatever is sent.
    made = client.post(
        reverse("datasets:dataset-create", args=[team.slug]),
        _posted(Dataset, name="New", use_case=mine["use_case"].pk, description="", licence=""),
    )
    assert made.status_code == 302
    new = Dataset.objects.get(name="New")
    assert (new.team, new.created_by, new.n_active, new.revision, new.checks, new.archived_at) == (
        team,
        editor,
        0,
        new.revision,
        None,
        None,
    )
    assert new.revision < 999 and new.pk != 999
    frozen = client.post(
        reverse("datasets:version-create", args=[mine["dataset"].pk]),
        _posted(
            DatasetVersion,
            train="80",
            validation="10",
            test="10",
            strategy="stratified",
            n_folds="0",
            seed="t",
            notes="",
            override_reason="long enough a reason",
        ),
    )
    assert frozen.status_code == 302
    version = DatasetVersion.objects.latest("pk")
    assert (version.number, version.team, version.created_by, version.state) == (2, team, editor, "building")
    assert (version.checksum, version.n_rows, version.recipe["seed"]) == ("", 0, "t")
    client.force_login(approver)
    client.post(reverse("datasets:gate", args=[team.slug]), _posted(DatasetGate, pii="warns"))
    gate = DatasetGate.objects.get(team=team)
    assert (gate.changed_by, gate.stances["pii"], len(DatasetGate.objects.all())) == (approver, "warns", 1)
    assert Import.objects.get(pk=mine["import"].pk).state == "done"


def test_keys_that_nobody_offers_reach_no_query(team, editor, settings, tmp_path):
    """T40: 200 keys; the statements are those of the page without them, word for word."""
    assert len(set(QUERY_KEYS)) >= 200
    mine = _whole(team, editor, "plain")
    client = Client()
    client.force_login(editor)
    rows = reverse("datasets:example-list", args=[mine["dataset"].pk])

    def statements(path, data):
        with CaptureQueriesContext(connection) as caught:
            answer = client.get(path, data)
        assert answer.status_code in (200, 400), (path, data)
        # Moments differ from one request to the next, and who works is asked every few seconds.
        asked = [q["sql"] for q in caught if "jobs_workerseen" not in q["sql"]]
        found = {re.sub(r"'\d{4}-\d\d-\d\d[^']*'", "?", sql) for sql in asked}
        return found, answer.content.count(b"<tr data-row")

    def known(path):
        """What the page asks, with every answer it keeps for a while and without."""
        cache.clear()
        cold, n = statements(path, {})
        return cold | statements(path, {})[0], n

    plain, n = known(rows)
    assert n > 10
    for start in range(0, len(QUERY_KEYS), 10):
        keys = QUERY_KEYS[start : start + 10]
        found, n_rows = statements(rows, dict.fromkeys(keys, "1"))
        assert (found - plain, n_rows) == (set(), n), keys
    for name, of in (
        ("dataset-detail", "dataset"), ("report", "dataset"), ("labels", "dataset"), ("finding-detail", "copies"), ("example-detail", "example"),
        ("review-detail", "review"), ("review-summary", "review"), ("version-detail", "version"), ("version-rows", "version"),
        ("version-exports", "version"), ("version-datasheet", "version"), ("import-detail", "import"),
    ):  # fmt: skip
        path = reverse(f"datasets:{name}", args=[mine[of].pk])
        taken = {key: "1" for key in QUERY_KEYS if key not in ("split", "after", "at", "whose", "as", "kind")}
        assert statements(path, taken)[0] <= known(path)[0], name
