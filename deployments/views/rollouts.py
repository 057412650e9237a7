"""Pages of rollouts: the list, a new one with its outlook, one with its ladder, guardrails and buttons."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_POST

from deployments import reading, services
from deployments.domain.canary import SCHEDULES, Action, Measure, RolloutState, outlook, write_ladder
from deployments.domain.sequential import sample_per_arm
from deployments.forms_rollouts import RolloutForm
from deployments.models import Endpoint, Rollout
from deployments.policies import can_move, check_can_move
from foundation.teams.domain.roles import Role
from foundation.teams.errors import BadInput, Conflict
from foundation.teams.models import Team
from foundation.ui.htmx import redirect, refresh, render_page, toast

PAGE_SIZE = 50


def rollout_list(request: HttpRequest, team: Team) -> HttpResponse:
    """The team's rollouts, newest first."""
    rows = list(Rollout.objects.of(team).for_pages()[: PAGE_SIZE + 1])
    return render(
        request,
        "deployments/rollout_list.html",
        {
            "rollouts": rows[:PAGE_SIZE],
            "has_more": len(rows) > PAGE_SIZE,
            "endpoint": Endpoint.objects.of(team).current().first(),
        },
    )


def rollout_create(request: HttpRequest, endpoint: Endpoint) -> HttpResponse:
    """Plan a rollout: its steps, its guardrails, and what the present traffic will make of them."""
    chosen = request.GET.get("schedule", "canary")
    schedule = SCHEDULES.get(chosen, SCHEDULES["canary"])
    data = request.POST if request.method == "POST" else None
    form = RolloutForm(
        data,
        endpoint=endpoint,
        initial={
            "schedule": schedule.name,
            "steps": write_ladder(schedule.steps),
            "promotes": schedule.promotes,
            "candidate": request.GET.get("candidate"),
        },
    )
    is_valid = request.method == "POST" and form.is_valid()
    if is_valid and "preview" not in request.POST:
        try:
            rollout = services.start_rollout(actor=request.user, endpoint=endpoint, **form.given())
        except Conflict:
            # A second press of the same form finds what the first one made.
            same = Rollout.objects.open().filter(
                endpoint=endpoint, candidate=form.cleaned_data["candidate"], created_by=request.user
            )
            if (found := same.first()) is None:
                raise
            return redirect(request, "deployments:rollout-detail", found.pk)
        except BadInput as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            toast(request, "The rollout has begun. Gateways follow within two seconds.")
            return redirect(request, "deployments:rollout-detail", rollout.pk)
    steps = form.cleaned_data["ladder"] if is_valid and "ladder" in form.cleaned_data else schedule.steps
    a_day = reading.requests_of_a_day([endpoint]).get(endpoint.pk, reading.QUIET)["n"]
    n_feedback = reading.feedback_since(endpoint, timezone.now() - timedelta(days=1))
    judged = min(1.0, n_feedback / a_day) if a_day else 0.0
    best = endpoint.baseline.best_evaluation or {}
    quality = best.get("score") or 0.8
    return render(
        request,
        "deployments/rollout_create.html",
        {
            "endpoint": endpoint,
            "form": form,
            "schedules": SCHEDULES.values(),
            "schedule": schedule,
            "outlook": outlook(steps, requests_per_day=a_day, quality=quality, judged_share=judged),
            "a_day": a_day,
            "judged": judged,
            "quality": quality,
            "needed": sample_per_arm(0.80, 0.85),
            "has_candidates": form.fields["candidate"].queryset.exists(),
        },
        status=422 if form.errors else 200,
    )


def rollout_detail(request: HttpRequest, rollout: Rollout) -> HttpResponse:
    """One rollout; asked by htmx only its live part, and a fresh page once it ended or waits for a person."""
    seen = request.GET.get("seen")
    if seen is not None and seen != _mark(rollout):
        return refresh(request)
    context: dict[str, Any] = {
        "rollout": rollout,
        "mark": _mark(rollout),
        "rungs": _rungs(rollout),
        "split": _split(rollout),
        "readings": [_shown(r) for r in rollout.measured.get("readings", [])],
        "guardrails": rollout.guardrails,
        "is_open": not rollout.phase.is_final,
        "events": list(rollout.events.select_related("by")[:50]),
        "can": {a.name.lower(): can_move(request.role, rollout, a) for a in Action},
        "versions": [rollout.baseline, rollout.candidate],
    }
    return render_page(request, "deployments/rollout_detail.html", "deployments/_rollout_live.html", context)


def _mark(rollout: Rollout) -> str:
    """Changes whenever the page's buttons or ladder do."""
    return f"{rollout.state}-{rollout.step_index}".replace(" ", "-")


def _rungs(rollout: Rollout) -> list[dict[str, Any]]:
    rungs = []
    for index, step in enumerate(rollout.steps):
        if rollout.phase is RolloutState.PROMOTED or index < rollout.step_index:
            state = "done"
        elif index > rollout.step_index or rollout.phase is RolloutState.SCHEDULED:
            state = "todo"
        elif rollout.phase is RolloutState.ROLLED_BACK:
            state = "bad"
        else:
            state = "warn" if rollout.phase is RolloutState.PAUSED else "now"
        rungs.append({"share": step.share, "hold": step.hold, "min_sample": step.min_sample, "state": state})
    last = "done" if rollout.phase is RolloutState.PROMOTED else "todo"
    rungs.append({"share": 1.0, "hold": None, "min_sample": 0, "state": last})
    return rungs


def _split(rollout: Rollout) -> dict[str, Any]:
    found = rollout.measured
    a, b = found.get("routed_baseline", 0), found.get("routed_candidate", 0)
    return {
        # What was measured belongs to the last step, also after the end.
        "planned": rollout.steps[rollout.step_index].share
        if rollout.phase.is_final
        else rollout.planned_share,
        "actual": b / (a + b) if a + b else None,
        "n": a + b,
        "n_candidate": b,
        "left_out": found.get("n_left_out", 0),
    }


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """A stored reading for the table: its gain is turned so that right is good for every measure."""
    measure = Measure(row["measure"])
    phase_tone = {"passed": "good", "failed": "bad", "inconclusive": "warn"}.get(row["phase"], "")
    return {
        **row,
        "title": measure.label,
        "tone": phase_tone,
        "is_latency": measure is Measure.LATENCY,
        "better_when": "higher is better" if measure.higher_is_better else "lower is better",
        "span": max(abs(row["low"] or 0), abs(row["high"] or 0), 2 * row["margin"]),
    }


@require_POST
def rollout_move(request: HttpRequest, rollout: Rollout) -> HttpResponse:
    """Pause, resume, one step on, promote or roll back."""
    try:
        action = Action(request.POST.get("action", ""))
    except ValueError:
        raise BadInput("Choose what should happen.", field="action") from None
    check_can_move(request.role or Role.VIEWER, action)
    rollout = services.move_rollout(
        actor=request.user, rollout=rollout, action=action, reason=request.POST.get("reason", "")
    )
    words = {
        Action.ROLL_BACK: "Taken back. The baseline gets everything within two seconds.",
        Action.PROMOTE: f"{rollout.candidate.label} is production and gets everything within two seconds.",
        Action.PAUSE: "Paused. The traffic stays as it is.",
        Action.RESUME: "Goes on. The step's time counts anew.",
        Action.STEP: f"One step on: {rollout.planned_share:.0%} of traffic.",
    }
    toast(request, words.get(action, "Done."))
    return redirect(request, "deployments:rollout-detail", rollout.pk)
