"""T40: an address or a form may name any lookup, connector or order; only what is offered is ever read of it."""

from __future__ import annotations

import itertools
import json
import re
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets import services
from datasets.domain.listing import Filters
from datasets.models import Example, Review
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.services import run_until_idle

pytestmark = pytest.mark.django_db

PATHS = (
    "pk", "id", "team", "team_id", "team__memberships__user__password", "dataset__team__memberships__user__email",
    "content__prompt", "content__completion", "content__digest", "source__created_by__password", "edits__by__password",
    "review_items__reviewer__password", "judgements__reply", "finding_rows__finding__run__job__created_by__password",
    "versions__job__lease_token", "created_by__is_superuser",
)  # fmt: skip
LOOKUPS = (
    "",
    "__startswith",
    "__regex",
    "__iregex",
    "__in",
    "__isnull",
    "__gt",
    "__contains",
    "__range",
    "!",
)
OPERATORS = (
    "_connector", "_negated", "connector", "negated", "order_by", "ordering", "sort", "o", "p", "fields", "select",
    "annotate", "extra", "where", "tables", "raw", "sql", "using", "distinct", "filter", "exclude", "args", "kwargs",
    "q__raw", "q[]", "state[]", "state__in", "label__regex", "after__lt", "before__gt", "limit", "offset", "page",
    "page_size", "cursor", "format", "include", "expand", "__class__", "__init__", "self", "*", "%", "' OR 1=1 --", "$where",
)  # fmt: skip
KEYS = [*(path + lookup for path, lookup in itertools.product(PATHS, LOOKUPS)), *OPERATORS]
OFFERED = (
    "state",
    "label",
    "review",
    "split",
    "finding",
    "source",
    "q",
    "order",
    "after",
    "before",
    "at",
    "whose",
    "from",
)
VALUES = (
    "1 OR 1=1", "' OR ''='", "9" * 40, "-1", "1e3", "٣", "0x10", "\0", "é", "..", "%00", "*", '"', "NEAR(a b)",
    "a AND b", "prompt: x", "^x", "(((", "x\\", "a" * 5000, "_%", "team__name",
)  # fmt: skip


def test_there_are_two_hundred_keys():
    assert len(set(KEYS)) >= 200


@pytest.fixture
def prepared(dataset, bring_in, editor):
    """A dataset with a report, a review under way and two frozen versions."""
    bring_in(dataset, jsonl([*tickets(90), *tickets(3)]))
    for _ in range(2):
        services.start_freeze(actor=editor, dataset=dataset, override_reason="only a test of addresses")
        assert run_until_idle(60)
        row = Example.objects.filter(dataset=dataset, state="active").first()
        services.set_state(actor=editor, example=row, active=False)
    services.plan_review(actor=editor, dataset=dataset)
    dataset.refresh_from_db()
    return dataset


def pages_of(dataset) -> dict[str, str]:
    newest, older = dataset.versions.frozen()
    finding = services.open_findings(dataset)[0]
    review = Review.objects.get()
    at = {
        "datasets": ("dataset-list", dataset.team.slug),
        "rows": ("example-list", dataset.pk),
        "example": ("example-detail", Example.objects.filter(dataset=dataset).last().pk),
        "report": ("report", dataset.pk),
        "finding": ("finding-detail", finding.pk),
        "labels": ("labels", dataset.pk),
        "review": ("review-detail", review.pk),
        "review form": ("review-create", dataset.pk),
        "summary": ("review-summary", review.pk),
        "freeze": ("version-create", dataset.pk),
        "version": ("version-detail", newest.pk),
        "version rows": ("version-rows", newest.pk),
        "difference": ("version-diff", newest.pk, older.number),
        "datasheet": ("version-datasheet", newest.pk),
        "exports": ("version-exports", newest.pk),
    }
    found = {name: reverse(f"datasets:{route}", args=args) for name, (route, *args) in at.items()}
    return found | {
        "API datasets": "/api/v1/datasets",
        "API dataset": f"/api/v1/datasets/{dataset.pk}",
        "API version": f"/api/v1/versions/{newest.pk}",
        "API difference": f"/api/v1/versions/{newest.pk}/diff/{older.pk}",
    }


def asked(client, url: str, query: str = "") -> tuple[int, list[str]]:
    """(status, the questions put to the database with their values taken out)."""
    with CaptureQueriesContext(connection) as queries:
        status = client.get(f"{url}?{query}" if query else url).status_code
    return status, [re.sub(r"'[^']*'|\d+", "?", query["sql"]) for query in queries.captured_queries]


def test_no_page_hears_a_key_that_it_does_not_offer(prepared, editor, client_for):
    client = client_for(editor)
    hostile = urlencode([(key, "x") for key in KEYS])
    for name, url in pages_of(prepared).items():
        # Asked twice: what the frame of every page asks is kept for some seconds, then asked anew.
        plain = [asked(client, url), asked(client, url)]
        status, questions = asked(client, url, hostile)
        assert {status} == {s for s, _ in plain} == {200}, name
        assert len(questions) <= max(len(q) for _, q in plain), name
        assert set(questions) <= {question for _, q in plain for question in q}, name


def test_the_list_of_rows_hears_none_of_them_one_by_one():
    assert [key for key in KEYS if Filters.of({key: "1"}) != Filters()] == []


def test_values_out_of_place_are_answered_and_narrow_by_no_other_table(prepared, editor, client_for):
    client, pages = client_for(editor), pages_of(prepared)
    asks = [("rows", dict.fromkeys(OFFERED, value)) for value in VALUES]
    asks += [("rows", {key: value}) for key, value in itertools.product(OFFERED, ("1 OR 1=1", "9" * 40))]
    asks += [(name, {"after": "1e3", "q": "' OR ''='", "at": "-1", "kind": "x"}) for name in pages]
    for url in pages.values():
        client.get(url)
    for name, query in asks:
        status, questions = asked(client, pages[name], urlencode(query))
        assert status in (200, 400, 404, 422), (name, query)
        assert len(questions) <= 15, (name, query)
        assert not [q for q in questions if re.search(r"WHERE.*(password|lease_token)", q)], (name, query)


def test_forms_and_the_api_take_nothing_that_they_do_not_name(prepared, editor, client_for):
    client = client_for(editor)
    given = dict.fromkeys(KEYS, "1")
    before = Example.objects.order_by("pk").values_list("pk", "team", "dataset", "label", "state", "edition")
    rows = list(before)
    item = Review.objects.get().items.first()
    judge = reverse("datasets:review-judge", args=[item.review_id, item.pk])
    row = Example.objects.filter(dataset=prepared, state="active").last()
    presses = {
        judge: {**given, "verdict": "edited__in"},
        reverse("datasets:example-edit", args=[row.pk]): {**given, "edition": row.edition, "prompt": ""},
        reverse("datasets:finding-fix", args=[services.open_findings(prepared)[0].pk]): {**given, "action": "__class__"},
        reverse("datasets:labels", args=[prepared.pk]): {**given, "from_label": "label__regex", "to_label": "x"},
        reverse("datasets:review-create", args=[prepared.pk]): {**given, "share": "1 OR 1=1"},
        reverse("datasets:version-create", args=[prepared.pk]): {**given, "strategy": "raw"},
    }  # fmt: skip
    for url, body in presses.items():
        assert 400 <= client.post(url, body).status_code < 500, url
    fix = f"/api/v1/findings/{services.open_findings(prepared)[0].pk}/fix?action=__class__"
    assert client.post(fix, json.dumps(given), content_type="application/json").status_code in (400, 403)
    assert list(before.all()) == rows
