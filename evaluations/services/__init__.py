"""What people and the floors above do here."""

from evaluations.services.candidates import (
    archive_candidate,
    candidate_for_run,
    create_candidate,
    default_system,
    ensure_artefact,
    ensure_baselines,
)
from evaluations.services.comparisons import (
    compare,
    default_baseline,
    settle_comparison,
    start_claim,
    start_evaluations,
)
from evaluations.services.evaluations import (
    Judge,
    Quote,
    best_candidates,
    claims_of,
    default_judge,
    open_rows,
    quote,
    retry_unscored,
    start_evaluation,
)

__all__ = [
    "Judge",
    "Quote",
    "archive_candidate",
    "best_candidates",
    "candidate_for_run",
    "claims_of",
    "compare",
    "create_candidate",
    "default_baseline",
    "default_judge",
    "default_system",
    "ensure_artefact",
    "ensure_baselines",
    "open_rows",
    "quote",
    "retry_unscored",
    "settle_comparison",
    "start_claim",
    "start_evaluation",
    "start_evaluations",
]
