"""Freezing: the same rows and recipe are the same version anywhere; no leak; gates; kills; exports."""

from __future__ import annotations

import io
import json
import random

import pytest

from datasets import services
from datasets.datasheets import datasheet_of
from datasets.domain.cards import dataset_card
from datasets.domain.statuses import SYNTHETIC
from datasets.errors import Blocked, Sealed
from datasets.models import (
    CrossValidation,
    Dataset,
    DatasetVersion,
    Example,
    Finding,
    Import,
    TrainingRun,
    VersionRow,
)
from datasets.reading import version_rows
from datasets.services import fixing, versions
from datasets.services.exports import card_facts
from datasets.tests.conftest import jsonl, tickets
from decisions.services import create_use_case
from foundation.jobs.services import run_until_idle
from foundation.teams.errors import BadInput, Conflict

pytestmark = pytest.mark.django_db

REASON = "a test of freezing"


def freeze(editor, dataset, **more) -> DatasetVersion:
    version = services.start_freeze(actor=editor, dataset=dataset, override_reason=REASON, **more)
    assert run_until_idle(60)
    version.refresh_from_db()
    return version


def rows_of(version):
    return {
        split: [(row.digest, row.label) for row in version_rows(version, split)]
        for split in ("train", "validation", "test")
    }


def test_the_same_rows_in_another_order_and_dataset_give_the_same_checksum(team, editor, dataset, bring_in):
    rows = tickets(80)
    rows += [{"text": row["text"] + " Thank you.", "label": row["label"]} for row in rows[:10]]
    bring_in(dataset, jsonl(rows))
    one = freeze(editor, dataset, seed="s")
    other_use_case = create_use_case(actor=editor, team=team, name="Another", task_kind="classify")
    other = services.create_dataset(actor=editor, team=team, use_case=other_use_case, name="Shuffled")
    random.Random(1).shuffle(rows)
    bring_in(other, jsonl(rows[:50]), "a.jsonl")
    bring_in(other, jsonl(rows[50:] + rows[:3]), "b.jsonl")  # three rows twice: exact copies are left out
    two = freeze(editor, other, seed="s")
    assert one.state == two.state == "frozen"
    assert one.checksum == two.checksum
    assert rows_of(one) == rows_of(two)
    assert two.report["left_out"]["exact_duplicates"] == 3
    assert freeze(editor, dataset, seed="t").checksum != one.checksum


@pytest.mark.parametrize("first", ["person", "model"])
def test_of_two_equal_rows_the_one_a_person_brought_stays(dataset, bring_in, editor, first):
    rows = tickets(40)
    for who in (first, "model" if first == "person" else "person"):
        # The model wrote all rows anew: were its rows to stay, nothing could be tested on.
        # And what a person brings has more columns: a row that says whose it is came after one that does not.
        whole = (
            [{**row, "customer": f"c{i}"} for i, row in enumerate(rows)] if who == "person" else rows[::-1]
        )
        done = bring_in(dataset, jsonl(whole), f"{who}.jsonl")
        if who == "model":
            Import.objects.filter(pk=done.pk).update(source=SYNTHETIC)
    version = freeze(editor, dataset, seed="s")
    assert version.report["left_out"]["exact_duplicates"] == 40
    assert (version.n_rows, sum(version.report["synthetic"].values())) == (40, 0)
    assert version.n_test > 0


