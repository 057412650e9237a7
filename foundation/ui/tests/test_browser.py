"""What scripts of ours do, in a real browser; and that pages stand without them."""

from __future__ import annotations

import csv
import re

import pytest
from playwright.sync_api import expect

from foundation.ui.testing import (
    assert_accessible,
    assert_fits,
    assert_good_page,
    assert_no_csp_violations,
    assert_one_primary,
    follow,
    shoot,
)

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("trial")]
GALLERY = "/ui/gallery/"
FORM = "/trial/form/"


def ready(page, path):
    page.goto(path)
    page.wait_for_selector("html[data-ready]")
    return page


def test_gallery_is_accessible_in_both_themes_and_fits_a_phone(page_as, editor):
    page = ready(page_as(editor), GALLERY)
    shoot(page, "gallery")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert_accessible(page)
    assert_fits(page)
    assert_no_csp_violations(page)


def test_axe_sees_a_fault_that_was_put_there(page_as, editor):
    page = ready(page_as(editor), GALLERY)
    page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    with pytest.raises(AssertionError, match="button-name"):
        assert_accessible(page)


def test_the_policy_check_sees_a_fault_that_was_put_there(page_as, editor):
    page = ready(page_as(editor), GALLERY)
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">x</p>')")
    with pytest.raises(AssertionError, match="style-src"):
        assert_no_csp_violations(page)


def test_dialogs_menus_and_notes_are_accessible_when_open(page_as, editor):
    page = ready(page_as(editor), GALLERY)
    page.evaluate("document.querySelectorAll('details').forEach((d) => d.open = true)")
    assert_accessible(page)
    assert_fits(page)
    page.keyboard.press("Control+k")
    expect(page.locator("#palette")).to_be_visible()
    assert_accessible(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Delete", exact=True).click()
    assert_accessible(page)
    assert_no_csp_violations(page)


def test_an_error_page_is_a_good_page(page_as, db):
    page = page_as()
    for code in (404, 500, 503):
        page.goto(f"/trial/status/{code}/")
        assert_good_page(page)
    shoot(page, "error-503")


def test_the_admin_keeps_the_policy(page_as, editor):
    editor.is_staff = editor.is_superuser = True
    editor.save()
    page = page_as(editor)
    for path in ("/admin/", "/admin/teams/team/", "/admin/teams/team/add/"):
        page.goto(path)
        assert_no_csp_violations(page)
    shoot(page, "admin")


def test_the_theme_changes_at_once_and_is_there_in_the_next_pages_first_byte(page_as, editor):
    page = ready(page_as(editor), GALLERY)
    page.locator(".shell > .side details.fold").last.locator("summary").click()
    page.get_by_role("button", name="Dark theme").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert 'data-theme="dark"' in page.goto(GALLERY).text()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark == "rgb(20, 22, 26)"
    assert_accessible(page)


def test_the_palette_goes_somewhere_by_keyboard_alone(page_as, editor, monkeypatch):
    from foundation.ui import search

    monkeypatch.setattr(search, "_sources", [search.Source("page", lambda r, w, n: [
        search.Found("First", "/ui/gallery/?n=1"), search.Found("Second <b>", "/ui/gallery/?n=2")])])  # fmt: skip
    page = ready(page_as(editor), GALLERY)
    page.keyboard.press("Control+k")
    page.keyboard.type("sec")
    expect(page.locator("#palette").get_by_role("option")).to_have_count(2)
    expect(page.locator("#palette").get_by_role("option").first).to_have_attribute("aria-selected", "true")
    shoot(page, "palette")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/gallery/?n=2")
    assert_no_csp_violations(page)


def test_escape_closes_the_palette_and_gives_the_focus_back(page_as, editor):
    page = ready(page_as(editor), GALLERY)
    page.locator(".shell > .side [data-open=palette]").click()
    expect(page.locator("#palette input")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".shell > .side [data-open=palette]")).to_be_focused()


def test_single_keys_work_outside_fields_only_and_can_be_switched_off(page_as, editor):
    page = ready(page_as(editor), GALLERY)
    page.locator("#id_clean-name").focus()
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).not_to_be_visible()
    page.locator("main").focus()
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_be_visible()
    assert_accessible(page)
    shoot(page, "shortcuts")
    follow(page, page.get_by_role("button", name="Switch single-key shortcuts off"))
    page.wait_for_selector("html[data-ready]")
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).not_to_be_visible()
    page.keyboard.press("Control+k")
    expect(page.locator("#palette")).to_be_visible()


def test_g_and_a_letter_goes_there(page_as, editor, monkeypatch):
    from foundation.ui import navigation

    item = navigation.NavItem("Gallery", "ui:gallery", needs_team=False)
    settings = navigation.NavItem("Settings", "teams:settings", order=2)
    monkeypatch.setattr(navigation, "_items", [item, settings])
    page = ready(page_as(editor), GALLERY)
    page.keyboard.press("g")
    page.keyboard.press("s")
    page.wait_for_url("**/t/support/settings/")


