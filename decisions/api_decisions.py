"""What-ifs, differences and signatures over HTTP, through the same functions as the pages."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.http import Http404
from ninja import Router, Schema, Status

from decisions import policies, presenting, reading, signing
from decisions.api import found
from decisions.domain import flips, framework
from decisions.forms_what_if import WhatIfForm
from decisions.models import Decision, SignOff, UseCase
from foundation.teams.errors import BadInput, NotAllowed
from foundation.teams.requests import TeamRequest

router = Router(tags=["Decide"])


class SignIn(Schema):
    """An approver's word on the answer they read; `inputs_sha256` is that answer's."""

    inputs_sha256: str
    note: str


@router.get(
    "/use-cases/{int:pk}/what-if", summary="What the facts would lead to, were some of them otherwise"
)
def what_if(request: TeamRequest, pk: int) -> dict[str, Any]:
    """The whole answer and the smallest changes that would turn it. Name only the facts to change, as in
    `?data_quality=low&requires_citations=yes`; gains are in per cent, as on the page. Nothing is stored."""
    use_case = found(request, pk)
    inputs = reading.inputs_of(use_case)
    form = WhatIfForm.of(request.GET, inputs)
    if unknown := [name for name in request.GET if name not in form.fields]:
        raise BadInput(f"There is no fact named {unknown[0]!r}.", field=unknown[0])
    if not form.is_valid():
        name, messages = next(iter(form.errors.items()))
        raise BadInput(f"{form.fields[name].label}: {messages[0]}", field=name)
    facts, answers = form.facts(use_case.name), form.answers(inputs)
    result = framework.as_json(framework.decide(facts, answers, inputs["rates"]))
    return {"changed": form.changed(), "result": {**result, **flips.as_json(flips.find(facts, answers))}}


@router.get(
    "/use-cases/{int:pk}/decisions/{int:number}/changes", summary="What differs from an earlier decision"
)
def changes(request: TeamRequest, pk: int, number: int, since: int | None = None) -> dict[str, Any]:
    """Facts and scores of decision `number` beside decision `since`, the one before it when left out."""
    use_case = found(request, pk)
    after = _decision(use_case, number)
    earlier = use_case.decisions.filter(number__lt=number).first()
    before = _decision(use_case, since) if since is not None else earlier
    if before is None:
        raise Http404(f"Decision {number} is the first.")
    return {
        "before": before.number,
        "after": after.number,
        "facts": [asdict(change) for change in reading.changes_between(before.inputs, after.inputs)],
        "scores": [{**asdict(s), "by": s.by} for s in presenting.scores_between(before.result, after.result)],
        "recommendation": {"before": before.recommendation, "after": after.recommendation},
    }


@router.get("/use-cases/{int:pk}/decisions/{int:number}/sign-offs", summary="Who signed a decision")
def sign_offs(request: TeamRequest, pk: int, number: int) -> dict[str, Any]:
    """The signatures, oldest first."""
    decision = _decision(found(request, pk), number)
    return {"items": [_signed(each) for each in decision.sign_offs.select_related("approver")]}


@router.post(
    "/use-cases/{int:pk}/decisions/{int:number}/sign-offs", response={201: dict}, summary="Sign a decision"
)
def sign_off(request: TeamRequest, pk: int, number: int, body: SignIn) -> Status:
    """The signature. Needs the role approver; 409 when another answer stands now or it was signed already."""
    if not policies.may_sign(request.role):
        raise NotAllowed("Signing needs the role approver. A team admin can change your role.")
    signed = signing.sign_off(
        actor=request.user,
        use_case=found(request, pk),
        number=number,
        digest=body.inputs_sha256,
        note=body.note,
    )
    return Status(201, _signed(signed))


def _decision(use_case: UseCase, number: int) -> Decision:
    if number >= 2**31 or (decision := use_case.decisions.filter(number=number).first()) is None:
        raise Http404(f"There is no decision {number}.")
    return decision


def _signed(each: SignOff) -> dict[str, Any]:
    return {
        "approver": str(each.approver) if each.approver else None,
        "note": each.note,
        "inputs_sha256": each.inputs_sha256,
        "is_own": each.is_own,
        "created_at": each.created_at.isoformat(),
    }
