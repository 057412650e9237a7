"""Rollouts: begin one, look at it, move it on by the clock or by a person. Every move is written with its reason."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from deployments.domain.canary import (
    ALPHA,
    GUARDRAILS,
    MOVES,
    SCHEDULES,
    Action,
    Guardrail,
    Measured,
    Move,
    RolloutState,
    Step,
    measure,
    next_move,
    read_guardrails,
    read_steps,
)
from deployments.models import Endpoint, ModelVersion, Rollout, RolloutEvent
from deployments.policies import check_four_eyes
from deployments.services.endpoints import check_task, set_split
from deployments.services.measuring import arms_since
from deployments.services.versions import set_alias
from foundation.teams import audit
from foundation.teams.errors import BadInput, Conflict
from foundation.teams.models import User
from foundation.teams.notices import notify

log = logging.getLogger("deployments.rollouts")

# A look costs half a second when much was asked: one a minute, more often only when steps are short.
LONGEST_BETWEEN_LOOKS = timedelta(seconds=60)


def start_rollout(
    *,
    actor: User | None,
    endpoint: Endpoint,
    candidate: ModelVersion,
    schedule: str = "canary",
    steps: Sequence[Step] | Sequence[Mapping[str, Any]] | None = None,
    guardrails: Sequence[Guardrail] | Sequence[Mapping[str, Any]] | None = None,
    promotes: bool | None = None,
    must_be_better: bool = True,
    starts_at: datetime | None = None,
    now: datetime | None = None,
) -> Rollout:
    """The rollout, with its first share given at once unless `starts_at` lies ahead.

    Everybody is drawn anew, so that not the same people are always first. Raises: BadInput for steps, guardrails or
    versions that make no sense; Conflict when the endpoint is archived, off or has an open rollout.
    """
    now = now or timezone.now()
    if schedule not in SCHEDULES:
        raise BadInput("Choose one of the schedules.", field="schedule")
    ready = SCHEDULES[schedule]
    try:
        ladder = read_steps([_row(s) for s in (ready.steps if steps is None else steps)])
    except ValueError as error:
        raise BadInput(_sentence(error), field="steps") from None
    try:
        rails = read_guardrails([_row(g) for g in (GUARDRAILS if guardrails is None else guardrails)])
    except ValueError as error:
        raise BadInput(_sentence(error), field="guardrails") from None
    endpoint = Endpoint.objects.for_pages().get(pk=endpoint.pk)
    if endpoint.archived_at is not None or not endpoint.is_on:
        raise Conflict("This endpoint answers nobody. Switch it on first.")
    if candidate.use_case_id != endpoint.use_case_id:
        raise BadInput("This version belongs to another use case.", field="candidate")
    if candidate.pk == endpoint.baseline_id:
        raise BadInput("This version serves all of the traffic already.", field="candidate")
    check_task(endpoint.task, candidate, field="candidate")
    waits = starts_at is not None and starts_at > now
    begin = starts_at if waits and starts_at else now
    try:
        with transaction.atomic():
            rollout = Rollout.objects.create(
                team_id=endpoint.team_id,
                endpoint=endpoint,
                baseline=endpoint.baseline,
                candidate=candidate,
                schedule=schedule,
                step_rows=[s.as_dict() for s in ladder],
                guardrail_rows=[g.as_dict() for g in rails],
                promotes=ready.promotes if promotes is None else promotes,
                must_be_better=must_be_better,
                state=RolloutState.SCHEDULED,
                starts_at=begin,
                step_started_at=begin,
                held_since=begin,
                reason="waits for its hour" if waits else "",
                created_by=actor,
            )
            audit.record(
                actor=actor,
                team=endpoint.team,
                verb="rollout.created",
                target=rollout,
                fields=["candidate", "steps", "guardrails"],
                note=f"{candidate.label} at {endpoint.slug}, {ready.title}",
            )
            if not waits:
                move = Move(Action.START, f"began at {ladder[0].share:.0%} of traffic")
                _apply(rollout, move, now=now, actor=actor)
    except IntegrityError:
        raise Conflict("This endpoint has an open rollout. End that one first.") from None
    return rollout


def _row(value: Step | Guardrail | Mapping[str, Any]) -> Mapping[str, Any]:
    return value.as_dict() if isinstance(value, Step | Guardrail) else value


def _sentence(error: ValueError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


# -- the clock -------------------------------------------------------------------------------------------------


def advance_rollouts(*, now: datetime | None = None) -> int:
    """How many open rollouts were moved: one step each at most. One that fails delays no other."""
    moved = 0
    for pk in Rollout.objects.filter(state__in=(RolloutState.SCHEDULED, RolloutState.RUNNING)).values_list(
        "pk", flat=True
    ):
        try:
            moved += advance_rollout(rollout_id=pk, now=now).action is not Action.WAIT
        except Exception:
            log.exception("rollout %s could not be advanced", pk)
    return moved


def advance_rollout(*, rollout_id: int, now: datetime | None = None) -> Move:
    """Look, and take at most one step. Safe to repeat: whoever loses a race changes nothing."""
    now = now or timezone.now()
    rollout = Rollout.objects.for_pages().get(pk=rollout_id)
    if rollout.phase is RolloutState.SCHEDULED:
        if now < rollout.starts_at:
            return Move(Action.WAIT, "waits for its hour")
        return _try(rollout, Move(Action.START, f"began at {rollout.steps[0].share:.0%} of traffic"), now=now)
    if rollout.phase is not RolloutState.RUNNING:
        return Move(Action.WAIT, "not running")
    if strange := _moved_by_hand(rollout):
        return _try(rollout, Move(Action.PAUSE, strange), now=now)
    step = rollout.steps[rollout.step_index]
    pause = min(LONGEST_BETWEEN_LOOKS, step.hold / 20)
    if rollout.measured_at is not None and now < rollout.measured_at + pause and not rollout.n_errors:
        return Move(Action.WAIT, rollout.reason)
    measured = look(rollout, now=now)
    move = next_move(rollout.steps, rollout.canary_state, measured, now=now)
    if move.action is Action.WAIT:
        # Only what it waits for is written, and only while nobody moved it.
        Rollout.objects.filter(pk=rollout.pk, state=rollout.state, step_index=rollout.step_index).update(
            reason=move.reason[:500]
        )
        return move
    return _try(rollout, move, now=now)


def look(rollout: Rollout, *, now: datetime) -> Measured:
    """The guardrails' answers now, kept on the row for its page. A look that fails is counted, not raised."""
    try:
        baseline, candidate, left_out = arms_since(rollout.endpoint, rollout.step_started_at, now=now)
    except (DatabaseError, ArithmeticError, ValueError) as error:
        log.warning("rollout %s could not be measured: %s", rollout.pk, error)
        n_errors = rollout.n_errors + 1
        Rollout.objects.filter(pk=rollout.pk).update(n_errors=n_errors, measured_at=now)
        return Measured(consecutive_errors=n_errors)
    step = rollout.steps[rollout.step_index]
    found = measure(
        rollout.guardrails,
        baseline,
        candidate,
        n_steps=len(rollout.step_rows),
        tuned_to=step.min_sample,
        alpha=ALPHA,
    )
    rollout.measured = {
        "n_baseline": baseline.n,
        "n_candidate": candidate.n,
        "n_left_out": left_out,
        "routed_baseline": baseline.failed.n,
        "routed_candidate": candidate.failed.n,
        "readings": [reading.as_dict() for reading in found.readings],
    }
    rollout.measured_at, rollout.n_errors = now, 0
    Rollout.objects.filter(
        pk=rollout.pk, step_index=rollout.step_index, step_started_at=rollout.step_started_at
    ).update(measured=rollout.measured, measured_at=now, n_errors=0)
    return found