def test_rows_are_walked_selected_and_edited_by_keys(page_as, editor):
    page = ready(page_as(editor), FORM)
    page.locator("main").focus()
    page.keyboard.press("j")
    expect(page.locator("[data-row]").nth(0)).to_be_focused()
    page.keyboard.press("x")
    expect(page.get_by_label("Select one")).to_be_checked()
    page.keyboard.press("1")
    expect(page.locator(".toast")).to_contain_text("first key one")
    page.keyboard.press("j")
    page.keyboard.press("e")
    expect(page.locator(".toast").last).to_contain_text("edit two")
    page.keyboard.press("k")
    expect(page.locator("[data-row]").nth(0)).to_be_focused()


def test_an_error_of_a_part_is_a_toast_and_the_part_stays(page_as, editor):
    page = ready(page_as(editor), FORM)
    page.locator("#breaks").click()
    expect(page.locator(".toast.bad")).to_contain_text("Somebody froze version 3 before you.")
    page.locator("#faults").click()
    expect(page.locator(".toast.bad").last).to_contain_text("Something broke on our side.")
    expect(page.locator("#form")).to_be_visible()
    shoot(page, "toasts")
    assert_accessible(page)
    page.locator(".toast [data-dismiss]").first.click()
    expect(page.locator(".toast.bad")).to_have_count(1)
    assert_no_csp_violations(page)


def test_a_lost_connection_is_a_toast(page_as, editor):
    page = ready(page_as(editor), FORM)
    page.context.set_offline(True)
    page.locator("#breaks").click()
    expect(page.locator(".toast.bad")).to_contain_text("cannot be reached")


def test_a_form_that_failed_comes_back_with_the_focus_on_its_errors(page_as, editor):
    page = ready(page_as(editor), FORM)
    page.get_by_role("button", name="Save").click()
    summary = page.locator(".summary-errors")
    expect(summary).to_be_focused()
    expect(summary).to_contain_text("things to mend")
    assert_accessible(page)
    shoot(page, "form-errors")
    summary.get_by_role("link").first.click()
    expect(page.locator("#id_name")).to_be_focused()
    assert_no_csp_violations(page)


def test_two_presses_of_save_are_one_request(page_as, editor):
    page = ready(page_as(editor), FORM)
    sent = []
    page.on("request", lambda r: sent.append(r.method) if r.method == "POST" else None)
    page.route("**/trial/form/", lambda route: (page.wait_for_timeout(300), route.continue_()))
    page.evaluate(
        "() => { const b = document.querySelector('#form .primary'); b.click(); b.click(); b.click(); }"
    )
    expect(page.locator(".summary-errors")).to_be_visible()
    assert sent == ["POST"]


def test_a_file_is_chosen_by_drop_and_by_paste(page_as, editor):
    page = ready(page_as(editor), FORM)
    chosen = page.locator(".dropzone .chosen")
    page.evaluate("""() => {
        const data = new DataTransfer();
        data.items.add(new File(["a,b\\n1,2\\n"], "tickets.csv", {type: "text/csv"}));
        document.querySelector(".dropzone").dispatchEvent(
          new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
    }""")
    expect(chosen).to_have_text("tickets.csv, 8 B")
    page.evaluate("""() => {
        const data = new DataTransfer();
        data.setData("text/plain", "one row");
        document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true}));
    }""")
    expect(chosen).to_have_text("pasted.txt, 7 B")
    assert page.evaluate("document.querySelector('.dropzone input').files.length") == 1


def test_a_question_asks_before_it_posts_and_wants_the_name_written(page_as, editor):
    page = ready(page_as(editor), GALLERY)
    page.get_by_role("button", name="Delete", exact=True).click()
    dialog = page.get_by_role("dialog", name="Delete version 3 for good?")
    expect(dialog).to_be_visible()
    shoot(page, "question")
    dialog.get_by_role("button", name="Delete for good").click()
    expect(dialog).to_be_visible()  # the name is missing
    assert not dialog.locator("input[name=typed]").evaluate("e => e.checkValidity()")
    dialog.get_by_role("textbox").fill("v3")
    assert dialog.locator("input[name=typed]").evaluate("e => e.checkValidity()")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Delete", exact=True)).to_be_focused()


def test_copying_says_that_it_worked(page_as, editor):
    page = page_as(editor, permissions=["clipboard-read", "clipboard-write"])
    ready(page, GALLERY)
    button = page.locator("[data-copy]").first
    button.click()
    expect(button).to_contain_text("Copied")
    assert "Authorization: Bearer" in page.evaluate("navigator.clipboard.readText()")


def test_a_chart_tells_the_value_under_the_pointer(page_as, editor):
    page = ready(page_as(editor), GALLERY)
    page.locator(".plot.bars g").first.hover()
    expect(page.locator(".tip")).to_have_text("Billing: 95.2% (91.0% to 98.0%). 84 rows")


