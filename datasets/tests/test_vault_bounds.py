"""The vault at size and from every side: bounded questions, refused writes, looks through mixes, judgings repeated."""

from __future__ import annotations

import re

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets import asked, services, vault
from datasets.errors import NothingToDo, Sealed
from datasets.models import (
    DatasetVersion,
    Edit,
    Example,
    Judgement,
    Look,
    QualityRun,
    SealedDigests,
    VersionRow,
)
from datasets.services import mixing
from datasets.tests.conftest import jsonl, tickets
from datasets.vault_rows import RowsVault
from foundation.jobs.services import run_until_idle
from foundation.llm.testing.stub_upstream import StubUpstream
from foundation.llm.tests.conftest import make_connection

pytestmark = pytest.mark.django_db


def freeze(dataset, editor) -> DatasetVersion:
    version = services.start_freeze(actor=editor, dataset=dataset, override_reason="a test of the vault")
    assert run_until_idle(60)
    version.refresh_from_db()
    assert version.is_frozen
    return version


def rows_of(version, split) -> list[Example]:
    ids = VersionRow.objects.filter(version=version, split=split).values_list("example_id", flat=True)
    return list(Example.objects.filter(pk__in=list(ids)).select_related("content").order_by("pk"))


@pytest.fixture
def version(dataset, bring_in, editor):
    bring_in(dataset, jsonl(tickets(60)))
    return freeze(dataset, editor)


def test_what_a_page_asks_of_the_vault_does_not_grow_with_the_test(version, dataset, bring_in, editor):
    tested = rows_of(version, "test")
    copies = [{"text": row.content.prompt, "label": row.label} for row in tested[:3]]
    bring_in(dataset, jsonl([*copies, *tickets(90)[80:]]))
    late = list(Example.objects.filter(dataset=dataset, pk__gt=max(r.pk for r in tested)).order_by("pk"))
    late = [row for row in late if row.source_id == late[-1].source_id]
    assert len(late) == 13
    # one of the new rows was edited; its history is asked about as well
    services.edit_example(
        actor=None, example=late[5], edition=late[5].edition, prompt="mended", completion="card"
    )
    late[5].refresh_from_db()
    asked.forget()
    with CaptureQueriesContext(connection) as queries:
        closed = vault.sealed_contents(dataset, [row.content_id for row in late])
    assert closed == {row.content_id for row in late[:3]}
    # Rows of the version are found by the texts they hold; the digests come as one value.
    about_rows = [q["sql"] for q in queries if "datasets_versionrow" in q["sql"]]
    assert about_rows
    for sql in about_rows:
        assert re.search(r'"content_id" (IN \([0-9, ]+\)|= \("datasets_content"."id"\))', sql), sql
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
                plan = [line[3] for line in cursor.fetchall() if "versionrow" in line[3] or " U0 " in line[3]]
            assert plan and all("(content_id=?)" in line for line in plan), plan
    assert sum("datasets_sealeddigests" in q["sql"] for q in queries) == 1
    assert len(queries) <= 8
    assert closed | {row.content_id for row in tested} == vault.sealed_contents(dataset)


def test_a_version_frozen_before_its_digests_were_kept_is_as_closed(version, dataset):
    kept = SealedDigests.objects.get(version=version)
    assert np.array_equal(np.frombuffer(kept.data, "<u8"), asked.exact_of(version.pk))
    assert np.array_equal(np.frombuffer(kept.loose, "<u8"), asked.loose_of(version.pk))
    assert len(kept.data) == len(kept.loose) == 8 * version.n_test > 0
    before = vault.sealed_contents(dataset)
    SealedDigests.objects.all().delete()
    asked.forget()
    assert vault.sealed_contents(dataset) == before


