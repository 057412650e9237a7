"""A new user's way, in a real browser: an example, its answer, its return, a changed fact, the next decision."""

from __future__ import annotations

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from decisions import services
from decisions.domain.examples import EXAMPLES
from foundation.ui.testing import assert_fits, assert_good_page, follow, shoot

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ANSWERS = {
    "email": ("Fine-tuning", "0.36 ahead of hybrid"),
    "support": ("Hybrid", "tie at 1.00, and both are needed"),
    "documentation": ("RAG", "0.30 ahead of prompt engineering"),
    "quick-start": ("Prompt engineering", "0.30 ahead of RAG"),
}


def test_a_new_user_gets_the_four_answers_from_the_examples(page_as, editor, team):
    page = page_as(editor)
    for example in EXAMPLES:
        page.goto(reverse("decisions:use-case-list", args=[team.slug]))
        page.get_by_role("link", name="New use case").click()
        page.get_by_role("heading", name=example.name).click()
        page.get_by_role("button", name="Create and see the answer").click()
        heading, words = ANSWERS[example.key]
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        expect(page.locator(".finding")).to_contain_text(words)
        page.get_by_role("button", name="Save as decision 1").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(example.name)
        expect(page.locator(".rail .done").first).to_contain_text("Decide")


def test_a_changed_fact_turns_the_answer_and_the_history_says_what_changed(page_as, editor, use_case):
    services.decide(actor=editor, use_case=use_case)
    page = page_as(editor)
    page.goto(reverse("decisions:use-case-detail", args=[use_case.pk]))
    page.get_by_role("link", name="Change the answers").click()
    page.get_by_label("Data quality").select_option("low")
    page.get_by_role("button", name="Save and see the answer").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("RAG")
    expect(page.locator("#scores")).to_contain_text("not eligible yet")
    follow(page, page.get_by_role("button", name="Save as decision 2"))
    page.goto(reverse("decisions:decision-detail", args=[use_case.pk, 2]))
    assert "high" in page.locator("#history del").inner_text()


def test_a_return_is_worked_out_by_keyboard_and_says_where_it_turns(page_as, editor, use_case):
    services.decide(actor=editor, use_case=use_case)
    page = page_as(editor)
    page.goto(reverse("decisions:roi-create", args=[use_case.pk]))
    page.get_by_role("textbox", name="Requests a month").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/returns/1/")
    assert "$0.0274" in page.locator(".finding").inner_text()
    assert "Never" in page.locator(".facts").first.inner_text()


def test_every_page_of_deciding_is_good_in_both_themes_and_at_360_px(page_as, editor, team, use_case):
    empty = page_as(editor)
    for example in EXAMPLES:
        row = services.create_use_case(actor=editor, team=team, name=example.name, **example.values)
        services.decide(actor=editor, use_case=row, note="agreed")
        services.analyse_roi(actor=editor, use_case=row)
    services.record_evidence(
        use_case=row, kind="examples_in_hand", value=120, source="dataset Mails, version 1"
    )
    pages = {
        "use-case-list": [team.slug],
        "use-case-create": [team.slug],
        "use-case-detail": [row.pk],
        "use-case-edit": [row.pk],
        "decision-preview": [row.pk],
        "decision-detail": [row.pk, 1],
        "decision-changes": [row.pk, 1],
        "business-case": [row.pk, 1],
        "what-if": [row.pk],
        "readings": [row.pk],
        "same-answer": [team.slug],
        "roi-create": [row.pk],
        "roi-detail": [row.pk, 1],
        "stuck": [],
    }
    for name, args in pages.items():
        empty.goto(reverse(f"decisions:{name}", args=args))
        shoot(empty, f"decisions-{name}")
        assert_good_page(empty)
        # Notes that are folded away are part of the page.
        empty.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = true })")
        assert_fits(empty)


def test_the_first_page_of_a_new_team_is_good(page_as, editor, team):
    page = page_as(editor)
    page.goto(reverse("decisions:use-case-list", args=[team.slug]))
    shoot(page, "decisions-empty")
    assert_good_page(page)
    page.get_by_role("link", name="Start from an example").click()
    expect(page.get_by_label("Name")).to_have_value("Customer support automation")


def test_a_what_if_answers_while_one_types_and_a_wrong_figure_leaves_the_answer_standing(
    page_as, editor, use_case
):
    page = page_as(editor)
    page.goto(reverse("decisions:what-if", args=[use_case.pk]))
    answer, wrong = page.locator("#what-if-title"), page.locator("#what-if-error-volume_per_day")
    expect(answer).to_have_text("Hybrid")
    page.locator("#id_data_quality").focus()
    page.locator("#id_data_quality").select_option("low")
    page.wait_for_url("**/what-if/?data_quality=low")
    expect(answer).to_have_text("RAG")
    expect(page.locator("#id_data_quality")).to_be_focused()
    page.locator("#id_volume_per_day").fill("-4")
    wrong.locator(".error").wait_for()
    assert "greater than or equal to 0" in wrong.inner_text()
    assert answer.inner_text() == "RAG", "the last good answer stands"
    page.locator("#id_volume_per_day").fill("12000")
    page.wait_for_url("**volume_per_day=12000")
    expect(wrong).to_have_text("")
    assert_good_page(page)
    page.get_by_role("link", name="Take these into the answers").click()
    page.get_by_text("Taken over from the what-if; nothing is saved yet.").wait_for()
    assert page.locator("#id_volume_per_day").input_value() == "12000"
    use_case.refresh_from_db()
    assert (use_case.volume_per_day, use_case.data_quality) == (5_000, "high")
