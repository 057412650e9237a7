"""Deciding over HTTP: use cases, decisions and returns, through the same services as the pages.

Money is whole micro-dollars, gains are shares. The roof says who is asking: `request.team` and `request.role`.
"""

from __future__ import annotations

from typing import Any

from django.http import Http404
from ninja import Router, Schema, Status
from ninja.errors import HttpError

from decisions import reading, services
from decisions.domain.examples import example
from decisions.models import Decision, UseCase
from foundation.teams.errors import BadInput
from foundation.teams.requests import TeamRequest

router = Router(tags=["Decide"])
PAGE = 100


class LabelIn(Schema):
    name: str
    definition: str = ""


class UseCaseIn(Schema):
    """A new use case. `example` starts from one of the book's; any fact given here goes before the example's."""

    name: str
    description: str = ""
    task_kind: str | None = None
    labels: list[LabelIn] | None = None
    output_schema: dict[str, Any] | None = None
    example: str | None = None
    facts: dict[str, Any] = {}


class UseCaseChange(Schema):
    """Changes to a use case; `version` is the one they were made on."""

    version: int
    changes: dict[str, Any]


class NoteIn(Schema):
    note: str = ""


@router.get("/use-cases", summary="The team's use cases, newest first")
def list_use_cases(request: TeamRequest, archived: bool = False, after: int | None = None) -> dict[str, Any]:
    """Up to 100 use cases; `next` is the `after` of the following page, null at the end."""
    rows = UseCase.objects.of(request.team).with_answers()
    rows = rows.archived() if archived else rows.active()
    if after is not None:
        rows = rows.filter(pk__lt=after)
    found = list(rows.order_by("-pk")[: PAGE + 1])
    return {
        "items": [_brief(row) for row in found[:PAGE]],
        "next": found[PAGE - 1].pk if len(found) > PAGE else None,
    }


@router.post("/use-cases", response={201: dict}, summary="Begin a use case")
def create_use_case(request: TeamRequest, body: UseCaseIn) -> Status:
    """The new use case, whole."""
    chosen = example(body.example) if body.example else None
    if body.example and chosen is None:
        raise HttpError(400, f"There is no example {body.example!r}.")
    values = {**(chosen.values if chosen else {}), **_settable(body.facts), "name": body.name}
    for name in ("description", "task_kind", "output_schema"):
        if given := getattr(body, name):
            values[name] = given
    if body.labels is not None:
        values["labels"] = [label.dict() for label in body.labels]
    use_case = services.create_use_case(actor=request.user, team=request.team, **values)
    return Status(201, _whole(use_case))


@router.get("/use-cases/{int:pk}", summary="One use case with its latest answers")
def get_use_case(request: TeamRequest, pk: int) -> dict[str, Any]:
    """The facts, the task, what was measured, and the latest decision and return."""
    return _whole(found(request, pk))


@router.patch("/use-cases/{int:pk}", summary="Change a use case")
def change_use_case(request: TeamRequest, pk: int, body: UseCaseChange) -> dict[str, Any]:
    """The use case as it stands after the change; 409 when somebody changed it first."""
    row = services.update_use_case(
        actor=request.user,
        use_case=found(request, pk),
        version=body.version,
        **_settable(body.changes),
    )
    return _whole(row)


@router.post("/use-cases/{int:pk}/archive", summary="Put a use case away")
def archive_use_case(request: TeamRequest, pk: int) -> dict[str, Any]:
    """The use case, archived; twice is once."""
    return _whole(services.archive_use_case(actor=request.user, use_case=found(request, pk)))


@router.post("/use-cases/{int:pk}/restore", summary="Bring a use case back")
def restore_use_case(request: TeamRequest, pk: int) -> dict[str, Any]:
    """The use case, in the list again; twice is once."""
    return _whole(services.restore_use_case(actor=request.user, use_case=found(request, pk)))


@router.get("/use-cases/{int:pk}/answer", summary="What today's facts lead to, unsaved")
def todays_answer(request: TeamRequest, pk: int) -> dict[str, Any]:
    """The whole answer with every factor; nothing is saved."""
    inputs = reading.inputs_of(found(request, pk))
    return {"inputs": inputs, "result": reading.result_of(inputs)}


@router.post(
    "/use-cases/{int:pk}/decisions", response={201: dict}, summary="Save today's answer as a decision"
)
def decide(request: TeamRequest, pk: int, body: NoteIn) -> Status:
    """The decision; the latest one again when nothing changed since."""
    decision = services.decide(actor=request.user, use_case=found(request, pk), note=body.note)
    return Status(201, decision_json(decision))


@router.get("/use-cases/{int:pk}/decisions/{int:number}", summary="One saved decision")
def get_decision(request: TeamRequest, pk: int, number: int) -> dict[str, Any]:
    """Inputs, every factor, the verdict, who and when."""
    rows = found(request, pk).decisions.select_related("author")
    if (decision := rows.filter(number=number).first()) is None:
        raise Http404(f"There is no decision {number}.")
    return decision_json(decision)


def _settable(values: dict[str, Any]) -> dict[str, Any]:
    """The values a program may set; a person as owner is chosen on the pages."""
    for name in values:
        if name not in services.EDITABLE or name == "owner":
            raise BadInput(f"A use case has no {name!r} to set.", field=name)
    return values


def found(request: TeamRequest, pk: int) -> UseCase:
    """The team's use case with that id, or 404."""
    rows = UseCase.objects.of(request.team).select_related("team", "owner", "latest_decision", "latest_roi")
    if pk >= 2**63 or (row := rows.filter(pk=pk).first()) is None:
        raise Http404(f"There is no use case {pk} in this team.")
    return row


def _brief(use_case: UseCase) -> dict[str, Any]:
    latest = use_case.latest_decision
    return {
        "id": use_case.pk,
        "name": use_case.name,
        "description": use_case.description,
        "task_kind": use_case.task_kind,
        "version": use_case.version,
        "recommendation": latest.recommendation if latest else None,
        "headline": latest.headline if latest else None,
        "archived_at": use_case.archived_at.isoformat() if use_case.archived_at else None,
    }


def _whole(use_case: UseCase) -> dict[str, Any]:
    inputs = reading.inputs_of(use_case)
    return {
        **_brief(use_case),
        "labels": use_case.labels,
        "output_schema": use_case.output_schema,
        "facts": inputs["facts"],
        "answers": inputs["answers"],
        "sources": inputs["sources"],
        "rates": use_case.rates,
        "value_per_improved_microusd": use_case.value_per_improved_microusd,
        "measured": use_case.measured,
        "owner": use_case.owner.email if use_case.owner else None,
        "latest_decision": use_case.latest_decision.number if use_case.latest_decision else None,
        "latest_return": use_case.latest_roi.number if use_case.latest_roi else None,
    }


def decision_json(decision: Decision) -> dict[str, Any]:
    """A decision as programs read it."""
    return {
        "use_case": {"id": decision.use_case_id, "name": decision.inputs["facts"]["name"]},
        "number": decision.number,
        "recommendation": decision.recommendation,
        "headline": decision.headline,
        "author": str(decision.author) if decision.author else None,
        "note": decision.note,
        "created_at": decision.created_at.isoformat(),
        "inputs": decision.inputs,
        "inputs_sha256": decision.inputs_sha256,
        "result": decision.result,
    }
