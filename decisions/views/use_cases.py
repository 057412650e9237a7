"""Pages of use cases: the list, the hub, beginning one, changing its answers, putting it away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from decisions import conflicts, lifecycle, policies, presenting, reading, services
from decisions.domain.approaches import Approach
from decisions.domain.examples import EXAMPLES, example
from decisions.domain.facts import NEEDS
from decisions.errors import EditedMeanwhile
from decisions.forms import UseCaseForm, UseCaseStartForm
from decisions.forms_what_if import ANSWERS, FACTS
from decisions.lifecycle import NextStep, Stage, StageState
from decisions.models import UseCase, UseCaseQuerySet
from foundation.teams.errors import BadInput
from foundation.teams.models import Team
from foundation.teams.presses import new_press, once
from foundation.teams.requests import TeamRequest
from foundation.ui import htmx

PAGE = 50


@dataclass(frozen=True, slots=True)
class Row:
    """One use case of the list, with its rail and next step."""

    use_case: UseCase
    rail: list[tuple[Stage, StageState]]
    now: tuple[Stage, StageState]
    step: NextStep | None


def use_case_list(request: TeamRequest, team: Team) -> HttpResponse:
    """The team's use cases, newest first, each with its stage and next step."""
    show = "archived" if request.GET.get("show") == "archived" else "active"
    words = request.GET.get("q", "").strip()[:200]
    rows: UseCaseQuerySet = UseCase.objects.of(team).with_answers()
    rows = rows.archived() if show == "archived" else rows.active()
    if words:
        rows = rows.filter(name__icontains=words)
    after = request.GET.get("after", "")
    if after.isdecimal() and len(after) < 19:
        rows = rows.filter(pk__lt=int(after))
    found = list(rows.order_by("-pk")[: PAGE + 1])
    shown, more = found[:PAGE], len(found) > PAGE
    rails = lifecycle.stages_for(shown)
    context = {
        "rows": [_row(use_case, rails[use_case.pk]) for use_case in shown],
        "next": shown[-1].pk if more else None,
        "show": show,
        "words": words,
        "one_answer": _one_answer(shown),
        "is_filtered": bool(words or after) or show == "archived",
    }
    return htmx.render_page(request, "decisions/use_case_list.html", "decisions/_use_case_rows.html", context)


def _one_answer(shown: list[UseCase]) -> str:
    """The answer that every decided use case of the page has, once there are enough of them to wonder."""
    decided = [row.latest_decision.recommendation for row in shown if row.latest_decision]
    same = len(decided) >= 3 and len(set(decided)) == 1
    return Approach(decided[0]).inline if same else ""


def _row(use_case: UseCase, rail: list[tuple[Stage, StageState]]) -> Row:
    step = lifecycle.next_step(rail)
    # The stage a use case stands at: the one that asks, else the last one done.
    done = [pair for pair in rail if pair[1].state == "done"]
    now = (step.stage, step.state) if step else done[-1] if done else rail[0]
    return Row(use_case, rail, now, step)


def use_case_create(request: TeamRequest, team: Team) -> HttpResponse:
    """The short beginning: name, purpose, kind of task; from nothing or from one of the book's examples."""
    chosen = example(request.GET.get("from", "") or request.POST.get("example", ""))
    if request.method != "POST":
        form = UseCaseStartForm(initial={"press": new_press(), **_start_of(chosen)})
        return _create_page(request, form, chosen)
    form = UseCaseStartForm(request.POST)
    if not form.is_valid():
        return _create_page(request, form, chosen, status=422)
    data = form.cleaned_data
    values = {
        **(chosen.values if chosen else {}),
        **{k: data[k] for k in ("name", "description", "task_kind")},
    }
    if chosen and data["task_kind"] != chosen.values["task_kind"]:
        values.pop("labels", None)
    try:
        use_case, _ = once(
            user=request.user,
            press=data["press"],
            purpose="use case",
            model=UseCase,
            make=lambda: services.create_use_case(actor=request.user, team=team, **values),
        )
    except BadInput as error:
        form.add_error(error.field if error.field in form.fields else None, str(error))
        return _create_page(request, form, chosen, status=422)
    where = "decisions:decision-preview" if chosen else "decisions:use-case-edit"
    return htmx.redirect(request, where, use_case.pk)


def _start_of(chosen: Any) -> dict[str, Any]:
    if chosen is None:
        return {}
    return {"name": chosen.name, **{k: chosen.values[k] for k in ("description", "task_kind")}}


def _create_page(
    request: TeamRequest, form: UseCaseStartForm, chosen: Any, *, status: int = 200
) -> HttpResponse:
    context = {"form": form, "examples": EXAMPLES, "chosen": chosen}
    return htmx.render_page(request, "decisions/use_case_create.html", None, context, status=status)


