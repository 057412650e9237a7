"""The same intentions over HTTP."""

from __future__ import annotations

import json

import pytest

from decisions.models import Decision, UseCase

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(client, team):
    """Calls `/api/v1/…` as a user of the test team, through the browser's session."""

    def call(user, method, path, body=None):
        client.force_login(user)
        return client.generic(
            method,
            f"/api/v1/{path}",
            data=json.dumps(body or {}),
            content_type="application/json",
            headers={"X-Team": team.slug},
        )

    return call


def test_a_use_case_is_begun_decided_and_worked_out(api, editor):
    created = api(
        editor,
        "POST",
        "use-cases",
        {"name": "Mails", "example": "email", "facts": {"volume_per_day": 20_000}},
    )
    assert created.status_code == 201, created.content
    use_case = created.json()
    assert use_case["facts"]["volume_per_day"] == 20_000
    decision = api(editor, "POST", f"use-cases/{use_case['id']}/decisions")
    assert decision.json()["recommendation"] == "fine_tuning"
    again = api(editor, "POST", f"use-cases/{use_case['id']}/decisions")
    assert again.json()["number"] == 1
    assert Decision.objects.count() == 1
    roi = api(editor, "POST", f"use-cases/{use_case['id']}/returns", {"monthly_volume": 300_000})
    assert roi.json()["result"]["break_even_cost"]["months"] == 30.0
    listed = api(editor, "GET", "use-cases").json()["items"]
    assert [row["recommendation"] for row in listed] == ["fine_tuning"]
    assert api(editor, "GET", f"use-cases/{use_case['id']}/decisions/1").json()["inputs_sha256"]
    assert api(editor, "GET", f"use-cases/{use_case['id']}/answer").json()["result"]["scores"]


def test_a_viewer_reads_and_does_not_write_and_a_stranger_finds_nothing(
    api, editor, viewer, outsider, use_case
):
    assert api(viewer, "GET", f"use-cases/{use_case.pk}").status_code == 200
    assert api(viewer, "POST", f"use-cases/{use_case.pk}/decisions").status_code == 403
    assert api(outsider, "GET", f"use-cases/{use_case.pk}").status_code in (401, 404)
    assert not Decision.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": "x", "facts": {"team": 1}},
        {"name": "x", "facts": {"actor": 1}},
        {"name": "x", "facts": {"owner": 1}},
        {"name": "x", "facts": {"task_complexity": "enormous"}},
        {"name": "x", "facts": {"rates": [1]}},
        {"name": "x", "example": "unknown"},
    ],
)
def test_nonsense_is_one_sentence(api, editor, body):
    response = api(editor, "POST", "use-cases", body)
    assert response.status_code == 400
    assert response.json()["error"].endswith((".", "team."))
    assert not UseCase.objects.exists()


def test_a_change_on_an_older_version_is_a_conflict(api, editor, use_case):
    change = {"version": 1, "changes": {"volume_per_day": 9}}
    assert api(editor, "PATCH", f"use-cases/{use_case.pk}", change).status_code == 200
    assert api(editor, "PATCH", f"use-cases/{use_case.pk}", change).status_code == 409


def test_a_what_if_answers_and_keeps_nothing(api, viewer, use_case):
    path = f"use-cases/{use_case.pk}/what-if"
    answer = api(viewer, "GET", f"{path}?data_quality=low").json()
    assert answer["changed"] == {"data_quality": "low"}
    assert answer["result"]["verdict"]["recommendation"] == "rag"
    assert answer["result"]["n_tried"] > 100
    assert UseCase.objects.get().data_quality == "high"
    for query, words in (("data_quality=purple", "purple"), ("colour=red", "colour")):
        refused = api(viewer, "GET", f"{path}?{query}")
        assert refused.status_code == 400
        assert words in refused.content.decode()


def test_two_decisions_are_compared_and_the_latest_signed(api, editor, approver, outsider, use_case):
    first = api(editor, "POST", f"use-cases/{use_case.pk}/decisions").json()
    base = f"use-cases/{use_case.pk}/decisions"
    assert api(editor, "GET", f"{base}/1/changes").status_code == 404
    change = {"version": 1, "changes": {"requires_citations": True}}
    api(editor, "PATCH", f"use-cases/{use_case.pk}", change)
    second = api(editor, "POST", base).json()
    compared = api(editor, "GET", f"{base}/2/changes").json()
    assert [each["name"] for each in compared["facts"]] == ["needs citations"]
    assert compared["scores"][1]["came"] == ["citations +0.20"]

    body = {"inputs_sha256": second["inputs_sha256"], "note": "Read."}
    assert api(editor, "POST", f"{base}/2/sign-offs", body).status_code == 403
    assert api(outsider, "POST", f"{base}/2/sign-offs", body).status_code in (401, 404)
    old = {**body, "inputs_sha256": first["inputs_sha256"]}
    assert api(approver, "POST", f"{base}/1/sign-offs", old).status_code == 409
    assert api(approver, "POST", f"{base}/2/sign-offs", body).status_code == 201
    assert api(approver, "POST", f"{base}/2/sign-offs", body).status_code == 409
    listed = api(editor, "GET", f"{base}/2/sign-offs").json()["items"]
    assert [each["note"] for each in listed] == ["Read."]
