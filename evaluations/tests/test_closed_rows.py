"""Validation rows that a later version tests on: an evaluation keeps its figures of them and shows none of their words."""

from __future__ import annotations

import json

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets.models import DatasetVersion, VersionRow
from datasets.services import open_test_rows
from evaluations import services
from foundation.teams import services as teams
from foundation.teams.domain.roles import Role
from foundation.teams.domain.scopes import Scope


@pytest.fixture
def compared(editor, use_case, make_version, idle):
    """A comparison on validation rows of version 1, of which version 2 tests four; their words."""
    first, second = make_version(), make_version()
    held = list(VersionRow.objects.filter(version=first, split="validation").select_related("content")[:4])
    for row, its in zip(VersionRow.objects.filter(version=second, split="test")[:4], held, strict=True):
        VersionRow.objects.filter(version=second, content=its.content).exclude(pk=row.pk).delete()
        row.content = its.content
        row.save()
    floors = services.ensure_baselines(actor=editor, use_case=use_case, version=first)
    comparison = services.start_evaluations(actor=editor, version=first, candidates=floors)
    idle()
    comparison.refresh_from_db()
    assert comparison.state == "done", comparison.error
    others = VersionRow.objects.filter(version=first, split="validation").exclude(pk__in=[r.pk for r in held])
    return comparison, second, [r.content.prompt for r in held], [r.content.prompt for r in others]


def told_by(client, comparison, token) -> dict[str, str]:
    """Everything that is said about the rows, by the address asked."""
    said = {}
    for e in comparison.evaluations.all():
        url = reverse("evaluations:evaluation-detail", args=[e.pk])
        for show in ("", "wrong", "right"):
            after = ""
            for page in range(20):
                answer = client.get(url, {"part": "rows", "show": show, "after": after})
                said[f"{url} {show} {page}"] = answer.content.decode()
                if not (after := answer.context["page"].cursor):
                    break
        said[f"api {e.pk}"] = json.dumps(
            client.get(
                f"/api/v1/evaluations/{e.pk}/rows", headers={"Authorization": f"Bearer {token}"}
            ).json(),
            ensure_ascii=False,
        )
    url = reverse("evaluations:comparison-detail", args=[comparison.pk])
    for show in ("worse", "better", "same"):
        said[f"{url} {show}"] = client.get(url, {"show": show}).content.decode()
    for form in ("csv", "json"):
        url = reverse("evaluations:comparison-export", args=[comparison.pk, form])
        said[url] = client.get(url).content.decode()
    return said


@pytest.mark.django_db
def test_rows_that_a_later_version_tests_on_show_their_figures_and_no_words(
    compared, editor, admin_user, team, client_for
):
    comparison, second, closed, others = compared
    _, token = teams.issue_token(actor=admin_user, team=team, role=Role.ADMIN, name="k", scope=Scope.WRITE)
    said = told_by(client_for(editor), comparison, token)
    leaks = {where: text for where, page in said.items() for text in closed if text in page}
    assert not leaks
    assert sum(any(text in page for text in others) for page in said.values()) >= 8
    pages = "".join(page for where, page in said.items() if "/evaluations/" in where)
    assert "A test row of the newest version: sealed." in pages
    exported = json.loads(said[reverse("evaluations:comparison-export", args=[comparison.pk, "json"])])
    sealed = [row for row in exported["rows"] if row["sealed"]]
    assert len(sealed) == len(closed)
    assert all(
        row["prompt"] == row["expected"] == "" and row["answers"][0]["score"] is not None for row in sealed
    )
    # Opened with a reason, they are read as before.
    open_test_rows(actor=editor, version=second, reason="a complaint about one row")
    said = told_by(client_for(editor), comparison, None or token)
    csv = said[reverse("evaluations:comparison-export", args=[comparison.pk, "csv"])]
    assert all(text in csv for text in closed)


@pytest.mark.django_db
def test_what_is_asked_for_it_does_not_grow_with_the_rows(compared, viewer):
    comparison, second, *_ = compared
    client, evaluation = Client(), comparison.evaluations.first()
    client.force_login(viewer)
    url = reverse("evaluations:evaluation-detail", args=[evaluation.pk])
    client.get(url)
    with CaptureQueriesContext(connection) as queries:
        client.get(url)
    assert len(queries) <= 15
    assert DatasetVersion.objects.filter(pk=second.pk).exists()