def test_near_duplicates_groups_and_equal_prompts_never_stand_in_two_splits(team, editor, use_case, bring_in):
    dataset = services.create_dataset(actor=editor, team=team, use_case=use_case, name="Grouped")
    rows = [{**row, "customer": f"c{i % 40}"} for i, row in enumerate(tickets(200))]
    rows += [
        {"text": row["text"].replace("account", "acount"), "label": row["label"]} for row in tickets(200)[:60]
    ]
    bring_in(dataset, jsonl(rows))
    assert dataset.examples.exclude(group="").count() == 200
    version = freeze(editor, dataset, seed="s")
    leaks = version.report["leakage"]
    assert leaks["is_clean"]
    assert {kind: leaks[kind]["n_groups"] for kind in ("exact", "loose", "near", "prompt", "group")} == {
        "exact": 0,
        "loose": 0,
        "near": 0,
        "prompt": 0,
        "group": 0,
    }
    assert version.report["units"]["near_groups"] >= 50
    loose = freeze(editor, dataset, seed="s", keep_groups=False)
    assert loose.report["leakage"]["group"]["n_groups"] > 0  # and the report says so
    assert loose.report["leakage"]["is_clean"]


def test_a_frozen_version_stays_as_it_is_whatever_happens_to_the_rows(dataset, bring_in, editor):
    bring_in(dataset, jsonl(tickets(60)))
    version = freeze(editor, dataset)
    before, checksum = rows_of(version), version.checksum
    row = VersionRow.objects.filter(version=version).first()
    example = dataset.examples.get(pk=row.example_id)
    services.edit_example(
        actor=editor, example=example, edition=1, prompt="Quite another text", completion="card"
    )
    services.set_state(actor=editor, example=dataset.examples.last(), active=False)
    version.refresh_from_db()
    assert rows_of(version) == before
    assert version.checksum == checksum


def test_the_gates_stand_until_a_reason_is_on_the_record(dataset, bring_in, editor):
    bring_in(dataset, jsonl(tickets(60)))
    with pytest.raises(Blocked, match="fewer than 500"):
        services.start_freeze(actor=editor, dataset=dataset)
    with pytest.raises(Blocked):
        services.start_freeze(actor=editor, dataset=dataset, override_reason="short")
    version = freeze(editor, dataset)
    assert version.override_reason == REASON
    assert {b["rule"] for b in version.report["blockers"]} == {"size", "review"}
    assert version.report["gate"]["state"] == "overridden"
    assert version.report["gate"]["folds"] == 5


def test_no_reason_is_kept_where_none_was_needed(dataset, bring_in, editor):
    bring_in(dataset, jsonl(tickets(600)))
    review = services.plan_review(actor=editor, dataset=dataset)
    services.accept_all(actor=editor, review=review, reviewer="demo")
    assert services.blockers(dataset) == []
    version = services.start_freeze(actor=editor, dataset=dataset)
    assert run_until_idle(60)
    version.refresh_from_db()
    assert (version.state, version.override_reason) == ("frozen", "")
    assert version.report["review"]["reviewers"] == ["demo"]
    assert version.report["gate"]["state"] == "warned"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"ratios": ("0.5", "0.1", "0.1")}, "add up to 100 %"),
        ({"ratios": ("-1", "1", "1")}, "below 0"),
        ({"ratios": ("0", "0.5", "0.5")}, "above 0"),
        ({"ratios": ("x", "0", "0")}, "must be a number"),
        ({"strategy": "astrology"}, "ways to split"),
        ({"strategy": "time"}, "No row carries a time"),
    ],
)
def test_nonsense_is_refused_before_anything_is_written(dataset, bring_in, editor, more, words):
    bring_in(dataset, jsonl(tickets(30)))
    with pytest.raises(BadInput, match=words):
        services.start_freeze(actor=editor, dataset=dataset, override_reason=REASON, **more)
    assert not DatasetVersion.objects.exists()


def test_two_presses_while_one_is_built_are_one_version(dataset, bring_in, editor):
    bring_in(dataset, jsonl(tickets(30)))
    one = services.start_freeze(actor=editor, dataset=dataset, override_reason=REASON)
    assert services.start_freeze(actor=editor, dataset=dataset, override_reason=REASON) == one
    assert run_until_idle(60)
    assert DatasetVersion.objects.count() == 1


