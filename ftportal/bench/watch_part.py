"""Looking for drift and at right answers over 100,000 predictions of a day."""

from __future__ import annotations

from ftportal.bench import ground, traffic_material

N = 100_000
ROUNDS = 3


def run(folder: str) -> None:
    """Print the least seconds of each look, with what it found."""
    ground.fresh_portal()
    ground.people()
    from django.db import connection
    from django.utils import timezone

    from deployments.services import watching
    from deployments.services.rollouts import look

    endpoint = traffic_material.endpoint()
    written = traffic_material.predictions(endpoint, N, days=0.9)
    print(f"  {N:,} predictions and {N // 10:,} words of feedback written in {written:.1f} s")
    rollout = endpoint.rollouts.get()
    looks = (
        ("drift over 100,000 predictions", 1.0, lambda: watching.look_for_drift(endpoint).finding),
        ("right answers over 100,000", None, lambda: watching.look_at_performance(endpoint).verdict.finding),
        ("a rollout's look", None, lambda: f"{len(look(rollout, now=timezone.now()).readings)} guardrails"),
    )
    for name, most, what in looks:
        took, cpu, found = [], [], ""
        for _ in range(ROUNDS):
            before = ground.cpu_s()
            found, seconds = ground.timed(what)
            took.append(seconds)
            cpu.append(ground.cpu_s() - before)
        promise = (
            "" if most is None else f" of at most {most:.1f} s: {'kept' if min(took) <= most else 'MISSED'}"
        )
        print(
            f"  {name:<34} {min(took):.2f} s (CPU {min(cpu):.2f} s){promise}   {str(found)[:90]}", flush=True
        )
    connection.close()
