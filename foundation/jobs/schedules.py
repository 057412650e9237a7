"""Work by the clock: what is due is started once, however many clocks ask. A broken row delays nobody."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from foundation.jobs import crontabs
from foundation.jobs.chores import get_chore
from foundation.jobs.domain.timing import Slot, due_slots
from foundation.jobs.errors import UnknownKind
from foundation.jobs.kinds import get_kind
from foundation.jobs.models import Schedule, ScheduleSlot
from foundation.jobs.outcomes import plain
from foundation.jobs.services import start_job
from foundation.teams import audit
from foundation.teams.errors import BadInput, PortalError
from foundation.teams.models import Team, User

log = logging.getLogger("foundation.jobs")

SLOTS_KEPT = 200


def start_due(*, now: datetime | None = None) -> int:
    """Start what is due. Returns how many slots this call started; another call at the same instant starts none."""
    now = now or timezone.now()
    started = 0
    for schedule in (
        Schedule.objects.filter(enabled=True).select_related("team").annotate(last_slot=Max("slots__slot"))
    ):
        try:
            slots = due_slots(crontabs.timetable_of(schedule, schedule.last_slot), now)
            for slot in slots:
                started += _start(schedule, slot)
        except PortalError as error:
            _remember_trouble(schedule, str(error))
        except Exception as error:
            log.exception("schedule %s cannot be read", schedule.pk)
            _remember_trouble(schedule, f"{type(error).__name__}: {error}")
    return started


def _start(schedule: Schedule, slot: Slot) -> int:
    try:
        with transaction.atomic():
            row = ScheduleSlot.objects.create(schedule=schedule, slot=slot.at, late=slot.late)
            if schedule.team is not None:
                late = " (late)" if slot.late else ""
                row.job = start_job(
                    actor=None,
                    team=schedule.team,
                    kind=schedule.kind,
                    title=f"{schedule.name}{late}",
                    recipe={**schedule.recipe, "slot": slot.at.isoformat()},
                    dedupe_key=f"schedule:{schedule.pk}:{slot.at.isoformat()}",
                )
                row.save(update_fields=["job"])
    except IntegrityError:
        # Another clock was quicker.
        return 0
    except UnknownKind as error:
        # The slot counts as done: asking again every five seconds would not bring the kind back.
        ScheduleSlot.objects.get_or_create(
            schedule=schedule, slot=slot.at, defaults={"late": slot.late, "error": plain(str(error), 300)}
        )
        _remember_trouble(schedule, str(error))
        return 0
    if schedule.team_id is None:
        _run_chore(schedule, row)
    if schedule.trouble:
        Schedule.objects.filter(pk=schedule.pk).update(trouble="")
    return 1


def _run_chore(schedule: Schedule, row: ScheduleSlot) -> None:
    chore = get_chore(schedule.kind)
    if chore is None:
        _remember_trouble(schedule, f"This portal knows no chore called “{schedule.kind}”.")
        return
    try:
        chore.run()
    except Exception as error:
        log.exception("chore %s failed", chore.name)
        row.error = plain(f"{type(error).__name__}: {error}", 300)
        row.save(update_fields=["error"])


def _remember_trouble(schedule: Schedule, sentence: str) -> None:
    Schedule.objects.filter(pk=schedule.pk).exclude(trouble=plain(sentence, 300)).update(
        trouble=plain(sentence, 300)
    )


def prune_slots() -> int:
    """Keep the last 200 slots of each schedule. Returns how many were removed."""
    removed = 0
    for pk in Schedule.objects.values_list("pk", flat=True):
        kept = ScheduleSlot.objects.filter(schedule_id=pk).order_by("-slot")
        edge = kept.values_list("slot", flat=True)[SLOTS_KEPT : SLOTS_KEPT + 1]
        if edge:
            removed += ScheduleSlot.objects.filter(schedule_id=pk, slot__lte=edge[0]).delete()[0]
    return removed


def check(schedule: Schedule, *, now: datetime | None = None) -> tuple[datetime, ...]:
    """The next five runs of a schedule about to be saved. Raises BadInput, with the field, when it never runs."""
    if bool(schedule.crontab) == (schedule.interval_s is not None):
        raise BadInput("Give either a crontab or an interval.", field="crontab")
    if schedule.team_id is not None or schedule.team is not None:
        try:
            get_kind(schedule.kind)
        except UnknownKind as error:
            raise BadInput(str(error), field="kind") from None
    return crontabs.coming_runs(schedule, now or timezone.now())


def create_schedule(
    *,
    actor: User | None,
    team: Team,
    name: str,
    kind: str,
    crontab: str = "",
    interval_s: int | None = None,
    recipe: Mapping[str, Any] | None = None,
    enabled: bool = True,
) -> Schedule:
    """The saved schedule; its first slot lies ahead. Raises BadInput for a timing that never comes."""
    schedule = Schedule(
        team=team,
        name=name.strip()[:200],
        kind=kind,
        crontab=crontab.strip(),
        interval_s=interval_s,
        recipe=dict(recipe or {}),
        enabled=enabled,
    )
    if not schedule.name:
        raise BadInput("A schedule needs a name.", field="name")
    check(schedule)
    with transaction.atomic():
        schedule.save()
        audit.record(actor=actor, team=team, verb="schedule.created", target=schedule)
    return schedule


def change_schedule(*, actor: User | None, schedule: Schedule, **changes: Any) -> Schedule:
    """The schedule with name, crontab, interval_s, recipe or enabled changed.

    A new timing, or switching it on again, counts from now: slots that passed meanwhile are not made up for.
    """
    allowed = {"name", "crontab", "interval_s", "recipe", "enabled"}
    if not set(changes) <= allowed:
        raise ValueError(f"cannot change {sorted(set(changes) - allowed)}")
    changed = sorted(name for name, value in changes.items() if getattr(schedule, name) != value)
    if not changed:
        return schedule
    for name in changed:
        setattr(schedule, name, changes[name])
    if {"crontab", "interval_s", "enabled"} & set(changed):
        schedule.counts_from = timezone.now()
    schedule.trouble = ""
    check(schedule)
    with transaction.atomic():
        schedule.save()
        if schedule.team is not None:
            audit.record(
                actor=actor, team=schedule.team, verb="schedule.changed", target=schedule, fields=changed
            )
    return schedule


def delete_schedule(*, actor: User | None, schedule: Schedule) -> None:
    """Remove the schedule and its slots; jobs it started stay."""
    with transaction.atomic():
        if schedule.team is not None:
            audit.record(actor=actor, team=schedule.team, verb="schedule.deleted", target=schedule)
        schedule.delete()