def test_a_worker_killed_while_freezing_leaves_nothing_half_and_the_next_one_finishes(
    dataset, bring_in, editor, monkeypatch
):
    bring_in(dataset, jsonl(tickets(90)))
    whole = freeze(editor, dataset, seed="s")
    real, calls = versions.flip_version, []

    def die(**kwargs):
        calls.append(1)
        if len(calls) == 1:
            assert VersionRow.objects.filter(version=kwargs["version"]).count() == 90
            assert not DatasetVersion.objects.frozen().filter(pk=kwargs["version"].pk).exists()
            raise RuntimeError("the machine went away")
        return real(**kwargs)

    monkeypatch.setattr(versions, "flip_version", die)
    version = services.start_freeze(
        actor=editor, dataset=dataset, override_reason=REASON, seed="s", notes="again"
    )
    assert run_until_idle(60)
    version.refresh_from_db()
    assert len(calls) == 2
    assert (version.state, version.checksum) == ("frozen", whole.checksum)
    assert VersionRow.objects.filter(version=version).count() == 90


def test_a_row_edited_while_its_version_is_written_stands_in_it_as_it_was_read(
    dataset, bring_in, editor, monkeypatch
):
    bring_in(dataset, jsonl(tickets(90)))
    whole = freeze(editor, dataset, seed="s")
    real, edited = versions.write_rows, []

    def edit_first(**kwargs):
        # Between reading and writing: one row gets another text, one another label.
        for example in dataset.examples.order_by("pk")[:2]:
            edited.append((example.pk, example.content_id, example.label))
            label = "other" if len(edited) == 2 else example.label
            services.edit_example(
                actor=editor, example=example, edition=1, prompt=f"New {example.pk}", completion=label
            )
        return real(**kwargs)

    monkeypatch.setattr(versions, "write_rows", edit_first)
    version = freeze(editor, dataset, seed="s", notes="once more")
    rows = VersionRow.objects.filter(version=version)
    assert (version.state, version.checksum, rows.count()) == ("frozen", whole.checksum, 90)
    assert rows_of(version) == rows_of(whole)
    found = rows.filter(example_id__in=[pk for pk, *_ in edited]).order_by("example_id")
    assert list(found.values_list("example_id", "content_id", "label")) == edited


def test_a_version_that_fails_says_why_and_keeps_no_rows(dataset, bring_in, editor, monkeypatch):
    bring_in(dataset, jsonl(tickets(30)))

    def fail(**kwargs):
        raise Blocked("The rows are gone.")

    monkeypatch.setattr(versions, "flip_version", fail)
    version = freeze(editor, dataset)
    assert (version.state, version.error) == ("failed", "The rows are gone.")
    assert not VersionRow.objects.filter(version=version).exists()
    with pytest.raises(Conflict, match="not frozen"):
        services.export_lines(version=version, split="train")


def test_a_split_by_time_tests_on_the_newest_rows(dataset, bring_in, editor):
    rows = [
        {**row, "created_at": f"2026-{1 + i // 25:02d}-{1 + i % 25:02d}"}
        for i, row in enumerate(tickets(100))
    ]
    bring_in(dataset, jsonl(rows))
    version = freeze(editor, dataset, strategy="time", size_test_by_power=False)
    test = VersionRow.objects.filter(version=version, split="test").order_by("at")
    train = VersionRow.objects.filter(version=version, split="train").order_by("at")
    assert train.last().at < test.first().at
    assert version.report["leakage"]["n_from_the_future"] == 0
    assert version.report["leakage"]["has_times"]


def test_one_prompt_that_all_rows_share_binds_nobody(team, editor, bring_in):
    use_case = create_use_case(actor=editor, team=team, name="Texts", task_kind="write")
    dataset: Dataset = services.create_dataset(actor=editor, team=team, use_case=use_case, name="Texts")
    rows = [
        {
            "prompt": "Write a product text.",
            "completion": f"{row['text']} and a sentence number {i * 31} about it.",
        }
        for i, row in enumerate(tickets(120))
    ]
    bring_in(dataset, jsonl(rows))
    version = freeze(editor, dataset, size_test_by_power=False)
    assert version.n_test == version.n_validation == 12
    assert version.report["leakage"]["prompt"]["n_groups"] == 1  # and the report says that it is shared


