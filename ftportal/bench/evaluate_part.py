"""Evaluating the local model on many rows."""

from __future__ import annotations

from pathlib import Path

from ftportal.bench import ground, material


def run(folder: str) -> None:
    """Print the seconds from start to figures for 10,000 rows, and for the comparison."""
    ground.fresh_portal()
    ground.people()
    from datasets.services import versions
    from datasets.training.services import start_training
    from evaluations import services
    from foundation.jobs.services import run_until_idle

    path = Path(folder) / "rows.jsonl"
    material.write_jsonl(path, 14_000)
    dataset, _ = ground.imported(path)
    version = versions.start_freeze(
        actor=None,
        dataset=dataset,
        ratios=("0.2", "0.75", "0.05"),
        size_test_by_power=False,
        override_reason="Rows made to measure with.",
    )
    run_until_idle(max_seconds=600)
    version.refresh_from_db()
    _, trained = ground.timed(
        lambda: (start_training(actor=None, version=version), run_until_idle(max_seconds=900))
    )
    candidates = services.ensure_baselines(actor=None, use_case=dataset.use_case, version=version)
    local = [c for c in candidates if c.kind == "trained"]
    services.start_evaluations(actor=None, version=version, candidates=local, sample=10_000)
    _, seconds = ground.timed(lambda: run_until_idle(max_seconds=900))
    print(
        f"  training on {version.n_train:,} rows {trained:.1f} s; "
        f"10,000 rows answered, scored and added up {seconds:.1f} s ({10_000 / seconds:,.0f} rows/s)"
    )
