"""Every page over a workspace that was really run: queries at two sizes, the browser's questions, strangers."""

from __future__ import annotations

import json
import time

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from datasets.models import DatasetVersion
from datasets.tests.folded import judged
from foundation.jobs.services import run_until_idle
from foundation.teams.models import Team, User
from foundation.teams.policy import Scope
from foundation.ui.testing import assert_accessible, assert_fits, assert_no_csp_violations
from ftportal.testing.walk import addresses
from ftportal.trials import start_trial

MOST_QUERIES = 15
# The browser's walk is long: each walker takes every second page, side by side where there are workers.
WALKERS = 2
# Downloads and addresses that only answer programs.
NO_PAGES = ("bad-rows", "export", "livez", "readyz")


def workspace(admin: User, team: Team, folder, rows: int) -> None:
    """A use case that went all the way on `rows` rows."""
    path = folder / f"tickets-{rows}.jsonl"
    words = "invoice parcel refund password lamp card broken late address code label return app order wrong box".split()
    with open(path, "w") as out:
        for i in range(rows):
            label = ("billing", "delivery", "returns")[i % 3]
            text = (
                " ".join(words[(i * step + i // 7) % len(words)] for step in (1, 3, 5, 7, 11))
                + f" {label[:3]} number {i}"
            )
            out.write(json.dumps({"text": text, "label": label, "who": f"C{i % 97}"}) + "\n")
    recipe = {"name": f"Tickets {rows}", "reviewer": "demo", "seed": "s1", "n_folds": 2}
    job = start_trial(actor=admin, team=team, path=path, recipe=recipe)
    assert run_until_idle(max_seconds=300)
    job.refresh_from_db()
    assert job.status.value == "succeeded", job.error
    # Answers as two cross-validations would leave them: children that fit would cost the walk ten seconds.
    version = DatasetVersion.objects.get(dataset__use_case__name=f"Tickets {rows}", number=1)
    for seed in (0, 1):
        judged(admin, version, wrong=lambda i, seed=seed: i % (5 + seed) == 0, seed=seed)


@pytest.mark.django_db(transaction=True)
def test_every_page_asks_few_questions_at_two_sizes(admin_user, team, settings, tmp_path, capsys):
    """At most 15 queries a page, the same with ten times the rows: a query a row would show here."""
    settings.FILES_DIR = tmp_path / "files"
    client = Client()
    client.force_login(admin_user)
    seen: dict[str, list[tuple[int, int, float]]] = {}
    for rows in (620, 3100):
        workspace(admin_user, team, tmp_path, rows)
        for address in addresses(team, admin_user):
            if address.name.endswith(NO_PAGES):
                continue
            client.get(address.path)  # the first visit fills caches of the process
            with CaptureQueriesContext(
                connection,
            ) as queries:
                started = time.perf_counter()
                answer = client.get(address.path)
                seconds = time.perf_counter() - started
            if answer.status_code != 200 or "html" not in answer["Content-Type"]:
                continue
            seen.setdefault(address.name, []).append((len(queries), len(answer.content), seconds * 1000))
    assert len(seen) > 40, "the walk found too few pages to mean anything"
    with capsys.disabled():
        print(f"\n{len(seen)} pages; queries, kB, ms at 620 rows | at 3,100 rows")
        for name, figures in sorted(seen.items()):
            print(
                f"  {name:<36}"
                + " | ".join(f"{q:>3} {size / 1000:>6.1f} {ms:>6.0f}" for q, size, ms in figures)
            )
    too_many = {
        name: figures for name, figures in seen.items() if any(q > MOST_QUERIES for q, _, _ in figures)
    }
    assert not too_many
    growing = {name: f for name, f in seen.items() if len(f) == 2 and f[1][0] > f[0][0] + 2}
    assert not growing, "more queries with more rows"


@pytest.mark.django_db(transaction=True)
def test_a_stranger_sees_no_page_of_the_workspace(admin_user, team, outsider, settings, tmp_path):
    """T31 in short: whatever the address, another team's admin gets 404 and nobody gets the sign-in."""
    settings.FILES_DIR = tmp_path / "files"
    workspace(admin_user, team, tmp_path, 620)
    stranger, nobody = Client(), Client()
    stranger.force_login(outsider)
    walked = 0
    for address in list(addresses(team, admin_user)):
        if address.scope not in (Scope.TEAM, Scope.OBJECT):
            continue  # about nobody's rows
        answer = stranger.get(address.path)
        assert answer.status_code == 404, (address, answer.status_code)
        posted = stranger.post(address.path)
        assert posted.status_code == 404, (address, posted.status_code)
        assert nobody.get(address.path).status_code in (302, 404), address
        walked += 1
    assert walked > 40


@pytest.mark.browser
@pytest.mark.parametrize("part", range(WALKERS))
@pytest.mark.django_db(transaction=True)
def test_every_page_is_accessible_fits_and_keeps_to_the_policy(
    part, admin_user, team, settings, tmp_path, page_as
):
    """axe finds nothing, no script or style is refused, nothing scrolls sideways at 360 px: on every page there is."""
    settings.FILES_DIR = tmp_path / "files"
    workspace(admin_user, team, tmp_path, 620)
    page = page_as(admin_user)
    problems = []
    walked = 0
    for address in list(addresses(team, admin_user))[part::WALKERS]:
        if address.name.endswith(NO_PAGES):
            continue
        answer = Client()
        answer.force_login(admin_user)
        found = answer.get(address.path)
        if found.status_code != 200 or "html" not in found["Content-Type"] or b"<html" not in found.content:
            continue
        page.goto(address.path)
        walked += 1
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            for ask in (assert_accessible,):
                try:
                    ask(page)
                except AssertionError as error:
                    problems.append(f"{scheme} {error}")
        for ask in (assert_no_csp_violations, assert_fits):
            try:
                ask(page)
            except AssertionError as error:
                problems.append(str(error))
    assert walked > 30 / WALKERS
    assert not problems, "\n\n".join(problems)
