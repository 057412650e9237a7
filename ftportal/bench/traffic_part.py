"""The pages of shipping and watching with 100,000 and 1,000,000 predictions: queries, milliseconds, the slowest query."""

from __future__ import annotations

import logging
import time

from ftportal.bench import ground, traffic_material

SIZES = ((100_000, 1.0), (1_000_000, 10.0))
ROUNDS = 12
MOST_MS, MOST_QUERIES = 150, 15


def run(folder: str, *sizes: str) -> None:
    """Print how many pages keep the budget at each size, and the slowest ones with their slowest query."""
    logging.disable(logging.WARNING)  # addresses that only take a press are asked all the same
    ground.fresh_portal()
    ground.people()
    from django.core.management import call_command
    from django.test import Client

    from deployments.services import watching
    from foundation.teams.models import Team, User
    from ftportal.testing.walk import addresses

    team, admin = Team.objects.get(), User.objects.get()
    endpoint = traffic_material.endpoint()
    call_command("collectstatic", verbosity=0, interactive=False)
    client = Client(HTTP_HOST="localhost")
    client.force_login(admin)
    there = 0
    for total, days in SIZES:
        # The larger one adds what lies before the smaller one's day.
        until = time.time() - (SIZES[0][1] * 86_400 if there else 0)
        written = traffic_material.predictions(endpoint, total - there, days=days, until_s=until)
        there = total
        if total == SIZES[0][0]:
            watching.keep_drift(watching.look_for_drift(endpoint))
            watching.keep_performance(watching.look_at_performance(endpoint))
        pages = [
            a for a in addresses(team, admin) if a.name.split(":")[0] in ("deployments", "decisions", "home")
        ]
        found = [figures for a in pages if (figures := _page(client, a)) is not None]
        found.sort(reverse=True)
        kept = sum(ms <= MOST_MS and n <= MOST_QUERIES for ms, _, n, _, _ in found)
        print(
            f"  {total:,} predictions (written in {written:.0f} s): {kept} of {len(found)} pages within "
            f"{MOST_MS} ms p95 and {MOST_QUERIES} queries; the slowest:"
        )
        many = [f"{name} {n}" for _, _, n, name, _ in found if n > MOST_QUERIES]
        for ms, cpu, n, name, slowest in found[:6]:
            print(
                f"    {name:<34} p95 {ms:>5.0f} ms  CPU {cpu:>4.0f} ms  {n:>2} queries  {slowest}", flush=True
            )
        print(f"    over {MOST_QUERIES} queries: {', '.join(many) or 'none'}", flush=True)


def _page(client, address):
    """(p95 ms, median CPU ms, queries, name, the slowest query) of one page; None when it is no page."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    answer = client.get(address.path)
    if answer.status_code != 200 or "html" not in answer.get("Content-Type", ""):
        return None
    with CaptureQueriesContext(connection) as queries:
        client.get(address.path)
    # Read now: the next request empties the list they stand in.
    asked = list(queries.captured_queries)
    slowest = max(asked, key=lambda q: float(q["time"]), default={"time": "0", "sql": ""})
    times, cpu = [], []
    for _ in range(ROUNDS):
        started, before = time.perf_counter(), ground.cpu_s()
        client.get(address.path)
        times.append((time.perf_counter() - started) * 1000)
        cpu.append((ground.cpu_s() - before) * 1000)
    words = (
        f"{float(slowest['time']) * 1000:.0f} ms: {slowest['sql'][:110]}"
        if float(slowest["time"]) > 0.02
        else ""
    )
    return sorted(times)[int(ROUNDS * 0.95)], sorted(cpu)[ROUNDS // 2], len(asked), address.name, words
