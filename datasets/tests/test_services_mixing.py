"""Several tasks in one version: the prefix, the balance, splits that stay, and who may make one."""

from __future__ import annotations

import itertools
import re

import pytest
from django.urls import reverse

from datasets import services
from datasets.domain.cleaning import loose
from datasets.models import VersionRow
from datasets.reading import version_rows
from datasets.services import mixing, versions
from datasets.tests.conftest import jsonl, tickets
from decisions.services import create_use_case
from foundation.jobs.services import run_until_idle
from foundation.teams.errors import BadInput

pytestmark = pytest.mark.django_db


def task_name(prompt: str) -> str:
    """The task an evaluation reads from a row (S62)."""
    return re.match(r"\[TASK: ([^\]]+)\]", prompt).group(1)


@pytest.fixture
def two(team, editor, use_case, bring_in):
    """Two frozen versions of one kind of task, 40 and 120 rows."""
    found = []
    for name, rows in (("Small", tickets(40)), ("Large", tickets(170)[50:])):
        dataset = services.create_dataset(
            actor=editor, team=team, use_case=use_case, name=name, licence="CC0"
        )
        bring_in(dataset, jsonl(rows))
        version = services.start_freeze(actor=editor, dataset=dataset, override_reason="a test of mixing")
        assert run_until_idle(60)
        version.refresh_from_db()
        found.append(version)
    return found


def mix(editor, use_case, two, name="Both", **more):
    version = mixing.mix_versions(
        actor=editor, use_case=use_case, name=name, members=[(v, v.dataset.name) for v in two], **more
    )
    assert run_until_idle(60)
    version.refresh_from_db()
    assert version.is_frozen, version.error
    return version


def test_every_task_keeps_its_splits_and_says_its_name(two, editor, use_case):
    small, large = two
    version = mix(editor, use_case, two, temperature=1.0)
    assert (version.n_test, version.n_validation) == (
        small.n_test + large.n_test,
        small.n_validation + large.n_validation,
    )
    assert version.n_train == small.n_train + large.n_train
    for split in ("train", "validation", "test"):
        rows = list(version_rows(version, split))
        assert [row.position for row in rows] == list(range(len(rows)))
        for member in two:
            name = member.dataset.name
            mine = {row.prompt for row in rows if task_name(row.prompt) == name}
            assert mine == {f"[TASK: {name}]\n\n{row.prompt}" for row in version_rows(member, split)}
    assert version.report["tasks"]["Small"]["train"] == small.n_train
    assert set(VersionRow.objects.filter(version=version).values_list("group", flat=True)) == {
        "Small",
        "Large",
    }
    # in the order of the digest the tasks are mixed, not one after the other
    names = [task_name(row.prompt) for row in version_rows(version, "train")]
    assert sum(a != b for a, b in itertools.pairwise(names)) > 5
    assert version.report["leakage"]["is_clean"]
    assert version.dataset.licence == "CC0"


def test_what_one_task_tests_on_is_not_learnt_in_another_nor_passed_over_in_the_report(
    two, team, editor, use_case, bring_in
):
    """B holds A's test rows as they are, in other letters and spaces, and with a word more."""
    first = two[0]
    tested = list(version_rows(first, "test"))
    others = services.create_dataset(actor=editor, team=team, use_case=use_case, name="Copies")
    rows = [
        {"text": f"  {r.prompt.upper()} ", "label": r.label, "group": f"c{i}"}
        for i, r in enumerate(tested[:4])
    ]
    rows += [{"text": r.prompt, "label": r.label} for r in tested[4:7]]
    rows += [{"text": f"{r.prompt} today", "label": r.label} for r in tested[7:]]
    rows += tickets(260)[200:]
    bring_in(others, jsonl(rows))
    version = services.start_freeze(actor=editor, dataset=others, override_reason="a test of mixing")
    assert run_until_idle(60)
    version.refresh_from_db()
    copies = {loose(r["text"]) for r in rows[: len(tested)]}
    n_learnt = sum(loose(r.prompt) in copies for r in version_rows(version, "train"))
    assert n_learnt > 4  # else the test says nothing
    mixed = mix(editor, use_case, [first, version], name="With copies")
    learnt = {loose(r.prompt.split("\n\n", 1)[1]) for r in version_rows(mixed, "train")}
    assert not learnt & copies
    leaks = mixed.report["leakage"]
    assert leaks["is_clean"]
    assert sum(mixed.report["left_out"]["leaks"].values()) >= n_learnt
    assert set(mixed.report["left_out"]["leaks"]) == {"prompt", "near-duplicate"}
    assert mixed.n_test == first.n_test + version.n_test


