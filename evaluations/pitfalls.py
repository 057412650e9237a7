"""What measuring says about the pitfalls of fine-tuning: a baseline on the same rows, and more than one measure."""

from __future__ import annotations

from django.urls import reverse

from decisions.domain.pitfalls import Sign, State
from decisions.models import UseCase
from evaluations.domain.statuses import CandidateKind
from evaluations.models import Comparison


def signs(use_case: UseCase) -> list[Sign]:
    """What the newest decided comparison of this use case tells. Two queries at most."""
    comparison = (
        Comparison.objects.done()
        .filter(use_case=use_case)
        .select_related("version__dataset")
        .prefetch_related("evaluations")
        .order_by("-is_claim", "-pk")
        .first()
    )
    if comparison is None:
        return []
    page = reverse("evaluations:comparison-detail", args=[comparison.pk])
    kinds = {person["kind"] for person in comparison.result.get("people", [])}
    has_prompt = CandidateKind.PROMPT in kinds
    found = [
        Sign(
            3,
            State.GOOD if has_prompt else State.WARN,
            _short(comparison.finding)
            if has_prompt
            else f"No prompt took part. {_short(comparison.finding)}",
            page,
        )
    ]
    measures = [line["title"] for line in comparison.result.get("lines", [])]
    titles = list(dict.fromkeys(measures))
    if titles:
        state = State.GOOD if len(titles) > 1 else State.WARN
        found.append(Sign(7, state, f"Measured: {', '.join(titles)}.", page))
    for evaluation in comparison.evaluations.all():
        warning = (evaluation.aggregates.get("classification") or {}).get("warning")
        if warning:
            found.append(Sign(7, State.WARN, warning, page))
            break
    return found


def _short(text: str, most: int = 220) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
