"""What stands before a freeze, by the team's own gate, and who may change that gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import F, OuterRef, Q, QuerySet, Subquery

from datasets.domain import quality
from datasets.domain.freezing_rules import GATE_RULES, Stance, Standing, judged, stances
from datasets.domain.gate import size_gate
from datasets.domain.review import SHARE, covers
from datasets.models import Dataset, DatasetGate, DatasetVersion, Finding, QualityRun, Review
from foundation.teams import audit
from foundation.teams.errors import BadInput
from foundation.teams.models import Team, User


def gate_of(team: Team) -> dict[str, Stance]:
    """The team's stance on every rule."""
    chosen = DatasetGate.objects.filter(team=team).values_list("stances", flat=True).first()
    return stances(chosen or {})


def set_gate(*, actor: User | None, team: Team, chosen: Mapping[str, str]) -> DatasetGate:
    """The gate with these stances; rules not named keep theirs. Raises BadInput for what is not a rule or a stance."""
    for key, stance in chosen.items():
        if key not in GATE_RULES:
            raise BadInput("There is no such rule.")
        if stance not in {s.value for s in Stance}:
            raise BadInput(f"Choose one of the stances for “{GATE_RULES[key].title}”.", field=key)
    with transaction.atomic():
        gate, _ = DatasetGate.objects.select_for_update().get_or_create(team=team)
        before = stances(gate.stances)
        after = {**before, **{key: Stance(stance) for key, stance in chosen.items()}}
        changed = sorted(key for key in after if after[key] != before[key])
        if changed:
            gate.stances = {key: stance.value for key, stance in after.items()}
            gate.changed_by = actor
            gate.save()
            words = ", ".join(f"{key} {after[key]}" for key in changed)
            audit.record(
                actor=actor,
                team=team,
                verb="gate.changed",
                target=gate,
                fields=set(changed),
                note=words[:300],
            )
    return gate


def standing(dataset: Dataset, *, gate: Mapping[str, Stance] | None = None) -> list[Standing]:
    """Everything in the way of a freeze and everything worth a warning, blocking ones first; `gate` where it is known."""
    chosen: Mapping[str, Any] | None = gate
    if chosen is None:
        chosen = DatasetGate.objects.filter(team=dataset.team_id).values_list("stances", flat=True).first()
        chosen = chosen or {}
    return judged([*_whole(dataset), *_findings(dataset)], chosen)


def blockers(dataset: Dataset) -> list[dict[str, str]]:
    """What stands before freezing, each with its rule and a sentence; a reason on the record lifts them all."""
    return [one.as_json() for one in standing(dataset) if one.blocks]


def _speaks(dataset: Dataset) -> QuerySet[QualityRun]:
    least = min(quality.LEAST_FOR_GATE, dataset.n_active)
    percent = quality.LEAST_SCORED_PERCENT
    # Rows that speak to their judge were answered: a quarter of them must not switch the gate off. Few believed rows
    # can stop a freeze but never lift what an earlier judging stopped.
    speaks_up = Q(n_scored__gte=least * percent // 100) | Q(average__lt=quality.GATE)
    return (
        QualityRun.objects.filter(dataset=dataset, n_sample__gte=least, average__isnull=False)
        .exclude(finished_at=None)
        .exclude(how="again")
        .filter(speaks_up, n_sample__lte=(F("n_scored") + F("n_suspicious")) * 100 / percent)
    )


def standing_judging(dataset: Dataset) -> QualityRun | None:
    """The newest judging that speaks for the whole dataset; None when there is none.

    One that was cancelled early or took a handful of rows says nothing, and one that asked again about rows a person
    mended says how those are now and not how the others are.
    """
    return _speaks(dataset).order_by("-id").first()


def judgings(dataset: Dataset) -> tuple[QualityRun | None, QualityRun | None]:
    """The judging that stands at the gate, and the newest where that is another. One query."""
    newest = QualityRun.objects.filter(dataset=dataset).order_by("-id").values("pk")[:1]
    at_gate = _speaks(dataset).order_by("-id").values("pk")[:1]
    found = list(
        QualityRun.objects.filter(Q(pk=Subquery(newest)) | Q(pk=Subquery(at_gate)))
        .annotate(gate_id=Subquery(at_gate))
        .order_by("-id")
    )
    standing = next((run for run in found if run.pk == run.gate_id), None)  # type: ignore[attr-defined]
    return standing, found[0] if found and found[0] != standing else None


def _whole(dataset: Dataset) -> list[tuple[str, str]]:
    found = []
    gate = size_gate(dataset.n_active)
    if gate.is_blocked:
        found.append(("size", gate.sentence))
    run = standing_judging(dataset)
    if run is not None and run.average is not None and run.average < quality.GATE:
        found.append(
            ("quality", f"Dataset quality too low: {run.average:.2f}. At least {quality.GATE} is needed.")
        )
    # The test of the newest frozen version is sealed: nobody may look at those rows.
    frozen = DatasetVersion.objects.frozen().filter(dataset=OuterRef("dataset")).order_by("-number")
    review = (
        Review.objects.planned()
        .filter(dataset=dataset)
        .annotate(n_sealed=Subquery(frozen.values("n_test")[:1]))
        .order_by("-id")
        .first()
    )
    if review is None:
        found.append(("review", "Nobody has looked at a sample of the rows yet."))
    elif not review.is_finished:
        found.append(
            ("review", f"{review.n_done:,} of {review.n_total:,} rows of the sample were looked at.")
        )
    else:
        n_rows = max(0, dataset.n_active - (review.n_sealed or 0))
        if not covers(review.n_drawn, n_rows):
            found.append(
                (
                    "review",
                    f"The last review took {review.n_drawn:,} at random of the {n_rows:,} rows there are now. "
                    f"{SHARE:.0%} are asked for: review a new sample.",
                )
            )
    return found


def _findings(dataset: Dataset) -> list[tuple[str, str]]:
    """Findings of the shown report that nobody mended, and whether the report is of the rows as they are."""
    if dataset.checks_id is None:
        return [("unchecked", "The rows were not checked yet.")]
    found = []
    run = dataset.checks
    if run is not None and run.revision != dataset.revision:
        found.append(("unchecked", "The rows changed since they were checked."))
    # Rows may have been taken out one by one, or mended in part: what is left is what stops.
    for finding in Finding.objects.filter(run_id=dataset.checks_id).unmended():
        found.append((finding.rule, f"{finding.headline}."))
    return found
