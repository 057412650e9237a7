"""Deciding: what-ifs while somebody types, the decision page of a large team, the search for flips, re-scoring."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

from ftportal.bench import ground

DECISIONS_IN_TEAM = 1_000
TO_RESCORE = 10_000
FLIPPED = 1_000
SEED = 13


def run(folder: str) -> None:
    """Print each promise of deciding with the size it was measured at; wall time with CPU time beside it."""
    ground.fresh_portal()
    team, admin = ground.people()
    _flips()
    use_case = _team_of_decisions(team, admin)
    _pages(use_case, admin)
    _rescoring(team, admin)


def _flips() -> None:
    from decisions.domain.flips import find

    rng = random.Random(SEED)  # noqa: S311 - cases to measure with
    cases = [_any_facts(rng) for _ in range(200)]
    find(cases[0])
    took, tried, cpu = [], [], time.process_time()
    for facts in cases:
        found, seconds = ground.timed(lambda facts=facts: find(facts))
        took.append(seconds * 1000)
        tried.append(found.n_tried)
    each = (time.process_time() - cpu) / len(cases) * 1000
    print(
        f"  flip search, 200 use cases, {min(tried)} to {max(tried)} changes each: {_spread(took)} ms, "
        f"{each:.0f} ms of CPU each (promise: at most 50)"
    )


def _any_facts(rng: random.Random) -> Any:
    from decisions.domain.facts import NEEDS, Complexity, Facts, Level, Timing

    return Facts(
        name="bench",
        task_complexity=rng.choice(list(Complexity)),
        data_availability=rng.choice(list(Level)),
        data_quality=rng.choice(list(Level)),
        volume_per_day=rng.choice([100, 9_999, 10_000, 50_000]),
        budget_constraint=rng.choice(list(Level)),
        time_to_market=rng.choice(list(Timing)),
        **{need: rng.random() < 0.5 for need in NEEDS},
    )


def _team_of_decisions(team: Any, admin: Any) -> Any:
    """A use case with 40 decisions in a team that has a thousand, 25 use cases in all."""
    from decisions import services
    from decisions.domain.examples import example
    from decisions.models import Decision

    rows = [
        services.create_use_case(actor=admin, team=team, name=f"Case {i}", **example("support").values)
        for i in range(25)
    ]
    for row in rows:
        first = services.decide(actor=admin, use_case=row, note="The first.")
        services.analyse_roi(actor=admin, use_case=row)
        Decision.objects.bulk_create(
            [
                Decision(
                    team=team,
                    use_case=row,
                    number=n,
                    author=admin,
                    note="A later one.",
                    inputs=first.inputs,
                    inputs_sha256=f"{n:064d}",
                    result=first.result,
                    recommendation=first.recommendation,
                    headline=first.headline,
                )
                for n in range(2, DECISIONS_IN_TEAM // 25 + 1)
            ]
        )
        row.latest_decision = row.decisions.first()
        row.save(update_fields=["latest_decision"])
    assert Decision.objects.count() == DECISIONS_IN_TEAM
    return rows[0]


def _pages(use_case: Any, admin: Any) -> None:
    from django.core.management import call_command
    from django.test import Client
    from django.urls import reverse

    call_command("collectstatic", verbosity=0, interactive=False)
    client = Client(SERVER_NAME="localhost")
    client.force_login(admin)
    what_if = reverse("decisions:what-if", args=[use_case.pk])
    detail = reverse("decisions:decision-detail", args=[use_case.pk, DECISIONS_IN_TEAM // 25])
    levels = ("low", "medium", "high")
    part = {"HTTP_HX_REQUEST": "true"}
    _asked(
        "what-if fragment",
        80,
        100,
        lambda i: client.get(what_if, {"data_quality": levels[i % 3], "volume_per_day": i}, **part),
    )
    _asked(
        f"decision page, {DECISIONS_IN_TEAM:,} decisions in the team", 150, 40, lambda i: client.get(detail)
    )
    preview = reverse("decisions:decision-preview", args=[use_case.pk])
    _asked("today's answer", 150, 40, lambda i: client.get(preview))
    case = reverse("decisions:business-case", args=[use_case.pk, DECISIONS_IN_TEAM // 25])
    _asked("business case", 150, 40, lambda i: client.get(case))


def _asked(name: str, promise_ms: int, times: int, ask: Callable[[int], Any]) -> None:
    for i in range(3):
        assert ask(i).status_code == 200, name
    took, cpu = [], time.process_time()
    for i in range(times):
        _, seconds = ground.timed(lambda i=i: ask(i))
        took.append(seconds * 1000)
    each = (time.process_time() - cpu) / times * 1000
    print(
        f"  {name}, {times} times: {_spread(took)} ms, {each:.0f} ms of CPU each (promise: p95 at most {promise_ms})"
    )


def _rescoring(team: Any, admin: Any) -> None:
    from decisions import services
    from decisions.domain.examples import example
    from decisions.models import Decision, UseCase
    from decisions.rescoring import rescore
    from foundation.teams.models import Notice

    first = services.create_use_case(actor=admin, team=team, name="Many", **example("support").values)
    decision = services.decide(actor=admin, use_case=first)
    first.refresh_from_db()
    few = {"examples_in_hand": {"value": 120, "source": "bench", "as_of": "2026-11-26T00:00:00+00:00"}}
    copied = [f.attname for f in UseCase._meta.concrete_fields if f.attname not in ("id", "name", "measured")]
    same = {name: getattr(first, name) for name in copied}
    same |= {"facts_revision": first.rescored_revision + 1, "latest_decision_id": None}
    UseCase.objects.bulk_create(
        [UseCase(**same, name=f"Many {i}", measured=few if i < FLIPPED else {}) for i in range(TO_RESCORE)],
        batch_size=500,
    )
    rows = UseCase.objects.filter(name__startswith="Many ").values_list("pk", flat=True)
    Decision.objects.bulk_create(
        [
            Decision(
                team=team,
                use_case_id=pk,
                number=1,
                author=admin,
                inputs=decision.inputs,
                inputs_sha256=decision.inputs_sha256,
                result=decision.result,
                recommendation=decision.recommendation,
                headline=decision.headline,
            )
            for pk in rows
        ],
        batch_size=500,
    )
    for d in Decision.objects.filter(use_case__name__startswith="Many ").only("pk", "use_case_id").iterator():
        UseCase.objects.filter(pk=d.use_case_id).update(latest_decision=d.pk)
    before, cpu = Notice.objects.count(), time.process_time()
    result, seconds = ground.timed(rescore)
    cpu = time.process_time() - cpu
    assert (result.n, result.n_flipped) == (TO_RESCORE, FLIPPED), result
    assert Notice.objects.count() - before == FLIPPED
    again, again_seconds = ground.timed(rescore)
    assert again.n == 0
    floor = _bare(first)
    print(
        f"  re-scoring {result.n:,} use cases, {result.n_flipped:,} flipped and told: {seconds:.1f} s, {cpu:.1f} s of CPU, "
        f"{cpu / floor:.1f} times a bare loop over the rules (promise: at most 30 s); again with nothing due: {again_seconds * 1000:.0f} ms"
    )


def _bare(use_case: Any) -> float:
    """CPU seconds of the rules alone, as often."""
    from decisions import reading
    from decisions.domain.flips import recommended

    facts, answers = use_case.facts, reading.answers_of(use_case)
    started = time.process_time()
    for _ in range(TO_RESCORE):
        recommended(facts, answers)
    return time.process_time() - started


def _spread(values: list[float]) -> str:
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return f"p50 {statistics.median(ordered):.0f}, p95 {p95:.0f}, max {ordered[-1]:.0f}"
