"""A person with a keyboard: paste rows, look at the preview, import, mend, review by keys, freeze."""

from __future__ import annotations

import os
import re

import pytest
from django.urls import reverse

from datasets import services
from datasets.models import DatasetVersion, Review
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.services import run_until_idle
from foundation.ui.testing import assert_good_page, follow, shoot

if os.environ.get("SHOTS"):
    # Taking a picture leaves empty style attributes behind, which the policy then reports: look or measure, not both.
    def assert_good_page(page, **_):
        """Nothing is asked while pictures are taken."""


pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_from_pasted_rows_to_a_frozen_version(page_as, editor, use_case, team):
    rows = tickets(60)
    rows += [rows[0], {"text": "Write to ada@example.org about my invoice", "label": "billing"}]
    page = page_as(editor)
    page.goto(reverse("datasets:dataset-list", args=[team.slug]))
    assert_good_page(page)
    shoot(page, "dataset-list-empty")
    follow(page, page.get_by_role("link", name="New dataset"))
    page.get_by_label("Name").fill("Support tickets")
    page.get_by_label("Use case").select_option(label="Ticket routing")
    assert_good_page(page)
    shoot(page, "dataset-create")
    page.get_by_role("button", name="Create").click()

    page.get_by_label("Or paste rows").fill(jsonl(rows) + "this is not JSON\n")
    assert_good_page(page)
    shoot(page, "import-create")
    page.get_by_role("button", name="See the preview").click()

    page.get_by_text("62 of 63 rows can be used").or_(page.locator("#import-preview .finding")).wait_for()
    assert "62" in page.locator("#import-preview .finding").inner_text()
    assert_good_page(page)
    shoot(page, "import-preview")
    # Another column is chosen: the preview says so before anything is stored.
    page.get_by_label("Prompt, or text to classify").select_option("label")
    page.locator("#import-preview", has_text="must be different columns").wait_for()
    page.get_by_label("Prompt, or text to classify").select_option("text")
    page.locator("#import-preview", has_text="cannot").wait_for()
    # All or nothing: the one bad row stops it, until it may be skipped.
    follow(page, page.get_by_role("button", name="Import these rows"))
    shoot(page, "import-running")
    assert run_until_idle(60)  # the page notices by itself and loads again
    page.get_by_text("Nothing was imported.").first.wait_for()
    assert "is not JSON" in page.content()
    shoot(page, "import-failed")
    page.get_by_label("Skip bad rows").check()
    follow(page, page.get_by_role("button", name="Import these rows"))
    assert run_until_idle(60)  # the page notices by itself and loads again
    page.get_by_role("link", name="Go on with the dataset").wait_for()
    assert "62" in page.locator(".facts").inner_text()
    assert_good_page(page)
    shoot(page, "import-done")

    follow(page, page.get_by_role("link", name="Go on with the dataset"))
    assert_good_page(page)
    shoot(page, "dataset-findings")
    follow(page, page.get_by_role("link", name="Exact duplicates"))
    assert_good_page(page)
    shoot(page, "finding")
    page.get_by_role("button", name="Keep one of each").click()
    page.get_by_text("Mended.").wait_for()
    follow(page, page.get_by_role("link", name="Support tickets").first)
    follow(page, page.get_by_role("link", name="Personal data"))
    page.get_by_role("button", name="Redact them, as [EMAIL]").click()
    page.get_by_text("Mended.").wait_for()
    assert "[EMAIL]" in page.content()
    follow(page, page.get_by_role("link", name="Support tickets").first)
    follow(page, page.get_by_role("button", name="Check the rows"))
    shoot(page, "dataset-checking")
    assert run_until_idle(60)  # the page notices by itself and loads again
    page.locator(".btn.primary", has_text="Start the review").wait_for()
    shoot(page, "dataset-checked")

    page.get_by_role("button", name="Start the review").first.click()
    page.locator("#review-row").wait_for()
    assert_good_page(page)
    shoot(page, "review")
    total = Review.objects.get().n_total
    assert total == 7
    page.keyboard.press("a")
    page.locator("#review-row", has_text=f"1 of {total} rows looked at").wait_for()
    page.keyboard.press("u")
    page.locator("#review-row", has_text=f"0 of {total} rows looked at").wait_for()
    page.keyboard.press("a")
    page.locator("#review-row", has_text=f"1 of {total} rows looked at").wait_for()
    page.keyboard.press("e")
    page.get_by_role("dialog").get_by_label("Prompt").fill("My invoice of March is wrong, please correct it")
    shoot(page, "review-edit")
    page.get_by_role("button", name="Save and go on").click()
    page.locator("#review-row", has_text="1 edited").wait_for()
    page.keyboard.press("r")
    page.get_by_role("dialog").get_by_label("Why").wait_for()
    page.keyboard.type("not a ticket")
    page.keyboard.press("Enter")
    page.locator("#review-row", has_text="1 rejected").wait_for()
    for done in range(4, total + 1):
        page.keyboard.press("a")
        page.locator("#review-row", has_text=f"{done} of {total} rows looked at").wait_for()
    page.get_by_text("Every row of the queue was looked at").wait_for()
    assert_good_page(page)
    shoot(page, "review-done")

    follow(page, page.get_by_role("link", name="Go on with the dataset"))
    assert run_until_idle(60)
    follow(page, page.get_by_role("link", name="Rows").or_(page.get_by_role("link", name="Browse")).first)
    assert_good_page(page, primary=False)
    shoot(page, "examples")
    follow(page, page.locator("tr[data-row] a").first)
    assert_good_page(page)
    shoot(page, "example")

    dataset = Review.objects.get().dataset
    page.goto(reverse("datasets:version-create", args=[dataset.pk]))
    page.get_by_label("Reason to freeze all the same").fill("Sixty rows are enough for a test")
    assert_good_page(page)
    shoot(page, "freeze")
    page.get_by_role("button", name=re.compile("Freeze version 1")).click()
    page.wait_for_url("**/dataset-versions/*/")
    shoot(page, "version-building")
    assert run_until_idle(60)  # the page notices by itself and loads again
    page.get_by_text("It never changes.").wait_for()
    version = DatasetVersion.objects.get()
    assert version.is_frozen
    assert_good_page(page)
    shoot(page, "version")
    follow(page, page.get_by_role("link", name="Rows", exact=True))
    assert_good_page(page, primary=False)
    shoot(page, "version-rows")
    page.goto(reverse("datasets:version-rows", args=[version.pk]) + "?split=test")
    page.get_by_text("Sealed test rows").wait_for()
    assert_good_page(page, primary=False)
    shoot(page, "version-sealed")
    page.goto(reverse("datasets:dataset-list", args=[team.slug]))
    assert_good_page(page)
    shoot(page, "dataset-list")
    assert services.blockers(dataset)
