"""The test vault: no address shows the text of a test row before somebody opened it with a reason."""

from __future__ import annotations

import json
import re

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from datasets.models import (
    DatasetVersion,
    Example,
    Finding,
    FindingRow,
    Judgement,
    QualityRun,
    ReviewItem,
    VersionRow,
)
from datasets.services import count_look, edit_example, stage_upload, start_import
from datasets.vault import wear_of
from evaluations import services as evaluations
from evaluations.errors import WornOut
from evaluations.models import Comparison
from foundation.files import store
from foundation.files.models import Blob
from foundation.jobs.services import run_until_idle
from foundation.teams import services as teams
from foundation.teams.domain.roles import Role
from foundation.teams.domain.scopes import Scope
from ftportal.api import api
from ftportal.testing.walk import addresses
from ftportal.trials import start_trial

pytestmark = pytest.mark.django_db(transaction=True)

WORDS = "invoice parcel refund password lamp card broken late address code label return app order wrong box".split()
CANARY = re.compile(r"zq\d{5}x", re.IGNORECASE)


def canaries(text: str) -> set[str]:
    """The words that tell rows apart, whatever their capitals."""
    return {word.lower() for word in CANARY.findall(text)}


def reformatted(row: dict[str, str], how: int) -> dict[str, str]:
    """The same row in other capitals, spaces or punctuation."""
    text = row["text"]
    shapes = (text.upper(), f"“{text.title()}”!", text.replace(" ", "  ") + " ...")
    return {**row, "text": shapes[how % len(shapes)]}


