"""Versions beside each other and in words: the difference as page and API, the datasheet, who may see them."""

from __future__ import annotations

import pytest
from django.urls import reverse

from datasets import services
from datasets.models import VersionDiff
from datasets.services import versiondiffs
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.services import run_until_idle
from foundation.teams.errors import BadInput

pytestmark = pytest.mark.django_db

REASON = "a test of versions"


def freeze(editor, dataset, **more):
    version = services.start_freeze(actor=editor, dataset=dataset, override_reason=REASON, **more)
    assert run_until_idle(60)
    version.refresh_from_db()
    assert version.is_frozen, version.error
    return version


@pytest.fixture
def two(dataset, bring_in, editor):
    """Two versions: one row edited, one taken out, two new, another seed moves others."""
    services.rename_dataset(
        actor=editor, dataset=dataset, name=dataset.name, description="From the *desk*", licence="CC BY 4.0"
    )
    bring_in(dataset, jsonl(tickets(60)))
    one = freeze(editor, dataset, seed="s")
    train = one.rows.filter(split="train").order_by("position")
    example = dataset.examples.get(pk=train[0].example_id)
    services.edit_example(
        actor=editor,
        example=example,
        edition=1,
        prompt=example.content.prompt + " please",
        completion="login",
    )
    services.set_state(actor=editor, example=dataset.examples.get(pk=train[1].example_id), active=False)
    bring_in(dataset, jsonl(tickets(62)[60:]), "later.jsonl")
    return one, freeze(editor, dataset, seed="s")


def test_the_difference_counts_what_was_done(two, editor):
    one, other = two
    found = versiondiffs.difference(one, other)
    counts = found["counts"]
    assert (counts["changed"], counts["removed"], counts["added"]) == (1, 1, 2)
    assert counts["same"] + counts["moved"] == 58
    [row] = versiondiffs.shown_rows(found, "changed", before=one, after=other, user=editor, start=0, n=9)
    if not row["is_sealed"]:
        assert row["after"].prompt == row["before"].prompt + " please"
    with pytest.raises(BadInput, match="another version"):
        versiondiffs.difference(one, one)


def test_large_versions_are_compared_by_a_job_once(two, editor, viewer, client, monkeypatch):
    one, other = two
    at_once = versiondiffs.difference(one, other)
    monkeypatch.setattr(versiondiffs, "AT_ONCE", 10)
    url = reverse("datasets:version-diff", args=[other.pk, one.number])
    client.force_login(viewer)
    assert "An editor of your team" in client.get(url).content.decode()
    assert client.post(url).status_code == 403
    client.force_login(editor)
    assert "Compare them" in client.get(url).content.decode()
    client.post(url)
    client.post(url)
    assert run_until_idle(60)
    kept = VersionDiff.objects.get()
    assert kept.result == at_once
    assert versiondiffs.keep_diff(diff_id=kept.pk).result == at_once  # run twice: the same
    assert "Compare them" not in client.get(url).content.decode()


def test_pages_of_versions_open_to_the_team_and_seal_test_rows(
    two, editor, viewer, outsider, client, django_assert_max_num_queries
):
    one, other = two
    diff = reverse("datasets:version-diff", args=[other.pk, one.number])
    sheet = reverse("datasets:version-datasheet", args=[other.pk])
    for person, status in ((editor, 200), (viewer, 200), (outsider, 404)):
        client.force_login(person)
        for url in (diff, sheet):
            assert client.get(url).status_code == status
    client.force_login(viewer)
    texts = set(other.rows.filter(split="test").values_list("content__prompt", flat=True))
    texts |= set(one.rows.filter(split="test").values_list("content__prompt", flat=True))
    for kind in versiondiffs.KINDS:
        with django_assert_max_num_queries(15):
            page = client.get(diff, {"kind": kind}).content.decode()
        assert not [text for text in texts if text in page], kind
    assert client.get(diff, {"kind": "changed"}).content.decode().count('data-label="Split"') == 1
    for nonsense in ({"kind": "all"}, {"after": "-1"}, {"after": "9" * 40}):
        assert client.get(diff, nonsense).status_code == 200
    assert client.get(reverse("datasets:version-diff", args=[other.pk, 99])).status_code == 404


def test_the_datasheet_says_where_rows_come_from_and_stays_as_it_was_frozen(two, editor, dataset, client):
    _, version = two
    client.force_login(editor)
    url = reverse("datasets:version-datasheet", args=[version.pk])
    page = client.get(url).content.decode()
    for words in (
        "CC BY 4.0",
        "From the *desk*",
        "later.jsonl",
        version.checksum,
        "Who looked at it?",
        REASON,
    ):
        assert words in page, words
    answer = client.get(url, {"as": "md"})
    text = answer.content.decode()
    assert answer["Content-Type"].startswith("text/markdown")
    assert "- **Licence:** CC BY 4.0" in text
    assert "From the \\*desk\\*" in text
    services.rename_dataset(actor=editor, dataset=dataset, name="Renamed", description="", licence="")
    assert client.get(url, {"as": "md"}).content.decode() == text
