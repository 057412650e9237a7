"""What serving has measured, told to the use cases whose decisions rest on it: volume, and when the model retires."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta

from django.db.models import Count, Min
from django.utils import timezone

from decisions.domain.facts import EvidenceKind
from decisions.models import UseCase
from decisions.services import record_evidence
from deployments.domain.routing import Arm
from deployments.models import Alias, Prediction
from deployments.models.versions import AliasName
from deployments.services.measuring import first_id_at
from evaluations.domain.statuses import CandidateKind
from foundation.llm.models import ModelEntry

# Whole days (UTC) looked at; with fewer the weekday would decide.
DAYS = 7
LEAST_DAYS = 3
# A volume within this share of the one told before is the same: traffic breathes.
WORTH_TELLING = 0.10
# The setting of a training run that names the model it begins with.
BASE_MODEL = "base_model"


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
    """Tell each active use case when the base of its fine-tuned model retires, where the catalogue knows the day.

    A prompt in production rests on a model too, but the months of the fine-tuned plan do not end with that one.
    """
    serving = (
        Alias.objects.filter(
            name=AliasName.PRODUCTION,
            use_case__archived_at=None,
            version__candidate__kind=CandidateKind.TRAINED,
            version__candidate__training_run__isnull=False,
        )
        .select_related("use_case__team", "version__candidate__training_run")
        .order_by("pk")
    )
    by_base: dict[str, list[UseCase]] = defaultdict(list)
    for alias in serving:
        run = alias.version.candidate.training_run
        # What is trained here from nothing rests on no base model.
        if run is not None and (base := run.settings.get(BASE_MODEL)):
            by_base[str(base)].append(alias.use_case)
    told = 0
    # Two providers may offer one model: what the first of them ends, ends.
    days = (
        ModelEntry.objects.filter(model_id__in=by_base)
        .exclude(retires_at=None)
        .values_list("model_id")
        .annotate(day=Min("retires_at"))
        .order_by("model_id")
    )
    for base, day in days:
        for use_case in by_base[base]:
            known = use_case.measured.get(EvidenceKind.BASE_MODEL_RETIRES.value)
            if known and known["value"] == day.isoformat():
                continue
            record_evidence(
                use_case=use_case,
                kind=EvidenceKind.BASE_MODEL_RETIRES,
                value=day,
                source=f"catalogue, {base} under the model in production",
            )
            told += 1
    return told
