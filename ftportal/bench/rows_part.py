"""Every page over a dataset of a million rows: lists, searches, findings, review, versions; milliseconds and queries.

The dataset is made anew, or copied: with BENCH_ROWS_KEPT=<folder> it is kept there once and measured from a copy. With
DATABASE_URL the portal of that database is measured as it is found, and filled where it is empty.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from ftportal.bench import ground, rows_material

ROWS = 1_000_000
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "20"))
PROMISE_MS, PROMISE_QUERIES = 150, 15


def run(folder: str, rows: str = os.environ.get("BENCH_ROWS", str(ROWS))) -> None:
    """Print every page with its times, and name those that break the promise."""
    is_copy = rows_material.kept(folder)
    ground.fresh_portal()
    from django.core.management import call_command
    from django.test import Client

    from datasets.models import Dataset
    from foundation.teams.models import User

    call_command("collectstatic", verbosity=0, interactive=False)
    if not Dataset.objects.exists():
        ground.people()
        rows_material.dataset_of(folder, int(rows))
    made = rows_material.furnish(folder)
    if not is_copy:
        rows_material.keep(folder)
    admin = User.objects.order_by("pk")[0]
    client = Client(HTTP_HOST="localhost")
    client.force_login(admin)
    wanted = os.environ.get("BENCH_ROWS_ONLY", "").split(",")
    over: list[str] = []
    n = 0
    print(f"    load {os.getloadavg()[0]:.1f}; {ROUNDS} requests each; wall ms, CPU ms, queries")
    for name, ask in {**_reads(made, client), **_presses(made, client)}.items():
        if not any(words in name for words in wanted):
            continue
        n += 1
        figures = measured(ask)
        print(f"    {name:<34} {figures}", flush=True)
        if figures.breaks:
            over.append(name)
    print(
        f"  {n - len(over)} of {n} pages within {PROMISE_MS} ms p95 and {PROMISE_QUERIES} queries over {int(rows):,} rows"
    )
    print(f"  over: {', '.join(over) or 'none'}; load {os.getloadavg()[0]:.1f} at the end")


class Figures:
    """What a page took, request by request."""

    def __init__(
        self, wall: list[float], cpu: list[float], n_queries: int, slowest: str, status: int
    ) -> None:
        self.wall, self.cpu = sorted(wall), sorted(cpu)
        self.n_queries, self.slowest, self.status = n_queries, slowest, status

    def at(self, values: list[float], share: float) -> float:
        """A percentile, the larger neighbour."""
        return values[min(len(values) - 1, int(len(values) * share))]

    @property
    def breaks(self) -> bool:
        """Whether the page is over its promise."""
        return self.at(self.wall, 0.95) > PROMISE_MS or self.n_queries > PROMISE_QUERIES or self.status >= 400

    def __str__(self) -> str:
        said = "" if self.status < 400 else f"  answered {self.status}!"
        return (
            f"p50 {self.at(self.wall, 0.5):>5.0f}  p95 {self.at(self.wall, 0.95):>5.0f}  max {self.wall[-1]:>5.0f}  "
            f"CPU p50 {self.at(self.cpu, 0.5):>4.0f} p95 {self.at(self.cpu, 0.95):>4.0f}  {self.n_queries:>2} queries"
            f"{said}{'  ' + self.slowest if self.slowest else ''}"
        )


def measured(ask: Callable[[], Any]) -> Figures:
    """One page, asked some times; a page that takes long is asked a few times only."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    ask()
    with CaptureQueriesContext(connection) as queries:
        answer = ask()
    asked = list(queries.captured_queries)  # now: the next request clears the log
    # What the test's client asks for itself is none of the page's.
    slowest = max(asked, key=lambda q: float(q["time"]), default={"time": "0", "sql": ""})
    words = (
        f"{float(slowest['time']) * 1000:.0f} ms: {slowest['sql'][:200]}"
        if float(slowest["time"]) > 0.03
        else ""
    )
    wall: list[float] = []
    cpu: list[float] = []
    while len(wall) < ROUNDS and (sum(wall) < 10_000 or len(wall) < 3):
        started, before = time.perf_counter(), ground.cpu_s()
        ask()
        wall.append((time.perf_counter() - started) * 1000)
        cpu.append((ground.cpu_s() - before) * 1000)
    return Figures(wall, cpu, len(asked), words, answer.status_code)