def test_exports_are_the_same_bytes_each_time_and_test_rows_stay_sealed(dataset, bring_in, editor):
    bring_in(dataset, jsonl([*tickets(60), {"text": "=SUM(A1) é 日本 \u2028 end", "label": "card"}]))
    version = freeze(editor, dataset)
    out = []
    for _ in range(2):
        stream = io.BytesIO()
        n = services.export(actor=editor, version=version, split="train", stream=stream, format="pairs")
        assert n == version.n_train
        out.append(stream.getvalue())
    assert out[0] == out[1]
    rows = [json.loads(line) for line in out[0].decode().split("\n") if line]
    assert [row["completion"] for row in rows] == [row.completion for row in version_rows(version, "train")]
    with pytest.raises(Sealed):
        services.export(actor=editor, version=version, split="test", stream=io.BytesIO())
    services.open_test_rows(actor=editor, version=version, reason="the final claim")
    assert services.export(actor=editor, version=version, split="test", stream=io.BytesIO()) == version.n_test
    for bad in ({"split": "all"}, {"split": "train", "format": "pickle"}):
        with pytest.raises(BadInput):
            services.export_lines(version=version, **bad)


def test_only_notes_and_tags_of_a_version_change(dataset, bring_in, editor):
    bring_in(dataset, jsonl(tickets(30)))
    version = freeze(editor, dataset)
    services.annotate(actor=editor, version=version, notes=" kept ", tags=["a", " b ", "a", ""])
    version.refresh_from_db()
    assert (version.notes, version.tags) == ("kept", ["a", "b"])


def test_the_first_version_has_the_checksum_it_has_on_every_machine(dataset, bring_in, editor):
    """Pinned over import, cleaning, digests, likeness, split and reading order together."""
    bring_in(dataset, jsonl(tickets(80)))
    version = freeze(editor, dataset, seed="pinned")
    assert version.checksum == "f652be1f467fcd345ba5e2f9dd4da1bd6ffc30582b9ec2925c3a2d0c4249395f"


def test_folds_are_kept_in_the_version_and_leave_the_test_alone(dataset, bring_in, editor):
    bring_in(dataset, jsonl(tickets(120)))
    version = freeze(editor, dataset, seed="s", n_folds=4)
    folds = version.report["folds"]
    assert folds["n"] == 4
    assert (len(folds["train"]), len(folds["validation"])) == (version.n_train, version.n_validation)
    assert set(folds["train"] + folds["validation"]) == {1, 2, 3, 4}
    assert "test" not in folds
    # whoever belongs together is kept too, numbered as it comes, and stands in one fold
    units, places = (
        folds["units"]["train"] + folds["units"]["validation"],
        folds["train"] + folds["validation"],
    )
    assert units[0] == 0
    assert set(units) == set(range(len(set(units))))
    assert len(set(zip(units, places, strict=True))) == len(set(units))
    assert folds["written"] == {}
    with pytest.raises(BadInput, match="2 to 10 folds"):
        services.start_freeze(actor=editor, dataset=dataset, override_reason=REASON, n_folds=1)


def test_what_a_final_model_learnt_from_trains_again_validation_rows_too(dataset, bring_in, editor):
    rows = tickets(400)
    bring_in(dataset, jsonl(rows[:100]), "a.jsonl")
    one = freeze(editor, dataset, seed="s")
    bring_in(dataset, jsonl(rows[100:]), "b.jsonl")
    taught = {row.digest for split in ("train", "validation") for row in version_rows(one, split)}
    two = freeze(editor, dataset, seed="another", learnt_whole=[one.checksum])
    assert taught <= {row.digest for row in version_rows(two, "train")}
    assert two.n_validation and two.n_test
    # training rows alone are bound where only they were learnt from
    three = freeze(editor, dataset, seed="another", learnt_from=[one.checksum])
    assert not taught <= {row.digest for row in version_rows(three, "train")}
    assert two.recipe["learnt_whole"] == [one.checksum] and "learnt_whole" not in three.recipe


