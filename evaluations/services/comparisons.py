"""Comparing evaluations over the same rows: planned with its margins, decided once the results are there."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.urls import reverse
from django.utils import timezone

from datasets.domain.statuses import LookKind as VaultLook
from datasets.domain.statuses import Split
from datasets.models import DatasetVersion
from datasets.services import count_look
from decisions.domain.facts import EvidenceKind
from decisions.services import analyse_roi, record_evidence
from evaluations import policies
from evaluations.domain import findings, scoring
from evaluations.domain.comparison import Decided, Margins
from evaluations.domain.comparison import compare as verdicts_of
from evaluations.domain.paired import Arm, Difference, Measure, paired_difference
from evaluations.domain.statuses import CandidateKind, ComparisonState, EvaluationState, LookKind
from evaluations.models import Candidate, Comparison, Evaluation, TestLook
from evaluations.services.evaluations import Judge, new_seed, start_evaluation
from foundation.jobs.services import start_job
from foundation.teams import audit
from foundation.teams.errors import BadInput, PortalError
from foundation.teams.models import User

COMPARE_JOB = "evaluations.compare"
# Rows times candidates that are compared at once, in the request; more is a job.
AT_ONCE_CELLS = 4_000
# The strongest alternative is the baseline, so that nothing is proven against a straw man (S56).
BASELINE_ORDER = (CandidateKind.PROMPT, CandidateKind.NEAREST, CandidateKind.MAJORITY, CandidateKind.TRAINED)


def start_evaluations(
    *,
    actor: User | None,
    version: DatasetVersion,
    candidates: Sequence[Candidate],
    split: str = "validation",
    sample: int | None = None,
    scorers: Sequence[str] | None = None,
    judge: Judge | None = None,
    cap_microusd: int | None = None,
    baseline: Candidate | None = None,
    seed: str | None = None,
    margins: Margins | None = None,
    reason: str = "",
    name: str = "",
    fresh: bool = False,
    despite_wear: bool = False,
) -> Comparison | Evaluation:
    """Evaluations of all candidates over the same frozen rows; of two or more, the comparison that waits for them.

    `cap_microusd` holds for each paid evaluation. Margins are frozen now, before any result. Test rows go through
    `start_claim`. Raises: BadInput naming the field, Conflict, TestSplitNeedsReason, WornOut where the test has been
    looked at too often and `despite_wear` does not say that this is known.
    """
    chosen = list({c.pk: c for c in candidates}.values())
    version = DatasetVersion.objects.select_related("dataset__use_case", "team").get(pk=version.pk)
    policies.check_can_evaluate(version, chosen, split)
    policies.check_reason(split, reason)
    policies.check_vault(version, split, despite_wear=despite_wear)
    if baseline is not None and baseline.pk not in {c.pk for c in chosen}:
        raise BadInput("The baseline is not among the chosen candidates.", field="baseline")
    checked = _checked_margins(margins or Margins())
    with transaction.atomic():
        evaluations = [
            start_evaluation(
                actor=actor,
                version=version,
                candidate=candidate,
                split=split,
                sample=sample,
                scorers=scorers,
                judge=judge,
                cap_microusd=cap_microusd,
                seed=seed,
                reason=reason,
                fresh=fresh,
            )
            for candidate in chosen
        ]
        if len(evaluations) == 1:
            if split == Split.TEST:
                _count_look(actor, version, reason, evaluation=evaluations[0])
            return evaluations[0]
        base = baseline or default_baseline(chosen)
        comparison = _plan(
            actor,
            version,
            evaluations,
            next(e for e in evaluations if e.candidate_id == base.pk),
            checked,
            reason=reason,
            name=name,
        )
    settle_when_ready(comparison)
    comparison.refresh_from_db()
    return comparison


def start_claim(
    *, actor: User | None, version: DatasetVersion, candidates: Sequence[Candidate], reason: str, **rest: Any
) -> Comparison:
    """A claim on the sealed test rows: counted, with its reason, figures only. Two candidates or more (S56)."""
    if len({c.pk for c in candidates}) < 2:
        raise BadInput(
            "A claim needs a baseline beside the candidate: choose at least two.", field="candidates"
        )
    found = start_evaluations(
        actor=actor, version=version, candidates=candidates, split=Split.TEST, reason=reason, **rest
    )
    assert isinstance(found, Comparison)
    return found


def compare(
    *,
    actor: User | None,
    evaluations: Sequence[Evaluation],
    baseline: Evaluation | None = None,
    margins: Margins | None = None,
    seed: int | None = None,
    name: str = "",
    reason: str = "",
) -> Comparison:
    """The comparison of finished evaluations over the same version and split, decided from stored results alone.

    Rows count that every candidate answered. Large ones are decided by a job. Raises: NotComparable.
    """
    chosen = list({e.pk: e for e in evaluations}.values())
    base = baseline or _baseline_of(chosen)
    policies.check_comparable(chosen, base)
    version = DatasetVersion.objects.select_related("dataset__use_case", "team").get(pk=chosen[0].version_id)
    policies.check_reason(chosen[0].split, reason or chosen[0].reason)
    comparison = _plan(
        actor, version, chosen, base, _checked_margins(margins or Margins()), reason=reason or chosen[0].reason, name=name, seed=seed
    )  # fmt: skip
    settle_when_ready(comparison)
    comparison.refresh_from_db()
    return comparison


def default_baseline(candidates: Sequence[Candidate]) -> Candidate:
    """The strongest kind of alternative among the candidates; the first made among equals."""
    return min(candidates, key=lambda c: (BASELINE_ORDER.index(CandidateKind(c.kind)), c.pk))


def _baseline_of(evaluations: Sequence[Evaluation]) -> Evaluation:
    if not evaluations:
        raise BadInput("Choose evaluations to compare.", field="evaluations")
    base = default_baseline([e.candidate for e in evaluations])
    return next(e for e in evaluations if e.candidate_id == base.pk)


def _checked_margins(margins: Margins) -> Margins:
    if not 0 < margins.points <= 0.5:
        raise BadInput("The margin in points lies above 0 and up to 50.", field="points")
    if not 0 < margins.relative <= 1:
        raise BadInput("The margin for latency and cost lies above 0 and up to 100 %.", field="relative")
    if not 0.0001 <= margins.alpha <= 0.2:
        raise BadInput("The level lies between 0.0001 and 0.2.", field="alpha")
    return margins


def _plan(
    actor: User | None,
    version: DatasetVersion,
    evaluations: Sequence[Evaluation],
    baseline: Evaluation,
    margins: Margins,
    *,
    reason: str,
    name: str,
    seed: int | None = None,
) -> Comparison:
    split = evaluations[0].split
    is_claim = split == Split.TEST
    others = sorted(
        (e for e in evaluations if e.pk != baseline.pk),
        key=lambda e: (-BASELINE_ORDER.index(CandidateKind(e.candidate.kind)), -e.candidate_id),
    )
    more = (
        "" if len(others) == 1 else " and another" if len(others) == 2 else f" and {len(others) - 1} others"
    )
    title = name.strip()[:300] or f"{others[0].candidate.name}{more} against {baseline.candidate.name}"[:300]
    if not is_claim:
        # Two presses of a button: the same waiting comparison is that one.
        for waiting in Comparison.objects.filter(
            baseline=baseline, state=ComparisonState.WAITING, name=title, margins=asdict(margins)
        ):
            if {e.pk for e in waiting.evaluations.all()} == {e.pk for e in evaluations}:
                return waiting
    with transaction.atomic():
        number = _next_look(version) if is_claim else 0
        comparison = Comparison.objects.create(
            team=version.team,
            use_case=version.dataset.use_case,
            name=title,
            version=version,
            split=split,
            baseline=baseline,
            seed=seed if seed is not None else new_seed(),
            margins=asdict(margins),
            is_claim=is_claim,
            reason=reason.strip()[:500],
            look_number=number,
            created_by=actor,
        )
        comparison.evaluations.set(evaluations)
        if is_claim:
            TestLook.objects.create(
                team=version.team,
                version=version,
                comparison=comparison,
                kind=LookKind.CLAIM,
                number=number,
                reason=comparison.reason,
                by=actor,
            )
            count_look(
                actor=actor, version=version, kind=VaultLook.CLAIM, reason=comparison.reason, subject=title
            )
        audit.record(
            actor=actor,
            team=version.team,
            verb="comparison.planned",
            target=comparison,
            note=f"claim, look {number}" if is_claim else split,
        )
    return comparison


def _next_look(version: DatasetVersion) -> int:
    # The version's row is locked, so that two claims cannot be the same look.
    DatasetVersion.objects.select_for_update().get(pk=version.pk)
    last = TestLook.objects.filter(version=version, kind=LookKind.CLAIM).aggregate(n=Max("number"))["n"]
    return (last or 0) + 1


def _count_look(actor: User | None, version: DatasetVersion, reason: str, *, evaluation: Evaluation) -> None:
    TestLook.objects.create(
        team=version.team,
        version=version,
        evaluation=evaluation,
        kind=LookKind.CLAIM,
        number=_next_look(version),
        reason=reason.strip()[:500],
        by=actor,
    )
    count_look(
        actor=actor, version=version, kind=VaultLook.CLAIM, reason=reason, subject=evaluation.candidate.name
    )


# -- deciding --------------------------------------------------------------------------------------------------


def settle_when_ready(comparison: Comparison) -> None:
    """Decide a waiting comparison whose evaluations are all done: at once when it is small, else by a job."""
    if comparison.state != ComparisonState.WAITING:
        return
    evaluations = list(comparison.evaluations.all())
    if any(e.state in (EvaluationState.FAILED, EvaluationState.CANCELLED) for e in evaluations):
        bad = next(e for e in evaluations if e.state in (EvaluationState.FAILED, EvaluationState.CANCELLED))
        Comparison.objects.filter(pk=comparison.pk).update(
            state=ComparisonState.FAILED,
            error=f"The evaluation of “{bad.candidate}” was {bad.state}, so there is nothing to compare.",
            finished_at=timezone.now(),
        )
        return
    if not all(e.state == EvaluationState.DONE for e in evaluations):
        return
    if sum(e.n_rows for e in evaluations) <= AT_ONCE_CELLS:
        settle_comparison(comparison.pk)
        return
    start_job(
        actor=comparison.created_by,
        team=comparison.team,
        kind=COMPARE_JOB,
        title=f"Compare {comparison.name}",
        recipe={"comparison": comparison.pk},
        subject=comparison,
        url=reverse("evaluations:comparison-detail", args=[comparison.pk]),
        dedupe_key=f"compare:{comparison.pk}",
    )


def settle_waiting(evaluation: Evaluation) -> None:
    """Decide or give up every comparison that waited for this evaluation."""
    waiting = Comparison.objects.filter(evaluations=evaluation, state=ComparisonState.WAITING)
    for comparison in waiting.select_related("team", "created_by"):
        settle_when_ready(comparison)


def settle_comparison(comparison_id: int) -> Comparison:
    """The comparison, decided and told. One that is decided already is left as it is."""
    comparison = Comparison.objects.select_related(
        "team", "use_case__team", "version__dataset", "baseline__candidate"
    ).get(pk=comparison_id)
    if comparison.state != ComparisonState.WAITING:
        return comparison
    evaluations = list(comparison.evaluations.select_related("candidate").order_by("pk"))
    decided, finding, extra = decide(comparison, evaluations)
    with transaction.atomic():
        changed = Comparison.objects.filter(pk=comparison.pk, state=ComparisonState.WAITING).update(
            state=ComparisonState.DONE,
            result={**decided.as_dict(), "finding": finding.as_dict(), **extra},
            finding=f"{finding.headline} {finding.detail}",
            verdict=finding.verdict,
            finished_at=timezone.now(),
        )
        if changed:
            audit.record(
                actor=None,
                team=comparison.team,
                verb="comparison.decided",
                target=comparison,
                note=finding.verdict,
            )
    comparison.refresh_from_db()
    if changed:
        hand_down(comparison, evaluations, decided, extra)
    return comparison


def decide(
    comparison: Comparison, evaluations: Sequence[Evaluation]
) -> tuple[Decided, findings.Finding, dict[str, Any]]:
    """What the stored results say: figures, sentences, and the difference between training and the best prompt."""
    margins = Margins(**comparison.margins)
    arms, expected = _arms(evaluations, comparison.baseline_id)
    has_cost = any(v for arm in arms for v in arm.columns["cost"] if v)
    has_latency = all(any(v is not None for v in arm.columns["latency"]) for arm in arms)
    measures = scoring.measures_for(
        _shared_scorers(evaluations),
        has_labels=bool(arms[0].predicted),
        has_cost=has_cost,
        has_latency=has_latency,
    )
    decided = verdicts_of(
        arms,
        baseline_key=comparison.baseline_id,
        measures=measures,
        expected=expected,
        margins=margins,
        seed=comparison.seed,
    )
    people = [findings.Who(e.pk, e.candidate.name, CandidateKind(e.candidate.kind)) for e in evaluations]
    prompt, pair = _training_against_prompt(
        evaluations, arms, measures[0], expected, margins, comparison.seed
    )
    on = f"{comparison.split} rows of version {comparison.version.number}"
    finding = findings.tell(decided, people, on=on, prompt_difference=prompt)
    extra = {
        "measures": [asdict(m) for m in measures],
        "people": [{"key": w.key, "name": w.name, "kind": w.kind.value} for w in people],
        "prompt_difference": asdict(prompt) if prompt else None,
        "prompt_pair": pair,
    }
    return decided, finding, extra


def _shared_scorers(evaluations: Sequence[Evaluation]) -> list[str]:
    shared = set.intersection(*(set(e.scorers) for e in evaluations))
    return [name for name in evaluations[0].scorers if name in shared]


def _arms(evaluations: Sequence[Evaluation], baseline_id: int) -> tuple[list[Arm], list[str]]:
    """Columns of every evaluation over the rows all of them hold, in the order of ids."""
    held = {
        e.pk: {
            row[0]: row[1:]
            for row in e.results.values_list(
                "row_id", "expected_label", "predicted", "scores", "latency_ms", "price_microusd", "state"
            ).iterator(chunk_size=2000)
        }
        for e in evaluations
    }
    common = sorted(set.intersection(*(set(rows) for rows in held.values())))
    if not common:
        raise PortalError("These evaluations share no row, so there is nothing to compare.")
    scorers = _shared_scorers(evaluations)
    arms = []
    for e in evaluations:
        rows = [held[e.pk][pk] for pk in common]
        columns: dict[str, list[float | None]] = {
            name: [row[2].get(name) for row in rows] for name in scorers
        }
        columns["latency"] = [row[3] for row in rows]
        # A cost per thousand answers, in micro-dollars; unknown where nothing was answered.
        columns["cost"] = [row[4] * 1000.0 if row[5] == "done" else None for row in rows]
        predicted = (
            [row[1] if row[2].get("label") is not None else None for row in rows]
            if "label" in scorers
            else ()
        )
        arms.append(Arm(e.pk, e.candidate.name, e.candidate.kind, columns, predicted))
    expected = [held[baseline_id][pk][0] for pk in common]
    return arms, expected


def _training_against_prompt(
    evaluations: Sequence[Evaluation],
    arms: Sequence[Arm],
    measure: Measure,
    expected: Sequence[str],
    margins: Margins,
    seed: int,
) -> tuple[Difference | None, list[int]]:
    """Best trained minus best prompt on the primary measure, and which two these are (S66)."""

    def best(kind: CandidateKind) -> Arm | None:
        found = [
            (e.score if e.score is not None else -1.0, arm)
            for e, arm in zip(evaluations, arms, strict=True)
            if e.candidate.kind == kind
        ]
        return max(found, key=lambda pair: pair[0])[1] if found else None

    trained, prompt = best(CandidateKind.TRAINED), best(CandidateKind.PROMPT)
    if trained is None or prompt is None:
        return None, []
    found = paired_difference(measure, prompt, trained, expected, alpha=margins.alpha, seed=seed)
    return found, [prompt.key, trained.key]


def hand_down(
    comparison: Comparison, evaluations: Sequence[Evaluation], decided: Decided, extra: dict[str, Any]
) -> None:
    """Tell the use case what was measured, so that decision and ROI rest on it (S22, S49)."""
    source = f"comparison {comparison.pk}, {decided.n_rows:,} {comparison.split} rows of version {comparison.version.number}"
    known: dict[str, Any] = {
        "use_case": comparison.use_case,
        "source": source,
        "as_of": comparison.finished_at,
    }
    pair = extra.get("prompt_pair") or []
    by_pk = {e.pk: e for e in evaluations}
    difference = extra.get("prompt_difference") or {}
    if difference.get("difference") is not None:
        record_evidence(kind=EvidenceKind.MEASURED_GAIN, value=round(difference["difference"], 6), **known)
        for kind, key in (
            (EvidenceKind.COST_PER_REQUEST, pair[0]),
            (EvidenceKind.FINE_TUNED_COST_PER_REQUEST, pair[1]),
        ):
            price = by_pk[key].aggregates.get("price_mean")
            if price is not None:
                record_evidence(kind=kind, value=round(price), **known)
    else:
        primary = next((x for x in decided.lines if x.candidate_key == findings.lead_of(decided)), None)
        if primary is None or primary.difference is None:
            return
        # No prompt took part: kept and shown, but no rule may read it as a gain over the best prompt.
        record_evidence(kind="measured_gain_over_baseline", value=round(primary.difference, 6), **known)
        return
    with contextlib.suppress(PortalError):
        # Assumptions that are missing are the team's to fill in; the comparison stands without them.
        analyse_roi(actor=None, use_case=comparison.use_case)