def test_a_customer_in_the_training_of_one_task_and_the_test_of_another_is_reported_and_left_out_by_a_press(
    team, editor, use_case, bring_in, client_for
):
    made = []
    for at, name in enumerate(("One", "Two")):
        dataset = services.create_dataset(actor=editor, team=team, use_case=use_case, name=name)
        rows = [
            {**row, "customer": f"c{i // 2}"} for i, row in enumerate(tickets(500)[at * 300 : at * 300 + 60])
        ]
        bring_in(dataset, jsonl(rows))
        made.append(services.start_freeze(actor=editor, dataset=dataset, override_reason="a test of mixing"))
        assert run_until_idle(60)
        made[-1].refresh_from_db()
    splits = [dict(VersionRow.objects.filter(version=v).values_list("group", "split")) for v in made]
    apart = sum(splits[0][key] != splits[1][key] for key in splits[0])
    assert apart and "" not in splits[0]
    version = mix(editor, use_case, made)
    assert version.report["leakage"]["group"]["n_groups"] == apart
    with pytest.raises(BadInput, match="keeps the splits of its versions"):
        services.repair_leaks(actor=editor, version=version, repair="group")
    # of the pairs of a customer's rows, those that stand behind the furthest split go: by hand, from both members
    order = ["train", "validation", "test"]
    furthest = {key: max(order.index(splits[0][key]), order.index(splits[1][key])) for key in splits[0]}
    gone = sum(
        order.index(row.split) < furthest[row.group]
        for v in made
        for row in VersionRow.objects.filter(version=v)
    )
    page = client_for(editor).get(reverse("datasets:version-detail", args=[version.pk])).content.decode()
    assert "Leave out of training" in page and "Keep groups together" not in page
    mended = services.repair_leaks(actor=editor, version=version, repair="drop-group")
    assert services.repair_leaks(actor=editor, version=version, repair="drop-group") == mended
    assert run_until_idle(60)
    mended.refresh_from_db()
    assert (mended.number, mended.is_frozen, mended.n_test) == (2, True, version.n_test)
    assert mended.report["leakage"]["group"]["n_groups"] == 0
    assert mended.report["left_out"]["leaks"] == {"group": gone}
    assert mended.n_rows == version.n_rows - gone
    assert (
        mended.notes
        == "Mends the leakage of version 1: training rows of a group in validation or test left out."
    )


def test_each_task_of_a_mix_has_its_own_clock(team, editor, use_case, bring_in):
    made = []
    for at, (name, strategy) in enumerate((("Old", "time"), ("New", "random"))):
        dataset = services.create_dataset(actor=editor, team=team, use_case=use_case, name=name)
        rows = [
            {**row, "created_at": f"{2020 + at}-01-{i % 28 + 1:02d}T00:00:00Z"}
            for i, row in enumerate(tickets(500)[at * 300 : at * 300 + 60])
        ]
        bring_in(dataset, jsonl(rows))
        made.append(
            services.start_freeze(
                actor=editor, dataset=dataset, strategy=strategy, override_reason="a test of mixing"
            )
        )
        assert run_until_idle(60)
        made[-1].refresh_from_db()
    own = [v.report["leakage"]["n_from_the_future"] for v in made]
    # split by time there is none; at random there are, and every row of the second is newer than the first's test
    assert own[0] == 0 < own[1] < made[1].n_train
    version = mix(editor, use_case, made)
    assert version.report["leakage"]["has_times"]
    assert version.report["leakage"]["n_from_the_future"] == own[1]
    mended = services.repair_leaks(actor=editor, version=version, repair="drop-time")
    assert run_until_idle(60)
    mended.refresh_from_db()
    assert mended.report["leakage"]["n_from_the_future"] == 0 < mended.n_train
    assert mended.report["tasks"]["Old"]["train"] == made[0].n_train


def test_the_same_members_and_seed_mix_to_the_same_checksum_and_balance_cuts_the_large(two, editor, use_case):
    one, again = mix(editor, use_case, two, name="A"), mix(editor, use_case, two, name="B")
    assert [r.digest for r in version_rows(one, "train")] == [r.digest for r in version_rows(again, "train")]
    assert one.checksum == again.checksum
    capped = mix(editor, use_case, two, name="C", most=10)
    assert [capped.report["tasks"][t]["train"] for t in ("Small", "Large")] == [10, 10]
    assert capped.n_test == one.n_test  # a test is never cut


def test_a_worker_killed_while_mixing_leaves_nothing_half(two, editor, use_case, monkeypatch):
    real, calls = versions.flip_version, []

    def die(**kwargs):
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("the machine went away")
        return real(**kwargs)

    monkeypatch.setattr(versions, "flip_version", die)
    version = mix(editor, use_case, two)
    assert len(calls) == 2
    assert VersionRow.objects.filter(version=version).count() == version.n_rows


def test_what_cannot_be_mixed_is_refused_with_its_field(two, team, editor, use_case):
    other_kind = create_use_case(actor=editor, team=team, name="Write", task_kind="write")
    for arguments, words in (
        ({"members": [(two[0], "a")]}, "Choose 2"),
        ({"members": [(two[0], "a"), (two[1], "A")]}, "one name"),
        ({"members": [(two[0], "a"), (two[1], "b")], "temperature": 0.5}, "temperature"),
        ({"members": [(two[0], "a"), (two[1], "b")], "use_case": other_kind}, "of one kind"),
    ):
        with pytest.raises(BadInput, match=words):
            mixing.mix_versions(**{"actor": editor, "use_case": use_case, "name": "Both", **arguments})


def test_the_page_mixes_and_is_the_editors(
    two, editor, viewer, outsider, use_case, client, django_assert_max_num_queries
):
    url = reverse("datasets:version-mix", args=[use_case.pk])
    for person, status in ((outsider, 404), (viewer, 403), (editor, 200)):
        client.force_login(person)
        assert client.get(url).status_code == status
    with django_assert_max_num_queries(15):
        client.get(url)
    given = {"name": "Both", "versions": [v.pk for v in two], "temperature": "2", "seed": "m"}
    assert client.post(url, {**given, "versions": [two[0].pk]}).status_code == 422
    answer = client.post(url, given)
    assert answer.status_code == 302
    assert run_until_idle(60)
    page = client.get(answer["Location"]).content.decode()
    assert "Tasks in the mix" in page
    # A mix is neither imported nor reviewed itself: "none" and "nobody" would be said of rows that were.
    assert "stand with the versions it is mixed of" in page
    assert all(reverse("datasets:version-detail", args=[v.pk]) in page for v in two)
    assert "nobody had looked" not in page
    sheet = client.get(f"{answer['Location']}datasheet/").content.decode()
    assert sheet.count("The datasheets of the versions it is mixed of tell that of their rows.") == 3
    assert "No import is on record" not in sheet and "Nobody had looked" not in sheet
