"""Rows that one version tests on and another learns from are counted when the later one is frozen, and told."""

from __future__ import annotations

import pytest
from django.urls import reverse

from datasets import services
from datasets.models import Content, DatasetVersion, Example, VersionRow
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.services import run_until_idle

pytestmark = pytest.mark.django_db


def freeze(dataset, editor, **more) -> DatasetVersion:
    version = services.start_freeze(
        actor=editor, dataset=dataset, override_reason="a test of crossings", **more
    )
    assert run_until_idle(60)
    version.refresh_from_db()
    assert version.is_frozen
    return version


def texts(version, split) -> set[str]:
    return set(
        VersionRow.objects.filter(version=version, split=split).values_list("content__prompt", flat=True)
    )


@pytest.fixture
def versions(dataset, bring_in, editor):
    """Two versions of one dataset, the second by another seed; a row imported again stands in for the one before."""
    bring_in(dataset, jsonl(tickets(90)))
    first = freeze(dataset, editor)
    again = Example.objects.get(pk=VersionRow.objects.filter(version=first, split="train").first().example_id)
    services.set_state(actor=None, example=again, active=False)
    bring_in(dataset, jsonl([{"text": again.content.prompt, "label": again.content.completion}]))
    return first, freeze(dataset, editor, seed="another", ratios=("0.5", "0.1", "0.4"))


def test_a_freeze_counts_what_crosses_in_both_ways_by_the_texts(versions):
    first, second = versions
    assert "teaches_tested" not in first.report
    assert "tests_rows_of" not in first.report
    # the row that was imported again has a number of its own and the same words
    assert (
        Content.objects.filter(
            pk__in=VersionRow.objects.filter(version=second)
            .exclude(content__in=VersionRow.objects.filter(version=first).values("content"))
            .values("content")
        ).count()
        == 1
    )
    taught = len(texts(first, "test") & texts(second, "train"))
    assert second.report["teaches_tested"] == {"version": 1, "n": taught}
    counted = {split: len(texts(first, split) & texts(second, "test")) for split in ("train", "validation")}
    assert second.report["tests_rows_of"] == {str(first.pk): counted}
    assert min(taught, *counted.values()) > 0


def test_the_version_page_says_how_many_tested_rows_teach_now(versions, client_for, viewer):
    first, second = versions
    n = second.report["teaches_tested"]["n"]
    client = client_for(viewer)
    page = client.get(reverse("datasets:version-detail", args=[second.pk])).content.decode()
    assert f"{n} rows that version 1 tested on teach here." in page
    assert (
        "tested on teach"
        not in client.get(reverse("datasets:version-detail", args=[first.pk])).content.decode()
    )
    DatasetVersion.objects.filter(pk=second.pk).update(
        report={**second.report, "teaches_tested": {"version": 1, "n": 1}}
    )
    page = client.get(reverse("datasets:version-detail", args=[second.pk])).content.decode()
    assert "1 row that version 1 tested on teaches here. What learns from it is not" in page


def test_the_page_of_exports_says_how_many_of_its_rows_the_newest_version_tests_on(
    versions, client_for, viewer
):
    first, second = versions
    counted = second.report["tests_rows_of"][str(first.pk)]
    client, url = client_for(viewer), reverse("datasets:version-exports", args=[first.pk])
    said = client.get(url).content.decode()
    assert f"Its test asks <b>{counted['train']}</b> of the {first.n_train} training rows here" in said
    assert f"and <b>{counted['validation']}</b> of the {first.n_validation} validation rows." in said
    assert (
        "is newer" not in client.get(reverse("datasets:version-exports", args=[second.pk])).content.decode()
    )
    # none, and not counted, are told apart
    for kept, words in (
        ({str(first.pk): {"train": 0, "validation": 0}}, "asks none of the training and validation rows"),
        (None, "Rows that it tests on may stand in these training files"),
    ):
        DatasetVersion.objects.filter(pk=second.pk).update(report={**second.report, "tests_rows_of": kept})
        assert words in client.get(url).content.decode()
