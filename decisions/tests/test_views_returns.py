"""Pages of returns: ranges typed into a field, the answer while typing, scenarios, planned against actual, CSV."""

from __future__ import annotations

import csv
import io
import re
from datetime import date
from fractions import Fraction

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from decisions import services_returns as returns
from decisions.domain.actuals import MonthFigures
from decisions.domain.serving import Figure
from decisions.forms_returns import RangeField
from decisions.models import ActualMonth, RoiAnalysis, RoiScenario
from decisions.tests.plans import DEMO, EMAIL, GPU, WIDE, M
from foundation.teams.models import AuditEvent

pytestmark = pytest.mark.django_db

FORM = {
    "monthly_volume": "150000",
    "current_shape": "per_request",
    "current_cost": "0.005",
    "fine_tuned_shape": "per_request",
    "fine_tuned_cost": "0.003",
    "setup_cost": "5000",
    "training_cost": "0",
    "monthly_maintenance": "500",
    "quality_improvement": "15",
    "value_per_improved": "0.5",
    "horizon_months": "12",
}
HTMX = {"HX-Request": "true"}


def url(name, *args):
    return reverse(f"decisions:{name}", args=args)


@pytest.fixture
def wide(editor, use_case):
    """A use case with the wide plan, a scenario beside it and two months of traffic."""
    returns.analyse_roi(actor=editor, use_case=use_case, **WIDE)
    gpu = {
        **GPU,
        "fine_tuned_serving": {**GPU["fine_tuned_serving"], "hour_microusd": [400_000, 500_000, 900_000]},
    }
    returns.analyse_roi(actor=editor, use_case=use_case, scenario="GPUs of our own", **gpu)
    returns.record_actual_months(
        use_case=use_case,
        months={
            date(2026, 10, 1): MonthFigures(n_days=20, n_requests=90_000, serving_microusd=270 * M),
            date(2026, 11, 1): MonthFigures(
                n_days=26, n_requests=140_000, serving_microusd=430 * M, n_judged=600, n_right=540,
                n_judged_prompt=600, n_right_prompt=480, n_requests_prompt=500, serving_prompt_microusd=2_500_000,
            ),
        },
    )  # fmt: skip
    use_case.refresh_from_db()
    return use_case


# --- the two examples, typed as a person would -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param(
            {},
            ("$127,600.00", "Month 1", "Never", "$0.0274", "0.82%", "−25.0 months", "250,000", "458,333", "−$7,400.00"),
            id="demo",
        ),
        pytest.param(
            {"monthly_volume": "300000", "current_cost": "0.004", "fine_tuned_cost": ".002", "setup_cost": "3,000",
             "quality_improvement": "25"},
            ("$448,200.00", "30.0 months", "Month 1", "$0.0020", "0.10%", "250,000", "375,000", "14,940.0%"),
            id="e-mail",
        ),
    ],
)  # fmt: skip
def test_s16_to_s21_the_examples_go_through_the_form_and_the_live_answer(
    client_for, editor, use_case, changes, words
):
    client = client_for(editor)
    live = client.post(url("roi-what-if", use_case.pk), {**FORM, **changes}, headers=HTMX).content.decode()
    assert not RoiAnalysis.objects.exists()
    for word in words[:2]:
        assert word in live, word
    saved = client.post(url("roi-create", use_case.pk), {**FORM, **changes}, follow=True).content.decode()
    for word in words:
        assert word in saved, word
    assert "no spread to show" in saved


def test_ranges_typed_into_a_field_are_read_back_and_drawn(client_for, editor, use_case):
    client = client_for(editor)
    typed = {**FORM, "setup_cost": "3,000 5,000 15,000", "quality_improvement": "-2 5 15"}
    live = client.post(url("roi-what-if", use_case.pk), typed, headers=HTMX).content.decode()
    for words in ("$3,000.00 to $15,000.00, likely $5,000.00", "−2% to 15%, likely 5%", "20,000 draws", "triangular",
                  "independent", "paying back within 6 months", "never within 12 months"):  # fmt: skip
        assert words in live, words
    client.post(url("roi-create", use_case.pk), typed)
    saved = RoiAnalysis.objects.get()
    assert saved.inputs["setup_cost_microusd"] == [3_000 * M, 5_000 * M, 15_000 * M]
    assert saved.inputs["quality_improvement"] == ["-0.02", "0.05", "0.15"]
    # the likely figures alone: -7,400 + 1.8 M x .05 x .5
    assert saved.result["total_value_microusd"] == 37_600 * M
    again = client.get(url("roi-create", use_case.pk) + f"?from={saved.number}").content.decode()
    assert 'value="3000 5000 15000"' in again
    assert 'value="-2 5 15"' in again