def _moved_by_hand(rollout: Rollout) -> str:
    endpoint = rollout.endpoint
    if (endpoint.baseline_id, endpoint.candidate_id) != (rollout.baseline_id, rollout.candidate_id):
        return "somebody gave the endpoint's traffic to other versions"
    if abs(endpoint.traffic_share - rollout.planned_share) > 1e-4 or endpoint.is_shadow:
        return f"somebody moved the traffic to {endpoint.traffic_share:.2%}"
    if endpoint.archived_at is not None or not endpoint.is_on:
        return "the endpoint was switched off"
    return ""


def _try(rollout: Rollout, move: Move, *, now: datetime, actor: User | None = None) -> Move:
    with transaction.atomic():
        moved = _apply(rollout, move, now=now, actor=actor)
    return move if moved else Move(Action.WAIT, "another worker moved it first")


def _apply(rollout: Rollout, move: Move, *, now: datetime, actor: User | None) -> bool:
    """Make the move when the rollout still is where it was: row, traffic, aliases, event, notice, in one transaction."""
    before, index = rollout.phase, rollout.step_index
    after = MOVES[before].get(move.action)
    if after is None:
        return False
    changes: dict[str, Any] = {"state": after, "reason": move.reason[:500]}
    measured = rollout.measured
    if move.action is Action.STEP:
        index += 1
    if move.action in (Action.START, Action.STEP):
        changes |= {"step_started_at": now, "measured": {}, "measured_at": None, "n_errors": 0}
    if move.action in (Action.START, Action.STEP, Action.RESUME):
        changes |= {"step_index": index, "held_since": now}
    if after.is_final:
        changes["ended_at"] = now
    untouched = Rollout.objects.filter(
        pk=rollout.pk, state=before, step_index=rollout.step_index, held_since=rollout.held_since
    )
    if not untouched.update(**changes):
        return False
    for name, value in changes.items():
        setattr(rollout, name, value)
    share = rollout.planned_share
    _move_traffic(rollout, move, share, actor)
    RolloutEvent.objects.create(
        team_id=rollout.team_id,
        rollout=rollout,
        action=move.action,
        reason=move.reason[:500],
        step_index=index,
        share=share,
        measured=measured,
        by=actor,
        at=now,
    )
    audit.record(
        actor=actor,
        team=rollout.team,
        verb=f"rollout.{move.action.value.replace(' ', '_')}",
        target=rollout,
        fields=["state", "step_index"],
        note=move.reason[:500],
    )
    if actor is None and move.action in (Action.PAUSE, Action.ROLL_BACK, Action.PROMOTE):
        words = {"pause": "is paused", "roll back": "was taken back", "promote": "is promoted"}[move.action]
        notify(
            team=rollout.team,
            users=None,
            title=f"{rollout} {words}",
            body=f"{move.reason[:1].upper()}{move.reason[1:]}.",
            url=reverse("deployments:rollout-detail", args=[rollout.pk]),
        )
    return True


