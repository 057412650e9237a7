"""Guards over what is written in templates and static files."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command

ROOT = Path(settings.BASE_DIR)
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
FORBIDDEN = [
    (r"\sstyle\s*=", "an inline style: the policy refuses it"),
    (r"<style\b", "a style block: the policy refuses it"),
    (r"<script(?![^>]*(?:\bsrc=|type=\"application/json\"))", "an inline script: the policy refuses it"),
    (r"\son[a-z]+\s*=\s*[\"']", "an inline handler: the policy refuses it"),
    (r"hx-on[:-]", "an inline handler of htmx: needs eval"),
    (r"javascript:", "a script as an address"),
    (r"(?:src|href)=[\"']https?://", "something from another host"),
    (r"\|\s*safe\b", "text taken as markup"),
    (r"\{%\s*autoescape\s+off", "escaping switched off"),
]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: str(p.relative_to(ROOT / "templates")))
def test_a_template_holds_nothing_the_policy_or_safety_forbids(path):
    text = re.sub(r"\{#.*?#\}|\{% comment %\}.*?\{% endcomment %\}", "", path.read_text(), flags=re.DOTALL)
    for pattern, why in FORBIDDEN:
        found = re.search(pattern, text)
        assert not found, f"{path.name}: {found.group()!r} is {why}"


def test_our_own_css_and_scripts_stay_small():
    # One first load is at most 120 kB gz; these are our part of it (font and htmx stand beside them).
    assert len(gzip.compress((ROOT / "static/css/portal.css").read_bytes())) <= 12_000
    scripts = b"".join(path.read_bytes() for path in sorted((ROOT / "static/js").glob("*.js")))
    assert len(gzip.compress(scripts)) <= 30_000


def test_collected_modules_find_each_other_under_their_hashed_names(tmp_path, settings):
    """Without the rewriting a browser keeps an old module beside a new one after an update."""
    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "foundation.ui.storage.ModuleManifestStorage"},
    }
    call_command("collectstatic", "--noinput", verbosity=0)
    entry = next(path for path in (tmp_path / "js").glob("portal.*.js"))
    imported = re.findall(r'from\s*"(\./[^"]+)"', entry.read_text())
    assert len(imported) > 10
    for name in imported:
        assert re.fullmatch(r"\./\w+\.[0-9a-f]{12}\.js", name), name
        assert (entry.parent / name).exists()


def test_no_page_of_ours_lets_its_focus_be_invisible():
    css = (ROOT / "static/css/portal.css").read_text()
    for rule in re.findall(r"[^{}]*:focus[^{}]*\{[^}]*outline:\s*(?:none|0)[^}]*\}", css):
        # The content area gets the focus from the skip link only; it is no control.
        assert rule.strip().startswith(".page:focus"), rule
