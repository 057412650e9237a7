"""Model versions and their aliases: register, name, point, roll back."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from datasets.models import VersionRow
from decisions.models import UseCase
from deployments.domain.features import Vocabulary
from deployments.models import Alias, ModelVersion
from deployments.models.versions import AliasName
from evaluations.models import Candidate, Evaluation
from foundation.teams import audit
from foundation.teams.errors import BadInput, Conflict
from foundation.teams.models import User

# The sketch needs the common words, not every row.
VOCABULARY_ROWS = 20_000


def register_version(
    *, actor: User | None, use_case: UseCase, candidate: Candidate, name: str = "", notes: str = ""
) -> ModelVersion:
    """The candidate as a version that can be shipped: the next number, after the newest one, with its figures.

    Registering a candidate again finds the version it became. Raises BadInput for another use case's candidate.
    """
    if candidate.use_case_id != use_case.pk:
        raise BadInput("This candidate belongs to another use case.", field="candidate")
    if found := ModelVersion.objects.filter(candidate=candidate).first():
        return found
    vocabulary = vocabulary_of(candidate)
    with transaction.atomic():
        # The use case is the lock: two people who register at once get two numbers.
        UseCase.objects.select_for_update().get(pk=use_case.pk)
        if found := ModelVersion.objects.filter(candidate=candidate).first():
            return found
        newest = ModelVersion.objects.filter(use_case=use_case).aggregate(Max("number"))["number__max"] or 0
        version = ModelVersion.objects.create(
            team_id=use_case.team_id,
            use_case=use_case,
            number=newest + 1,
            candidate=candidate,
            name=(" ".join(name.split()) or candidate.name)[:200],
            notes=notes.strip(),
            metadata=metadata_of(candidate),
            performance=performance_of(candidate),
            vocabulary=vocabulary,
            previous=previous_of(use_case),
            created_by=actor,
        )
        audit.record(
            actor=actor,
            team=use_case.team,
            verb="model_version.registered",
            target=version,
            fields=["candidate", "name", "notes"],
            digests={"candidate": candidate.digest},
        )
    return version


def previous_of(use_case: UseCase) -> ModelVersion | None:
    """What a new version follows: production when there is one, else the newest."""
    alias = (
        Alias.objects.filter(use_case=use_case, name=AliasName.PRODUCTION).select_related("version").first()
    )
    if alias is not None:
        return alias.version
    return ModelVersion.objects.filter(use_case=use_case).order_by("-number").first()


def metadata_of(candidate: Candidate) -> dict[str, Any]:
    """Where it comes from, as plain values that outlive renames."""
    found: dict[str, Any] = {
        "kind": candidate.kind,
        "model": candidate.model_id,
        "digest": candidate.digest,
        "few_shot": len(candidate.few_shot or []),
    }
    if candidate.version is not None:
        found["dataset_version"] = str(candidate.version)
        found["dataset_checksum"] = candidate.version.checksum
    if (run := candidate.training_run) is not None:
        found |= {
            "training_run": run.number,
            "backend": run.backend,
            "training_cost_microusd": run.cost_microusd,
        }
    return found


def performance_of(candidate: Candidate) -> dict[str, Any]:
    """The figures of its finished evaluations, newest first, copied: a later one does not change the version."""
    rows = (
        Evaluation.objects.done()
        .filter(candidate=candidate)
        .select_related("version__dataset")
        .order_by("-id")
    )
    return {
        "as_of": timezone.now().isoformat(),
        "evaluations": [
            {
                "id": e.pk,
                "dataset_version": str(e.version),
                "split": e.split,
                "is_claim": e.is_claim,
                "scorer": (e.scorers or [""])[0],
                "score": e.score,
                "low": e.low,
                "high": e.high,
                "n": e.n_scored,
                "n_unscored": e.n_unscored,
                "figures": e.aggregates,
            }
            for e in rows[:10]
        ],
    }


def vocabulary_of(candidate: Candidate) -> str:
    """The sketch of the words of the rows it learnt from, or "" when it learnt from none."""
    if candidate.version_id is None:
        return ""
    prompts = (
        VersionRow.objects.filter(version_id=candidate.version_id, split="train")
        .order_by("position")
        .values_list("content__prompt", flat=True)[:VOCABULARY_ROWS]
    )
    found = list(prompts)
    return Vocabulary.of(found).as_text() if found else ""


def edit_version(
    *,
    actor: User | None,
    version: ModelVersion,
    notes: str | None = None,
    tags: list[str] | None = None,
    name: str | None = None,
) -> ModelVersion:
    """The version with new words about it; what it answers with stays as it is."""
    changes: dict[str, Any] = {}
    if name is not None:
        changes["name"] = " ".join(name.split())[:200]
    if notes is not None:
        changes["notes"] = notes.strip()
    if tags is not None:
        changes["tags"] = sorted({" ".join(tag.split())[:60] for tag in tags if tag.strip()})
    changed = [field for field, value in changes.items() if getattr(version, field) != value]
    if changed:
        for field in changed:
            setattr(version, field, changes[field])
        with transaction.atomic():
            version.save(update_fields=changed)
            audit.record(
                actor=actor, team=version.team, verb="model_version.edited", target=version, fields=changed
            )
    return version


def set_alias(
    *, actor: User | None, version: ModelVersion, name: str = AliasName.PRODUCTION, note: str = ""
) -> Alias:
    """The alias, pointing at `version`. What was production becomes `previous`, so that one press brings it back."""
    with transaction.atomic():
        use_case = UseCase.objects.select_for_update().get(pk=version.use_case_id)
        found = {a.name: a for a in Alias.objects.filter(use_case=use_case).select_related("version")}
        current = found.get(name)
        if current is not None and current.version_id == version.pk:
            return current
        if name == AliasName.PRODUCTION and current is not None:
            _point(use_case, AliasName.PREVIOUS, current.version, actor)
        alias = _point(use_case, name, version, actor)
        audit.record(
            actor=actor,
            team=version.team,
            verb="alias.moved",
            target=alias,
            fields=["version"],
            note=f"{name}: {current.version.label if current else 'nothing'} to {version.label}. {note}".strip(),
        )
    return alias


def _point(use_case: UseCase, name: str, version: ModelVersion, actor: User | None) -> Alias:
    alias, _ = Alias.objects.update_or_create(
        use_case=use_case,
        name=name,
        defaults={
            "team_id": use_case.team_id,
            "version": version,
            "moved_by": actor,
            "moved_at": timezone.now(),
        },
    )
    return alias


def rollback(*, actor: User | None, use_case: UseCase, reason: str = "") -> ModelVersion:
    """The version that is production again: the previous one. Endpoints that serve the present one follow at once.

    Afterwards nothing is “previous”: what was taken back comes again by a rollout only. Raises: Conflict when there is nothing to go back to.
    """
    from deployments.services.endpoints import set_split

    with transaction.atomic():
        UseCase.objects.select_for_update().get(pk=use_case.pk)
        found = {
            a.name: a.version for a in Alias.objects.filter(use_case=use_case).select_related("version__team")
        }
        present, before = found.get(AliasName.PRODUCTION), found.get(AliasName.PREVIOUS)
        if present is None or before is None:
            raise Conflict("There is no earlier production version to go back to.")
        set_alias(actor=actor, version=before, note=reason)
        # What was taken back is nothing to go back to: a second press must not serve it again. Forward leads a rollout.
        Alias.objects.filter(use_case=use_case, name=AliasName.PREVIOUS).delete()
        for endpoint in use_case.endpoints.current().select_related("team", "baseline", "candidate"):
            if present.pk in (endpoint.baseline_id, endpoint.candidate_id):
                set_split(
                    actor=actor,
                    endpoint=endpoint,
                    baseline=before,
                    candidate=None,
                    share=0,
                    reason=reason or f"rolled back from {present.label} to {before.label}",
                )
        audit.record(
            actor=actor,
            team=before.team,
            verb="model_version.rolled_back",
            target=before,
            note=f"{present.label} to {before.label}. {reason}".strip(),
        )
    return before
