"""The vault row by row: what is sealed stays so under an edit, in older versions, in notes, in queues and in searches."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from datasets import listing, reporting, services
from datasets.domain.listing import Filters
from datasets.errors import Sealed
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
from datasets.reporting import findings_csv
from datasets.services import judging, mixing
from datasets.tests.conftest import jsonl, tickets
from datasets.vault import sealed_contents, wear_of
from foundation.jobs.models import Job
from foundation.jobs.services import run_until_idle

pytestmark = pytest.mark.django_db

SENTENCE = "Test rows are sealed. Open them with a reason first."


def frozen(dataset, editor, **more) -> DatasetVersion:
    version = services.start_freeze(
        actor=editor, dataset=dataset, override_reason="a test of the vault", **more
    )
    assert run_until_idle(60)
    version.refresh_from_db()
    assert version.is_frozen
    return version


def asked_rows(version) -> list[Example]:
    ids = VersionRow.objects.filter(version=version, split="test").values_list("example_id", flat=True)
    return list(Example.objects.filter(pk__in=list(ids)).select_related("content").order_by("pk"))


def change(example, *, actor=None, prompt="quite another text now"):
    """An edit of the row as it is now; without an actor the portal's own, as a fix in bulk makes it."""
    example.refresh_from_db()
    return services.edit_example(
        actor=actor,
        example=example,
        edition=example.edition,
        prompt=prompt,
        completion=example.content.completion,
    )


@pytest.fixture
def version(dataset, bring_in, editor):
    bring_in(dataset, jsonl([*tickets(60), tickets(60)[7]]))
    return frozen(dataset, editor)


def test_a_row_stays_sealed_under_the_text_a_fix_gave_it_and_so_does_its_twin(
    version, client_for, viewer, editor
):
    dataset, row = version.dataset, asked_rows(version)[0]
    asked = row.content.prompt
    change(row)
    row.refresh_from_db()
    assert sealed_contents(dataset, [row.content_id]) == {row.content_id}
    assert row.content_id in sealed_contents(dataset)
    page = client_for(viewer).get(reverse("datasets:example-detail", args=[row.pk])).content.decode()
    assert asked not in page
    assert "quite another text now" not in page
    # to who opened the test with a reason, both are open
    services.open_test_rows(actor=editor, version=version, reason="a complaint about one row")
    page = client_for(editor).get(reverse("datasets:example-detail", args=[row.pk])).content.decode()
    assert "quite another text now" in page


def test_an_edited_copy_of_a_test_row_stays_sealed(version, client_for, viewer, dataset, bring_in):
    row = asked_rows(version)[0]
    bring_in(dataset, jsonl([{"text": row.content.prompt, "label": row.content.completion}]))
    copy = Example.objects.filter(dataset=dataset).latest("pk")
    assert copy.content.prompt == row.content.prompt
    change(copy)
    copy.refresh_from_db()
    assert sealed_contents(dataset, [copy.content_id]) == {copy.content_id}
    assert copy.content_id in sealed_contents(dataset)
    page = client_for(viewer).get(reverse("datasets:example-detail", args=[copy.pk])).content.decode()
    assert row.content.prompt not in page


def test_every_text_between_the_edits_of_a_copy_is_sealed(version, dataset, bring_in):
    row = asked_rows(version)[0]
    bring_in(dataset, jsonl([{"text": row.content.prompt, "label": row.content.completion}]))
    copy = Example.objects.filter(dataset=dataset).latest("pk")
    first = change(copy, prompt=f"{row.content.prompt} please")
    second = change(copy, prompt="quite another text now")
    assert first.after_id == second.before_id
    between, now = first.after_id, second.after_id
    assert sealed_contents(dataset, [between, now]) == {between, now}


def test_a_look_at_an_older_version_wears_out_the_later_ones_that_ask_its_rows(
    version, dataset, bring_in, editor, client_for
):
    bring_in(dataset, jsonl(tickets(90)[70:]))
    newer = frozen(dataset, editor)
    asked = set(VersionRow.objects.filter(version=newer, split="test").values_list("content_id", flat=True))
    before = VersionRow.objects.filter(version=version, split="test").values_list("content_id", flat=True)
    assert asked.intersection(before)
    services.open_test_rows(actor=editor, version=version, reason="a complaint about one row")
    assert [wear_of(v).n_looks for v in (version, newer)] == [1, 1]
    # it opens no row that the older test does not ask
    assert not services.has_looked(actor=editor, version=newer)
    services.count_look(actor=editor, version=newer, kind="claim", reason="a first claim")
    assert [wear_of(v).n_looks for v in (version, newer)] == [1, 2]
    page = client_for(editor).get(reverse("datasets:version-detail", args=[newer.pk])).content.decode()
    assert "a complaint about one row" in page
    assert "of version 1, which asks some of these rows" in page
    # as much for a version that was frozen before this was kept
    del newer.report["shares_test_with"]
    assert wear_of(newer).n_looks == 2
    # and a fresh test starts anew
    bring_in(dataset, jsonl(tickets(160)[90:]))
    assert wear_of(frozen(dataset, editor, fresh_test=True)).n_looks == 0


