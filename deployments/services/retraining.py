"""Learning again: propose, approve, and the steps that follow by the clock. Each step starts what is missing, once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from datasets import services as datasets
from datasets.domain.recipe import Recipe
from datasets.domain.statuses import ImportState
from datasets.models import Dataset, DatasetVersion, TrainingRun
from datasets.training import services as training
from deployments.domain.retraining import DELAY, merged, reason_to_retrain
from deployments.models import Endpoint, Retraining
from deployments.policies import check_four_eyes
from deployments.services.judged import JudgedRow, judged_requests, not_in, stage
from deployments.services.versions import register_version
from evaluations import services as evaluations
from evaluations.models import Candidate, Comparison
from evaluations.services.candidates import candidate_for_run
from foundation.teams import audit
from foundation.teams.errors import Conflict, PortalError
from foundation.teams.models import User
from foundation.teams.notices import notify

log = logging.getLogger("deployments.retraining")

# Production may be a paid prompt; comparing with it costs at most a dollar unless the options say otherwise.
CAP_MICROUSD = 1_000_000
State = Retraining.State


def new_rows(endpoint: Endpoint, *, until: datetime) -> list[JudgedRow]:
    """Judged requests since the last retraining that the dataset does not hold yet."""
    rows = judged_requests(endpoint, until=until, since=last_rows_until(endpoint))
    version = endpoint.baseline.candidate.version or _newest_frozen(endpoint)
    return not_in(version.dataset, rows) if version else list(rows)


def _newest_frozen(endpoint: Endpoint) -> DatasetVersion | None:
    rows = DatasetVersion.objects.filter(dataset__use_case_id=endpoint.use_case_id, state="frozen")
    return rows.order_by("-pk").first()


def last_rows_until(endpoint: Endpoint) -> datetime | None:
    """Until when feedback was used already."""
    done = endpoint.retrainings.filter(state=State.DONE).order_by("-pk").first()
    return done.rows_until if done else None


def propose_retraining(
    *,
    actor: User | None,
    endpoint: Endpoint,
    reason: str,
    trigger: str = "person",
    options: Mapping[str, Any] | None = None,
    now: datetime | None = None,
) -> Retraining:
    """The proposal, with the rows it would add counted. While one is open it is that one.

    Nothing is learnt before somebody approves it.
    """
    now = now or timezone.now()
    if found := endpoint.retrainings.open().first():  # type: ignore[attr-defined]
        return found
    n = len(new_rows(endpoint, until=now))
    try:
        with transaction.atomic():
            retraining = Retraining.objects.create(
                team_id=endpoint.team_id,
                endpoint=endpoint,
                previous=endpoint.baseline,
                reason=reason[:500],
                trigger=trigger,
                n_new_rows=n,
                rows_until=now,
                options=dict(options or {}),
                proposed_by=actor,
            )
            audit.record(
                actor=actor,
                team=endpoint.team,
                verb="retraining.proposed",
                target=retraining,
                note=reason[:500],
            )
            if actor is None:
                notify(
                    team=endpoint.team,
                    users=None,
                    title=f"Retraining is proposed for {endpoint.slug}",
                    body=f"{reason} {n:,} judged requests could be learnt from.",
                    url=reverse("deployments:retraining-detail", args=[retraining.pk]),
                )
    except IntegrityError:
        return endpoint.retrainings.open().get()  # type: ignore[attr-defined]
    return retraining


def propose_where_needed(*, now: datetime | None = None) -> int:
    """How many retrainings are proposed because the newest checks of an endpoint ask for one (S77)."""
    now = now or timezone.now()
    n = 0
    for endpoint in Endpoint.objects.current().for_pages().filter(is_on=True):
        drift, right = endpoint.drift_checks.first(), endpoint.performance_checks.first()
        newest = max((c.created_at for c in (drift, right) if c), default=None)
        before = endpoint.retrainings.order_by("-pk").first()
        if newest is None or (before is not None and before.created_at >= newest):
            continue
        serves = endpoint.baseline_id
        reason = reason_to_retrain(
            drift_state=drift.state if drift and drift.version_id == serves else "",
            drift_finding=drift.finding if drift else "",
            performance_state=right.state if right and right.version_id == serves else "",
            performance_finding=right.finding if right else "",
            trained_at=None,
            every=None,
            now=now,
        )
        declined_lately = before is not None and before.state == State.DECLINED
        if reason is None or (declined_lately and before is not None and now - before.created_at < DELAY * 7):
            continue
        if before is not None and not before.phase.is_final:
            continue
        propose_retraining(
            actor=None, endpoint=endpoint, reason=reason.words, trigger=reason.trigger, now=now
        )
        n += 1
    return n


def approve_retraining(
    *,
    actor: User,
    retraining: Retraining,
    options: Mapping[str, Any] | None = None,
    at_once: bool = False,
    approved_as: str = "",
    now: datetime | None = None,
) -> Retraining:
    """The retraining on its way: it begins after 24 hours (S76), or now.

    `approved_as` names who stands for the approval where that is no person (the demo). Raises Conflict when it is not
    proposed any more.
    """
    now = now or timezone.now()
    begin = now if at_once else now + DELAY
    check_four_eyes(
        team=retraining.team, person=actor, author=retraining.proposed_by, what="proposed this retraining"
    )
    with transaction.atomic():
        changes: dict[str, Any] = {
            "state": State.IMPORTING,
            "approved_by": actor,
            "approved_as": approved_as[:100],
            "approved_at": now,
            "starts_at": begin,
            "options": merged(retraining.options, options or {}),
        }
        if not Retraining.objects.filter(pk=retraining.pk, state=State.PROPOSED).update(**changes):
            retraining.refresh_from_db()
            if retraining.approved_by_id == actor.pk and not retraining.phase.is_final:
                return retraining
            raise Conflict(f"This retraining is {retraining.get_state_display()}: it cannot be approved.")
        audit.record(
            actor=actor,
            team=retraining.team,
            verb="retraining.approved",
            target=retraining,
            fields=list(changes),
        )
    retraining.refresh_from_db()
    return retraining


def decline_retraining(*, actor: User, retraining: Retraining, reason: str = "") -> Retraining:
    """The proposal, put away. Also stops one that was approved and has not begun. Doing it again changes nothing."""
    with transaction.atomic():
        waiting = Retraining.objects.filter(
            pk=retraining.pk, state__in=[State.PROPOSED, State.IMPORTING], import_row=None
        )
        if waiting.update(state=State.DECLINED, finished_at=timezone.now(), error=reason[:1000]):
            audit.record(
                actor=actor, team=retraining.team, verb="retraining.declined", target=retraining, note=reason
            )
    retraining.refresh_from_db()
    if retraining.state != State.DECLINED:
        raise Conflict("It has begun already. Cancel its job instead.")
    return retraining


# -- the clock -------------------------------------------------------------------------------------------------


class _Taken(Exception):
    """Another clock has this step: give way."""


def advance_retrainings(*, now: datetime | None = None) -> int:
    """How many approved retrainings moved on. One that fails says why and delays no other."""
    now = now or timezone.now()
    moved = 0
    waiting = Retraining.objects.open().exclude(state=State.PROPOSED).filter(starts_at__lte=now)
    for retraining in waiting.select_related(
        "team", "endpoint__use_case", "previous__candidate", "approved_by"
    ):
        moved += carry_on(retraining, now=now)
    return moved


def carry_on(retraining: Retraining, *, now: datetime) -> bool:
    """Whether this retraining moved on, or failed with a sentence. Two clocks at once start each step once."""
    try:
        return _advance(retraining, now)
    except _Taken:
        return False
    except PortalError as error:
        _fail(retraining, str(error), now)
        return True
    except Exception:
        log.exception("retraining %s could not go on", retraining.pk)
        return False


def watch_and_propose(*, now: datetime | None = None) -> int:
    """The chore: propose where checks ask for it, and carry on what was approved."""
    return propose_where_needed(now=now) + advance_retrainings(now=now)


def _advance(r: Retraining, now: datetime) -> bool:
    step = {
        State.IMPORTING: _import,
        State.FREEZING: _freeze,
        State.TRAINING: _train,
        State.EVALUATING: _evaluate,
    }[r.phase]
    return step(r, now)


def _move(r: Retraining, state: State, **changes: Any) -> bool:
    """To the next state, when it still is where it was."""
    moved = Retraining.objects.filter(pk=r.pk, state=r.state).update(state=state, **changes)
    return bool(moved)


def _claim(r: Retraining, begun: str) -> None:
    """Make the step this clock's until the transaction ends. `begun` is the column the step fills.

    Raises _Taken when another clock filled it, or moved on, since `r` was read.
    """
    row = Retraining.objects.select_for_update().get(pk=r.pk)
    if row.state != r.state or getattr(row, f"{begun}_id") is not None:
        raise _Taken


def _fail(r: Retraining, sentence: str, now: datetime) -> None:
    with transaction.atomic():
        if _move(r, State.FAILED, error=sentence[:1000], finished_at=now):
            notify(
                team=r.team,
                users=None,
                title=f"Retraining for {r.endpoint.slug} failed",
                body=sentence,
                url=reverse("deployments:retraining-detail", args=[r.pk]),
            )


def _dataset_version(r: Retraining) -> DatasetVersion:
    """The version production learnt from, or the newest frozen one of the use case."""
    version = r.previous.candidate.version or _newest_frozen(r.endpoint)
    if version is None:
        raise Conflict("The use case has no frozen dataset version to add rows to.")
    return DatasetVersion.objects.select_related("dataset__team", "dataset__use_case").get(pk=version.pk)


def _import(r: Retraining, now: datetime) -> bool:
    if r.import_row is None:
        return _start_import(r)
    state = r.import_row.state
    if state == ImportState.DONE:
        return _move(r, State.FREEZING)
    job = r.import_row.job
    if job is not None and job.status.is_final and job.status.value != "succeeded":
        raise Conflict(f"The rows could not be brought in: {job.error or job.status.label.lower()}")
    return False


def _start_import(r: Retraining) -> bool:
    # Before the lock, for it reads the whole dataset; whoever comes second finds none and gives way below.
    rows = new_rows(r.endpoint, until=r.rows_until)
    with transaction.atomic():
        _claim(r, "import_row")
        dataset: Dataset = _dataset_version(r).dataset
        if not rows:
            # Nothing new to learn from: the same rows may still be learnt with other settings.
            if not r.options:
                raise Conflict("There are no judged requests with kept text, and no other settings to try.")
            return _move(r, State.FREEZING)
        import_ = stage(
            actor=r.approved_by,
            endpoint=r.endpoint,
            dataset=dataset,
            rows=rows,
            name=f"judged requests of {r.endpoint.slug}.jsonl",
        )
        datasets.start_import(actor=r.approved_by, import_=import_, skip_bad_rows=True, again=True)
        return _move(r, State.IMPORTING, import_row=import_, n_new_rows=len(rows))


def _freeze(r: Retraining, now: datetime) -> bool:
    if r.dataset_version is None:
        with transaction.atomic():
            _claim(r, "dataset_version")
            before = _dataset_version(r)
            recipe = Recipe.from_json(before.recipe)
            own: TrainingRun | None = r.previous.candidate.training_run
            knows_all = own is not None and own.cross_validation_id is not None
            version = datasets.start_freeze(
                actor=r.approved_by,
                dataset=before.dataset,
                seed=recipe.seed,
                ratios=recipe.ratios,
                strategy=recipe.strategy,
                size_test_by_power=recipe.size_test_by_power,
                keep_groups=recipe.keep_groups,
                n_folds=datasets.allowed_folds(before.dataset, recipe.ratios, recipe.n_folds),
                drop_leaks=recipe.drop_leaks,
                # What production learnt from must not become what it is judged on.
                learnt_from=[before.checksum],
                learnt_whole=[before.checksum] if knows_all else (),
                override_reason=f"Retraining {r.pk}, approved by {r.approver}: {r.reason}"[:500],
                notes=f"With {r.n_new_rows:,} judged requests of {r.endpoint.slug}.",
            )
            return _move(r, State.FREEZING, dataset_version=version)
    if r.dataset_version.is_frozen:
        return _move(r, State.TRAINING)
    if r.dataset_version.error:
        raise Conflict(f"The version could not be frozen: {r.dataset_version.error}")
    return False


def _train(r: Retraining, now: datetime) -> bool:
    if r.training_run is None:
        assert r.dataset_version is not None
        with transaction.atomic():
            _claim(r, "training_run")
            before: TrainingRun | None = r.previous.candidate.training_run
            run = training.start_training(
                actor=r.approved_by,
                version=r.dataset_version,
                backend=before.backend if before else "",
                settings=merged(before.settings if before else {}, r.options),
            )
            return _move(r, State.TRAINING, training_run=run)
    if r.training_run.state == "succeeded":
        return _move(r, State.EVALUATING)
    if r.training_run.state in ("failed", "cancelled"):
        raise Conflict(f"Training ended without a model: {r.training_run.error or r.training_run.state}")
    return False


def _evaluate(r: Retraining, now: datetime) -> bool:
    assert r.training_run is not None and r.dataset_version is not None
    candidate: Candidate = candidate_for_run(actor=r.approved_by, run=r.training_run)
    if r.comparison is None:
        with transaction.atomic():
            _claim(r, "comparison")
            comparison = evaluations.start_evaluations(
                actor=r.approved_by,
                version=r.dataset_version,
                candidates=[r.previous.candidate, candidate],
                baseline=r.previous.candidate,
                cap_microusd=CAP_MICROUSD,
                name=f"Retraining {r.pk} against production",
            )
            return _move(r, State.EVALUATING, comparison=comparison)
    if r.comparison.state == "waiting":
        return False
    if r.comparison.state != "done":
        raise Conflict(f"The evaluation ended without a verdict: {r.comparison.error or r.comparison.state}")
    with transaction.atomic():
        version = register_version(
            actor=r.approved_by,
            use_case=r.endpoint.use_case,
            candidate=candidate,
            notes=f"Retrained because: {r.reason}",
        )
        improvement = improvement_of(r.comparison, candidate)
        if _move(r, State.DONE, version=version, improvement=improvement, finished_at=now):
            notify(
                team=r.team,
                users=None,
                title=f"{version.label} was retrained for {r.endpoint.slug}",
                body=f"{r.comparison.finding} Nothing is served by it before a rollout.",
                url=reverse("deployments:retraining-detail", args=[r.pk]),
            )
    return True


def improvement_of(comparison: Comparison, candidate: Candidate) -> dict[str, Any]:
    """The primary measure's difference as the comparison found it; known only after the run (S76)."""
    lines = (comparison.result or {}).get("lines") or []
    line = lines[0] if lines else {}
    return {
        "measure": line.get("title", ""),
        "value": line.get("difference"),
        "low": line.get("low"),
        "high": line.get("high"),
        "verdict": comparison.verdict,
    }
