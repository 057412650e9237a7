"""What serving has measured, told to the use cases whose decisions rest on it: volume, and when the model retires."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta

from django.db.models import Count, Min
from django.utils import timezone

from decisions.domain.facts import EvidenceKind
from decisions.models import UseCase
from decisions.services import record_evidence
from deployments.domain.routing import Arm
from deployments.models import Alias, Prediction
from deployments.models.versions import AliasName
from deployments.services.measuring import first_id_at
from foundation.llm.models import ModelEntry

# Whole days (UTC) looked at; with fewer the weekday would decide.
DAYS = 7
LEAST_DAYS = 3
# A volume within this share of the one told before is the same: traffic breathes.
WORTH_TELLING = 0.10


def hand_down(*, now: datetime | None = None) -> int:
    """How many facts were told. Safe to repeat: what is known already is not told again."""
    now = now or timezone.now()
    return hand_down_volumes(now=now) + hand_down_retirements()


def hand_down_volumes(*, now: datetime) -> int:
    """Tell each active use case its requests a day over the last whole days, shadow copies left out."""
    end = datetime.combine(now.astimezone(UTC).date(), datetime.min.time(), UTC)
    since = end - timedelta(days=DAYS)
    counted = (
        Prediction.objects.filter(pk__gte=first_id_at(since), pk__lt=first_id_at(end))
        .exclude(arm=Arm.SHADOW)
        .values("endpoint__use_case")
        .annotate(n=Count("pk"), first=Min("at"))
    )
    figures = {row["endpoint__use_case"]: (row["n"], row["first"]) for row in counted}
    told = 0
    for use_case in UseCase.objects.active().filter(pk__in=figures).select_related("team"):
        n, first = figures[use_case.pk]
        # Traffic that began in the middle of the days is not spread over days it did not have.
        began = max(since, datetime.combine(first.astimezone(UTC).date(), datetime.min.time(), UTC))
        days = (end - began).days
        if days < LEAST_DAYS:
            continue
        per_day = round(n / days)
        known = use_case.measured.get(EvidenceKind.VOLUME_PER_DAY.value)
        if known and abs(per_day - known["value"]) <= WORTH_TELLING * known["value"]:
            continue
        record_evidence(
            use_case=use_case,
            kind=EvidenceKind.VOLUME_PER_DAY,
            value=per_day,
            source=f"gateway, {n:,} requests in {days} days up to {end.date() - timedelta(days=1):%d %b %Y}",
            as_of=end,
        )
        told += 1
    return told


def hand_down_retirements() -> int:
    """Tell each active use case when the model in production retires, where the catalogue knows the day."""
    retires: dict[tuple[str, str], date] = {
        (provider, model): day
        for provider, model, day in ModelEntry.objects.exclude(retires_at=None).values_list(
            "provider", "model_id", "retires_at"
        )
        if day is not None
    }
    serving = (
        Alias.objects.filter(name=AliasName.PRODUCTION, use_case__archived_at=None)
        .exclude(version__candidate__connection=None)
        .select_related("use_case__team", "version__candidate__connection")
    )
    by_model: dict[tuple[str, str], list[UseCase]] = defaultdict(list)
    for alias in serving:
        candidate = alias.version.candidate
        if candidate.connection is not None:
            by_model[candidate.connection.provider, candidate.model_id].append(alias.use_case)
    told = 0
    for key, use_cases in by_model.items():
        if (day := retires.get(key)) is None:
            continue
        for use_case in use_cases:
            known = use_case.measured.get(EvidenceKind.BASE_MODEL_RETIRES.value)
            if known and known["value"] == day.isoformat():
                continue
            record_evidence(
                use_case=use_case,
                kind=EvidenceKind.BASE_MODEL_RETIRES,
                value=day,
                source=f"catalogue, {key[1]} in production",
            )
            told += 1
    return told