def test_a_sealed_row_is_neither_taken_out_nor_brought_back_nor_undone(version, editor, client_for):
    row = rows_of(version, "test")[0]
    services.edit_example(
        actor=None,
        example=row,
        edition=row.edition,
        prompt="mended in bulk",
        completion=row.content.completion,
    )
    edit = Edit.objects.get(example=row)
    row.refresh_from_db()
    with pytest.raises(Sealed):
        services.set_state(actor=editor, example=row, active=False)
    with pytest.raises(Sealed):
        services.undo_example_edit(actor=editor, edit=edit)
    url = reverse("datasets:example-state", args=[row.pk])
    answer = client_for(editor).post(url, {"active": "no"})
    assert answer.status_code == 403
    assert "Test rows are sealed" in answer.content.decode()
    row.refresh_from_db()
    assert row.state == "active"
    services.open_test_rows(actor=editor, version=version, reason="a complaint about one row")
    assert services.set_state(actor=editor, example=row, active=False).state == "rejected"
    learnt = rows_of(version, "train")[0]
    assert services.set_state(actor=editor, example=learnt, active=False).state == "rejected"


def test_looks_at_members_wear_out_their_mix_and_each_look_counts_once(
    team, editor, use_case, bring_in, client_for
):
    members = []
    for name, rows in (("Small", tickets(40)), ("Large", tickets(170)[50:])):
        dataset = services.create_dataset(actor=editor, team=team, use_case=use_case, name=name)
        bring_in(dataset, jsonl(rows))
        members.append(freeze(dataset, editor))
    mixes = []
    for name in ("Both", "Again"):
        mixed = mixing.mix_versions(
            actor=editor, use_case=use_case, name=name, members=[(v, v.dataset.name) for v in members]
        )
        assert run_until_idle(60)
        mixed.refresh_from_db()
        mixes.append(mixed)
    services.count_look(actor=editor, version=members[0], kind="claim", reason="before the mix", subject="A")
    services.count_look(actor=editor, version=mixes[0], kind="claim", reason="of the mix", subject="B")
    # Both mixes hold the same tests: a look at one is a look at the other, and none is counted twice.
    assert [vault.wear_of(v).n_looks for v in (*mixes, *members)] == [2, 2, 2, 1]
    shown = vault.looks_at(mixes[0], most=10)
    assert [(look.version_id, look.reason) for look in shown] == [
        (mixes[0].pk, "of the mix"),
        (members[0].pk, "before the mix"),
    ]
    page = client_for(editor).get(reverse("datasets:version-detail", args=[mixes[0].pk])).content.decode()
    assert "of Small version 1, mixed in here" in page


def test_looks_at_members_stay_when_their_mix_goes(team, editor, use_case, bring_in):
    dataset = services.create_dataset(actor=editor, team=team, use_case=use_case, name="Member")
    bring_in(dataset, jsonl(tickets(40)))
    member = freeze(dataset, editor)
    mixed = DatasetVersion.objects.create(team=team, dataset=dataset, number=99)
    whole = Look.objects.create(team=team, version=mixed, kind="claim", reason="of the mix")
    part = Look.objects.create(team=team, version=member, kind="claim", reason="of the mix", through=whole)
    mixed.delete()
    part.refresh_from_db()
    assert part.through is None
    assert vault.wear_of(member).n_looks == 1


def test_fresh_rows_are_told_by_the_counts_of_imports(version, dataset, bring_in):
    assert vault.n_fresh_rows(dataset) == 0
    bring_in(dataset, jsonl(tickets(90)[70:]))
    with CaptureQueriesContext(connection) as queries:
        assert vault.n_fresh_rows(dataset) == 20
    assert not any("datasets_example" in q["sql"] for q in queries)