def use_case_detail(request: TeamRequest, use_case: UseCase) -> HttpResponse:
    """The hub: the rail of six stages, one next step, why this approach, what it returns, what happened."""
    rail = lifecycle.stages_for([use_case])[use_case.pk]
    step = lifecycle.next_step(rail)
    latest, analysis = use_case.latest_decision, use_case.latest_roi
    now = reading.now_of(use_case)
    context = {
        "use_case": use_case,
        "rail": rail,
        "step": (step.stage, replace(step.state, action=step.action)) if step else None,
        "decision": latest,
        "waterfalls": presenting.waterfalls(latest.result) if latest else [],
        "now": now,
        "signatures": list(latest.sign_offs.select_related("approver")) if latest else [],
        "roi": analysis,
        "return_title": f"Return over {analysis.months} months" if analysis else "",
        "roi_chart": presenting.roi_chart(analysis) if analysis else "",
        "newer_gain": reading.newer_gain(use_case, analysis) if analysis else "",
        "measured": reading.measured_facts(use_case),
        "events": _events(use_case),
        "needs": [reading.field_label(name) for name in NEEDS if getattr(use_case, name)],
        "can_change": policies.can_change(use_case),
    }
    return htmx.render_page(request, "decisions/use_case_detail.html", None, context)


@dataclass(frozen=True, slots=True)
class Happened:
    """One line of recent activity."""

    at: datetime
    text: str
    who: str
    url: str
    tone: str


def _events(use_case: UseCase) -> list[Happened]:
    """What happened lately, newest first: answers, returns, what was measured, the beginning. One query."""
    events = [
        Happened(
            row.created_at,
            f"{reading.kind_label(row.kind)}: {reading.plain(row.kind, row.value)}",
            row.source,
            "",
            "live",
        )
        for row in use_case.evidence.all()[:6]
    ]
    if decision := use_case.latest_decision:
        url = reverse("decisions:decision-detail", args=[use_case.pk, decision.number])
        events.append(
            Happened(
                decision.created_at,
                f"Decision {decision.number}: {decision.headline}",
                _name(decision),
                url,
                "good",
            )
        )
    if analysis := use_case.latest_roi:
        url = reverse("decisions:roi-detail", args=[use_case.pk, analysis.number])
        events.append(
            Happened(
                analysis.created_at,
                f"Return {analysis.number}: {analysis.headline}",
                _name(analysis),
                url,
                "good",
            )
        )
    events.append(
        Happened(use_case.created_at, "Use case begun", str(use_case.owner or "the portal"), "", "")
    )
    return sorted(events, key=lambda event: event.at, reverse=True)[:8]


def _name(row: Any) -> str:
    return str(row.author or "the portal")


def use_case_edit(request: TeamRequest, use_case: UseCase) -> HttpResponse:
    """Change the answers. An edit made on an older version comes back with both sides; nothing is overwritten."""
    policies.check_can_change(use_case)
    if request.method != "POST":
        form = UseCaseForm.of(use_case)
        taken = _taken_over(form, request.GET)
        return _edit_page(request, use_case, form, taken=taken)
    form = UseCaseForm(request.POST, team=use_case.team)
    if not form.is_valid():
        return _edit_page(request, use_case, form, status=422)
    try:
        services.update_use_case(
            actor=request.user,
            use_case=use_case,
            version=form.cleaned_data["version"],
            **form.changes(),
        )
    except EditedMeanwhile as conflict:
        return _conflict_page(request, use_case, form, conflict)
    except BadInput as error:
        form.add_error(error.field if error.field in form.fields else None, str(error))
        return _edit_page(request, use_case, form, status=422)
    htmx.toast(request, "Saved. This is what the new answers lead to.")
    return htmx.redirect(request, "decisions:decision-preview", use_case.pk)


def _taken_over(form: UseCaseForm, query: Mapping[str, str]) -> list[str]:
    """Put what a what-if changed into the form, unsaved; the labels of the fields it touched."""
    found = [name for name in (*FACTS, *ANSWERS) if name in query]
    for name in found:
        form.initial[name] = query[name] == "yes" if name in NEEDS else query[name]
    return [str(form.fields[name].label) for name in found]


def _conflict_page(
    request: TeamRequest, use_case: UseCase, form: UseCaseForm, conflict: EditedMeanwhile
) -> HttpResponse:
    use_case.refresh_from_db()
    merged = conflicts.merge(request.POST, form, use_case)
    return _edit_page(
        request,
        use_case,
        merged.form,
        status=409,
        conflict=str(conflict),
        differing=merged.differing,
        theirs=merged.theirs,
    )


def _edit_page(
    request: TeamRequest, use_case: UseCase, form: UseCaseForm, *, status: int = 200, **more: Any
) -> HttpResponse:
    # A form that comes back with a wrong figure still began with what it began with: others may have saved since.
    begun = request.POST.get("begun", "") if status == 422 else conflicts.begun_with(use_case)
    context = {"use_case": use_case, "form": form, "begun": begun, "is_new": use_case.version == 1, **more}
    return htmx.render_page(request, "decisions/use_case_edit.html", None, context, status=status)


@require_POST
def use_case_archive(request: TeamRequest, use_case: UseCase) -> HttpResponse:
    """Put a use case away, or bring it back."""
    if request.POST.get("restore"):
        services.restore_use_case(actor=request.user, use_case=use_case)
        htmx.toast(request, f"{use_case.name} is back in the list.")
        return htmx.redirect(request, "decisions:use-case-detail", use_case.pk)
    services.archive_use_case(actor=request.user, use_case=use_case)
    htmx.toast(request, f"{use_case.name} is archived. It is kept whole under Archived.")
    return htmx.redirect(request, "decisions:use-case-list", use_case.team.slug)


def stuck(request: TeamRequest) -> HttpResponse:
    """Help with the four things people get stuck on."""
    return htmx.render_page(request, "decisions/stuck.html", None, {})
