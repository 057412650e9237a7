"""The gallery in a real browser: what is true of every part is true of every page built from them."""

from __future__ import annotations

import pytest

from foundation.ui.testing import assert_accessible, assert_fits, assert_no_csp_violations, shoot

pytestmark = pytest.mark.browser


def test_gallery_is_accessible_in_both_themes_and_fits_a_phone(page_as, editor):
    page = page_as(editor)
    page.goto("/ui/gallery/")
    page.wait_for_selector("html[data-ready]")
    shoot(page, "gallery")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert_accessible(page)
    assert_fits(page)
    assert_no_csp_violations(page)
