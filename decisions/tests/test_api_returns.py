"""Returns over HTTP: ranges, what-if, scenarios, planned against actual, as the pages have them."""

from __future__ import annotations

import json
from datetime import date

import pytest

from decisions import services_returns as returns
from decisions.domain.actuals import MonthFigures
from decisions.models import RoiAnalysis
from decisions.tests.plans import DEMO, GPU, WIDE, M

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


def test_a_return_with_ranges_is_tried_then_saved_and_read(api, editor, viewer, use_case):
    at = f"use-cases/{use_case.pk}/returns"
    tried = api(editor, "POST", f"{at}/what-if", WIDE)
    assert tried.status_code == 200, tried.content
    assert not RoiAnalysis.objects.exists()
    saved = api(editor, "POST", at, {**WIDE, "note": "from a quote"})
    assert saved.status_code == 201
    assert saved.json()["result"] == tried.json()["result"]
    read = api(viewer, "GET", f"{at}/1").json()
    assert read["inputs"]["quality_improvement"] == ["-0.02", "0.05", "0.15"]
    assert read["result"]["uncertainty"]["n"] == 20_000
    assert read["result"]["tornado"]["swings"][0]["label"]
    assert api(viewer, "GET", at).json()["items"][0]["number"] == 1


def test_shares_as_numbers_of_json_are_exact(api, editor, use_case):
    given = {**DEMO, "quality_improvement": 0.15, "monthly_volume": [100_000, 150_000, 2e5]}
    inputs = api(editor, "POST", f"use-cases/{use_case.pk}/returns", given).json()["inputs"]
    assert inputs["quality_improvement"] == "0.15"
    assert inputs["monthly_volume"] == [100_000, 150_000, 200_000]


def test_serving_by_the_gpu_hour_and_scenarios(api, editor, viewer, use_case):
    at = f"use-cases/{use_case.pk}"
    api(editor, "POST", f"{at}/returns", DEMO)
    gpu = api(editor, "POST", f"{at}/returns", {**GPU, "scenario": "GPUs"}).json()
    assert (gpu["scenario"], gpu["result"]["fine_tuned_monthly_microusd"]) == ("GPUs", 860 * M)
    (scenario,) = api(viewer, "GET", f"{at}/scenarios").json()["items"]
    assert scenario["latest_return"] == 2
    assert api(viewer, "POST", f"{at}/scenarios/{scenario['id']}/archive").status_code == 403
    assert api(editor, "POST", f"{at}/scenarios/{scenario['id']}/archive").json()["archived_at"]
    assert api(editor, "POST", f"{at}/scenarios/{scenario['id']}/restore").json()["archived_at"] is None
    assert api(editor, "POST", f"{at}/scenarios/{2**70}/archive").status_code == 404


def test_planned_against_actual_over_http(api, viewer, editor, use_case):
    at = f"use-cases/{use_case.pk}/actuals"
    assert api(viewer, "GET", at).status_code == 404
    returns.analyse_roi(actor=editor, use_case=use_case, **DEMO)
    assert api(viewer, "GET", at).json()["months"] == []
    months = {date(2026, 11, 1): MonthFigures(n_days=30, n_requests=150_000, serving_microusd=450 * M)}
    returns.record_actual_months(use_case=use_case, months=months)
    found = api(viewer, "GET", at).json()
    assert found["months"][0]["month"] == "2026-11"
    assert found["running"][-1]["actual"] == pytest.approx(6_050 * M)


@pytest.mark.parametrize(
    "body",
    [
        {"monthly_volume": [3, 2, 1]},
        {"monthly_volume": [1, 2]},
        {"monthly_volume": -1},
        {"monthly_volume": 1e30},
        {"quality_improvement": "much"},
        # Half a per cent, or a half? Only a field with its unit beside it can know.
        {"quality_improvement": "0.5%"},
        {"quality_improvement": ["0%", "1%", "2%"]},
        {"setup_cost_microusd": "$3"},
        {"horizon_months": 0},
        {"retires_on": "1999-01-01"},
        {"fine_tuned_serving": {"shape": "magic"}},
        {"fine_tuned_serving": {"shape": "gpu_hour", "colour": 1}},
        {"scenario": "x" * 81},
    ],
)
def test_nonsense_is_one_sentence_and_nothing_is_kept(api, editor, use_case, body):
    for path in ("returns", "returns/what-if"):
        if path == "returns/what-if" and "scenario" in body:
            continue
        response = api(editor, "POST", f"use-cases/{use_case.pk}/{path}", body)
        assert response.status_code == 400, response.content
        assert response.json()["error"].endswith(".")
    assert not RoiAnalysis.objects.exists()


def test_a_stranger_finds_nothing(api, outsider, use_case):
    for method, path in (("GET", "returns"), ("POST", "returns"), ("GET", "actuals"), ("GET", "scenarios")):
        assert api(outsider, method, f"use-cases/{use_case.pk}/{path}").status_code in (401, 404)
