"""Answers kept by team, digest of the whole question, and sample number. Failures and refusals are not
kept."""

from __future__ import annotations

from dataclasses import asdict

from foundation.llm.domain.messages import Completion, Usage
from foundation.llm.models import CachedAnswer

KEPT_STOP_REASONS = frozenset({"end_turn", "stop_sequence", "max_tokens"})


def find(team_id: int, digest: str, sample: int) -> Completion | None:
    """The kept answer as it was, at no cost, or None."""
    row = CachedAnswer.objects.filter(team_id=team_id, digest=digest, sample=sample).first()
    if row is None:
        return None
    return Completion(
        text=row.text,
        stop_reason=row.stop_reason,
        usage=Usage(**row.usage),
        latency_ms=row.latency_ms,
        cost_microusd=0,
        request_id=row.request_id,
        from_cache=True,
        sent_parameters=row.sent_parameters,
        tries=0,
    )


def keep(team_id: int, digest: str, sample: int, model_id: str, completion: Completion) -> None:
    """Keep an answer; whoever was first stays."""
    if completion.stop_reason not in KEPT_STOP_REASONS:
        return
    CachedAnswer.objects.bulk_create(
        [
            CachedAnswer(
                team_id=team_id,
                digest=digest,
                sample=sample,
                model_id=model_id,
                text=completion.text.replace("\x00", ""),
                stop_reason=completion.stop_reason,
                usage=asdict(completion.usage),
                sent_parameters=dict(completion.sent_parameters),
                cost_microusd=completion.cost_microusd,
                latency_ms=completion.latency_ms,
                request_id=completion.request_id,
            )
        ],
        ignore_conflicts=True,
    )