def test_judging_again_leaves_out_rows_sealed_since_and_says_so(dataset, bring_in, editor, team, client_for):
    bring_in(dataset, jsonl(tickets(60)))
    with StubUpstream(latency_ms=1) as stub:
        make_connection(team, stub.url)
        first = services.start_quality(actor=editor, dataset=dataset, how="all")
        assert run_until_idle(60)
        version = freeze(dataset, editor)
        sealed = {row.pk for row in rows_of(version, "test")}
        first.refresh_from_db()
        second = services.start_quality(actor=editor, dataset=dataset, again=first)
        assert run_until_idle(60)
        second.refresh_from_db()
        asked = set(Judgement.objects.filter(run=second).values_list("example_id", flat=True))
        assert sealed and not asked & sealed
        assert second.n_sample == len(asked) == 60 - len(sealed)
        page = client_for(editor).get(reverse("datasets:quality-detail", args=[second.pk])).content.decode()
        assert (
            f"{len(sealed)} rows of the judging before are sealed test rows since and were left out." in page
        )
        only = QualityRun.objects.create(
            team=team, dataset=dataset, model=first.model, seed="s", finished_at=first.finished_at
        )
        kept = Judgement.objects.filter(run=first, example_id__in=sealed).first()
        Judgement.objects.filter(pk=kept.pk).update(run=only)
        with pytest.raises(NothingToDo, match="sealed test row now"):
            services.start_quality(actor=editor, dataset=dataset, again=only)


def test_a_mix_keeps_closed_what_its_members_test_on_since(
    team, editor, use_case, bring_in, client_for, viewer
):
    members, sets = [], []
    for name, rows in (("Small", tickets(40)), ("Large", tickets(170)[50:])):
        dataset = services.create_dataset(actor=editor, team=team, use_case=use_case, name=name)
        bring_in(dataset, jsonl(rows))
        sets.append(dataset)
        members.append(freeze(dataset, editor))
    mixed = mixing.mix_versions(
        actor=editor, use_case=use_case, name="Both", members=[(v, v.dataset.name) for v in members]
    )
    assert run_until_idle(60)
    mixed.refresh_from_db()
    url, client = reverse("datasets:version-rows", args=[mixed.pk]), client_for(viewer)
    at_first = client.get(url, {"split": "train"}).content.decode()
    assert "sealed" not in at_first
    # Since then another seed tests on rows of the first member that the mix learnt from, one of them mended before.
    learnt = {row.pk: row for row in rows_of(members[0], "train")}
    said = {}
    for row in list(learnt.values())[::2]:
        said[row.pk] = row.content.prompt
        services.edit_example(
            actor=None, example=row, edition=1, prompt=f"{row.content.prompt} indeed", completion=row.content.completion
        )  # fmt: skip
    newer = services.start_freeze(
        actor=editor, dataset=sets[0], seed="another", ratios=("0.5", "0.1", "0.4"), override_reason="a test of it"
    )  # fmt: skip
    assert run_until_idle(60)
    newer.refresh_from_db()
    tested = [row for row in rows_of(newer, "test") if row.pk in learnt]
    assert {row.pk in said for row in tested} == {True, False}
    hidden = {said.get(row.pk, row.content.prompt) for row in tested}
    pages = "".join(
        client.get(url, {"split": "train", "after": n}).content.decode() for n in (-1, 49, 99, 149)
    )
    assert not [text for text in hidden if text in pages]
    assert pages.count("A test row of the newest version: sealed.") == len(hidden)
    shown = [row.content.prompt for row in rows_of(members[1], "train")]
    assert all(text in pages for text in shown)
    # Who opened that test reads them here as well.
    services.open_test_rows(actor=editor, version=newer, reason="a complaint about one row")
    told = "".join(
        client_for(editor).get(url, {"split": "train", "after": n}).content.decode()
        for n in (-1, 49, 99, 149)
    )
    assert all(text in told for text in hidden)
    # What is asked does not grow with the members: the newest versions, their looks and their tests, at once.
    asked.forget()
    with CaptureQueriesContext(connection) as queries:
        RowsVault(mixed, viewer).closed([row.content for row in mixed.rows.select_related("content")[:50]])
    assert sum("datasets_sealeddigests" in q["sql"] for q in queries) == 1
    assert len(queries) <= 7
