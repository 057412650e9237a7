"""Every page over 100,000 examples and a workspace that was really run: queries, bytes, milliseconds."""

from __future__ import annotations

import time
from pathlib import Path

from ftportal.bench import ground, material

ROUNDS = 12


def run(folder: str) -> None:
    """Print the slowest pages and how many keep the budget of 150 ms at the 95th percentile and 15 queries."""
    ground.fresh_portal()
    ground.people()
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from foundation.jobs.services import run_until_idle
    from foundation.teams.models import Team, User
    from ftportal.testing.walk import addresses
    from ftportal.trials import DEMO_FILE, DEMO_RECIPE, start_trial

    team, admin = Team.objects.get(), User.objects.get()
    start_trial(actor=admin, team=team, path=DEMO_FILE, recipe=DEMO_RECIPE)
    run_until_idle(max_seconds=600)
    path = Path(folder) / "rows.jsonl"
    material.write_jsonl(path, 100_000)
    ground.imported(path)
    call_command("collectstatic", verbosity=0, interactive=False)
    client = Client(HTTP_HOST="localhost")
    client.force_login(admin)
    figures = []
    for address in addresses(team, admin):
        answer = client.get(address.path)
        if answer.status_code != 200 or "html" not in answer["Content-Type"]:
            continue
        with CaptureQueriesContext(connection) as queries:
            client.get(address.path)
        # Read now: the next request empties the list they stand in.
        n_queries = len(queries)
        times = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            client.get(address.path)
            times.append((time.perf_counter() - started) * 1000)
        figures.append((sorted(times)[int(ROUNDS * 0.95)], n_queries, len(answer.content), address.name))
    figures.sort(reverse=True)
    kept = sum(1 for ms, queries, _, _ in figures if ms <= 150 and queries <= 15)
    print(f"  {kept} of {len(figures)} pages within 150 ms p95 and 15 queries; the slowest:")
    for ms, queries, size, name in figures[:8]:
        print(f"  {name:<34} p95 {ms:>5.0f} ms  {queries:>2} queries  {size / 1000:>5.1f} kB")
