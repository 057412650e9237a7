"""A return in a real browser: the answer follows the typing, a slip keeps the last good one, scenarios stand side by side."""

from __future__ import annotations

from datetime import date

import pytest
from django.urls import reverse

from decisions import services_returns as returns
from decisions.domain.actuals import MonthFigures
from decisions.tests.plans import DEMO, EMAIL, WIDE, M
from foundation.ui.testing import assert_fits, assert_good_page, shoot

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_answer_follows_the_typing_and_a_slip_keeps_the_last_good_one(page_as, editor, use_case):
    page = page_as(editor)
    page.goto(reverse("decisions:roi-create", args=[use_case.pk]))
    answer = page.locator("#roi-answer")
    volume = page.get_by_label("Requests a month", exact=True)
    volume.fill("100000 150000 300000")
    page.get_by_text("100,000 to 300,000, likely 150,000").wait_for()
    answer.get_by_text("paying back within 6 months").wait_for()
    before = answer.inner_text()
    volume.fill("300000 150000 100000")
    page.get_by_text("give the low one first").wait_for()
    assert answer.inner_text() == before
    # The field keeps focus and what was typed: nothing is pulled away under the hands.
    assert page.evaluate("document.activeElement.id") == "id_monthly_volume"
    assert volume.input_value() == "300000 150000 100000"
    volume.fill("150000")
    page.locator("#id_monthly_volume_said.error").wait_for(state="detached")
    # Choosing a shape shows its figures and only those.
    page.get_by_label("Fine-tuned is billed by").select_option("gpu_hour")
    hour = page.locator("#id_fine_tuned_hour")
    hour.wait_for()
    assert not page.locator("#id_fine_tuned_cost").is_visible()
    hour.fill("0.5")
    answer.get_by_text("what these figures come to", exact=False).wait_for()
    page.get_by_label("Keep as scenario").fill("GPUs of our own")
    page.keyboard.press("Enter")
    page.wait_for_url("**/returns/1/")
    assert "GPUs of our own" in page.get_by_role("heading", level=1).inner_text()


def test_every_page_of_returns_is_good_in_both_themes_and_at_360_px(page_as, editor, use_case):
    page = page_as(editor)
    empty = [reverse(f"decisions:{name}", args=[use_case.pk]) for name in ("roi-list", "roi-actual")]
    for n, address in enumerate(empty):
        page.goto(address)
        shoot(page, f"returns-empty-{n}")
        assert_good_page(page)
    for values in (DEMO, EMAIL, WIDE):
        returns.analyse_roi(actor=editor, use_case=use_case, **values)
    returns.analyse_roi(
        actor=editor, use_case=use_case, scenario="Cautious", **{**WIDE, "retires_on": "2028-03-01"}
    )
    months = {
        date(2026, 11, 1): MonthFigures(
            n_days=26, n_requests=140_000, serving_microusd=430 * M, n_judged=600, n_right=540, n_judged_prompt=600,
            n_right_prompt=480,
        )
    }  # fmt: skip
    returns.record_actual_months(use_case=use_case, months=months)
    pages = [("roi-detail", n) for n in (1, 2, 3, 4)] + [("roi-list",), ("roi-actual",), ("roi-create",)]
    for name, *args in pages:
        page.goto(reverse(f"decisions:{name}", args=[use_case.pk, *args]))
        shoot(page, f"returns-{name}-{'-'.join(map(str, args))}")
        assert_good_page(page)
        page.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = true })")
        assert_fits(page)