def test_serving_by_the_token_the_hour_and_the_unit_is_typed_and_kept(client_for, editor, use_case):
    client = client_for(editor)
    client.post(url("roi-create", use_case.pk), {
        **FORM, "current_shape": "per_token", "current_input_tokens": "1000", "current_output_tokens": "200",
        "current_input_price": "3", "current_output_price": "15", "current_cached_share": "50",
        "fine_tuned_shape": "gpu_hour", "fine_tuned_hour": "0.5", "fine_tuned_requests_an_hour": "400",
        # What stands in a folded field disturbs nobody.
        "fine_tuned_cost": "nonsense", "fine_tuned_unit_monthly": "-3",
    })  # fmt: skip
    saved = RoiAnalysis.objects.get()
    # 4,650 micro-dollars a request, see the rule's test; one replica 720 h x $.50
    assert saved.result["current_monthly_microusd"] == (150_000 * 4_650)
    assert saved.result["fine_tuned_monthly_microusd"] == (360 + 500) * M
    assert "current_cost_per_request_microusd" not in saved.inputs
    page = client.get(url("roi-detail", use_case.pk, 1)).content.decode()
    assert "Price of a GPU hour, fine-tuned" in page
    assert "50%" in page


# --- wrong input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"setup_cost": "5000 3000 2000"}, "setup_cost", "give the low one first"),
        ({"setup_cost": "1 2"}, "setup_cost", "2 figures are given"),
        ({"setup_cost": "-1"}, "setup_cost", "Must not be negative."),
        ({"monthly_volume": "1e30"}, "monthly_volume", "too large to be meant"),
        ({"monthly_volume": "lots"}, "monthly_volume", "“lots” is not a number"),
        ({"monthly_volume": ""}, "monthly_volume", "This field is required."),
        ({"current_cost": "-0.001"}, "current_cost", "Must not be negative."),
        ({"current_cost": ""}, "current_cost", "This field is required."),
        ({"quality_improvement": "150"}, "quality_improvement", "Is at most 100%."),
        ({"horizon_months": "0"}, "horizon_months", "greater than or equal to 1"),
        ({"retires_on": "2020-01-01"}, "retires_on", "that is past"),
        ({"fine_tuned_shape": "gpu_hour"}, "fine_tuned_hour", "This field is required."),
        ({"fine_tuned_shape": "gpu_hour", "fine_tuned_hour": "1", "fine_tuned_idle_hours_a_day": "24"},
         "fine_tuned_idle_hours_a_day", "Is at most 23."),
    ],
)  # fmt: skip
def test_wrong_input_gets_a_sentence_at_its_field_and_the_last_good_figures_stay(
    client_for, editor, use_case, changes, field, words
):
    client = client_for(editor)
    live = client.post(url("roi-what-if", use_case.pk), {**FORM, **changes}, headers=HTMX)
    html = live.content.decode()
    assert (live.status_code, live["HX-Reswap"]) == (422, "none")
    slot = re.search(rf'<p class="error" id="id_{field}_said".*?</p>', html, re.S)
    assert slot and words in slot.group(), html
    assert 'id="roi-answer"' not in html
    assert "still that of the last good ones" in html
    page = client.post(url("roi-create", use_case.pk), {**FORM, **changes})
    assert page.status_code == 422
    html = page.content.decode()
    assert words in html
    # Nothing typed is lost.
    for name, value in {**FORM, **changes}.items():
        if value and "shape" not in name:
            assert f'name="{name}" value="{value}"' in html, name
    assert not RoiAnalysis.objects.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"monthly_volume": "0"},
        {"monthly_volume": "250000"},  # D11: both cost the same each month
        {"setup_cost": "0", "training_cost": "0"},
        {"fine_tuned_cost": "0.005", "monthly_maintenance": "0"},
        {"monthly_volume": "310000000000", "value_per_improved": "1000000000"},
        {"quality_improvement": "-100 0 100"},
    ],
)
def test_d11_edges_are_answers(client_for, editor, use_case, changes):
    live = client_for(editor).post(url("roi-what-if", use_case.pk), {**FORM, **changes}, headers=HTMX)
    assert live.status_code == 200
    html = live.content.decode().lower()
    assert not re.search(r"\b(nan|inf)\b", html)


