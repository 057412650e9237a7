"""Thousands of labels: a page shows some, any can be found, chosen and renamed, and no page grows with their number."""

from __future__ import annotations

import pytest
from django.http import QueryDict
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from datasets.domain.labels import page_of_labels
from datasets.forms import WriteForm
from datasets.models import Dataset, LabelChange
from datasets.services import labels

COUNTS = {f"intent {i}": 1000 - i for i in range(250)}


def test_pages_of_a_hundred_follow_each_other_and_a_place_outside_is_the_last_page():
    first = page_of_labels(COUNTS)
    assert (len(first.rows), first.rows[0], first.prev, first.next) == (100, ("intent 0", 1000), None, 100)
    last = page_of_labels(COUNTS, after=200)
    assert (len(last.rows), last.rows[-1], last.prev, last.next) == (50, ("intent 249", 751), 100, None)
    assert page_of_labels(COUNTS, after=10**15) == last
    n = len(COUNTS)
    assert first.where == f"1 to {len(first.rows)} of {n:,}, most rows first"
    assert last.where == f"{n - len(last.rows) + 1:,} to {n:,} of {n:,}, most rows first"
    assert page_of_labels({"a": 2, "b": 1}).where == "most rows first"
    assert page_of_labels({"a": 2}).where == page_of_labels({}).where == ""
    assert page_of_labels({}, after=7).rows == []


def test_words_are_looked_for_case_aside_among_all_labels():
    # 24 and 240 to 249 hold "24", 124 and 224 too.
    found = page_of_labels(COUNTS, words="  INTENT   24 ")
    assert [name for name, _ in found.rows] == ["intent 24", *(f"intent {i}" for i in range(240, 250))]
    assert page_of_labels(COUNTS, words="24").n_matching == 13
    assert found.n_labels == 250


@given(
    st.dictionaries(st.text(max_size=8), st.integers(1, 9), max_size=40),
    st.integers(-3, 60),
    st.integers(1, 9),
)
def test_going_on_from_the_start_shows_every_label_once(counts, after, n):
    seen, page = [], page_of_labels(counts, n=n)
    while True:
        seen += page.rows
        if page.next is None:
            break
        page = page_of_labels(counts, after=page.next, n=n)
    assert seen == list(counts.items())
    assert len(page_of_labels(counts, after=after, n=n).rows) <= n


@pytest.fixture
def crowded(dataset):
    """A dataset of 5,000 labels, as its stored counts say."""
    names = [f"intent {i:04}" for i in range(5000)]
    Dataset.objects.filter(pk=dataset.pk).update(label_counts=dict.fromkeys(names, 4), n_active=20_000)
    dataset.refresh_from_db()
    return dataset


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name", ["labels", "example-list", "dataset-detail", "review-create", "version-create", "write"]
)
def test_no_page_shows_five_thousand_labels(crowded, editor, client_for, name):
    body = client_for(editor).get(reverse(f"datasets:{name}", args=[crowded.pk])).content.decode()
    assert body.count("intent ") < 800
    assert len(body) < 120_000


@pytest.mark.django_db
def test_the_form_for_writing_offers_the_thinnest_and_keeps_what_was_ticked(crowded):
    form = WriteForm(labels=crowded.label_counts, initial={"labels": ["intent 4321"]})
    offered = [name for name, _ in form.fields["labels"].choices]
    assert (len(offered), offered[0], offered[-1]) == (101, "intent 0000", "intent 4321")
    bound = WriteForm(QueryDict("labels=intent+4000&labels=nobody"), labels=crowded.label_counts)
    assert "intent 4000" in dict(bound.fields["labels"].choices)
    assert "nobody" not in dict(bound.fields["labels"].choices)
    assert "4,899 with more rows" in bound.fields["labels"].help_text  # 5,000 without 100 and the one ticked


@pytest.mark.django_db
def test_a_label_far_down_is_found_chosen_and_renamed(crowded, editor, client_for):
    client, url = client_for(editor), reverse("datasets:labels", args=[crowded.pk])
    assert "intent 4321" not in client.get(url).content.decode()
    found = client.get(url, {"q": "intent 432"}).content.decode()
    assert "intent 4321" in found
    chosen = client.get(url, {"from": "intent 4321"}).content.decode()
    assert 'value="intent 4321"' in chosen
    assert "4 rows carry" in chosen
    missing = client.post(url, {"from_label": "intent 9999", "to_label": "x"})
    assert missing.status_code == 422
    assert "No active row carries this label." in missing.content.decode()
    assert 'value="intent 9999"' in missing.content.decode()  # nothing typed is lost
    assert client.post(url, {"from_label": "intent 4321", "to_label": "late"}).status_code == 302
    assert LabelChange.objects.get().from_label == "intent 4321"


@pytest.mark.django_db
def test_a_list_narrowed_by_a_label_far_down_keeps_it_in_its_form(crowded, editor, client_for):
    url = reverse("datasets:example-list", args=[crowded.pk])
    body = client_for(editor).get(url, {"label": "intent 4321"}).content.decode()
    assert 'name="label" list="row-labels" value="intent 4321"' in body


@pytest.mark.django_db
def test_the_page_of_labels_asks_no_more_for_many_changes(
    dataset, bring_in, editor, client_for, django_assert_max_num_queries
):
    from datasets.tests.conftest import jsonl, tickets
    from foundation.jobs.services import run_until_idle

    bring_in(dataset, jsonl(tickets(12)))
    dataset.refresh_from_db()
    for i in range(6):
        names = ["login", "sign in"] if i % 2 == 0 else ["sign in", "login"]
        labels.start_rename(actor=editor, dataset=dataset, from_label=names[0], to_label=names[1])
        assert run_until_idle(60)
    client, url = client_for(editor), reverse("datasets:labels", args=[dataset.pk])
    client.get(url)
    with django_assert_max_num_queries(12):
        body = client.get(url).content.decode()
    assert body.count("login → sign in") == 3
