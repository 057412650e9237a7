"""Pages over a dataset of a million rows: lists, filters, searches, findings, review; milliseconds and queries."""

from __future__ import annotations

import time
from pathlib import Path

from ftportal.bench import dirty, ground

ROWS = 1_000_000
ROUNDS = 20
PROMISE_MS, PROMISE_QUERIES = 150, 15


def run(folder: str, rows: str = str(ROWS)) -> None:
    """Print every kind of page with its 95th percentile, and how many keep the promise."""
    ground.fresh_portal()
    ground.people()
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext
    from django.urls import reverse

    from datasets.models import Dataset, Example, Finding
    from datasets.services import plan_review, start_freeze
    from foundation.jobs.models import Job
    from foundation.teams.models import User

    call_command("collectstatic", verbosity=0, interactive=False)
    admin = User.objects.get()
    path = Path(folder) / "rows.jsonl"
    dirty.write_dirty(path, int(rows))
    dataset, _ = ground.imported(path, task_kind="answer")
    for kind in ("datasets.checks", "datasets.index"):
        before = ground.cpu_s()
        ground.worked(Job.objects.get(kind=kind))
        print(f"  {kind}: CPU {ground.cpu_s() - before:.0f} s, peak {ground.peak_mb():.0f} MB", flush=True)
    dataset = Dataset.objects.get(pk=dataset.pk)  # type: ignore[attr-defined]
    review = plan_review(actor=admin, dataset=dataset, share=0.1)
    version = start_freeze(actor=admin, dataset=dataset, seed="bench", override_reason="measured, not used")
    ground.worked(version.job)
    print(f"  frozen: peak {ground.peak_mb():.0f} MB", flush=True)
    ids = Example.objects.filter(dataset=dataset).order_by("id").values_list("id", flat=True)
    middle, last = ids[int(rows) // 2], ids.last()
    whole = Example.objects.filter(dataset=dataset, pk__gte=middle, content__n_chars__gt=100).order_by("pk")
    word = whole.values_list("content__prompt", flat=True)[0].split()[3]
    finding = Finding.objects.get(run_id=dataset.checks_id, rule="near_duplicate")
    rows_url = reverse("datasets:example-list", args=[dataset.pk])
    pages = {
        "first page": rows_url,
        "a page in the middle": f"{rows_url}?after={middle}",
        "the last page, newest first": f"{rows_url}?order=newest",
        "a rare label": f"{rows_url}?label=complaint",
        "a rare label, late": f"{rows_url}?label=complaint&after={middle}",
        "nobody looked": f"{rows_url}?review=none",
        "accepted (none)": f"{rows_url}?review=accepted",
        "training rows": f"{rows_url}?split=train",
        "rows of a finding": f"{rows_url}?finding={finding.pk}",
        "a common word": f"{rows_url}?q=customer",
        "a rare word": f"{rows_url}?q={word}",
        "words that no row has": f"{rows_url}?q=mountain+lake+view",
        "two letters": f"{rows_url}?q=zo",
        "a word within a label": f"{rows_url}?q={word}&label=complaint",
        "one row": reverse("datasets:example-detail", args=[last]),
        "a finding": reverse("datasets:finding-detail", args=[finding.pk]),
        "the dataset": reverse("datasets:dataset-detail", args=[dataset.pk]),
        "review": reverse("datasets:review-detail", args=[review.pk]),
        "the version": reverse("datasets:version-detail", args=[version.pk]),
        "rows of the version": reverse("datasets:version-rows", args=[version.pk]),
    }
    client = Client(HTTP_HOST="localhost")
    client.force_login(admin)
    kept = 0
    for name, url in pages.items():
        client.get(url)
        with CaptureQueriesContext(connection) as queries:
            client.get(url)
        n_queries = len(queries)  # now: the next request clears the log
        times = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            client.get(url)
            times.append((time.perf_counter() - started) * 1000)
        p95 = sorted(times)[int(ROUNDS * 0.95) - 1]
        kept += p95 <= PROMISE_MS and n_queries <= PROMISE_QUERIES
        print(f"    {name:<30} p95 {p95:>5.0f} ms  {n_queries:>2} queries", flush=True)
    print(
        f"  {kept} of {len(pages)} pages within {PROMISE_MS} ms p95 and {PROMISE_QUERIES} queries over {int(rows):,} rows"
    )