@pytest.mark.parametrize(
    ("unit", "typed", "low", "high"),
    [
        ("share", "-2% 0 % 1.5%", "-0.02", "0.015"),
        ("share", "50", "0.5", "0.5"),
        ("usd", " $2,000.50 – $3,000 – $5,000 ", "2000500000", "5000000000"),
    ],
)
def test_the_sign_of_its_own_unit_may_stand_in_a_field(unit, typed, low, high):
    figure = Figure("gain", unit, Fraction(10**15), Fraction(-1))
    found = RangeField(figure).clean(typed)
    assert (found.low, found.high) == (Fraction(low), Fraction(high))


@pytest.mark.parametrize(
    ("unit", "typed"), [("share", "$5"), ("usd", "5%"), ("number", "5%"), ("share", "5%%")]
)
def test_the_sign_of_another_unit_is_no_number(unit, typed):
    with pytest.raises(ValidationError, match="is not a number"):
        RangeField(Figure("gain", unit, Fraction(100))).clean(typed)


def test_a_retirement_cuts_the_months_short_and_says_so(client_for, editor, use_case, time_machine):
    time_machine.move_to("2026-11-26")
    client = client_for(editor)
    typed = {**FORM, "horizon_months": "36", "retires_on": "2027-10-01"}
    live = client.post(url("roi-what-if", use_case.pk), typed, headers=HTMX).content.decode()
    assert "10 of 36 months are left" in live
    page = client.post(url("roi-create", use_case.pk), typed, follow=True).content.decode()
    assert "Return over 10 months" in page
    assert RoiAnalysis.objects.get().months == 10


def test_the_measured_retirement_is_filled_in(client_for, editor, use_case):
    from decisions.services import record_evidence

    record_evidence(use_case=use_case, kind="base_model_retires_on", value="2030-01-31", source="catalogue")
    use_case.refresh_from_db()
    assert 'value="2030-01-31"' in client_for(editor).get(url("roi-create", use_case.pk)).content.decode()
    # and an emptied date is an answer of its own
    client_for(editor).post(url("roi-create", use_case.pk), {**FORM, "retires_on": ""})
    assert "retires_on" not in RoiAnalysis.objects.get().inputs


# --- scenarios -----------------------------------------------------------------------------------------------------------


def test_a_named_scenario_stands_beside_the_plan_and_moves_no_decision(client_for, editor, use_case):
    client = client_for(editor)
    client.post(url("roi-create", use_case.pk), FORM)
    client.post(
        url("roi-create", use_case.pk), {**FORM, "scenario": " Cautious ", "quality_improvement": "0"}
    )
    use_case.refresh_from_db()
    assert use_case.latest_roi.number == 1
    assert use_case.latest_roi.is_positive
    scenario = RoiScenario.objects.get()
    assert (scenario.name, scenario.latest.number) == ("Cautious", 2)
    # The same figures again are the same return, in each by itself; capitals do not make another scenario.
    client.post(url("roi-create", use_case.pk), {**FORM, "scenario": "CAUTIOUS", "quality_improvement": "0"})
    client.post(url("roi-create", use_case.pk), FORM)
    assert RoiAnalysis.objects.count() == 2
    client.post(url("roi-create", use_case.pk), {**FORM, "scenario": "cautious", "quality_improvement": "1"})
    assert RoiScenario.objects.get().latest.number == 3