def test_nobody_edits_a_sealed_row_nor_fixes_it_by_a_tick(version, client_for, editor, dataset, bring_in):
    row = asked_rows(version)[0]
    answer = client_for(editor).post(
        reverse("datasets:example-edit", args=[row.pk]),
        {"prompt": "mine", "completion": "card", "label": "card", "edition": row.edition},
    )
    assert answer.status_code == 403
    assert SENTENCE in answer.content.decode()
    finding = Finding.objects.create(
        team=dataset.team, run=dataset.checks, dataset=dataset, rule="near_duplicate", severity="warning",
        headline="1 row", n_rows=1, n_fixable=1,
    )  # fmt: skip
    FindingRow.objects.create(finding=finding, example=row)
    answer = client_for(editor).post(reverse("datasets:finding-fix", args=[finding.pk]), {"rows": [row.pk]})
    assert answer.status_code == 403
    assert SENTENCE in answer.content.decode()
    row.refresh_from_db()
    assert (row.edition, row.state, row.edits.count()) == (1, "active", 0)
    services.open_test_rows(actor=editor, version=version, reason="a complaint about one row")
    assert change(row, actor=editor) is not None


def test_a_training_row_hides_the_text_it_shared_with_the_test(dataset, bring_in, editor, client_for, viewer):
    """Its text was mended away before the freeze; the same text under another row is tested since."""
    bring_in(dataset, jsonl([*tickets(60), *tickets(60)]))
    twins = {
        row.content.prompt: row for row in Example.objects.filter(dataset=dataset).select_related("content")
    }
    for i, row in enumerate(twins.values()):  # the later ones of each pair
        change(row, prompt=f"a text of its own, number {i}")
    version = frozen(dataset, editor)
    asked = {row.content.prompt for row in asked_rows(version)} & twins.keys()
    trained = VersionRow.objects.filter(version=version, split="train").values_list("example_id", flat=True)
    prompt = next(text for text in sorted(asked) if twins[text].pk in set(trained))
    page = (
        client_for(viewer).get(reverse("datasets:example-detail", args=[twins[prompt].pk])).content.decode()
    )
    assert "a text of its own" in page
    # a diff would tear the old text apart: "Ticket 28" and what follows, word by word
    assert re.sub(r"<[^>]*>", "", page).count(" account shows ") == 0
    assert "By the portal" not in page


def test_a_row_queued_before_the_freeze_is_neither_shown_nor_judged(dataset, bring_in, editor, client_for):
    bring_in(dataset, jsonl(tickets(60)))
    review = services.plan_review(actor=editor, dataset=dataset, share=1.0)
    version = frozen(dataset, editor)
    row = asked_rows(version)[0]
    # A freeze takes such rows out; a queue that was open when it did so still holds one.
    item = ReviewItem.objects.create(review=review, example=row, position=900)
    change(row, prompt="a colleague was quicker")
    client = client_for(editor)
    url = reverse("datasets:review-judge", args=[review.pk, item.pk])
    edit = {"verdict": "edited", "edition": "1", "prompt": "mine", "completion": "card", "label": "card"}
    for given in (edit, {"verdict": "accepted"}, {"verdict": "rejected"}):
        answer = client.post(url, given)
        page = answer.content.decode()
        assert answer.status_code == 403
        assert SENTENCE in page
        assert "a colleague was quicker" not in page
        assert row.content.prompt not in page
    item.refresh_from_db()
    assert item.verdict == ""
    services.open_test_rows(actor=editor, version=version, reason="a complaint about one row")
    answer = client.post(url, edit)
    assert answer.status_code == 409
    assert "a colleague was quicker" in answer.content.decode()


def test_the_services_of_a_review_ask_the_vault_themselves(version, dataset, editor):
    review = services.plan_review(actor=editor, dataset=dataset, share=1.0)
    row = asked_rows(version)[0]
    n_open = review.n_total
    item = ReviewItem.objects.create(review=review, example=row, position=900)
    for is_double in (False, True):
        ReviewItem.objects.filter(pk=item.pk).update(is_double=is_double)
        item.refresh_from_db()
        with pytest.raises(Sealed):
            services.review_example(actor=editor, item=item, verdict="rejected")
    assert services.accept_all(actor=editor, review=review, reviewer="Ada") == n_open
    item.refresh_from_db()
    row.refresh_from_db()
    assert (item.verdict, row.review, row.state) == ("", "", "active")


