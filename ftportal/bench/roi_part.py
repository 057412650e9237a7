"""Returns: 20,000 draws over 36 months, the answer while typing, the pages, and a month of predictions counted."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from ftportal.bench import ground

ROUNDS = 40
PREDICTIONS = 200_000
MONTHS = 36
FORM = {
    "monthly_volume": "60000 150000 600000",
    "current_shape": "per_token",
    "current_input_tokens": "800 1000 2000",
    "current_output_tokens": "200",
    "current_input_price": "3",
    "current_output_price": "15",
    "fine_tuned_shape": "gpu_hour",
    "fine_tuned_hour": "0.4 0.5 0.9",
    "fine_tuned_requests_an_hour": "300 400 600",
    "setup_cost": "3000 5000 15000",
    "training_cost": "100 250 900",
    "monthly_maintenance": "300 500 1500",
    "quality_improvement": "-2 5 15",
    "value_per_improved": "0.01 0.05 0.30",
    "horizon_months": str(MONTHS),
}


def run(folder: str, predictions: str = str(PREDICTIONS)) -> None:
    """Print the draws beside a bare numpy of the same size, the fragment, the pages, and the hourly count."""
    ground.fresh_portal()
    team, admin = ground.people()
    from django.core.management import call_command
    from django.test import Client
    from django.urls import reverse

    from decisions.domain.plans import Plan
    from decisions.domain.simulation import DRAWS, simulate
    from decisions.models import RoiAnalysis
    from decisions.services import create_use_case

    call_command("collectstatic", verbosity=0, interactive=False)
    use_case = create_use_case(actor=admin, team=team, name="Bench", task_kind="classify")
    client = Client(HTTP_HOST="localhost")
    client.force_login(admin)
    client.post(reverse("decisions:roi-create", args=[use_case.pk]), FORM)
    plan = Plan.from_mapping(RoiAnalysis.objects.get().inputs)
    exact = plan.analyse()
    wall, cpu = _times(lambda: simulate(plan, exact), 10)
    floor = _times(lambda: _bare(DRAWS, MONTHS, len(plan.uncertain)), 10)[1]
    print(
        f"  {DRAWS:,} draws x {MONTHS} months, {len(plan.uncertain)} ranges: {wall[-1]:.0f} ms (promise 150), "
        f"CPU {cpu[len(cpu) // 2]:.0f} ms, {cpu[len(cpu) // 2] / floor[len(floor) // 2]:.1f} x a bare numpy of the same draws"
    )
    for n in range(4):
        client.post(
            reverse("decisions:roi-create", args=[use_case.pk]), {**FORM, "scenario": f"Scenario {n}"}
        )
    headers = {"HX-Request": "true"}
    what_if = reverse("decisions:roi-what-if", args=[use_case.pk])
    _tell("what-if fragment", 80, lambda: client.post(what_if, FORM, headers=headers))
    for name, args in (
        ("roi-detail", [use_case.pk, 1]),
        ("roi-list", [use_case.pk]),
        ("roi-create", [use_case.pk]),
    ):
        address = reverse(f"decisions:{name}", args=args)
        _tell(name, 150, lambda address=address: client.get(address))
    _count(use_case, admin, team, int(predictions))
    _tell("roi-actual", 150, lambda: client.get(reverse("decisions:roi-actual", args=[use_case.pk])))


def _times(what: Callable[[], object], rounds: int) -> tuple[list[float], list[float]]:
    """(milliseconds on the clock, milliseconds of CPU), each in order, the first round left out."""
    what()
    wall, cpu = [], []
    for _ in range(rounds):
        before, cpu_before = time.perf_counter(), time.process_time()
        what()
        wall.append((time.perf_counter() - before) * 1000)
        cpu.append((time.process_time() - cpu_before) * 1000)
    return sorted(wall), sorted(cpu)


def _tell(name: str, promise_ms: int, what: Callable[[], object]) -> None:
    wall, cpu = _times(what, ROUNDS)
    at = int(ROUNDS * 0.95)
    print(
        f"  {name:<18} p50 {wall[ROUNDS // 2]:>4.0f} ms  p95 {wall[at]:>4.0f} ms (promise {promise_ms}), CPU p95 {cpu[at]:>4.0f} ms"
    )


def _bare(n: int, months: int, ranges: int) -> None:
    """The least the same answer needs: the uniform draws, one product, two bands of quantiles by month."""
    import numpy as np

    dice = np.random.default_rng(1)
    drawn = [np.sqrt(dice.random(n)) for _ in range(ranges)]
    gain = drawn[0] * drawn[1]
    for month in range(2 * (months + 1)):
        np.partition(gain * month - drawn[2], (n // 20, n // 2, n * 19 // 20))


def _count(use_case: object, admin: object, team: object, n: int) -> None:
    from deployments.models import Endpoint, ModelVersion, Prediction
    from deployments.services.actuals import tell_actuals_of
    from evaluations.models import Candidate

    versions = []
    for kind in ("prompt", "trained"):
        candidate = Candidate.objects.create(
            team=team,
            use_case=use_case,
            name=kind,
            kind=kind,
            model_id=kind,
            digest=f"{kind:0>64}",
            created_by=admin,
        )
        versions.append(
            ModelVersion.objects.create(
                team=team, use_case=use_case, number=len(versions) + 1, candidate=candidate
            )
        )
    endpoint = Endpoint.objects.create(
        team=team, use_case=use_case, slug="bench", baseline=versions[0], candidate=versions[1], salt="x"
    )
    now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    start = datetime(2026, 11, 1, 1, tzinfo=UTC)
    span = (now - start) / n
    for first in range(0, n, 10_000):
        Prediction.objects.bulk_create(
            Prediction(
                id=uuid.UUID(int=int((start + span * i).timestamp() * 1000) << 80 | 7 << 76 | 2 << 62 | i),
                team=team, endpoint=endpoint, version=versions[i % 10 > 0], arm="candidate", at=start + span * i,
                status=200, cost_microusd=3_000, predicted="billing",
            )
            for i in range(first, min(n, first + 10_000))
        )  # fmt: skip
    cpu = ground.cpu_s()
    _, seconds = ground.timed(lambda: tell_actuals_of(use_case, now=now + timedelta(minutes=1)))
    print(
        f"  {n:,} predictions of a month counted in {seconds:.1f} s (CPU {ground.cpu_s() - cpu:.1f} s), once an hour"
    )