def test_folds_are_refused_where_nobody_cross_validates(dataset, bring_in, editor):
    bring_in(dataset, jsonl(tickets(40)))
    # 25,001 rows, a tenth of them tested on: 22,500 are left; of 22,000 19,800
    Dataset.objects.filter(pk=dataset.pk).update(n_active=25_001)
    with pytest.raises(BadInput, match="20,000 rows outside the test") as refused:
        services.start_freeze(actor=editor, dataset=dataset, override_reason=REASON, n_folds=5)
    assert refused.value.field == "n_folds"
    assert (
        services.start_freeze(actor=editor, dataset=dataset, override_reason=REASON).recipe.get("n_folds")
        is None
    )
    Dataset.objects.filter(pk=dataset.pk).update(n_active=22_000)
    made = services.start_freeze(actor=editor, dataset=dataset, override_reason=REASON, n_folds=5)
    assert made.recipe["n_folds"] == 5


def test_what_a_final_model_learnt_from_never_becomes_a_test_row(dataset, bring_in, editor):
    bring_in(dataset, jsonl(tickets(200)))
    one = freeze(editor, dataset, seed="s", ratios=("0.8", "0.1", "0.1"), size_test_by_power=False)
    taught = {row.digest for split in ("train", "validation") for row in version_rows(one, split)}
    wide = {"seed": "s", "ratios": ("0.6", "0.2", "0.2"), "size_test_by_power": False}
    free = freeze(editor, dataset, **wide)
    assert {row.digest for row in version_rows(free, "test")} & taught
    folds = CrossValidation.objects.create(
        team=dataset.team, use_case=dataset.use_case, version=one, number=1, n_folds=5, n_rows=len(taught)
    )
    run = TrainingRun.objects.create(
        team=dataset.team, use_case=dataset.use_case, version=one, number=1, cross_validation=folds
    )
    two = freeze(editor, dataset, **wide)
    assert not {row.digest for row in version_rows(two, "test")} & taught
    assert two.n_test and two.n_validation
    assert two.recipe["never_tested"] == [one.checksum]
    # a run that was given up taught nothing
    TrainingRun.objects.filter(pk=run.pk).update(state="cancelled")
    assert "never_tested" not in freeze(editor, dataset, **wide).recipe


def test_a_fresh_test_holds_no_row_that_a_version_held_before(dataset, bring_in, editor):
    rows = tickets(160)
    bring_in(dataset, jsonl(rows[:100]))
    with pytest.raises(BadInput, match="every row is fresh"):
        services.start_freeze(actor=editor, dataset=dataset, override_reason=REASON, fresh_test=True)
    old = freeze(editor, dataset, seed="s")
    bring_in(dataset, jsonl(rows[100:]), "later.jsonl")
    new = freeze(editor, dataset, seed="s", fresh_test=True)
    before = {digest for split in rows_of(old).values() for digest, _ in split}
    tested = {digest for digest, _ in rows_of(new)["test"]}
    assert tested
    assert not tested & before
    assert new.recipe["fresh_after"] == [old.checksum]
    # what was tested on before is learnt from now
    assert {digest for digest, _ in rows_of(old)["test"]} <= {
        d for split in ("train", "validation") for d, _ in rows_of(new)[split]
    }