def test_the_comparison_shows_differences_first_and_its_address_is_its_state(client_for, viewer, wide):
    client = client_for(viewer)
    html = client.get(url("roi-list", wide.pk)).content.decode()
    assert "GPUs of our own" in html
    assumptions = html[html.index('id="assumptions"') :]
    assert assumptions.index("Price of a GPU hour") < assumptions.index("Cost of a request, today")
    alone = client.get(url("roi-list", wide.pk) + "?with=2").content.decode()
    assert 'returns/1/">The plan' not in alone
    assert 'returns/2/">GPUs' in alone
    for nonsense in ("x", "-1", "9" * 30, "77"):
        assert client.get(url("roi-list", wide.pk), {"with": nonsense}).status_code == 200


def test_a_scenario_is_put_away_and_brought_back(client_for, editor, viewer, outsider, wide):
    scenario = RoiScenario.objects.get()
    where = url("scenario-archive", scenario.pk)
    assert client_for(viewer).post(where).status_code == 403
    assert client_for(outsider).post(where).status_code == 404
    client = client_for(editor)
    for _ in range(2):
        client.post(where)
    assert 'returns/2/">GPUs' not in client.get(url("roi-list", wide.pk)).content.decode()
    assert "Bring it back" in client.get(url("roi-list", wide.pk)).content.decode()
    assert client.get(url("roi-detail", wide.pk, 2)).status_code == 200
    client.post(where, {"restore": "1"})
    assert 'returns/2/">GPUs' in client.get(url("roi-list", wide.pk)).content.decode()
    verbs = list(
        AuditEvent.objects.filter(verb__startswith="scenario.").order_by("id").values_list("verb", flat=True)
    )
    assert verbs == ["scenario.created", "scenario.archived", "scenario.restored"]


def test_saving_under_a_name_put_away_brings_it_back(editor, wide):
    returns.archive_scenario(actor=editor, scenario=RoiScenario.objects.get())
    returns.analyse_roi(actor=editor, use_case=wide, scenario="gpus of our own", **DEMO)
    assert RoiScenario.objects.get().archived_at is None


# --- planned against actual ----------------------------------------------------------------------------------------------


def test_planned_and_actual_in_words_while_nothing_is_measured(client_for, viewer, editor, use_case):
    client = client_for(viewer)
    assert "No plan to compare with" in client.get(url("roi-actual", use_case.pk)).content.decode()
    returns.analyse_roi(actor=editor, use_case=use_case, **DEMO)
    html = client.get(url("roi-actual", use_case.pk)).content.decode()
    assert "Nothing has been measured yet" in html
    assert client.get(url("roi-actual-csv", use_case.pk)).status_code == 404


def test_planned_and_actual_by_month(client_for, viewer, wide):
    client = client_for(viewer)
    html = client.get(url("roi-actual", wide.pk)).content.decode()
    for words in (
        "Oct 2026",
        "Nov 2026",
        "90,000",
        "not measured",
        "n = 600 and 600",
        "+10.0 pts",
        "planned 100,000",
    ):
        assert words in html, words
    rows = list(csv.DictReader(io.StringIO(client.get(url("roi-actual-csv", wide.pk)).content.decode())))
    assert [row["month"] for row in rows] == ["2026-10", "2026-11"]
    assert (rows[0]["gain"], rows[1]["gain"]) == ("", "0.1000")
    # 140,000 x .005 - 430 - 500 x 26 / 30 + 140,000 x .1 x .05
    assert float(rows[1]["net_usd"]) == pytest.approx(700 - 430 - 433.33 + 700, abs=0.01)


# --- CSV -----------------------------------------------------------------------------------------------------------------


def test_the_cash_flow_has_its_band(client_for, viewer, wide):
    rows = list(
        csv.DictReader(io.StringIO(client_for(viewer).get(url("roi-cash-flow", wide.pk, 1)).content.decode()))
    )
    assert len(rows) == 37
    last = {name: float(value) for name, value in rows[-1].items()}
    assert last["with_quality_low_usd"] < last["with_quality_usd"] < last["with_quality_high_usd"]