def test_a_chart_can_be_saved_as_a_picture(page_as, editor, tmp_path):
    page = ready(page_as(editor), GALLERY)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save as picture").nth(1).click()
    found = waiting.value
    assert found.suggested_filename == "accuracy-has-fallen-by-five-points-since-the-release-of-the.png"
    found.save_as(tmp_path / "chart.png")
    picture = (tmp_path / "chart.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 10_000
    assert_no_csp_violations(page)


def saved_values(page, title: str, folder) -> list[list[str]]:
    """The lines of the file that the chart's "Save as CSV" gives, a cell that was not quoted as (a number,)."""
    figure = page.locator("figure.chart").filter(has_text=title)
    with page.expect_download() as waiting:
        figure.get_by_role("button", name="Save as CSV").click()
    assert waiting.value.suggested_filename.endswith(".csv")
    waiting.value.save_as(folder / "values.csv")
    text = (folder / "values.csv").read_bytes().decode("utf-8-sig")
    assert text.endswith("\r\n")
    return list(csv.reader(text.splitlines(), quoting=csv.QUOTE_NONNUMERIC))


def test_the_values_of_a_chart_can_be_saved_as_csv(page_as, editor, tmp_path):
    """U37, T49. Numbers come without grouping, sign or unit of the page; a name that would run is made harmless."""
    page = ready(page_as(editor), GALLERY)
    bars = page.locator("figure.chart").filter(has_text="Refund disputes are the one queue")
    bars.locator("tbody th").first.evaluate("cell => { cell.textContent = '=1+1, \"so\"' }")
    lines = saved_values(page, "Refund disputes are the one queue", tmp_path)
    assert lines[:3] == [
        ["", "Value (%)", "Interval from (%)", "to (%)"],
        ['\'=1+1, "so"', 95.2, 91, 98],
        ["Refund disputes", 63.6, 35, 85],
    ]
    assert lines[4] == ["Everything else with a name that does not fit", "", "", ""]
    # an interval in words is three columns
    lines = saved_values(page, "Pays back in month 1", tmp_path)
    named = ["with quality (USD)", "with quality from (USD)", "with quality to (USD)", "API cost only (USD)"]
    assert lines[0] == ["Month", *named]
    # after two months: -9,200 + 2 * 11,400 between 2 * 9,600 and 2 * 13,100, and -9,200 - 2 * 84
    assert lines[3] == [2, 13600, 10000, 17000, -9368]
    # bins have ends and nothing between; 210 of 1,325 rows and 60 of 1,130
    lines = saved_values(page, "Prompts are getting longer", tmp_path)
    name = "words in the prompt"
    assert lines[0] == [f"{name} from", f"{name} to", "training rows (%)", "last 7 days (%)"]
    assert lines[1] == [0, 20, pytest.approx(100 * 210 / 1325), pytest.approx(100 * 60 / 1130)]
    # what the page writes as 1,747
    assert saved_values(page, "Eight in ten rows", tmp_path)[1][:2] == ["train", 1747]
    assert_no_csp_violations(page)


def test_signing_in_again_gives_back_what_was_written(page_as, editor):
    page = ready(page_as(editor), FORM)
    page.locator("#id_goal").fill("Route tickets to the right queue")
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(re.compile("/accounts/login/"))
    page.get_by_label("E-mail").fill(editor.email)
    page.get_by_label("Password").first.fill("correct horse battery")
    page.keyboard.press("Enter")
    page.wait_for_url("**/trial/form/")
    expect(page.locator("#id_goal")).to_have_value("Route tickets to the right queue")
    expect(page.locator(".toast.live")).to_contain_text("What you had written is back")


def test_pages_stand_without_scripts(page_as, editor):
    page = page_as(editor, js=False, width=360)
    page.goto(GALLERY)
    expect(page.locator("[data-copy]").first).not_to_be_visible()
    page.locator(".topbar summary").first.click()
    expect(page.locator(".topbar .side")).to_be_visible()
    page.locator(".topbar .fold").last.locator("summary").click()
    page.locator(".topbar").get_by_role("button", name="Dark theme").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.locator("details.how summary").first.click()
    expect(page.locator("details.how > div").first).to_be_visible()
    page.goto(FORM)
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".summary-errors")).to_be_visible()


def test_less_motion_is_no_motion(page_as, editor):
    page = ready(page_as(editor), GALLERY)
    assert page.evaluate("getComputedStyle(document.querySelector('.btn')).transitionDuration") == "0s"


def test_the_skip_link_leads_to_the_content(page_as, editor):
    page = ready(page_as(editor), FORM)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()


def test_text_may_be_spaced_and_doubled_without_being_cut(page_as, editor):
    """WCAG 1.4.12 and 1.4.4: no text is clipped by a fixed height, and nothing scrolls sideways."""
    page = page_as(editor, width=640, bypass_csp=True)  # 1280 px at 200 %
    ready(page, GALLERY)
    page.add_style_tag(
        content="* { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important }"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 640
    clipped = page.evaluate(
        """[...document.querySelectorAll("button, a, h1, h2, p, td, th, label, .pill")]
           .filter((e) => e.clientHeight && e.scrollHeight > e.clientHeight + 2 && getComputedStyle(e).overflowY === "hidden"
             && !e.closest(".clip, .vh")).map((e) => e.outerHTML.slice(0, 90))"""
    )
    assert clipped == []


def test_the_form_page_has_one_primary_button(page_as, editor):
    page = ready(page_as(editor), FORM)
    assert_one_primary(page)