def test_leaving_out_training_rows_mends_a_leak_of_groups_and_of_time(team, editor, use_case, bring_in):
    dataset = services.create_dataset(actor=editor, team=team, use_case=use_case, name="Leaky")
    rows = [
        {**row, "customer": f"c{i % 60}", "created_at": f"2026-{1 + i // 25:02d}-{1 + i % 25:02d}"}
        for i, row in enumerate(tickets(200))
    ]
    bring_in(dataset, jsonl(rows))
    leaky = freeze(editor, dataset, seed="s", keep_groups=False, size_test_by_power=False)
    assert leaky.report["leakage"]["group"]["n_groups"] > 0
    assert leaky.report["leakage"]["n_from_the_future"] > 0
    # Whoever gets the files is told of both, and the version's page does not call it clean.
    card = dataset_card(**card_facts(leaky, {"train": leaky.n_train}))
    told = str(datasheet_of(leaky))
    for words in ("one group in two splits (", "newer than the oldest test row"):
        assert words in card and words in told
    assert "No leak between the splits" not in card
    mended = freeze(
        editor, dataset, seed="s", keep_groups=False, size_test_by_power=False, drop_leaks=("group", "time")
    )
    assert mended.report["leakage"]["group"]["n_groups"] == mended.report["leakage"]["n_from_the_future"] == 0
    assert "No leak between the splits was found." in dataset_card(**card_facts(mended, {"train": 1}))
    gone = mended.report["left_out"]["leaks"]
    assert mended.n_rows == leaky.n_rows - gone["group"] - gone["time"]
    assert gone["group"] > 0
    assert rows_of(mended)["test"] == rows_of(leaky)["test"]  # the test stays what it was


def test_one_press_mends_a_leak_in_a_new_version_and_keeps_the_record(team, editor, use_case, bring_in):
    dataset = services.create_dataset(actor=editor, team=team, use_case=use_case, name="Pressed")
    bring_in(dataset, jsonl([{**row, "customer": f"c{i % 60}"} for i, row in enumerate(tickets(150))]))
    leaky = freeze(editor, dataset, seed="s", keep_groups=False)
    assert leaky.report["leakage"]["group"]["n_groups"] > 0
    for repair in ("group", "drop-group"):
        new = services.repair_leaks(actor=editor, version=leaky, repair=repair)
        assert run_until_idle(60)
        new.refresh_from_db()
        assert new.report["leakage"]["group"]["n_groups"] == 0, repair
        assert f"version {leaky.number}" in new.notes
    with pytest.raises(BadInput, match="no such repair"):
        services.repair_leaks(actor=editor, version=leaky, repair="wish")


def test_rows_that_change_while_they_are_read_are_read_again(dataset, bring_in, editor, monkeypatch):
    """Reading takes many blocks: a mask that runs meanwhile would stand in half of the version."""
    bring_in(dataset, jsonl(tickets(90)))
    real, calls = versions.compose, []

    def compose(*args, **kwargs):
        frozen = real(*args, **kwargs)
        calls.append(1)
        if len(calls) == 1:
            example = Example.objects.order_by("id").first()
            services.edit_example(
                actor=editor,
                example=example,
                edition=1,
                prompt="What was written meanwhile",
                completion="card",
            )
        return frozen

    monkeypatch.setattr(versions, "compose", compose)
    version = freeze(editor, dataset, seed="s")
    assert len(calls) == 2
    assert version.rows.filter(content__prompt="What was written meanwhile").count() == 1


def test_nothing_is_frozen_while_rows_are_mended(dataset, bring_in, editor, monkeypatch):
    bring_in(dataset, jsonl(tickets(30) + [{"text": "my card", "label": "x@example.org"}] * 2))
    run_until_idle(60)
    finding = Finding.objects.filter(rule="exact_duplicate").first()
    monkeypatch.setattr(fixing, "ROWS_AT_ONCE", 0)
    fixing.press_fix(actor=editor, finding=finding)
    with pytest.raises(Blocked, match="being mended"):
        services.start_freeze(actor=editor, dataset=dataset, override_reason=REASON)
    assert run_until_idle(60)
    assert freeze(editor, dataset, seed="s").is_frozen