def _reads(made: rows_material.Rows, client: Any) -> dict[str, Callable[[], Any]]:
    """Pages by name, each as something to call."""
    from django.urls import reverse

    from datasets.models import Example, FindingRow, ReviewItem, VersionRow

    dataset, crowded = made.dataset, made.crowded
    ids = Example.objects.filter(dataset=dataset).order_by("id").values_list("id", flat=True)
    middle, last = ids[dataset.n_active // 2], ids.last()
    whole = Example.objects.filter(dataset=dataset, pk__gte=middle, content__n_chars__gt=100).order_by("pk")
    word = whole.values_list("content__prompt", flat=True)[0].split()[3]
    late_row = FindingRow.objects.filter(finding=made.large).order_by("-cluster", "-id")[150]
    edited = Example.objects.filter(dataset=dataset, pk__gt=middle, state="active").order_by("pk")[0]
    in_queue = ReviewItem.objects.filter(review=made.review).order_by("position")[5]
    late_place = (
        VersionRow.objects.filter(version=made.version, split="train").order_by("-position")[60].position
    )

    def to(name: str, *args: Any, **query: str) -> str:
        tail = "&".join(f"{k}={v}" for k, v in query.items())
        return reverse(f"datasets:{name}", args=args) + (f"?{tail}" if tail else "")

    def rows(**query: str) -> str:
        return to("example-list", dataset.pk, **query)

    team = dataset.team.slug
    pages = {
        "datasets": to("dataset-list", team),
        "dataset": to("dataset-detail", dataset.pk),
        "rows, first page": rows(),
        "rows, middle": rows(after=middle),
        "rows, before the middle": rows(before=middle),
        "rows, newest first": rows(order="newest"),
        "rows, newest first, middle": rows(order="newest", after=middle),
        "rows, dropped (few)": rows(state="dropped"),
        "rows, rejected (few)": rows(state="rejected"),
        "rows, common label": rows(label="billing"),
        "rows, rare label": rows(label="complaint"),
        "rows, rare label, late": rows(label="complaint", after=middle),
        "rows, absent label": rows(label="nobody"),
        "rows, nobody looked": rows(review="none"),
        "rows, accepted": rows(review="accepted"),
        "rows, edited (none)": rows(review="edited"),
        "rows, training": rows(split="train"),
        "rows, validation, newest": rows(split="validation", order="newest"),
        "rows, test (sealed)": rows(split="test"),
        "rows, one import": rows(source=dataset.imports.first().pk),
        "rows, of a finding": rows(finding=made.finding.pk),
        "rows, of a large finding, late": rows(finding=made.large.pk, after=late_row.example_id),
        "rows, label of a split": rows(split="validation", label="complaint"),
        "rows, all filters": rows(split="train", label="complaint", review="none", order="newest", q="customer"),
        "search, common word": rows(q="customer"),
        "search, rare word": rows(q=word),
        "search, absent": rows(q="mountain+lake+view"),
        "search, absent but common parts": rows(q="customer%3A+customer%3A"),
        "search, two letters": rows(q="zo"),
        "search, two letters, absent": rows(q="%21%21"),
        "search, one letter": rows(q="z"),
        "search, unicode": rows(q="%C3%A9t%C3%A9+%E6%97%A5%E6%9C%AC%E8%AA%9E"),
        "search, folding letter": rows(q="%C4%B0stanbul"),
        "search, word in a label": rows(q=word, label="complaint"),
        "search, newest first": rows(q=word, order="newest"),
        "search, dropped rows": rows(q="customer", state="dropped"),
        "example": to("example-detail", last),
        "example, middle": to("example-detail", middle),
        "report": to("report", dataset.pk),
        "finding": to("finding-detail", made.finding.pk),
        "finding of 300,000 rows": to("finding-detail", made.large.pk),
        "finding of 300,000 rows, late": to("finding-detail", made.large.pk, after=late_row.pk),
        "review form": to("review-create", dataset.pk),
        "review": to("review-detail", made.review.pk),
        "review, row by number": to("review-detail", made.review.pk, at=in_queue.position),
        "review, everybody's": to("review-detail", made.review.pk, whose="all"),
        "review read twice": to("review-detail", made.doubled.pk),
        "review read twice, to settle": to("review-detail", made.doubled.pk, whose="open"),
        "review summary": to("review-summary", made.review.pk),
        "review summary, read twice": to("review-summary", made.doubled.pk),
        "labels": to("labels", dataset.pk),
        "quality form": to("quality-create", dataset.pk),
        "quality form, 500 rows": to("quality-create", dataset.pk, size=500),
        "quality of 500 rows": to("quality-detail", made.run.pk),
        "write examples": to("write", dataset.pk),
        "write examples, common label": to("write", dataset.pk, labels="billing", below="10", was_below="10"),
        "quality form, by the seed alone": to("quality-create", dataset.pk, how="plain"),
        "freeze form": to("version-create", dataset.pk),
        "version": to("version-detail", made.version.pk),
        "version rows": to("version-rows", made.version.pk),
        "version rows, late": to("version-rows", made.version.pk, split="train", after=late_place),
        "version rows, test (sealed)": to("version-rows", made.version.pk, split="test"),
        "older version": to("version-detail", made.older.pk),
        "difference": to("version-diff", made.version.pk, made.older.number),
        "difference, removed, late": to("version-diff", made.version.pk, made.older.number, kind="removed", after="900"),
        "datasheet": to("version-datasheet", made.version.pk),
        "exports": to("version-exports", made.version.pk),
        "use case": reverse("decisions:use-case-detail", args=[dataset.use_case_id]),
        "use cases": reverse("decisions:use-case-list", args=[team]),
        "mix form": to("version-mix", dataset.use_case_id),
        "import form": to("import-create", dataset.pk),
        "import": to("import-detail", dataset.imports.first().pk),
        "gate": to("gate", team),
        "5,000 labels: dataset": to("dataset-detail", crowded.pk),
        "5,000 labels: rows": to("example-list", crowded.pk),
        "5,000 labels: labels": to("labels", crowded.pk),
        "5,000 labels: report": to("report", crowded.pk),
        "5,000 labels: review form": to("review-create", crowded.pk),
        "5,000 labels: quality form": to("quality-create", crowded.pk),
        "5,000 labels: write examples": to("write", crowded.pk),
        "5,000 labels: freeze form": to("version-create", crowded.pk),
        "5,000 labels: example": to("example-detail", crowded.examples.last().pk),
        "API datasets": "/api/v1/datasets",
        "API dataset": f"/api/v1/datasets/{dataset.pk}",
        "API dataset, 5,000 labels": f"/api/v1/datasets/{crowded.pk}",
        "API import": f"/api/v1/imports/{dataset.imports.first().pk}",
        "API version": f"/api/v1/versions/{made.version.pk}",
        "API datasheet": f"/api/v1/versions/{made.version.pk}/datasheet",
        "API difference": f"/api/v1/versions/{made.version.pk}/diff/{made.older.pk}",
    }  # fmt: skip
    asks: dict[str, Callable[[], Any]] = {
        name: (lambda url=url: client.get(url))  # type: ignore[misc]
        for name, url in pages.items()
    }
    asks["example, edit form refused"] = lambda: _expecting(
        422,
        client.post(
            to("example-edit", edited.pk), {"edition": edited.edition, "prompt": "", "completion": ""}
        ),
    )
    return asks


def _expecting(status: int, answer: Any) -> Any:
    """The answer with its status forgiven, where that status is what was asked for."""
    if answer.status_code == status:
        answer.status_code = 200
    return answer


def _presses(made: rows_material.Rows, client: Any) -> dict[str, Callable[[], Any]]:
    """Presses that a person makes again and again, each on a row of its own; they change the dataset."""
    from django.db.models import Exists, OuterRef
    from django.urls import reverse

    from datasets.models import Example, ReviewItem, VersionRow

    dataset, review = made.dataset, made.review
    headers = {"HX-Request": "true"}
    to_do = ReviewItem.objects.filter(review=review, verdict="").order_by("position")
    waiting = iter(list(to_do.values_list("pk", "example__edition")[:400]))
    twice = ReviewItem.objects.filter(review=made.doubled, verdict="").order_by("position")
    apart = iter(list(twice.values_list("pk", "example__edition")[:100]))
    # Rows a person may change: those of the test are closed.
    trained = VersionRow.objects.filter(version=made.version, content=OuterRef("content"), split="train")
    chosen = Example.objects.filter(Exists(trained), dataset=dataset, state="active").order_by("-pk")
    chosen = chosen.select_related("content")
    edited = iter(list(chosen.only("pk", "edition", "content__prompt")[:100]))
    judged: list[int] = []

    def judge(verdict: str) -> Any:
        key, edition = next(waiting)
        judged.append(key)
        url = reverse("datasets:review-judge", args=[review.pk, key])
        more = {"prompt": "A new question?", "completion": "A new answer."} if verdict == "edited" else {}
        return client.post(url, {"verdict": verdict, "edition": edition, **more}, headers=headers)

    def read_apart() -> Any:
        key, edition = next(apart)
        url = reverse("datasets:review-judge", args=[made.doubled.pk, key])
        return client.post(url, {"verdict": "accepted", "edition": edition}, headers=headers)

    def undo() -> Any:
        if not judged:  # measured alone
            judge("accepted")
        return client.post(reverse("datasets:review-undo", args=[review.pk, judged.pop()]), headers=headers)

    def edit() -> Any:
        row = next(edited)
        given = {"edition": row.edition, "prompt": f"{row.content.prompt} Really?", "completion": "Yes."}
        return client.post(reverse("datasets:example-edit", args=[row.pk]), given)

    def take_out() -> Any:
        row = next(edited)
        return client.post(reverse("datasets:example-state", args=[row.pk]), {"active": "no"})

    return {
        "press: accept": lambda: judge("accepted"),
        "press: reject": lambda: judge("rejected"),
        "press: edit in the review": lambda: judge("edited"),
        "press: undo": undo,
        "press: read apart": read_apart,
        "press: save an edit": edit,
        "press: take a row out": take_out,
    }