def test_t49_a_scenario_named_like_a_formula_is_text_in_the_csv(client_for, editor, viewer, wide):
    returns.analyse_roi(actor=editor, use_case=wide, scenario='=HYPERLINK("http://x")', **EMAIL)
    text = client_for(viewer).get(url("roi-compare-csv", wide.pk)).content.decode()
    head = next(csv.reader(io.StringIO(text)))
    assert head[3].startswith("'=HYPERLINK")
    assert "−$" in text


# --- who, how many queries ----------------------------------------------------------------------------------------------


def test_viewers_read_strangers_find_nothing_and_only_editors_work_out(client_for, viewer, outsider, wide):
    pages = [url(n, wide.pk) for n in ("roi-list", "roi-actual", "roi-actual-csv", "roi-compare-csv")]
    pages += [url("roi-detail", wide.pk, 2), url("roi-cash-flow", wide.pk, 2)]
    for page in pages:
        assert client_for(viewer).get(page).status_code == 200, page
        assert client_for(outsider).get(page).status_code == 404, page
    for name in ("roi-what-if", "roi-create"):
        assert client_for(viewer).post(url(name, wide.pk), FORM).status_code == 403
        assert client_for(outsider).post(url(name, wide.pk), FORM).status_code == 404
    assert client_for(viewer).get(url("roi-create", wide.pk)).status_code == 403
    assert "Add a scenario" not in client_for(viewer).get(url("roi-list", wide.pk)).content.decode()
    assert RoiAnalysis.objects.count() == 2


def test_an_archived_use_case_keeps_its_returns_and_takes_no_new_ones(client_for, editor, wide):
    from decisions.services import archive_use_case

    archive_use_case(actor=editor, use_case=wide)
    client = client_for(editor)
    assert client.get(url("roi-list", wide.pk)).status_code == 200
    assert client.post(url("roi-create", wide.pk), FORM).status_code == 409
    assert client.post(url("scenario-archive", RoiScenario.objects.get().pk)).status_code == 409


def test_pages_of_returns_ask_at_most_fifteen_queries_at_two_sizes(client_for, editor, wide):
    client = client_for(editor)
    pages = [
        url("roi-detail", wide.pk, 1),
        url("roi-list", wide.pk),
        url("roi-actual", wide.pk),
        url("roi-create", wide.pk),
    ]
    counts = []
    for size in (1, 12):
        for n in range(size):
            returns.analyse_roi(
                actor=editor, use_case=wide, scenario=f"{size} {n}", **{**DEMO, "monthly_volume": n}
            )
            months = {date(2020 + n % 5, 1 + n, 1): MonthFigures(n_days=9, n_requests=5)}
            returns.record_actual_months(use_case=wide, months=months)
        row = []
        for page in pages:
            client.get(page)
            with CaptureQueriesContext(connection) as queries:
                assert client.get(page).status_code == 200
            row.append(len(queries))
        counts.append(row)
    assert max(counts[1]) <= 15, dict(zip(pages, counts[1], strict=True))
    assert all(b <= a + 1 for a, b in zip(*counts, strict=True)), counts


def test_what_strangers_wrote_is_text(client_for, editor, wide):
    nasty = "<script>alert(1)</script>"
    returns.analyse_roi(actor=editor, use_case=wide, scenario=nasty, note=nasty, **EMAIL)
    client = client_for(editor)
    for page in (
        url("roi-list", wide.pk),
        url("roi-detail", wide.pk, 3),
        url("roi-create", wide.pk) + "?from=3",
    ):
        html = client.get(page).content.decode()
        assert nasty not in html
        assert "style=" not in html
    live = client.post(
        url("roi-what-if", wide.pk), {**FORM, "setup_cost": nasty}, headers=HTMX
    ).content.decode()
    assert nasty not in live


def test_the_same_month_told_twice_is_one_row(wide):
    figures = MonthFigures(n_days=20, n_requests=90_000, serving_microusd=270 * M)
    assert returns.record_actual_months(use_case=wide, months={date(2026, 10, 1): figures}) == 0
    assert ActualMonth.objects.count() == 2
