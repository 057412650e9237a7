"""A Chromium for tests: fixtures and the questions every page is asked. Loaded by the root conftest as a plugin.

Without a Chromium on the machine these tests skip and say so; with REQUIRE_BROWSER=1 they fail instead.
SHOTS=<folder> keeps a picture of every page that is shot, in light, dark and at 360 px.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# How long a page may take on a machine that is busy with other work: nobody waits that long who sees what he waits for.
PATIENCE_MS = 60_000
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# The page tells of each violation itself; the console alone would miss those of swapped parts.
WATCH = """
window.__csp = [];
document.addEventListener("securitypolicyviolation",
  (e) => window.__csp.push(`${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber} ${e.sample}`));
"""


def _missing(what: str) -> None:
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(f"{what}, and REQUIRE_BROWSER=1 allows no skip.")
    pytest.skip(f"{what}: browser tests are skipped.")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One Chromium for the whole run, driven by Playwright; the machine's own, never a downloaded one."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        _missing("No Chromium was found on PATH")
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        _missing("Playwright is not installed")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as driver:
        # A container's root has no sandbox to start from.
        args = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=path, args=[*args, "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def page_as(chromium: Any, live_server: Any) -> Iterator[Callable[..., Any]]:
    """`page_as(user, theme="dark", width=360, js=False)`: a fresh page signed in as the user (None: nobody).

    `page.goto("/path/")` is relative to the live server. Errors of scripts and of the policy gather in
    `page.problems`.
    """
    from django.conf import settings
    from django.test import Client

    contexts = []

    def sign_in(
        user: Any = None, *, theme: str = "system", width: int = 1280, js: bool = True, **more: Any
    ) -> Any:
        context = chromium.new_context(
            base_url=live_server.url,
            viewport={"width": width, "height": 900},
            java_script_enabled=js,
            reduced_motion="reduce",
            **more,
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        cookies = []
        if user is not None:
            client = Client()
            client.force_login(user)
            cookies.append((settings.SESSION_COOKIE_NAME, client.cookies[settings.SESSION_COOKIE_NAME].value))
        if theme != "system":
            cookies.append(("theme", theme))
        context.add_cookies(
            [{"name": name, "value": value, "url": live_server.url} for name, value in cookies]
        )
        context.add_init_script(WATCH)
        page = context.new_page()
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(f"script error: {error}"))
        page.on("console", lambda line: _note(page, line))
        return page

    yield sign_in
    for context in contexts:
        context.close()


def _note(page: Any, line: Any) -> None:
    if line.type == "error" and "Content Security Policy" in line.text:
        page.problems.append(line.text)


def follow(page: Any, link: Any) -> None:
    """Press what leads to another page, and wait until that one is there.

    A click returns before a busy browser has begun to leave: what is read next may still be the page that was left.
    """
    with page.expect_navigation():
        link.click()


def assert_no_csp_violations(page: Any) -> None:
    """No script, style or address was refused by the policy, and no script of ours failed."""
    page.wait_for_load_state()  # a page on its way to another answers nothing
    found = [*page.problems, *page.evaluate("window.__csp ?? []")]
    assert not found, f"{page.url}: " + "\n".join(found)


def assert_accessible(page: Any) -> None:
    """axe finds no violation of WCAG 2.2 A or AA on the page as it stands; no rule and no part is left out."""
    from axe_playwright_python.sync_playwright import Axe

    page.wait_for_load_state()
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES}}).response["violations"]
    words = [
        f"{rule['id']} ({rule['impact']}): {rule['help']}\n    "
        + "\n    ".join(
            f"{node['html'][:160]}  {node['any'][0]['message'] if node['any'] else ''}"
            for node in rule["nodes"][:4]
        )
        for rule in found
    ]
    assert not found, f"{page.url}\n" + "\n".join(words)


def assert_fits(page: Any, width: int = 360) -> None:
    """At this width nothing makes the page scroll sideways (tables scroll inside themselves)."""
    before = page.viewport_size
    page.set_viewport_size({"width": width, "height": 800})
    wide = page.evaluate("document.documentElement.scrollWidth")
    culprits = page.evaluate(
        """(width) => [...document.querySelectorAll("body *")]
          .filter((e) => e.getBoundingClientRect().right > width + 1 && !e.closest(".scroll, .tabs, pre, svg, .vh"))
          .slice(0, 5).map((e) => e.outerHTML.slice(0, 120))""",
        width,
    )
    page.set_viewport_size(before)
    assert wide <= width, f"{page.url} is {wide} px wide at {width}: {culprits}"


def assert_one_primary(page: Any) -> None:
    """The page has exactly one primary button in sight."""
    n = page.locator(".btn.primary:visible").count()
    assert n == 1, f"{page.url} has {n} primary buttons"


def assert_good_page(page: Any, *, primary: bool = True) -> None:
    """All the questions at once: policy, accessibility in both themes, 360 px, one primary button."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert_accessible(page)
    page.emulate_media(color_scheme="light")
    assert_fits(page)
    if primary:
        assert_one_primary(page)
    assert_no_csp_violations(page)


def shoot(page: Any, name: str) -> None:
    """Pictures of the whole page in light, in dark and at 360 px into $SHOTS; nothing where it is not set."""
    folder = os.environ.get("SHOTS")
    if not folder:
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    before = page.viewport_size
    page.evaluate("window.scrollTo(0, 0)")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=str(Path(folder) / f"{name}-{scheme}.png"), full_page=True)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 360, "height": 800})
    page.screenshot(path=str(Path(folder) / f"{name}-360.png"), full_page=True)
    page.set_viewport_size(before)
