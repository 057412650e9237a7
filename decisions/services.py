"""What people and the floors above do here: one function per intention, with its transaction and audit event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from decisions import policies, reading
from decisions.domain.approaches import Approach
from decisions.domain.costs import RATE_FIELDS, STANDARD
from decisions.domain.standing import standing_of
from decisions.errors import EditedMeanwhile
from decisions.models import Decision, Evidence, UseCase
from decisions.services_returns import analyse_roi as analyse_roi
from foundation.teams import audit
from foundation.teams.errors import BadInput
from foundation.teams.models import Team, User

# What a person may set on a use case. Everything else is kept by the services.
EDITABLE: tuple[str, ...] = (
    "name",
    "description",
    "task_kind",
    "labels",
    "output_schema",
    "task_complexity",
    "data_availability",
    "data_quality",
    "volume_per_day",
    "budget_constraint",
    "time_to_market",
    "requires_factual_accuracy",
    "requires_consistency",
    "requires_specialised_behaviour",
    "has_knowledge_base",
    "data_changes_frequently",
    "requires_citations",
    "requires_flexibility",
    "domain_specific",
    "prompt_solves_it",
    "examples_in_hand",
    "expected_gain",
    "is_prototype",
    "behaviour_changes_often",
    "value_per_improved_microusd",
    "rates",
    "owner",
)


def create_use_case(
    *,
    actor: User | None,
    team: Team,
    name: str,
    description: str = "",
    task_kind: str = "classify",
    labels: Sequence[Mapping[str, str] | str] = (),
    output_schema: Mapping[str, Any] | None = None,
    **facts: Any,
) -> UseCase:
    """The saved use case. `labels` are names or {"name", "definition"}; `facts` are any other of `EDITABLE`.

    Raises: BadInput naming the field, for an empty or taken name and for values outside their scales.
    """
    use_case = UseCase(team=team, owner=actor)
    values = {
        "name": name,
        "description": description,
        "task_kind": task_kind,
        "output_schema": output_schema,
    }
    _put(use_case, {**values, "labels": labels, **facts})
    with transaction.atomic():
        _refuse_taken_name(use_case)
        use_case.save(force_insert=True)
        audit.record(
            actor=actor, team=team, verb="use_case.created", target=use_case, fields=[*values, *facts]
        )
    return use_case


def update_use_case(*, actor: User | None, use_case: UseCase, version: int, **changes: Any) -> UseCase:
    """The use case with `changes` saved, read anew. `version` is the one the person was looking at.

    Raises: EditedMeanwhile when somebody saved first, BadInput naming the field, Archived.
    """
    policies.check_can_change(use_case)
    with transaction.atomic():
        row = UseCase.objects.select_for_update().select_related("team").get(pk=use_case.pk)
        if row.version != version:
            raise EditedMeanwhile("Somebody else")
        before = {name: getattr(row, name) for name in changes}
        _put(row, changes)
        changed = [name for name in changes if getattr(row, name) != before[name]]
        if not changed:
            return row
        if "name" in changed:
            _refuse_taken_name(row)
        row.version += 1
        # The name and the like move no score; re-scoring once too often only costs a moment.
        row.facts_revision += 1
        row.save(update_fields=[*changed, "version", "facts_revision", "updated_at"])
        audit.record(actor=actor, team=row.team, verb="use_case.changed", target=row, fields=changed)
    return row


def archive_use_case(*, actor: User | None, use_case: UseCase) -> UseCase:
    """The use case, put away. Doing it twice changes nothing."""
    return _set_archived(actor, use_case, timezone.now(), "use_case.archived")


def restore_use_case(*, actor: User | None, use_case: UseCase) -> UseCase:
    """The use case, back in the list. Doing it twice changes nothing."""
    return _set_archived(actor, use_case, None, "use_case.restored")


def decide(*, actor: User | None, use_case: UseCase, note: str = "") -> Decision:
    """A new decision from what stands now; the latest one when nothing changed since, so pressing twice is once.

    Raises: Archived.
    """
    policies.check_can_change(use_case)
    with transaction.atomic():
        row = _locked(use_case)
        inputs = reading.inputs_of(row)
        digest = reading.inputs_digest(inputs)
        latest = row.latest_decision
        if latest is not None and latest.inputs_sha256 == digest:
            return latest
        result = reading.result_of(inputs)
        decision = Decision.objects.create(
            team=row.team,
            use_case=row,
            number=latest.number + 1 if latest else 1,
            author=actor,
            note=note.strip(),
            inputs=inputs,
            inputs_sha256=digest,
            result=result,
            recommendation=result["verdict"]["recommendation"],
            headline=result["verdict"]["headline"][:300],
        )
        # From now on people know this answer: nobody is told what it says already.
        UseCase.objects.filter(pk=row.pk).update(
            latest_decision=decision,
            known_standing=standing_of(reading.report_of(inputs).verdict).word,
            rescored_revision=row.facts_revision,
        )
        audit.record(
            actor=actor, team=row.team, verb="decision.saved", target=decision, digests={"inputs": digest}
        )
    use_case.latest_decision = decision
    return decision


def record_evidence(
    *,
    use_case: UseCase,
    kind: str,
    value: Any,
    source: str,
    as_of: datetime | date | None = None,
    actor: User | None = None,
) -> Evidence:
    """The saved evidence. The newest of a kind (by `as_of`) stands beside what the team stated from then on.

    The same value from the same source again is not written twice. `kind` is one of `EvidenceKind` where a rule
    is to use it; any other short word is kept and shown. `value` is a plain JSON value.
    """
    moment = _moment(as_of)
    plain = (
        float(value)
        if isinstance(value, Decimal)
        else value.isoformat()
        if isinstance(value, date)
        else value
    )
    with transaction.atomic():
        row = UseCase.objects.select_for_update().select_related("team").get(pk=use_case.pk)
        latest = row.evidence.filter(kind=kind).first()
        if latest is not None and latest.value == plain and latest.source == source[:300]:
            return latest
        evidence = Evidence.objects.create(
            team=row.team,
            use_case=row,
            kind=str(kind)[:60],
            value=plain,
            source=source[:300],
            as_of=moment,
            recorded_by=actor,
        )
        if latest is None or moment >= latest.as_of:
            row.measured[str(kind)] = {"value": plain, "source": source[:300], "as_of": moment.isoformat()}
            row.facts_revision += 1
            row.save(update_fields=["measured", "facts_revision"])
        audit.record(
            actor=actor, team=row.team, verb="evidence.recorded", target=evidence, fields=[str(kind)]
        )
    use_case.measured = row.measured
    return evidence


def _locked(use_case: UseCase) -> UseCase:
    # Nullable joins cannot be locked on PostgreSQL: the row alone is, the latest answers follow by their own read.
    return UseCase.objects.select_for_update().get(pk=use_case.pk)


def _put(use_case: UseCase, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if name not in EDITABLE:
            raise BadInput(f"A use case has no {name.replace('_', ' ')} to set.", field=name)
        if name in ("name", "description") and isinstance(value, str):
            # Browsers send line ends of two characters.
            value = value.replace("\r\n", "\n").strip()
        if name == "labels":
            value = clean_labels(value)
        if name == "rates":
            value = clean_rates(value)
        if name == "owner" and value is not None and not _is_member(use_case.team, value):
            raise BadInput(f"{value} is not in the team. Invite them first.", field="owner")
        if name == "output_schema":
            value = dict(value) if isinstance(value, Mapping) and value else None
        if name == "expected_gain" and value is not None:
            try:
                # The column keeps four digits: a hundredth of a per cent.
                value = Decimal(str(value)).quantize(Decimal("0.0001"))
            except ArithmeticError:
                raise BadInput("Expected gain: give a share such as 0.15.", field=name) from None
        setattr(use_case, name, value)
    try:
        use_case.clean_fields(exclude=["team", "owner", "latest_decision", "latest_roi", "measured"])
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        label = reading.field_label(field)
        raise BadInput(f"{label.capitalize()}: {messages[0]}", field=field) from None


def clean_labels(labels: Sequence[Mapping[str, str] | str]) -> list[dict[str, str]]:
    """Labels as they are kept: trimmed, each with its definition. Raises BadInput for a repeated or empty name."""
    cleaned: list[dict[str, str]] = []
    for label in labels or ():
        row = {"name": label} if isinstance(label, str) else dict(label)
        name = str(row.get("name", "")).strip()
        if not name:
            raise BadInput("A label needs a name.", field="labels")
        if any(name == other["name"] for other in cleaned):
            raise BadInput(f"The label {name!r} stands there twice.", field="labels")
        if len(name) > 200:
            raise BadInput("A label's name has at most 200 characters.", field="labels")
        cleaned.append({"name": name, "definition": str(row.get("definition", "") or "").strip()})
    return cleaned


def clean_rates(rates: Any) -> dict[str, dict[str, int]]:
    """A team's own rates as they are kept: {approach: {rate: whole micro-dollars}}. Raises BadInput."""
    cleaned: dict[str, dict[str, int]] = {}
    if not isinstance(rates or {}, Mapping):
        raise BadInput("Rates are given by approach.", field="rates")
    for approach, own in (rates or {}).items():
        if approach not in list(Approach) or not isinstance(own, Mapping):
            raise BadInput(f"There is no approach {approach!r} to give rates for.", field="rates")
        for name, value in own.items():
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            if name not in RATE_FIELDS or not is_whole or not 0 <= value < 2**53:
                raise BadInput(
                    f"The rate {name!r} of {approach} must be one of {', '.join(RATE_FIELDS)}, in whole micro-dollars.",
                    field="rates",
                )
            standard = STANDARD.get(Approach(approach))
            # A rate that is the standard one is no difference: equal answers stay equal however they were given.
            if standard is None or getattr(standard, name) != value:
                cleaned.setdefault(str(approach), {})[name] = value
    return cleaned


def _is_member(team: Team, user: User) -> bool:
    return user.is_superuser or team.memberships.filter(user=user).exists()


def _refuse_taken_name(use_case: UseCase) -> None:
    same = (
        UseCase.objects.of(use_case.team).active().filter(name__iexact=use_case.name).exclude(pk=use_case.pk)
    )
    if same.exists():
        raise BadInput(
            f"The team has a use case named {use_case.name!r} already. Choose another name.", field="name"
        )


def _set_archived(actor: User | None, use_case: UseCase, moment: datetime | None, verb: str) -> UseCase:
    with transaction.atomic():
        row = UseCase.objects.select_for_update().select_related("team").get(pk=use_case.pk)
        if (row.archived_at is None) == (moment is None):
            return row
        if moment is None:
            _refuse_taken_name(row)
        row.archived_at = moment
        row.version += 1
        row.save(update_fields=["archived_at", "version", "updated_at"])
        audit.record(actor=actor, team=row.team, verb=verb, target=row, fields=["archived_at"])
    return row


def _moment(as_of: datetime | date | None) -> datetime:
    if as_of is None:
        return timezone.now()
    moment = as_of if isinstance(as_of, datetime) else datetime.combine(as_of, time())
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