def _move_traffic(rollout: Rollout, move: Move, share: float, actor: User | None) -> None:
    reason = f"rollout: {move.reason}"
    endpoint, baseline, candidate = rollout.endpoint, rollout.baseline, rollout.candidate
    if move.action is Action.PROMOTE:
        set_split(actor=actor, endpoint=endpoint, baseline=candidate, candidate=None, share=0, reason=reason)
        set_alias(actor=actor, version=candidate, note=move.reason)
    elif move.action is Action.ROLL_BACK:
        # When somebody gave the traffic to a third version meanwhile, that word stands.
        if candidate.pk in (endpoint.candidate_id, endpoint.baseline_id):
            set_split(
                actor=actor, endpoint=endpoint, baseline=baseline, candidate=None, share=0, reason=reason
            )
    elif move.action in (Action.START, Action.STEP, Action.RESUME):
        set_split(
            actor=actor,
            endpoint=endpoint,
            baseline=baseline,
            candidate=candidate,
            share=share,
            reason=reason,
            new_salt=move.action is Action.START,
        )


# -- people ----------------------------------------------------------------------------------------------------


def move_rollout(
    *, actor: User | None, rollout: Rollout, action: Action, reason: str = "", now: datetime | None = None
) -> Rollout:
    """The rollout after a person's move: pause, resume, one step on, promote, roll back. A second press changes nothing.

    Raises: Conflict when its state does not allow the move, or when it is on its last step and cannot step; NotAllowed
    when whoever began it would promote it although the team has another approver.
    """
    now = now or timezone.now()
    rollout = Rollout.objects.for_pages().get(pk=rollout.pk)
    words = " ".join(reason.split())[:400] or "by hand"
    if action is Action.STEP and rollout.step_index + 1 >= len(rollout.step_rows):
        raise Conflict("This is the last step. Promote it or take it back.")
    target = MOVES[rollout.phase].get(action)
    if target is None:
        same = {Action.ROLL_BACK: "rolled back", Action.PROMOTE: "promoted", Action.PAUSE: "paused"}
        if rollout.state == same.get(action):
            return rollout
        raise Conflict(f"This rollout is {rollout.state}: it cannot {action.value} now.")
    if action is Action.PROMOTE:
        check_four_eyes(team=rollout.team, person=actor, author=rollout.created_by, what="began this rollout")
    if _try(rollout, Move(action, words), now=now, actor=actor).action is Action.WAIT:
        raise Conflict("The clock or somebody else moved this rollout in the same moment. Look again.")
    return rollout
