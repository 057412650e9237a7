"""The whole answer of a return as plain JSON: the exact figures, how they spread, and what matters most."""

from __future__ import annotations

from typing import Any

from decisions.domain import roi_words, sensitivity, simulation
from decisions.domain.plans import Plan


def answer(plan: Plan, *, n: int = simulation.DRAWS, seed: int = simulation.SEED) -> dict[str, Any]:
    """Everything a page of a return draws, and everything a saved one keeps."""
    exact = plan.analyse()
    return {
        **roi_words.as_json(exact),
        "is_cut_short": plan.is_cut_short,
        "uncertainty": simulation.as_json(simulation.simulate(plan, exact, n=n, seed=seed)),
        "tornado": sensitivity.as_json(plan, exact),
    }