def test_unjudged_rows_that_a_freeze_seals_leave_the_queue_so_that_it_can_be_finished(
    dataset, bring_in, editor, client_for
):
    bring_in(dataset, jsonl(tickets(60)))
    review = services.plan_review(actor=editor, dataset=dataset, share=1.0)
    judged = review.items.order_by("position")[:30]
    for item in judged:
        services.review_example(actor=editor, item=item, verdict="accepted")
    version = frozen(dataset, editor)
    tested = {row.pk for row in asked_rows(version)}
    done = {item.example_id for item in judged}
    assert tested - done and tested & done
    review.refresh_from_db()
    assert review.n_total == review.n_sample == review.items.count() == 60 - len(tested - done)
    assert not review.items.filter(verdict="", example__in=tested).exists()
    assert review.items.filter(example__in=tested).count() == len(tested & done)
    page = client_for(editor).get(reverse("datasets:review-detail", args=[review.pk]))
    assert page.context["item"].example_id not in tested
    # the arrows lead over the gaps
    places = list(review.items.order_by("position").values_list("position", flat=True))
    at = next(i for i in range(1, len(places) - 1) if places[i + 1] > places[i] + 1)
    page = client_for(editor).get(reverse("datasets:review-detail", args=[review.pk]), {"at": places[at]})
    assert (page.context["prev"], page.context["next"]) == (places[at - 1], places[at + 1])
    n_left = review.n_left
    assert 0 < services.accept_all(actor=editor, review=review, reviewer="Ada") == n_left
    review.refresh_from_db()
    assert review.is_finished


def test_notes_labels_and_issues_tell_nothing_of_sealed_rows(version, client_for, viewer, dataset):
    sealed = asked_rows(version)[0]
    open_row = Example.objects.get(
        pk=VersionRow.objects.filter(version=version, split="train").values_list("example_id", flat=True)[0]
    )
    finding = Finding.objects.create(
        team=dataset.team, run=dataset.checks, dataset=dataset, rule="refusal", severity="warning",
        headline="2 rows", n_rows=2,
    )  # fmt: skip
    run = QualityRun.objects.create(
        team=dataset.team,
        dataset=dataset,
        model="m",
        prompt_version="1",
        seed="s",
        finished_at=timezone.now(),
    )
    job = Job.objects.filter(team=dataset.team).latest("pk")
    for position, (row, word) in enumerate(((sealed, "secretword"), (open_row, "openword"))):
        Example.objects.filter(pk=row.pk).update(label=f"{word}-label")
        FindingRow.objects.create(
            finding=finding, example=row, note=f"{word}-note", suggestion=f"{word}-suggestion"
        )
        Judgement.objects.create(
            job=job, position=position, run=run, example=row, content=row.content, overall=0.1,
            issues=[f"{word}-issue"],
        )  # fmt: skip
    client = client_for(viewer)
    pages = {
        "finding": client.get(reverse("datasets:finding-detail", args=[finding.pk])).content.decode(),
        "list": client.get(reverse("datasets:example-list", args=[dataset.pk])).content.decode(),
        "csv": b"".join(findings_csv(dataset=dataset, user=viewer)).decode(),
        "quality": client.get(reverse("datasets:quality-detail", args=[run.pk])).content.decode(),
    }
    for name, page in pages.items():
        if name != "list":
            assert "openword" in page, name
        assert "secretword" not in page, name
    by_label = client.get(reverse("datasets:example-list", args=[dataset.pk]), {"label": "secretword-label"})
    assert "<tr data-row" not in by_label.content.decode()


def test_a_judge_is_asked_about_no_sealed_row(version, dataset):
    sealed = {row.pk for row in asked_rows(version)}
    assert sealed
    for how in ("sample", "plain", "all"):
        chosen = set(judging.sample(dataset, how=how))
        assert chosen
        assert not chosen & sealed, how
    assert len(judging.sample(dataset, how="all")) == 61 - len(sealed) - sum(
        row.content_id in sealed_contents(dataset)
        for row in Example.objects.filter(dataset=dataset).exclude(pk__in=sealed)
    )


def test_an_older_versions_training_keeps_closed_what_the_newest_tests(
    version, dataset, editor, client_for, viewer
):
    newer = frozen(dataset, editor)
    moved = (
        VersionRow.objects.filter(version=version, split="train")
        .select_related("content")
        .order_by("position")[0]
    )
    VersionRow.objects.filter(version=newer, content=moved.content).update(split="test", position=900)
    rows = reverse("datasets:version-rows", args=[version.pk])
    page = client_for(viewer).get(rows, {"split": "train"}).content.decode()
    assert moved.content.prompt not in page
    assert "A test row of the newest version: sealed." in page
    services.open_test_rows(actor=editor, version=newer, reason="a complaint about one row")
    assert moved.content.prompt in client_for(editor).get(rows, {"split": "train"}).content.decode()
    # a text that the tested row had before it was mended is as good as the one it has
    exports = reverse("datasets:version-exports", args=[version.pk])
    assert "Version 2 is newer" in client_for(viewer).get(exports).content.decode()