@pytest.fixture
def workspace(admin_user, team, settings, tmp_path):
    """A use case that went all the way; each row carries a word of its own, some rows twice."""
    settings.FILES_DIR = tmp_path / "files"
    path = tmp_path / "tickets.jsonl"
    rows = []
    for i in range(330):
        label = ("billing", "delivery", "returns")[i % 3]
        text = " ".join(WORDS[(i * step + i // 7) % len(WORDS)] for step in (1, 3, 5, 7, 11))
        rows.append({"text": f"zq{i:05d}x {text} {label[:3]} number {i}", "label": label})
    # copies, and copies but for formatting: the one left out must stay as closed as the one in the test
    rows += rows[::9] + [reformatted(row, i) for i, row in enumerate(rows[1::4])]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    job = start_trial(
        actor=admin_user, team=team, path=path, recipe={"name": "T", "reviewer": "demo", "seed": "s1"}
    )
    assert run_until_idle(max_seconds=300)
    job.refresh_from_db()
    assert job.status.value == "succeeded", job.error
    version = DatasetVersion.objects.frozen().get()
    tested = {
        CANARY.search(prompt).group().lower()
        for prompt in VersionRow.objects.filter(version=version, split="test").values_list(
            "content__prompt", flat=True
        )
    }
    assert len(tested) > 40
    return version, tested


def spread(version) -> DatasetVersion:
    """Carry the words of test rows to wherever the portal's own work may put them; the older version is returned."""
    ids = list(
        VersionRow.objects.filter(version=version, split="test").values_list("example_id", flat=True)[:12]
    )
    rows = list(Example.objects.filter(pk__in=ids).select_related("content"))
    team, dataset = version.team, version.dataset
    finding, _ = Finding.objects.get_or_create(
        run=dataset.checks,
        rule="refusal",
        defaults={"team": team, "dataset": dataset, "severity": "warning", "headline": "Rows", "n_rows": 12},
    )
    run = QualityRun.objects.create(
        team=team, dataset=dataset, model="m", prompt_version="1", seed="s", finished_at=timezone.now()
    )
    for position, row in enumerate(rows):
        word = CANARY.search(row.content.prompt).group().lower()
        FindingRow.objects.update_or_create(
            finding=finding, example=row, defaults={"note": f"Says “{word}”.", "suggestion": word}
        )
        Judgement.objects.create(
            job=version.job,
            position=position,
            run=run,
            example=row,
            content=row.content,
            overall=0.1,
            issues=[word],
        )
    # what was trained on once is tested on now
    older = DatasetVersion.objects.get(pk=version.pk)
    DatasetVersion.objects.filter(pk=version.pk).update(number=version.number + 1)
    older.pk, older._state.adding, older.job = None, True, None
    older.save(force_insert=True)
    tested = VersionRow.objects.filter(version=version, split="test", example_id__in=ids)
    for position, row in enumerate(tested.order_by("position")):
        VersionRow.objects.create(
            version=older,
            content_id=row.content_id,
            example_id=row.example_id,
            split="train",
            position=position,
        )
    # a fix in bulk gives a row new text and keeps the one before it
    for row in rows[:6]:
        edit_example(
            actor=None,
            example=row,
            edition=row.edition,
            prompt=f"{row.content.prompt} indeed",
            completion=row.content.completion,
        )
    return older


def bring_in_twins(version, tested, actor) -> set[int]:
    """A later file with the tested rows in another formatting, one of them edited since; the new rows' numbers."""
    dataset = version.dataset
    rows = VersionRow.objects.filter(version=version, split="test").select_related("content")
    lines = [
        json.dumps(reformatted({"text": row.content.prompt, "label": row.content.completion}, i + 1))
        for i, row in enumerate(rows[:24])
    ]
    stream = ("\n".join(lines) + "\n").encode()
    blob = store.put(team=dataset.team, stream=stream, name="again.jsonl", kind="import", actor=actor)
    start_import(actor=actor, import_=stage_upload(actor=actor, dataset=dataset, blob=blob))
    assert run_until_idle(max_seconds=120)
    late = list(Example.objects.filter(dataset=dataset).order_by("-pk").select_related("content")[:24])
    assert {CANARY.search(row.content.prompt).group().lower() for row in late} <= tested
    for row in late[:3]:
        edit_example(
            actor=None,
            example=row,
            edition=row.edition,
            prompt=f"{row.content.prompt} indeed",
            completion=row.content.completion,
        )
    return {row.pk for row in late}


def body_of(answer) -> str:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return content.decode(errors="replace")


def variants(version) -> list[str]:
    """Addresses with the questions a person can add to them: every page of the lists, every split, every row."""
    dataset = version.dataset_id
    found = []
    late = Example.objects.filter(dataset=dataset).order_by("-pk").values_list("pk", flat=True)[:24]
    dropped = Example.objects.filter(dataset=dataset, state="dropped").values_list("pk", flat=True)
    found += [f"/examples/{key}/" for key in (*late, *dropped)]
    found += [f"/files/{key}/download/" for key in Blob.objects.values_list("pk", flat=True)]
    for state in ("active", "dropped", "rejected"):
        found += [f"/datasets/{dataset}/examples/?state={state}&after={n}" for n in range(0, 400, 45)]
    for split in ("train", "validation", "test", "all"):
        found += [f"/dataset-versions/{version.pk}/rows/?split={split}&after={n}" for n in (-1, 49, 99, 149)]
        for form in ("chat", "pairs", "openai", "bedrock"):
            found.append(f"/dataset-versions/{version.pk}/export/{split}/{form}/")
        found.append(f"/api/v1/versions/{version.pk}/export/{split}.jsonl")
    for review in version.dataset.reviews.all():
        found += [f"/reviews/{review.pk}/?at={n}" for n in range(1, review.n_total + 1)]
    rows = VersionRow.objects.filter(version=version, split="test").values_list("example_id", flat=True)
    found += [f"/examples/{key}/" for key in rows[:25]]
    for checks in version.dataset.check_runs.all():
        found += [f"/findings/{finding.pk}/" for finding in checks.findings.all()]
    for comparison in Comparison.objects.all():
        found += [f"/comparisons/{comparison.pk}/export/{form}/" for form in ("csv", "json")]
        found += [f"/api/v1/comparisons/{comparison.pk}"]
        for e in comparison.evaluations.all():
            found += [
                f"/api/v1/evaluations/{e.pk}",
                f"/api/v1/evaluations/{e.pk}/rows",
                f"/evaluations/{e.pk}/?part=rows",
            ]
    return found


def operations(numbers: list[int]) -> list[str]:
    """Every reading operation of the API with every number given in its gaps."""
    found = []
    for path, methods in api.get_openapi_schema()["paths"].items():
        if "get" in methods:
            for number in numbers if "{" in path else [0]:
                for split in ("train", "validation", "test") if "{split}" in path else [""]:
                    found.append(re.sub(r"{[^}]*}", str(number), path.replace("{split}", split)))
    return found


def test_no_address_shows_a_test_row_before_it_is_opened(workspace, team, admin_user, viewer):
    """Every declared address, every page of the lists, every export and every reading operation of the API."""
    version, tested = workspace
    older = spread(version)
    late = bring_in_twins(version, tested, admin_user)
    dropped = Example.objects.filter(dataset=version.dataset, state="dropped").select_related("content")
    twins = [
        row for row in dropped if canaries(row.content.prompt) <= tested and "zq" not in row.content.prompt
    ]
    assert len(late) > 20 and len(twins) > 5
    claim = Comparison.objects.get(is_claim=True)
    numbers = sorted(
        {version.pk, version.dataset_id, claim.pk, *claim.evaluations.values_list("pk", flat=True), 1, 2}
    )
    _, key = teams.issue_token(actor=admin_user, team=team, role=Role.ADMIN, name="k", scope=Scope.WRITE)
    asked = [
        (person, {}, path)
        for person in (admin_user, viewer)
        for path in [*paths_of(version, team, person), f"/dataset-versions/{older.pk}/rows/?split=train"]
    ]
    asked += [(None, {"Authorization": f"Bearer {key}"}, path) for path in operations(numbers)]
    client, last, seen_others, leaks = Client(raise_request_exception=False), None, 0, {}
    n_of_api = 0
    files_of_older = re.compile(rf"versions/{older.pk}/(export|folder)")
    for person, headers, path in asked:
        if files_of_older.search(path):
            continue  # files for training are whole; the page says so
        if person != last:
            client.logout() if person is None else client.force_login(person)
            last = person
        answer = client.get(path, headers=headers)
        if answer.status_code >= 400:
            continue
        n_of_api += person is None
        found = canaries(body_of(answer))
        seen_others += bool(found - tested)
        if found & tested:
            leaks[f"{person}: {path}"] = sorted(found & tested)[:3]
    assert seen_others > 40, "the sweep saw too few rows to mean anything"
    assert n_of_api > 15
    # judging a row that was queued before the freeze, against an older text
    client.force_login(admin_user)
    rows = VersionRow.objects.filter(version=version, split="test").values_list("example_id", flat=True)
    queued = ReviewItem.objects.filter(example_id__in=list(rows))
    for item in queued:
        url = reverse("datasets:review-judge", args=[item.review_id, item.pk])
        given = {"verdict": "edited", "edition": "77", "prompt": "mine", "completion": "billing"}
        answer = client.post(url, given)
        if canaries(body_of(answer)) & tested:
            leaks[f"POST {url}"] = [str(answer.status_code)]
    assert queued
    assert not leaks, json.dumps(leaks, indent=1)[:6000]


def paths_of(version, team, person) -> list[str]:
    return list(dict.fromkeys([address.path for address in addresses(team, person)] + variants(version)))


def test_looks_are_counted_searches_tell_nothing_and_a_worn_out_test_asks_for_fresh_rows(
    workspace, team, admin_user, viewer
):
    version, tested = workspace
    client = Client()
    client.force_login(admin_user)
    rows_url = f"/datasets/{version.dataset_id}/examples/"
    others = canaries(body_of(client.get(rows_url))) - tested
    for canary in sorted(tested)[:3]:
        page = body_of(client.get(f"{rows_url}?q={canary}"))
        assert page.count("<tr data-row") == 0, f"{canary}: a match tells that the words stand in the test"
        links = [
            re.findall(r"(?:after|before)=[0-9]+", body_of(client.get(f"{rows_url}?q={word}&after=0")))
            for word in (canary, "zq99999x")
        ]
        assert links[0] == links[1], f"{canary}: the way back tells where the row stands"
    assert body_of(client.get(f"{rows_url}?q={min(others)}")).count("<tr data-row") >= 1

    # opening needs a reason, is counted, and opens to this person alone
    before = version.looks.count()
    assert before >= 1  # the claim of the trial is one
    client.post(f"/dataset-versions/{version.pk}/open-test/", {"reason": "a complaint about one row"})
    assert version.looks.count() == before + 1
    test_url = f"/dataset-versions/{version.pk}/rows/?split=test"
    assert canaries(body_of(client.get(test_url))) & tested
    client.force_login(viewer)
    assert not canaries(body_of(client.get(test_url))) & tested

    while not wear_of(version).is_worn:
        count_look(actor=admin_user, version=version, kind="claim", reason="another try of many")
    floors = evaluations.ensure_baselines(
        actor=admin_user, use_case=version.dataset.use_case, version=version
    )[:2]
    claim = {"actor": admin_user, "version": version, "candidates": floors, "reason": "Ready to ship it."}
    with pytest.raises(WornOut, match="Draw fresh rows"):
        evaluations.start_claim(**claim)
    assert "worn out" in body_of(client.get(f"/dataset-versions/{version.pk}/"))
    n = version.looks.count()
    assert evaluations.start_claim(despite_wear=True, **claim).is_claim
    assert version.looks.count() == n + 1