def test_an_earlier_text_of_a_tested_row_is_closed_in_older_versions(
    version, dataset, editor, client_for, viewer
):
    row = Example.objects.get(
        pk=VersionRow.objects.filter(version=version, split="train").order_by("position")[0].example_id
    )
    before = row.content.prompt
    change(row, prompt=f"{before} indeed")
    row.refresh_from_db()
    newer = frozen(dataset, editor)
    VersionRow.objects.filter(version=newer, content=row.content).update(split="test", position=900)
    page = client_for(viewer).get(reverse("datasets:version-rows", args=[version.pk])).content.decode()
    assert before not in page


def test_opening_a_mix_is_a_look_at_every_test_in_it(team, editor, use_case, bring_in):
    members = []
    for name, rows in (("Small", tickets(40)), ("Large", tickets(170)[50:])):
        dataset = services.create_dataset(actor=editor, team=team, use_case=use_case, name=name)
        bring_in(dataset, jsonl(rows))
        members.append(frozen(dataset, editor))
    mixed = mixing.mix_versions(
        actor=editor, use_case=use_case, name="Both", members=[(v, v.dataset.name) for v in members]
    )
    assert run_until_idle(60)
    mixed.refresh_from_db()
    services.open_test_rows(actor=editor, version=mixed, reason="to see what is mixed")
    services.count_look(
        actor=editor, version=mixed, kind="claim", reason="the first claim", subject="A against B"
    )
    for version in (mixed, *members):
        assert wear_of(version).n_looks == 2, version
        assert services.has_looked(actor=editor, version=version)
    looks = members[0].looks.order_by("pk").values_list("kind", "subject", "reason")
    assert list(looks) == [
        ("rows", "mixed in Both", "to see what is mixed"),
        ("claim", "A against B, mixed in Both", "the first claim"),
    ]


def test_the_keys_of_a_search_do_not_tell_of_sealed_rows(
    dataset, bring_in, editor, client_for, viewer, monkeypatch
):
    bring_in(dataset, jsonl(tickets(60)))
    version = frozen(dataset, editor)
    monkeypatch.setattr(listing, "PAGE", 2)
    client, url = client_for(viewer), reverse("datasets:example-list", args=[dataset.pk])
    for row in asked_rows(version)[:3]:
        words = row.content.prompt
        keys = [
            re.findall(r"(?:after|before)=[0-9]+", client.get(url, {"q": q, **start}).content.decode())
            for q in (words, "words that stand in no row")
            for start in ({"after": 0}, {"before": 10**6})
        ]
        assert keys[0], "the way back is a link"
        assert keys[:2] == keys[2:]
    # pages of two over the open rows alone: neither empty ones nor short ones between
    closed = sealed_contents(dataset)
    n_open = Example.objects.filter(dataset=dataset).exclude(content_id__in=closed).count()
    sizes, after = [], None
    while True:
        page = listing.page_of(
            dataset, Filters(words="ticket", after=after), closed=lambda ids: sealed_contents(dataset, ids)
        )
        sizes.append(len(page.rows))
        after = page.next
        if after is None:
            break
    assert sizes == [2] * (n_open // 2) + [1] * (n_open % 2)


def test_a_search_row_by_row_leads_along_the_key_alone(version, dataset):
    with CaptureQueriesContext(connection) as asked:
        page = listing.page_of(dataset, Filters(words="my"))  # two letters: no index can help
    assert page.by_rows
    leading = [q["sql"] for q in asked if 'FROM "datasets_content"' in q["sql"]]
    assert leading
    assert not any("team_id" in sql.split("WHERE")[1] for sql in leading)


def test_the_report_is_sent_piece_by_piece_and_whole(dataset, bring_in, editor, client_for, monkeypatch):
    bring_in(dataset, jsonl([*tickets(15), *tickets(15)]))
    finding = Finding.objects.get(run=dataset.checks, rule="exact_duplicate")
    monkeypatch.setattr(reporting, "BLOCK", 4)
    rows = FindingRow.objects.filter(finding=finding).order_by("cluster", "pk")
    expected = list(rows.values_list("pk", flat=True))
    blocks = list(reporting._blocks(finding))
    assert [row.pk for block in blocks for row in block] == expected
    assert [len(block) for block in blocks] == [4] * 7 + [2]  # 30 rows
    answer = client_for(editor).get(reverse("datasets:report-csv", args=[dataset.pk]))
    assert hasattr(answer, "__aiter__")
    assert type(answer).__name__ == "Download"
